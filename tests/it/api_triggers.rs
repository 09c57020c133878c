//! Runs started and stopped by hand.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{Answer, OPS, READER, STARTER, SYNC, Service, send};

const PATH: &str = "/v1/syncs/predictions/runs";

async fn keyed(service: &Service, token: &str, key: &str, body: Value) -> Answer {
    send(service.request(Method::POST, PATH).bearer_auth(token).header("idempotency-key", key).json(&body))
        .await
}

#[tokio::test]
async fn trigger_joins_the_queued_run_and_widens_it() {
    let service = Service::start().await;
    let first = send(service.request(Method::POST, PATH).bearer_auth(OPS)).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "a body may be left out");
    assert_eq!(
        (first.json()["coalesced"].clone(), first.json()["state"].clone()),
        (json!(false), json!("queued"))
    );
    let second = service.post(OPS, PATH, json!({"mode": "full", "reason": "new mapping"})).await;
    assert_eq!(second.json()["coalesced"], true);
    assert_eq!(second.header("location"), first.header("location"));
    let run = service.get(OPS, first.header("location")).await.json();
    assert_eq!((run["mode"].clone(), run["trigger"]["kind"].clone()), (json!("full"), json!("manual")));
    assert_eq!(run["trigger"]["actor"], "ops");
}

#[tokio::test]
async fn command_line_is_named_as_trigger() {
    let service = Service::start().await;
    let request =
        service.request(Method::POST, PATH).bearer_auth(OPS).header("user-agent", "peak-braze/0.1.0");
    let location = send(request).await.header("location").to_owned();
    assert_eq!(service.get(OPS, &location).await.json()["trigger"]["kind"], "cli");
}

#[tokio::test]
async fn trigger_takes_only_what_it_knows() {
    let service = Service::start().await;
    let keys: Vec<String> = (0..1001).map(|n| format!("c-{n}")).collect();
    let bad = [
        json!({"since": "2020-01-01"}),
        json!({"mode": "everything"}),
        json!({"customers": ["c-1"]}),
        json!({"mode": "force", "customers": []}),
        json!({"mode": "force", "customers": [" "]}),
        json!({"mode": "force", "customers": ["x".repeat(988)]}),
        json!({"reason": "x".repeat(501)}),
        json!([]),
    ];
    for body in bad {
        service.post(OPS, PATH, body).await.is_problem(400, "bad_request");
    }
    let roomy = Service::with(|_, config| config.server.body_limit_bytes = 262_144).await;
    roomy.post(OPS, PATH, json!({"mode": "force", "customers": keys})).await.is_problem(400, "bad_request");
    let most = roomy.post(OPS, PATH, json!({"mode": "force", "customers": keys[1..]})).await;
    assert_eq!(most.status, StatusCode::ACCEPTED);
    service.post(OPS, "/v1/syncs/nowhere/runs", json!({})).await.is_problem(404, "unknown_sync");
    let text =
        service.request(Method::POST, PATH).bearer_auth(OPS).header("content-type", "text/plain").body("{}");
    send(text).await.is_problem(415, "unsupported_type");
}

#[tokio::test]
async fn same_key_finds_the_same_run() {
    let service = Service::start().await;
    let first = keyed(&service, OPS, "k-1", json!({})).await;
    let lease = service.claim(SYNC).await;
    let again = keyed(&service, OPS, "\"k-1\"", json!({})).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!(again.header("location"), first.header("location"), "quoted is the same key");
    keyed(&service, OPS, "k-1", json!({"mode": "full"})).await.is_problem(422, "idempotency_key_reused");
    let another = keyed(&service, STARTER, "k-1", json!({"mode": "full"})).await;
    assert_eq!(another.status, StatusCode::ACCEPTED, "another token's key is another key");
    assert_ne!(another.header("location"), first.header("location"));
    drop(lease);
}

#[tokio::test]
async fn unusable_keys_are_refused() {
    let service = Service::start().await;
    for key in ["", "\"\"", "a\tb", "a\"b", &"k".repeat(256)] {
        keyed(&service, OPS, key, json!({})).await.is_problem(400, "bad_idempotency_key");
    }
    assert_eq!(keyed(&service, OPS, &"k".repeat(255), json!({})).await.status, StatusCode::ACCEPTED);
    let twice = service.request(Method::POST, PATH).bearer_auth(OPS);
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b");
    send(twice).await.is_problem(400, "bad_idempotency_key");
}

#[tokio::test]
async fn hundred_requests_with_one_key_make_one_run() {
    let service = Service::start().await;
    let requests = (0..100).map(|_| keyed(&service, OPS, "k-1", json!({"mode": "full"})));
    let answers = futures_util::future::join_all(requests).await;
    let mut runs: Vec<String> = Vec::new();
    for answer in answers {
        match answer.status {
            StatusCode::ACCEPTED => runs.push(answer.json()["run_id"].to_string()),
            _ => answer.is_problem(409, "idempotency_in_progress"),
        }
    }
    runs.dedup();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(service.get(OPS, "/v1/runs").await.json()["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn flood_of_triggers_is_told_to_wait() {
    let service = Service::with(|limits, _| limits.triggers_per_minute = 2).await;
    for _ in 0..2 {
        assert_eq!(service.post(OPS, PATH, json!({})).await.status, StatusCode::ACCEPTED);
    }
    let answer = service.post(OPS, PATH, json!({})).await;
    answer.is_problem(429, "too_many_triggers");
    assert!((1..=61).contains(&answer.header("retry-after").parse::<u32>().expect("seconds")));
    assert_eq!(service.post(STARTER, PATH, json!({})).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn retrigger_points_at_the_run_it_repeats() {
    let service = Service::start().await;
    let id = service.post(OPS, PATH, json!({"mode": "full"})).await.json()["run_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let lease = service.claim(SYNC).await;
    service.finish(lease, peak_braze::run::RunState::Succeeded).await;
    let answer = service.post(OPS, &format!("/v1/runs/{id}/retrigger"), json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let run = service.get(OPS, answer.header("location")).await.json();
    assert_eq!((&run["mode"], &run["trigger"]["kind"]), (&json!("full"), &json!("retrigger")));
    assert_eq!((&run["trigger"]["retrigger_of"], &run["trigger"]["actor"]), (&json!(id), &json!("ops")));
    let nowhere = "/v1/runs/01990000-0000-7000-8000-000000000000/retrigger";
    service.post(OPS, nowhere, json!({})).await.is_problem(404, "unknown_run");
}

#[tokio::test]
async fn queued_run_is_cancelled_at_once_and_a_finished_one_not_at_all() {
    let service = Service::start().await;
    let id = service.trigger(SYNC).await;
    let path = format!("/v1/runs/{id}/cancel");
    let answer = service.post(OPS, &path, json!({})).await;
    assert_eq!((answer.status, answer.json()["state"].clone()), (StatusCode::ACCEPTED, json!("cancelled")));
    service.post(OPS, &path, json!({})).await.is_problem(409, "wrong_state");
    service.post(READER, &path, json!({})).await.is_problem(403, "forbidden");
    service.post(OPS, "/v1/runs/nonsense/cancel", json!({})).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn paused_sync_still_takes_triggers() {
    let service = Service::start().await;
    let paused = service.post(OPS, "/v1/syncs/predictions/pause", json!({})).await;
    assert_eq!(paused.json(), json!({"id": "predictions", "paused": true}));
    service.trigger(SYNC).await;
    let sync = service.get(OPS, "/v1/syncs/predictions").await.json();
    assert_eq!((&sync["paused"], &sync["state"]), (&json!(true), &json!("queued")));
    let resumed = service.post(OPS, "/v1/syncs/predictions/resume", json!({})).await;
    assert_eq!(resumed.json(), json!({"id": "predictions", "paused": false}));
}
