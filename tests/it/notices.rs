//! Notices: what happens is told once to everybody who asked, in a form they can trust.

use axum::http::HeaderMap;
use chrono::TimeDelta;
use peak_braze::callback::{Refusal, Verified, Verifier};
use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::run::RunState;
use peak_braze::sandbox::{Answer, Rule};
use serde_json::{Value, json};

use crate::support::app::{SYNC, Setup, TestApp, ago};
use crate::support::hook::{Hook, Post};
use crate::support::python::run_script;

pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Three customers, a clock of the story's own, and a receiver of these events.
pub fn told_of(on: &str, receiver: &Hook) -> Setup {
    Setup {
        notify: table(&receiver.url(), on, "secret = \"file:notify\""),
        files: vec![("notify", SECRET), ("peak", "a-peak-api-key")],
        clock: Clock::manual(Clock::system().now()),
        ..Setup::customers(3)
    }
}

pub fn table(url: &str, on: &str, more: &str) -> String {
    let on: Vec<String> = on.split(' ').map(|event| format!("\"{event}\"")).collect();
    format!("[[notify]]\nurl = \"{url}\"\non = [{}]\n{more}\n", on.join(", "))
}

pub fn kinds(posts: &[Post]) -> Vec<String> {
    let mut kinds: Vec<String> = posts.iter().map(Post::kind).collect();
    // Told of at the same moment, two may come in either order.
    kinds.sort();
    kinds
}

/// What the verifier of callbacks makes of a notice.
pub fn verified(app: &TestApp, post: &Post, clock: &Clock) -> Result<Verified, Refusal> {
    let settings = format!("secrets = [\"file:{}\"]", app.path("notify").display());
    let settings: config::Callback = toml::from_str(&settings).expect("a callback's settings");
    let headers: HeaderMap = post.headers.clone();
    Verifier::new(&settings).expect("a key").verify(&headers, &post.body, clock.now())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_is_told_in_short_and_signed() {
    let receiver = Hook::start().await;
    let setup = told_of("succeeded failed", &receiver);
    let clock = setup.clock.clone();
    let app = TestApp::start(setup).await;
    let run = app.deliver_and_finish("evt-1").await;
    let posts = receiver.after(1).await;
    let (post, body) = (&posts[0], posts[0].json());
    let verified = verified(&app, post, &clock).expect("signed by whoever has the secret");
    assert_eq!(verified.delivery_id.as_deref(), Some(post.header("webhook-id")));
    assert_eq!((post.header("content-type"), post.header("authorization")), ("application/json", ""));
    assert!(post.header("user-agent").starts_with("peak-braze/"));
    assert_eq!((&body["type"], &body["timestamp"]), (&json!("run.succeeded"), &json!(run.finished_at)));
    let data = &body["data"];
    assert_eq!((&data["id"], &data["sync"]), (&json!(run.id), &json!(SYNC)));
    assert_eq!(
        (&data["state"], &data["trigger"], &data["mode"]),
        (&json!("succeeded"), &json!("callback"), &json!("full"))
    );
    assert_eq!((&data["tally"], &data["data_points"]), (&json!(run.tally), &json!(run.data_points)));
    assert!(
        data["text"].as_str().expect("a sentence").contains("3 customers, 3 changed, 3 accepted"),
        "{data}"
    );
    // An id may hold anything by chance.
    let text = String::from_utf8(post.body.to_vec()).expect("UTF-8").replace(&run.id.to_string(), "");
    assert!(!text.contains("c-1") && !text.contains("\"low\""), "nothing of any customer: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_standard_webhooks_takes_a_notice() {
    let receiver = Hook::start().await;
    let setup = told_of("succeeded", &receiver);
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    let post = receiver.after(1).await.remove(0);
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names.iter().map(|name| (*name, post.header(name))).collect();
    let body = std::str::from_utf8(&post.body).expect("UTF-8");
    let input = json!({ "secret": SECRET, "headers": headers, "body": body }).to_string();
    assert_eq!(run_script("notice.py", &[], &input), "run.succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_and_peak_are_told_in_their_own_words() {
    let (slack, peak) = (Hook::start().await, Hook::start().await);
    let mut setup = told_of("succeeded", &slack);
    setup.notify = table(&slack.url(), "succeeded", "format = \"slack\"")
        + &table(&peak.url(), "succeeded", "format = \"peak\"\nauthorization = \"file:peak\"");
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    let said = slack.after(1).await.remove(0);
    let text = said.json()["text"].as_str().expect("a text").to_owned();
    assert_eq!(said.json(), json!({ "text": text }));
    assert!(text.contains(&format!("run {} succeeded", run.id)), "{text}");
    assert_eq!((said.header("webhook-signature"), said.header("authorization")), ("", ""));
    let asked = peak.after(1).await.remove(0);
    assert_eq!(asked.header("authorization"), "a-peak-api-key", "as Peak takes it: without Bearer");
    let parameters = &asked.json()["params"]["global"];
    assert_eq!(
        (&parameters["PEAK_BRAZE_EVENT"], &parameters["PEAK_BRAZE_ACCEPTED"]),
        (&json!("run.succeeded"), &json!("3"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn peak_is_asked_as_its_own_client_asks() {
    let peak = Hook::start().await;
    peak.answers((0..9).map(|_| (200, None)));
    let mut setup = told_of("succeeded", &peak);
    let base = format!("http://{}", peak.addr());
    let url = format!("{base}/workflows/api/v1/workflows/7/execute");
    setup.notify = table(&url, "succeeded", "format = \"peak\"\nauthorization = \"file:peak\"");
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    let ours = peak.after(1).await.remove(0);
    let body = ours.json().to_string();
    let script = tokio::task::spawn_blocking(move || {
        run_script("peak_execute.py", &[&base, "a-peak-api-key", "7"], &body);
    });
    script.await.expect("it is taken");
    // The client asks about its tenant first.
    let theirs =
        peak.posts().into_iter().skip(1).find(|post| post.path.ends_with("/execute")).expect("asked");
    assert_eq!(ours.path, theirs.path);
    assert_eq!(ours.json(), theirs.json());
    for header in ["authorization", "content-type"] {
        assert_eq!(ours.header(header), theirs.header(header));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_told_as_it_begins_and_as_it_ends() {
    let receiver = Hook::start().await;
    let app = TestApp::start(told_of("failed blocked recovered succeeded", &receiver)).await;
    app.braze.rule(Rule::new(Answer::Status { status: 403 }));
    assert_eq!(app.run("delta").await.state, RunState::Failed);
    let posts = receiver.after(2).await;
    assert_eq!(kinds(&posts), ["run.failed", "sync.blocked"]);
    assert!(posts.iter().all(|post| post.json()["data"]["error_code"] == "braze_forbidden"));
    // Still the same trouble.
    app.run("delta").await;
    assert_eq!(kinds(&receiver.after(3).await[2..]), ["run.failed"]);
    app.braze.clear_rules();
    app.run("delta").await;
    assert_eq!(kinds(&receiver.after(5).await[3..]), ["run.succeeded", "sync.recovered"]);
    app.run("delta").await;
    assert_eq!(kinds(&receiver.after(6).await[5..]), ["run.succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_run_is_told_with_what_it_left() {
    let receiver = Hook::start().await;
    let app = TestApp::start(told_of("partial", &receiver)).await;
    app.warehouse("update predictions set band = printf('%300d', 1) where customer_id = 'c-2'");
    assert_eq!(app.run("delta").await.state, RunState::Partial);
    let text = receiver.after(1).await[0].json()["data"]["text"].clone();
    assert!(
        text.as_str().expect("a sentence").contains("ended partial")
            && text.to_string().contains("1 invalid"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_watermark_is_told_once_until_it_moves() {
    let receiver = Hook::start().await;
    let mut setup = told_of("stale recovered", &receiver);
    setup.cadence = "stale_after = \"26h\"".to_owned();
    let clock = setup.clock.clone();
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    clock.advance(TimeDelta::hours(27));
    let stale = receiver.after(1).await[0].json();
    assert_eq!((&stale["type"], &stale["data"]["sync"]), (&json!("sync.stale"), &json!(SYNC)));
    assert!(stale["data"]["text"].as_str().expect("a sentence").ends_with("longer than 26 h."), "{stale}");
    clock.advance(TimeDelta::hours(1));
    app.warehouse(&format!("update predictions set churn = 0.5, updated_at = '{}'", ago(0)));
    app.run("delta").await;
    assert_eq!(receiver.after(2).await[1].kind(), "sync.recovered", "and nothing in between");
    clock.advance(TimeDelta::hours(27));
    assert_eq!(receiver.after(3).await[2].kind(), "sync.stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_rotated_signs_from_the_reload_on() {
    let receiver = Hook::start().await;
    let setup = told_of("succeeded", &receiver);
    let clock = setup.clock.clone();
    let mut app = TestApp::start(setup).await;
    std::fs::write(app.path("notify"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx").expect("a secret file");
    app.run("delta").await;
    let first = receiver.after(1).await.remove(0);
    assert!(verified(&app, &first, &clock).is_err(), "the old one still signs");
    app.app().reload().await.expect("the same config");
    app.run("delta").await;
    let second = receiver.after(2).await.remove(1);
    verified(&app, &second, &clock).expect("the new one signs");
    // A file that cannot be used leaves the receivers as they were.
    app.change(|setup| setup.notify = setup.notify.replace("file:notify", "file:nowhere"));
    app.app().reload().await.expect_err("there is no such secret");
    app.run("delta").await;
    let third = receiver.after(3).await.remove(2);
    verified(&app, &third, &clock).expect("still the same");
    // Without receivers nobody is told.
    app.change(|setup| setup.notify.clear());
    app.app().reload().await.expect("a config without receivers");
    app.run("delta").await;
    app.drain().await;
    assert_eq!(receiver.posts().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_run_comes_to_is_told_before_the_end() {
    let receiver = Hook::start().await;
    let mut app = TestApp::start(told_of("succeeded", &receiver)).await;
    app.run("delta").await;
    app.drain().await;
    assert_eq!(kinds(&receiver.posts()), ["run.succeeded"]);
}
