//! One queued and one active run per sync; every delivery has exactly one run that looked after it came.

use std::collections::BTreeSet;

use peak_braze::run::{Mode, RunState};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::{Value, json};

use crate::support::app::{Setup, TestApp, ago};

fn completed() -> Value {
    json!({"type": "model.run.completed", "timestamp": "2026-11-01T00:00:00Z",
           "data": {"execution_id": "x-1", "model": "churn", "model_version": "7"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_delivery_returns_first_run() {
    let app = TestApp::start(Setup::customers(5)).await;
    let first = app.post_callback("evt-1", &completed()).await;
    let location = first.headers()["location"].clone();
    let first: Value = first.json().await.expect("JSON");
    assert_eq!(first["duplicate"], false);
    let id = first["run_id"].as_str().expect("a run").parse().expect("a run id");
    let run = app.finished(id).await;
    assert_eq!(run.model.execution_id.as_deref(), Some("x-1"));
    let again = app.post_callback("evt-1", &completed()).await;
    assert_eq!((again.status().as_u16(), &again.headers()["location"]), (202, &location));
    let again: Value = again.json().await.expect("JSON");
    assert_eq!((&again["run_id"], &again["duplicate"]), (&first["run_id"], &json!(true)));
    let other = app.post_callback("evt-1", &json!({"type": "model.run.completed"})).await;
    assert_eq!(other.status(), 409);
    let outcomes: BTreeSet<String> = app.get("/v1/deliveries").await["deliveries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|delivery| delivery["outcome"].as_str().expect("a word").to_owned())
        .collect();
    assert_eq!(outcomes, ["accepted", "conflict", "duplicate"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_during_a_run_joins_one_follow_up() {
    let app = TestApp::start(Setup::customers(10)).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("first").times(1));
    let active = app.deliver("evt-1").await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    let follow_up = app.deliver("evt-2").await;
    assert_ne!(active, follow_up);
    assert_eq!(app.deliver("evt-3").await, follow_up);
    assert_eq!(app.trigger(&json!({"mode": "full"})).await, follow_up);
    app.warehouse(&format!(
        "update predictions set churn = 0.77, updated_at = '{}' where customer_id = 'c-9'",
        ago(0)
    ));
    app.braze.release("first");
    let run = app.finished(follow_up).await;
    assert_eq!((run.mode, run.state, run.tally.accepted), (Mode::Full, RunState::Succeeded, 1));
    let deliveries: BTreeSet<_> = run.trigger.deliveries.iter().map(String::as_str).collect();
    assert_eq!(deliveries, ["evt-2", "evt-3"].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_deliveries_are_one_run() {
    let app = TestApp::start(Setup::customers(1)).await;
    let body = completed();
    let answers =
        futures_util::future::join_all((0..100).map(|_| app.post_callback("evt-same", &body))).await;
    let mut runs = BTreeSet::new();
    for answer in answers {
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.expect("JSON");
        runs.insert(answer["run_id"].as_str().expect("a run").to_owned());
    }
    assert_eq!(runs.len(), 1);
    assert_eq!(app.get("/v1/runs").await["runs"].as_array().expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_deliveries_are_recorded_and_run_nothing() {
    let mut setup = Setup::customers(1);
    setup.sync = String::new();
    let app = TestApp::start(setup).await;
    for (id, body) in [
        ("evt-1", json!({"type": "model.run.started"})),
        ("evt-2", json!({"type": "model.run.completed", "data": {"status": "failed"}})),
    ] {
        let answer = app.post_callback(id, &body).await;
        assert_eq!((answer.status().as_u16(), answer.headers().get("location")), (202, None));
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(
            answer,
            json!({"delivery_id": id, "run_id": null, "state": "ignored", "duplicate": false})
        );
    }
    assert_eq!(app.get("/v1/runs").await["runs"], json!([]));
    assert_eq!(app.get("/v1/deliveries").await["deliveries"][0]["outcome"], "ignored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrigger_is_a_new_run_that_points_at_the_first() {
    let app = TestApp::start(Setup::customers(3)).await;
    let first = app.run("full").await;
    let (status, answer) = app.post(&format!("/v1/runs/{}/retrigger", first.id), &json!({})).await;
    assert_eq!(status, 202, "{answer}");
    let again = app.finished(answer["run_id"].as_str().expect("a run").parse().expect("an id")).await;
    assert_eq!((again.mode, again.trigger.retrigger_of), (Mode::Full, Some(first.id)));
    assert_eq!(again.tally.unchanged, 3);
    assert_eq!(app.finished(first.id).await, first, "a finished run never changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sync_records_and_starts_nothing() {
    let app = TestApp::start(Setup::customers(3)).await;
    app.post("/v1/syncs/predictions/pause", &json!({})).await;
    let run = app.deliver("evt-1").await;
    let sync = app.sync_state().await;
    assert_eq!((&sync["paused"], &sync["state"]), (&json!(true), &json!("queued")));
    assert_eq!(app.braze.stats().requests, 0);
    app.post("/v1/syncs/predictions/resume", &json!({})).await;
    assert_eq!(app.finished(run).await.state, RunState::Succeeded);
}
