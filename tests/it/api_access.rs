//! Tokens, scopes, and syncs a token may see.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::api::{
    BODY, LIMITED, OLD_SECRET, OPS, OTHER, QUIET, READER, STARTER, SYNC, Service, send,
};

const READS: [&str; 5] = ["/v1/runs", "/v1/syncs", "/v1/syncs/predictions", "/v1/deliveries", "/metrics"];

#[tokio::test]
async fn without_a_token_nothing_is_shown() {
    let service = Service::start().await;
    for path in READS {
        let answer = send(service.request(Method::GET, path)).await;
        answer.is_problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        service.get("token-that-nobody-ever-gave-out", path).await.is_problem(401, "unauthenticated");
    }
    let twice = service
        .request(Method::GET, "/v1/runs")
        .bearer_auth(OPS)
        .header("authorization", format!("Bearer {OPS}"));
    send(twice).await.is_problem(401, "unauthenticated");
    let basic = service.request(Method::GET, "/v1/runs").header("authorization", format!("Basic {OPS}"));
    send(basic).await.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn callback_secret_is_no_token() {
    let service = Service::start().await;
    service.get(OLD_SECRET, "/v1/runs").await.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn reading_token_starts_nothing() {
    let service = Service::start().await;
    for path in READS {
        assert_eq!(service.get(READER, path).await.status, StatusCode::OK, "{path}");
    }
    let run = service.trigger(SYNC).await;
    for path in [
        "/v1/syncs/predictions/runs".to_owned(),
        "/v1/syncs/predictions/pause".to_owned(),
        "/v1/syncs/predictions/resume".to_owned(),
        format!("/v1/runs/{run}/retrigger"),
        format!("/v1/runs/{run}/cancel"),
    ] {
        service.post(READER, &path, json!({})).await.is_problem(403, "forbidden");
    }
    service.get(READER, "/v1/syncs/predictions/customers/c-1").await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn scopes_contain_no_other() {
    let service = Service::start().await;
    let started = service.post(STARTER, "/v1/syncs/predictions/runs", json!({})).await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    service.get(STARTER, "/v1/runs").await.is_problem(403, "forbidden");
    let force = json!({"mode": "force"});
    service.post(STARTER, "/v1/syncs/predictions/runs", force.clone()).await.is_problem(403, "forbidden");
    let forced = service.post(OPS, "/v1/syncs/predictions/runs", force).await;
    assert_eq!(forced.status, StatusCode::ACCEPTED);
    let again = format!("/v1/runs/{}/retrigger", forced.json()["run_id"].as_str().expect("an id"));
    service.post(STARTER, &again, json!({})).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn limited_token_sees_only_its_syncs() {
    let service = Service::start().await;
    let (own, other) = (service.trigger(SYNC).await, service.trigger(OTHER).await);
    send(service.callback(OTHER, OLD_SECRET, "evt_1", BODY)).await;
    assert_eq!(service.get(LIMITED, &format!("/v1/runs/{own}")).await.status, StatusCode::OK);
    for path in ["", "/events", "/rejections"] {
        service.get(LIMITED, &format!("/v1/runs/{other}{path}")).await.is_problem(404, "unknown_run");
    }
    for path in ["retrigger", "cancel"] {
        service
            .post(LIMITED, &format!("/v1/runs/{other}/{path}"), json!({}))
            .await
            .is_problem(404, "unknown_run");
    }
    for path in ["runs", "pause", "resume"] {
        let answer = service.post(LIMITED, &format!("/v1/syncs/{OTHER}/{path}"), json!({})).await;
        answer.is_problem(404, "unknown_sync");
    }
    service.get(LIMITED, &format!("/v1/syncs/{OTHER}")).await.is_problem(404, "unknown_sync");
    service.get(LIMITED, &format!("/v1/syncs/{OTHER}/customers/c")).await.is_problem(404, "unknown_sync");
    service.get(LIMITED, &format!("/v1/deliveries?sync={OTHER}")).await.is_problem(404, "unknown_sync");
    service.get(LIMITED, "/metrics").await.is_problem(403, "forbidden");
    let runs = service.get(LIMITED, "/v1/runs").await.json();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(runs["runs"][0]["id"], json!(own));
    assert_eq!(service.get(LIMITED, &format!("/v1/runs?sync={OTHER}")).await.json()["runs"], json!([]));
    assert_eq!(service.get(LIMITED, "/v1/deliveries").await.json()["deliveries"], json!([]));
    let syncs = service.get(LIMITED, "/v1/syncs").await.json();
    assert_eq!(syncs["syncs"].as_array().map(Vec::len), Some(1));
    assert_eq!(service.get(OPS, "/v1/syncs").await.json()["syncs"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn probes_and_reference_need_no_token() {
    let service = Service::start().await;
    for path in ["/livez", "/readyz", "/openapi.json", "/docs"] {
        assert_eq!(send(service.request(Method::GET, path)).await.status, StatusCode::OK, "{path}");
    }
    let public = Service::with(|_, config| config.server.public_metrics = true).await;
    assert_eq!(send(public.request(Method::GET, "/metrics")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_shows_a_secret() {
    let service = Service::start().await;
    service.deliver("evt_1").await;
    service.trigger(QUIET).await;
    for path in ["/v1/runs", "/v1/syncs", "/v1/deliveries", "/openapi.json", "/docs", "/readyz"] {
        let text = service.get(OPS, path).await.text;
        for secret in [OPS, READER, OLD_SECRET] {
            assert!(!text.contains(secret), "{path}");
        }
    }
}
