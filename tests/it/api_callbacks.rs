//! The status table of `POST /v1/callbacks/{sync}`, row by row.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{BODY, LIMITED, OLD_SECRET, OPS, OTHER, QUIET, SECRET, SYNC, Service, send};

async fn deliveries(service: &Service, sync: &str) -> Vec<Value> {
    let answer = service.get(OPS, &format!("/v1/deliveries?sync={sync}")).await;
    answer.json()["deliveries"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn new_delivery_is_accepted_with_its_run() {
    let service = Service::start().await;
    let answer = service.deliver("evt_1").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let body = answer.json();
    assert_eq!(
        (&body["delivery_id"], &body["state"], &body["duplicate"]),
        (&json!("evt_1"), &json!("queued"), &json!(false))
    );
    let location = answer.header("location");
    assert_eq!(location, format!("/v1/runs/{}", body["run_id"].as_str().expect("an id")));
    let run = service.get(OPS, location).await.json();
    assert_eq!(run["trigger"]["deliveries"], json!(["evt_1"]));
    assert_eq!(run["model"], json!({"name": "churn", "version": "7", "execution_id": "e-1"}));
    assert_eq!(service.announced.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn replayed_delivery_returns_first_run() {
    let service = Service::start().await;
    let first = service.deliver("evt_1").await;
    service.clock.advance(TimeDelta::seconds(90));
    let again = service.deliver("evt_1").await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json()["duplicate"], true);
    assert_eq!(service.announced.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn same_id_with_another_body_conflicts() {
    let service = Service::start().await;
    service.deliver("evt_1").await;
    let other = r#"{"type":"model.run.completed"}"#;
    send(service.callback(OTHER, OLD_SECRET, "evt_1", other)).await.is_problem(409, "id-conflict");
    assert_eq!(service.deliver("evt_1").await.json()["duplicate"], true, "the first body stands");
}

#[tokio::test]
async fn unhandled_event_is_recorded_as_ignored() {
    let service = Service::start().await;
    let answer = send(service.callback(OTHER, OLD_SECRET, "evt_1", r#"{"type":"model.run.started"}"#)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let wanted = json!({"delivery_id": "evt_1", "run_id": null, "state": "ignored", "duplicate": false});
    assert_eq!(answer.json(), wanted);
    assert!(!answer.headers.contains_key("location"));
    let again = send(service.callback(OTHER, OLD_SECRET, "evt_1", r#"{"type":"model.run.started"}"#)).await;
    assert_eq!((again.status, again.json()["duplicate"].clone()), (StatusCode::ACCEPTED, json!(true)));
    let listed = deliveries(&service, OTHER).await;
    let ignored = listed.iter().find(|line| line["outcome"] == "ignored").expect("listed");
    assert_eq!((&ignored["reason"], &ignored["type"]), (&json!("event_type"), &json!("model.run.started")));
    assert_eq!(service.announced.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn mismatch_and_failed_model_are_ignored() {
    let service = Service::start().await;
    let other_tenant = r#"{"type":"model.run.completed","data":{"tenant":"t-2"}}"#;
    let failed = r#"{"type":"model.run.completed","data":{"tenant":"t-1","status":"failed"}}"#;
    for (id, body) in [("evt_1", other_tenant), ("evt_2", failed)] {
        let answer = send(service.callback(SYNC, SECRET, id, body)).await;
        assert_eq!(answer.json()["state"], "ignored", "{body}");
    }
    let reasons: Vec<Value> =
        deliveries(&service, SYNC).await.iter().map(|line| line["reason"].clone()).collect();
    assert!(reasons.contains(&json!("match")) && reasons.contains(&json!("model_failed")), "{reasons:?}");
}

#[tokio::test]
async fn refusals_cannot_be_told_apart() {
    let service = Service::start().await;
    let (now, stale) = (service.clock.now(), TimeDelta::seconds(301));
    let bare = |sync: &str| service.request(Method::POST, &format!("/v1/callbacks/{sync}")).body(BODY);
    let tampered = service.callback(OTHER, OLD_SECRET, "evt_1", BODY).body(BODY.replace('7', "8"));
    let requests = [
        service.callback(OTHER, SECRET, "evt_1", BODY),
        service.callback("nowhere", OLD_SECRET, "evt_1", BODY),
        service.callback(QUIET, OLD_SECRET, "evt_1", BODY),
        service.callback_at(OTHER, OLD_SECRET, "evt_1", BODY, now - stale),
        service.callback_at(OTHER, OLD_SECRET, "evt_1", BODY, now + stale),
        service.callback(OTHER, OLD_SECRET, "evt_1", BODY).header("webhook-id", "evt_2"),
        service.callback(OTHER, OLD_SECRET, "evt_1", "not json").body("not json either"),
        bare(OTHER),
        bare("nowhere"),
        tampered,
    ];
    let mut seen = Vec::new();
    for request in requests {
        let answer = send(request).await;
        answer.is_problem(401, "unauthenticated");
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id").expect("an id");
        headers.remove("date");
        seen.push((answer.text, format!("{headers:?}")));
    }
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:#?}");
    assert!(seen[0].1.contains("www-authenticate"));
}

#[tokio::test]
async fn operator_sees_why_a_delivery_was_refused() {
    let service = Service::start().await;
    send(service.callback(OTHER, SECRET, "evt_1", BODY)).await.is_problem(401, "unauthenticated");
    send(service.callback("nowhere", SECRET, "evt_1", BODY)).await.is_problem(401, "unauthenticated");
    let listed = deliveries(&service, OTHER).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["outcome"], &listed[0]["reason"]),
        (&json!("refused"), &json!("no_signature_matched"))
    );
    assert_eq!(
        service.get(OPS, "/v1/deliveries").await.json()["deliveries"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn matched_secret_is_shown() {
    let service = Service::start().await;
    let body = r#"{"type":"model.run.completed","data":{"tenant":"t-1"}}"#;
    for (id, secret) in [("evt_1", SECRET), ("evt_2", OLD_SECRET)] {
        assert_eq!(send(service.callback(SYNC, secret, id, body)).await.status, StatusCode::ACCEPTED);
    }
    let listed = deliveries(&service, SYNC).await;
    let secret =
        |id: &str| listed.iter().find(|line| line["delivery_id"] == id).expect("listed")["secret"].clone();
    assert_eq!((secret("evt_1"), secret("evt_2")), (json!(0), json!(1)));
}

#[tokio::test]
async fn authentic_nonsense_is_told_apart_and_recorded() {
    let service = Service::start().await;
    let cases = [
        ("not json", 400, "not_json"),
        (r#"{"type":"a","type":"b"}"#, 400, "duplicate_key"),
        (r#"{"kind":"a"}"#, 422, "wrong_shape"),
        ("[]", 422, "wrong_shape"),
    ];
    for (body, status, code) in cases {
        send(service.callback(OTHER, OLD_SECRET, "evt_1", body)).await.is_problem(status, code);
    }
    let deep = "[".repeat(2_000);
    send(service.callback(OTHER, OLD_SECRET, "evt_1", &deep)).await.is_problem(400, "not_json");
    let reasons: Vec<Value> =
        deliveries(&service, OTHER).await.iter().map(|line| line["reason"].clone()).collect();
    for reason in ["not_json", "duplicate_key", "wrong_shape"] {
        assert!(reasons.contains(&json!(reason)), "{reasons:?}");
    }
}

#[tokio::test]
async fn body_over_the_limit_is_refused_with_and_without_length() {
    let service = Service::start().await;
    let most = format!("{BODY}{}", " ".repeat(4096 - BODY.len()));
    assert_eq!(send(service.callback(OTHER, OLD_SECRET, "evt_1", &most)).await.status, StatusCode::ACCEPTED);
    let over = format!("{most} ");
    send(service.callback(OTHER, OLD_SECRET, "evt_2", &over)).await.is_problem(413, "body_too_large");
    let chunks =
        over.into_bytes().chunks(1000).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect::<Vec<_>>();
    let stream = futures_util::stream::iter(chunks);
    let chunked =
        service.request(Method::POST, &format!("/v1/callbacks/{OTHER}")).body(Body::wrap_stream(stream));
    send(chunked).await.is_problem(413, "body_too_large");
}

#[tokio::test]
async fn encoded_and_foreign_bodies_are_refused() {
    let service = Service::start().await;
    let request = || service.callback(OTHER, OLD_SECRET, "evt_1", BODY);
    send(request().header("content-encoding", "gzip")).await.is_problem(415, "unsupported_encoding");
    let typed = |kind: &str| {
        let request = service.callback(OTHER, OLD_SECRET, "evt_1", BODY).build().expect("a request");
        let (client, mut request) = (crate::support::api::client(), request);
        request.headers_mut().insert("content-type", kind.parse().expect("a header"));
        async move { client.execute(request).await.expect("an answer").status().as_u16() }
    };
    assert_eq!(typed("text/plain").await, 415);
    for taken in [
        "application/cloudevents+json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "application/JSON",
    ] {
        assert_eq!(typed(taken).await, 202, "{taken}");
    }
}

#[tokio::test]
async fn other_methods_are_told_the_right_one() {
    let service = Service::start().await;
    let answer = send(service.request(Method::GET, &format!("/v1/callbacks/{OTHER}"))).await;
    answer.is_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn ledger_out_of_reach_asks_the_sender_back() {
    let service = Service::start().await;
    service.ledger.close().await;
    let answer = service.deliver("evt_1").await;
    answer.is_problem(503, "ledger_unavailable");
    assert!(answer.header("retry-after").parse::<u32>().expect("seconds") > 0);
}

#[tokio::test]
async fn secrets_and_syncs_are_replaced_without_a_gap() {
    let service = Service::start().await;
    let mut config = service.config.clone();
    let callback = config.syncs[0].callback.as_mut().expect("it takes callbacks");
    callback.secrets.truncate(1);
    config.tokens.retain(|token| token.name != "limited");
    service.api.replace(&config).expect("secrets that resolve");
    let body = r#"{"type":"model.run.completed","data":{"tenant":"t-1"}}"#;
    assert_eq!(send(service.callback(SYNC, SECRET, "evt_1", body)).await.status, StatusCode::ACCEPTED);
    send(service.callback(SYNC, OLD_SECRET, "evt_2", body)).await.is_problem(401, "unauthenticated");
    service.get(LIMITED, "/v1/runs").await.is_problem(401, "unauthenticated");
    config.syncs[0].callback.as_mut().expect("it takes callbacks").secrets =
        vec![peak_braze::config::SecretRef::File("/nowhere".into())];
    assert!(service.api.replace(&config).is_err());
    assert_eq!(send(service.callback(SYNC, SECRET, "evt_3", body)).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn hostile_headers_are_refused_in_bounded_time() {
    let service = Service::start().await;
    let many = vec!["v1,AAAA"; 1_000].join(" ");
    let signatures = ["", "v0,AAAA", "v1,", "v1", "sha1=00", "v1,zz==zz", many.as_str(), "v1a,AAAA v1,é"];
    for signature in signatures {
        let request = service
            .request(Method::POST, &format!("/v1/callbacks/{OTHER}"))
            .header("webhook-id", "evt_1")
            .header("webhook-timestamp", service.clock.now().timestamp().to_string())
            .header("webhook-signature", signature)
            .body(BODY);
        send(request).await.is_problem(401, "unauthenticated");
    }
    for (id, timestamp) in
        [("a.b", "1"), ("", "1"), ("evt_1", "9223372036854775808"), ("evt_1", "-1"), ("evt_1", "1e9")]
    {
        let request = service
            .request(Method::POST, &format!("/v1/callbacks/{OTHER}"))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", "v1,AAAA")
            .body(BODY);
        send(request).await.is_problem(401, "unauthenticated");
    }
}
