//! Lists, single things, and what changes about them.

use chrono::TimeDelta;
use peak_braze::customer::Code;
use peak_braze::ledger::{Checkpoint, Finish, Group, Lease, NewRejection};
use peak_braze::run::{DataPoints, Progress, RunState, Tally};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{OPS, QUIET, SYNC, Service, send};

#[tokio::test]
async fn lists_go_on_where_they_stopped() {
    let service = Service::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        service.clock.advance(TimeDelta::seconds(1));
        made.insert(0, json!(service.trigger(SYNC).await));
        let lease = service.claim(SYNC).await;
        service.finish(lease, RunState::Succeeded).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(OPS, &format!("/v1/runs?limit=2{cursor}")).await.json();
        let runs = page["runs"].as_array().expect("a list");
        assert!(runs.len() <= 2);
        seen.extend(runs.iter().map(|run| run["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn lists_take_only_what_they_know() {
    let service = Service::start().await;
    for path in [
        "/v1/runs?offset=1",
        "/v1/runs?limit=0",
        "/v1/runs?limit=x",
        "/v1/runs?state=done",
        "/v1/deliveries?state=queued",
        "/v1/deliveries?limit=-1",
    ] {
        service.get(OPS, path).await.is_problem(400, "bad_request");
    }
    service.get(OPS, "/v1/runs?cursor=nonsense").await.is_problem(400, "bad_cursor");
    let most = service.get(OPS, "/v1/runs?limit=100000").await;
    assert_eq!(most.status, StatusCode::OK, "more than the most is the most");
}

#[tokio::test]
async fn runs_are_filtered_by_sync_and_state() {
    let service = Service::start().await;
    service.trigger(SYNC).await;
    service.trigger(QUIET).await;
    let lease = service.claim(SYNC).await;
    let count = |answer: crate::support::api::Answer| answer.json()["runs"].as_array().map(Vec::len);
    assert_eq!(count(service.get(OPS, "/v1/runs").await), Some(2));
    assert_eq!(count(service.get(OPS, "/v1/runs?state=queued").await), Some(1));
    assert_eq!(count(service.get(OPS, "/v1/runs?state=running&sync=predictions").await), Some(1));
    assert_eq!(count(service.get(OPS, "/v1/runs?state=running&sync=quiet").await), Some(0));
    drop(lease);
}

#[tokio::test]
async fn unchanged_run_is_not_sent_again() {
    let service = Service::start().await;
    let path = format!("/v1/runs/{}", service.trigger(SYNC).await);
    let first = service.get(OPS, &path).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'));
    let ask = |tags: String| {
        send(service.request(Method::GET, &path).bearer_auth(OPS).header("if-none-match", tags))
    };
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let same = ask(tags).await;
        assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(same.header("etag"), tag);
    }
    let lease = service.claim(SYNC).await;
    let changed = ask(tag.clone()).await;
    assert_eq!((changed.status, changed.json()["state"].clone()), (StatusCode::OK, json!("running")));
    assert_ne!(changed.header("etag"), tag);
    drop(lease);
}

#[tokio::test]
async fn runs_that_are_not_there_are_not_found() {
    let service = Service::start().await;
    service.get(OPS, "/v1/runs/01990000-0000-7000-8000-000000000000").await.is_problem(404, "unknown_run");
    service.get(OPS, "/v1/runs/nonsense").await.is_problem(404, "not_found");
    service
        .get(OPS, "/v1/runs/01990000-0000-7000-8000-000000000000/rejections")
        .await
        .is_problem(404, "unknown_run");
    service.get(OPS, "/v1/syncs/nowhere").await.is_problem(404, "unknown_sync");
}

#[tokio::test]
async fn sync_shows_how_it_stands() {
    let service = Service::start().await;
    let wanted = json!({
        "id": "quiet", "state": "idle", "paused": false, "blocked": false, "blocked_reason": null, "stale": false,
        "watermark": null, "freshness_secs": null, "last_run": null, "next_run_at": "2026-03-29T05:00:00Z",
        "outstanding_rejections": 0
    });
    assert_eq!(service.get(OPS, "/v1/syncs/quiet").await.json(), wanted);
    let id = service.trigger(QUIET).await;
    let lease = service.claim(QUIET).await;
    assert_eq!(service.get(OPS, "/v1/syncs/quiet").await.json()["state"], "running");
    let watermark = service.clock.now() - TimeDelta::hours(1);
    let finish = Finish {
        state: RunState::Succeeded,
        checkpoint: None,
        error: None,
        watermark: Some(watermark),
        was_full: true,
        blocks: false,
    };
    service.ledger.finish(lease, finish).await.expect("a ledger");
    service.clock.advance(TimeDelta::minutes(5));
    let sync = service.get(OPS, "/v1/syncs/quiet").await.json();
    assert_eq!(
        (&sync["state"], &sync["freshness_secs"], &sync["stale"]),
        (&json!("idle"), &json!(300), &json!(false))
    );
    assert_eq!((&sync["last_run"]["id"], &sync["watermark"]), (&json!(id), &json!("2026-03-28T11:00:00Z")));
    service.clock.advance(TimeDelta::hours(26));
    assert_eq!(service.get(OPS, "/v1/syncs/quiet").await.json()["stale"], true);
}

#[tokio::test]
async fn plan_is_not_what_a_sync_is_doing() {
    let service = Service::start().await;
    service.post(OPS, "/v1/syncs/predictions/runs", json!({"mode": "plan"})).await;
    let sync = service.get(OPS, "/v1/syncs/predictions").await.json();
    assert_eq!((&sync["state"], &sync["last_run"]), (&json!("idle"), &json!(null)));
}

async fn reject(service: &Service, lease: &Lease, rejections: Vec<NewRejection<'_>>) {
    let target = service.ledger.target(SYNC, "test", &["churn"]).await.expect("a target");
    let checkpoint = Checkpoint {
        fingerprint: "f".to_owned(),
        position: None,
        ceiling: service.clock.now(),
        complete: false,
        newest: None,
        tally: Tally::default(),
        data_points: DataPoints::default(),
    };
    let group = Group {
        in_flight: None,
        sent: Vec::new(),
        rejections,
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &checkpoint,
        progress: Progress::default(),
        sent_at: None,
    };
    service.ledger.record_group(lease, target.number, group).await.expect("recorded");
}

#[tokio::test]
async fn rejections_come_as_json_and_as_a_sheet() {
    let service = Service::start().await;
    let id = service.trigger(SYNC).await;
    let lease = service.claim(SYNC).await;
    let keys: Vec<String> = (0..250).map(|n| format!("c-{n:03}")).chain(["=cmd()".to_owned()]).collect();
    let rejections = keys.iter().map(|key| NewRejection {
        customer_id: key,
        attribute: Some("churn"),
        code: Code::BadKey,
    });
    reject(&service, &lease, rejections.collect()).await;
    let path = format!("/v1/runs/{id}/rejections");
    let page = service.get(OPS, &format!("{path}?limit=200")).await.json();
    assert_eq!(page["rejections"].as_array().map(Vec::len), Some(200));
    let rest = service
        .get(OPS, &format!("{path}?limit=200&cursor={}", page["next_cursor"].as_str().expect("more")))
        .await
        .json();
    assert_eq!((rest["rejections"].as_array().map(Vec::len), &rest["next_cursor"]), (Some(51), &Value::Null));
    let sheet =
        send(service.request(Method::GET, &path).bearer_auth(OPS).header("accept", "text/csv, */*;q=0.1"))
            .await;
    assert!(sheet.header("content-type").starts_with("text/csv"));
    assert!(sheet.header("content-disposition").contains(".csv"));
    let lines: Vec<&str> = sheet.text.split("\r\n").collect();
    assert_eq!(lines.len(), 253, "a head, every rejection, an end");
    assert_eq!(lines[0], "customer_id,attribute,code,attempts,first_seen_at,last_seen_at");
    assert!(
        lines.iter().any(|line| line.starts_with("'=cmd(),churn,bad_key,1,2026-03-28T12:00:00Z,")),
        "{lines:?}"
    );
    let part = send(
        service
            .request(Method::GET, &format!("{path}?limit=2"))
            .bearer_auth(OPS)
            .header("accept", "text/csv"),
    )
    .await;
    assert_eq!(part.text.split("\r\n").count(), 4);
}

#[tokio::test]
async fn customer_never_sent_is_not_found() {
    let service = Service::start().await;
    service.get(OPS, "/v1/syncs/predictions/customers/c%2F1").await.is_problem(404, "unknown_customer");
    service.get(OPS, "/v1/syncs/nowhere/customers/c").await.is_problem(404, "unknown_sync");
}
