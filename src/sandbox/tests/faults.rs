//! Every way in which a rule makes the sandbox break.

use super::*;
use crate::sandbox::{Announce, Answer};

async fn answered(answer: Answer, count: usize) -> (Bench, u16, Value) {
    let bench = Bench::with_rule(Rule::new(answer)).await;
    let (status, body) = bench.track(objects(count)).await;
    (bench, status.as_u16(), body)
}

#[tokio::test]
async fn error_statuses_apply_nothing() {
    for status in [401, 403, 404, 415, 500, 502, 503, 504] {
        let (bench, got, _) = answered(Answer::Status { status }, 1).await;
        assert_eq!((got, bench.sandbox.users()), (status, 0));
    }
}

#[tokio::test]
async fn a_504_may_come_after_all_was_applied() {
    let bench = Bench::with_rule(Rule::new(Answer::Status { status: 504 }).apply(true)).await;
    assert_eq!(bench.track(objects(3)).await.0, 504);
    assert_eq!(bench.sandbox.users(), 3);
}

#[tokio::test]
async fn each_form_of_429_has_its_header_alone() {
    let cases = [
        (Announce::Epoch { secs: 7 }, Some("x-ratelimit-reset"), "1007"),
        (Announce::SecondsLeft { secs: 7 }, Some("x-ratelimit-reset"), "7"),
        (Announce::RetryAfter { secs: 7 }, Some("x-ratelimit-retry-after"), "7"),
        (Announce::StandardRetryAfter { secs: 7 }, Some("retry-after"), "7"),
        (Announce::Past, Some("x-ratelimit-reset"), "940"),
        (Announce::Year2099, Some("x-ratelimit-reset"), "4070908800"),
        (Announce::Nothing, None, ""),
    ];
    for (announce, name, value) in cases {
        let bench = Bench::new(Settings { now_epoch: || 1_000.0, ..Settings::default() }).await;
        bench.sandbox.rule(Rule::new(Answer::RateLimited { announce }));
        let answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
        assert_eq!(answer.status(), 429);
        let told: Vec<&str> =
            answer.headers().keys().map(|name| name.as_str()).filter(|name| name.contains('-')).collect();
        let told: Vec<&str> = told.into_iter().filter(|name| !name.starts_with("content-")).collect();
        assert_eq!(told, name.into_iter().collect::<Vec<_>>());
        if let Some(name) = name {
            let got = header(&answer, name).expect("announced");
            // The real clock may pass a second between start and request.
            assert!(got == value || announce == Announce::Past || got == "1008", "{announce:?} {got}");
        }
    }
}

#[tokio::test]
async fn spoilt_successes_are_201_all_the_same() {
    let text = async |answer| {
        let bench = Bench::with_rule(Rule::new(answer)).await;
        let answer = bench.send("/users/track", json!({"attributes": objects(2)})).await.expect("an answer");
        assert_eq!(answer.status(), 201);
        assert_eq!(bench.sandbox.users(), 2);
        answer.text().await.expect("a body")
    };
    assert_eq!(text(Answer::Message { message: "failed".into() }).await, r#"{"message":"failed"}"#);
    assert_eq!(text(Answer::Empty).await, "");
    assert!(text(Answer::Html { status: 201 }).await.starts_with("<html>"));
    let half = text(Answer::Truncated).await;
    assert!(!half.is_empty() && serde_json::from_str::<Value>(&half).is_err());
}

#[tokio::test]
async fn a_body_may_be_lost_in_the_middle() {
    let bench = Bench::with_rule(Rule::new(Answer::Cut)).await;
    let answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("a status");
    assert_eq!(answer.status(), 201);
    assert!(answer.text().await.is_err());
    assert_eq!(bench.sandbox.users(), 1);
}

#[tokio::test]
async fn huge_bodies_are_made_while_they_are_read() {
    let bench = Bench::with_rule(Rule::new(Answer::Huge { bytes: 1 << 30, every_ms: 0 })).await;
    let mut answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("a status");
    let mut read = 0;
    while read < 1 << 20 {
        read += answer.chunk().await.expect("no error").expect("more to come").len();
    }
}

#[tokio::test]
async fn a_gzip_bomb_unpacks_to_far_more_than_it_weighs() {
    let bench = Bench::with_rule(Rule::new(Answer::GzipBomb { bytes: 8 << 20 })).await;
    let mut answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("a status");
    let mut unpacked = 0;
    while unpacked < 8 << 20 {
        let chunk = answer.chunk().await.expect("no error").expect("more to come");
        assert!(chunk.iter().all(|byte| *byte == b' '));
        unpacked += chunk.len();
    }
    assert!(answer.text().await.is_err());
}

#[tokio::test]
async fn slow_bodies_arrive_in_pieces() {
    let bench = Bench::with_rule(Rule::new(Answer::SlowBody { every_ms: 2 })).await;
    let before = tokio::time::Instant::now();
    let (_, body) = bench.track(objects(1)).await;
    assert_eq!(body["message"], "success");
    assert!(before.elapsed() >= std::time::Duration::from_millis(16));
}

#[tokio::test]
async fn queued_updates_are_applied() {
    let (bench, status, body) = answered(Answer::Queued, 2).await;
    assert_eq!((status, body, bench.sandbox.users()), (202, json!({"message": "queued"}), 2));
}

#[tokio::test]
async fn unplaceable_errors_leave_the_last_object_out() {
    let cases = [
        (Answer::Unindexed, json!({"type": "invalid object", "input_array": "attributes"})),
        (Answer::IndexOutOfRange, json!({"type": "invalid object", "input_array": "attributes", "index": 3})),
        (Answer::WrongArray, json!({"type": "invalid object", "input_array": "events", "index": 2})),
        (Answer::StringError, json!("invalid object")),
    ];
    for (answer, error) in cases {
        let (bench, status, body) = answered(answer, 3).await;
        assert_eq!(status, 201);
        assert_eq!(body, json!({"attributes_processed": 2, "errors": [error], "message": "success"}));
        assert_eq!((bench.sandbox.users(), bench.sandbox.user("c-2")), (2, None));
    }
}

#[tokio::test]
async fn unaccounted_objects_are_not_applied() {
    let (bench, _, body) = answered(Answer::Unaccounted { missing: 2 }, 3).await;
    assert_eq!(body, json!({"attributes_processed": 1, "message": "success"}));
    assert_eq!(bench.sandbox.users(), 1);
}

#[tokio::test]
async fn extra_fields_change_nothing_else() {
    let (bench, status, body) = answered(Answer::ExtraFields, 1).await;
    assert_eq!((status, &body["message"], bench.sandbox.users()), (201, &json!("success"), 1));
    assert!(body.get("trace_id").is_some());
}

#[tokio::test]
async fn the_key_can_be_echoed() {
    let bench = Bench::with_rule(Rule::new(Answer::EchoKey { status: 401 })).await;
    let answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    assert_eq!(header(&answer, "x-received-key"), Some("key"));
    assert_eq!(read(answer).await.1["message"], "Invalid API key: key");
}

#[tokio::test]
async fn redirects_carry_their_location() {
    let location = "http://127.0.0.1:9/users/track".to_owned();
    let bench =
        Bench::with_rule(Rule::new(Answer::Redirect { status: 307, location: location.clone() })).await;
    let answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "location")), (307, Some(location.as_str())));
}

#[tokio::test]
async fn any_answer_can_be_dictated() {
    let headers = [("x-a".to_owned(), "b".to_owned())].into();
    let bench = Bench::with_rule(Rule::new(Answer::Reply { status: 418, headers, body: "tea".into() })).await;
    let answer = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "x-a")), (418, Some("b")));
    assert_eq!(answer.text().await.expect("a body"), "tea");
}

#[tokio::test]
async fn resets_come_before_or_after_the_update() {
    for (answer, applied) in [(Answer::ResetBeforeApply, 0), (Answer::ResetAfterApply, 1)] {
        let bench = Bench::with_rule(Rule::new(answer).times(1)).await;
        let lost =
            bench.send("/users/track", json!({"attributes": objects(1)})).await.expect_err("no answer");
        assert!(lost.is_request());
        assert_eq!((bench.sandbox.users(), bench.sandbox.stats().lost), (applied, 1));
        assert_eq!(bench.track(objects(1)).await.0, 201);
    }
}

#[tokio::test]
async fn chosen_customers_are_refused_and_the_rest_goes_through() {
    let refuse = Answer::Refuse { external_ids: vec!["c-1".into()], error: "no".into() };
    let (bench, status, body) = answered(refuse, 3).await;
    assert_eq!(status, 201);
    assert_eq!(body["errors"], json!([{"type": "no", "input_array": "attributes", "index": 1}]));
    assert_eq!((bench.sandbox.users(), bench.sandbox.user("c-1")), (2, None));
}

#[tokio::test]
async fn a_held_answer_comes_when_it_is_released() {
    let bench = Bench::with_rule(Rule::new(Answer::Pass).hold("gate").times(1)).await;
    let body = json!({"attributes": objects(1)});
    let held = tokio::spawn(bench.post("/users/track").body(body.to_string()).send());
    bench.sandbox.wait_for(|stats| stats.held == 1).await;
    assert_eq!((bench.sandbox.users(), held.is_finished()), (1, false));
    let released = bench.send("/_sandbox/release", json!({"name": "gate"})).await.expect("an answer");
    assert_eq!(released.status(), 200);
    assert_eq!(held.await.expect("no panic").expect("an answer").status(), 201);
    assert_eq!(bench.sandbox.stats().held, 0);
}

#[tokio::test]
async fn a_request_given_up_may_still_be_applied_later() {
    let bench = Bench::with_rule(Rule::new(Answer::Pass).hold_before_apply("ghost").times(1)).await;
    let body = json!({"attributes": [{"external_id": "c", "x": "old"}]});
    let ghost = tokio::spawn(bench.post("/users/track").body(body.to_string()).send());
    bench.sandbox.wait_for(|stats| stats.held == 1).await;
    ghost.abort();
    bench.sandbox.wait_for(|stats| stats.lost == 1).await;
    bench.track(json!([{"external_id": "c", "x": "new"}])).await;
    bench.sandbox.release("ghost");
    bench.sandbox.wait_for(|stats| stats.held == 0 && stats.objects_accepted == 2).await;
    assert_eq!(bench.sandbox.user("c").expect("a profile")["x"], "old");
}
