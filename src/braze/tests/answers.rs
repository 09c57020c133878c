//! What Braze says, and what becomes of the updates.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::fake::{Act, FakeBraze, KEY, all_accepted, batch, batch_from, braze_at, reply};
use crate::braze::{Fatal, Stop, Verdict};
use crate::customer::Code;

#[tokio::test]
async fn each_update_gets_its_own_verdict() {
    let fake = FakeBraze::start(|_, _| {
        reply(
            201,
            r#"{"attributes_processed":2,"errors":[{"index":1,"input_array":"attributes",
               "type":"provided external_id is blacklisted and disallowed"}],"message":"success"}"#,
        )
    })
    .await;
    let pushed = fake.pusher("").push(&batch(3)).await.expect("answered");
    let rejected = Verdict::Rejected(Code::BrazeBlocklisted);
    assert_eq!(pushed.verdicts, [Verdict::Accepted, rejected, Verdict::Accepted]);
    assert_eq!((pushed.requests, pushed.retries, pushed.queued_by_braze), (1, 0, false));

    let request = &fake.seen()[0];
    assert_eq!(pushed.bytes_sent, request.body.len() as u64);
    assert_eq!(request.ids(), ["c0", "c1", "c2"]);
    let head = request.head.to_ascii_lowercase();
    assert!(head.starts_with("post /users/track http/1.1\r\n"));
    let bearer = format!("authorization: bearer {KEY}\r\n");
    let version = concat!("user-agent: peak-braze/", env!("CARGO_PKG_VERSION"), "\r\n");
    for line in [&*bearer, version, "content-type: application/json\r\n", "x-braze-bulk: true\r\n"] {
        assert!(head.contains(line), "{line}");
    }
}

#[tokio::test]
async fn queued_in_maintenance_is_accepted_and_flagged() {
    let fake = FakeBraze::start(|_, _| reply(202, r#"{"message":"queued"}"#)).await;
    let pushed = fake.pusher("bulk_header = false").push(&batch(3)).await.expect("answered");
    assert_eq!((pushed.verdicts, pushed.queued_by_braze), (vec![Verdict::Accepted; 3], true));
    assert!(!fake.seen()[0].head.to_ascii_lowercase().contains("x-braze-bulk"));
}

#[tokio::test]
async fn a_smaller_contract_is_learned_and_remembered() {
    let fake = FakeBraze::start(|_, request| match request.updates().len() {
        51.. => reply(400, r#"{"message":"Max Input Length Exceeded","errors":[]}"#),
        _ => all_accepted(request),
    })
    .await;
    let braze = fake.braze("");
    let pusher = braze.pusher(Arc::new(|| true), CancellationToken::new());
    let pushed = pusher.push(&batch(75)).await.expect("answered");
    assert_eq!((pushed.verdicts, pushed.requests), (vec![Verdict::Accepted; 75], 4));
    assert_eq!(braze.batch_size(), 37);
    assert_eq!(pusher.push(&batch(75)).await.expect("answered").requests, 3);
    assert!(fake.seen()[1..].iter().all(|request| request.updates().len() <= 37));
}

#[tokio::test]
async fn one_bad_update_does_not_cost_the_others() {
    let fake = FakeBraze::start(|_, request| {
        if request.ids().contains(&"c7".to_owned()) {
            reply(400, r#"{"message":"no"}"#)
        } else {
            all_accepted(request)
        }
    })
    .await;
    let pushed = fake.pusher("").push(&batch(75)).await.expect("answered");
    for (number, verdict) in pushed.verdicts.iter().enumerate() {
        let expected = if number == 7 { Verdict::Rejected(Code::BrazeRefused) } else { Verdict::Accepted };
        assert_eq!(*verdict, expected, "{number}");
    }
}

#[tokio::test]
async fn a_mapping_braze_never_takes_stops_the_run() {
    let fake = FakeBraze::start(|_, _| reply(400, r#"{"error":"no"}"#)).await;
    let failed = fake.pusher("").push(&batch(75)).await.expect_err("refused");
    assert_eq!(failed.stop, Stop::Fatal(Fatal::RefusesEverything));
    let alone = fake.seen().iter().filter(|request| request.updates().len() == 1).count();
    assert_eq!(alone, 20);
    assert_eq!(failed.requests as usize, fake.seen().len());
}

#[tokio::test]
async fn many_refused_customers_are_rejections_once_one_was_accepted() {
    let fake =
        FakeBraze::start(
            |_, request| {
                if request.ids() == ["c0"] { all_accepted(request) } else { reply(400, "{}") }
            },
        )
        .await;
    let pusher = fake.pusher("batch_size = 1");
    assert_eq!(pusher.push(&batch(1)).await.expect("answered").verdicts, [Verdict::Accepted]);
    let pushed = pusher.push(&batch_from(1, 30)).await.expect("answered");
    assert_eq!(pushed.verdicts, [Verdict::Rejected(Code::BrazeRefused); 30]);
    // As in an earlier attempt of the run.
    let pusher = fake.pusher("batch_size = 1").after_acceptance(true);
    let pushed = pusher.push(&batch_from(1, 30)).await.expect("answered");
    assert_eq!(pushed.verdicts, [Verdict::Rejected(Code::BrazeRefused); 30]);
}

#[tokio::test]
async fn unreadable_successes_are_unknown_after_three_tries() {
    let truncated =
        b"HTTP/1.1 201 X\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{\"message\":\"succ".to_vec();
    for (what, answer) in [
        ("empty", b"HTTP/1.1 201 X\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("html", b"HTTP/1.1 200 X\r\ncontent-length: 6\r\n\r\n<html>".to_vec()),
        ("huge", [&b"HTTP/1.1 201 X\r\ncontent-length: 1073741824\r\n\r\n"[..], &[b' '; 3 << 20]].concat()),
        ("gzip", b"HTTP/1.1 201 X\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b".to_vec()),
        ("not a success", b"HTTP/1.1 201 X\r\ncontent-length: 20\r\n\r\n{\"message\":\"failed\"}".to_vec()),
        ("cut", truncated),
    ] {
        let fake = FakeBraze::start(move |_, _| Act::Raw(answer.clone())).await;
        // The cut answer hangs at its end: the request's time ends it, as a failure. A second is enough.
        if what == "cut" {
            let failed =
                fake.pusher("request_timeout_secs = 1\ngive_up_after = \"1s\"").push(&batch(3)).await;
            assert_eq!(failed.expect_err("no verdict").stop, Stop::GaveUp);
            continue;
        }
        let pushed = fake.pusher("").push(&batch(3)).await.expect("answered");
        assert_eq!(
            (pushed.verdicts, pushed.requests, pushed.retries),
            (vec![Verdict::Unknown; 3], 3, 2),
            "{what}"
        );
        let bodies: Vec<_> = fake.seen().into_iter().map(|request| request.body).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "the same payload");
    }
}

#[tokio::test]
async fn fatal_answers_stop_at_once_and_never_show_the_key() {
    for (status, fatal) in [
        (401, Fatal::Unauthorized),
        (403, Fatal::Forbidden),
        (404, Fatal::NotFound),
        (415, Fatal::Unsupported),
        (307, Fatal::Redirected),
    ] {
        let log = Log::default();
        let _guard = log.listen();
        let fake = FakeBraze::start(move |_, _| {
            let header = format!("x-echo: {KEY}\r\nlocation: http://127.0.0.1:1/{KEY}\r\n");
            Act::Reply(status, header, format!("{{\"message\":\"Invalid API key: {KEY}\"}}"))
        })
        .await;
        let braze = fake.braze("");
        let pusher = braze.pusher(Arc::new(|| true), CancellationToken::new());
        let failed = pusher.push(&batch(75)).await.expect_err("fatal");
        assert_eq!((failed.stop, failed.requests), (Stop::Fatal(fatal), 1));
        assert_eq!(braze.probe().await, Err(Stop::Fatal(fatal)));
        let shown = format!("{failed} {failed:?} {braze:?} {pusher:?} {}", log.text());
        assert!(log.text().contains(fatal.code()), "the log says what happened");
        assert!(!shown.contains(KEY) && !shown.contains("c0"), "{shown}");
    }
}

#[tokio::test]
async fn only_what_was_not_refused_clearly_may_be_taken() {
    let limited = || Act::Reply(429, "x-ratelimit-retry-after: 60\r\n".to_owned(), String::new());
    type Answers = fn(usize) -> Act;
    let cases: [(&str, Answers, bool); 5] = [
        ("401", |_| reply(401, ""), false),
        ("404 after a 400", |number| reply(if number == 0 { 400 } else { 404 }, "{}"), false),
        ("403 after a lost connection", |number| if number == 0 { Act::Drop } else { reply(403, "") }, true),
        ("403 after a 500", |number| reply(if number == 0 { 500 } else { 403 }, ""), true),
        (
            "403 after another part was taken",
            |number| match number {
                0 => reply(400, "{}"),
                1 => reply(201, r#"{"attributes_processed":1,"message":"success"}"#),
                _ => reply(403, ""),
            },
            true,
        ),
    ];
    for (what, answers, may_be_taken) in cases {
        let fake = FakeBraze::start(move |number, _| answers(number)).await;
        let failed = fake.pusher("").push(&batch(2)).await.expect_err(what);
        assert_eq!(failed.may_be_taken, may_be_taken, "{what}");
    }
    let fake = FakeBraze::start(move |_, _| limited()).await;
    let halted = CancellationToken::new();
    let braze = fake.braze("");
    let (pusher, mut hold) = (braze.pusher(Arc::new(|| true), halted.clone()), braze.hold());
    let batch = batch(2);
    let halt = async {
        hold.wait_for(Option::is_some).await.expect("braze lives");
        halted.cancel();
    };
    let (failed, ()) = tokio::join!(pusher.push(&batch), halt);
    let failed = failed.expect_err("halted");
    assert_eq!((failed.stop, failed.requests, failed.may_be_taken), (Stop::Fenced, 1, false));
}

#[tokio::test]
async fn nothing_is_taken_where_no_connection_could_be_made() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", gone.local_addr().expect("bound"));
    drop(gone);
    let settings = "give_up_after = \"1s\"\nretry_cap_secs = 1";
    let braze = Arc::new(braze_at(&endpoint, settings, &[]).expect("the settings are good"));
    let failed = braze.pusher(Arc::new(|| true), CancellationToken::new()).push(&batch(2)).await;
    let failed = failed.expect_err("nobody is there");
    assert!(failed.stop == Stop::GaveUp && failed.requests > 0 && !failed.may_be_taken, "{failed:?}");
}

#[tokio::test]
async fn a_probe_sends_no_data_and_proves_the_key() {
    let nothing =
        r#"{"message":"Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."}"#;
    for status in [400, 401] {
        let fake = FakeBraze::start(move |_, _| reply(status, nothing)).await;
        assert_eq!(fake.braze("").probe().await, Ok(()));
        assert!(fake.seen()[0].updates().is_empty());
    }
    let fake = FakeBraze::start(|_, _| reply(500, "")).await;
    assert_eq!(fake.braze("").probe().await, Err(Stop::GaveUp));
}

#[tokio::test]
async fn attributes_are_read_page_by_page_from_the_endpoint_alone() {
    let elsewhere = FakeBraze::start(|_, _| reply(200, "{}")).await;
    let elsewhere_port = elsewhere.port;
    let fake = FakeBraze::start(move |number, _| {
        let name = format!(
            r#"{{"message":"success","attributes":[{{"name":"a{number}","data_type":"Number","status":"Active","tag_names":[]}}]}}"#
        );
        let link = format!("link: <http://127.0.0.1:{elsewhere_port}/x?cursor=n%2B{number}>; rel=\"next\"\r\n");
        Act::Reply(200, if number < 2 { link } else { String::new() }, name)
    })
    .await;
    let attributes = fake.braze("").custom_attributes().await.expect("three pages");
    let names: Vec<_> = attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    assert_eq!(names, ["a0", "a1", "a2"]);
    assert_eq!(attributes[0].data_type.as_deref(), Some("Number"));
    assert!(
        fake.seen()[1].head.starts_with("GET /custom_attributes?cursor=n%2B0 "),
        "{}",
        fake.seen()[1].head
    );
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn a_key_no_header_can_hold_is_refused_unseen() {
    let settings = "endpoint = \"http://127.0.0.1:1\"\napi_key = \"env:X\"";
    let settings: crate::config::Destination = toml::from_str(settings).expect("settings");
    let key = secrecy::SecretString::from("a\nsecret");
    let error = crate::braze::Braze::new("braze", &settings, key, crate::clock::Clock::system())
        .expect_err("refused");
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert!(braze_at("https://rest.iad-01.braze.com/users/track", "", &[]).is_err());
}

/// Everything logged while it listens.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("logs are UTF-8")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
