//! A callback's word is checked with Peak where a sync wants that, before anything is read.

use std::time::Duration;

use peak_braze::run::{Phase, Run, RunError, RunId, RunState};
use serde_json::{Value, json};

use crate::support::app::{Setup, TestApp};
use crate::support::command::peak_braze;
use crate::support::peak::{PEAK_KEY, Peak};

const EXECUTION: &str = "3f0c7e3a-9a52-4c7e-8d55-0c2b0a5e1f11";

async fn app(peak: &Peak) -> TestApp {
    let callback = format!(
        "verify_run = {{ workflow_id = \"42\", step = \"score-customers\", \
         peak = {{ api_key = \"file:peak\", base_url = \"{}\" }} }}",
        peak.url()
    );
    TestApp::start(Setup { callback, files: vec![("peak", PEAK_KEY)], ..Setup::customers(5) }).await
}

async fn deliver(app: &TestApp, id: &str, data: Value) -> RunId {
    let answer = app.post_callback(id, &json!({"type": "model.run.completed", "data": data})).await;
    assert_eq!(answer.status(), 202);
    let body: Value = answer.json().await.expect("JSON");
    body["run_id"].as_str().expect("a run").parse().expect("a run id")
}

fn names(execution: &str) -> Value {
    json!({"execution_id": execution, "workflow_id": "42"})
}

/// Failed, with nothing read or sent.
#[track_caller]
fn failed(app: &TestApp, run: &Run) -> RunError {
    assert_eq!((run.state, run.tally.rows_read, app.braze.stats().values_sent), (RunState::Failed, 0, 0));
    run.error.clone().expect("a reason")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_once_the_models_step_succeeded() {
    let peak = Peak::start().await;
    peak.execution("42", EXECUTION, "Success");
    let app = app(&peak).await;
    let run = deliver(&app, "evt-1", names(EXECUTION)).await;
    let run = app.finished(run).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 5));
    let asked: Vec<String> = peak.asked().into_iter().map(|asked| asked.address).collect();
    assert_eq!(asked, [format!("/workflows/api/v1/workflows/42/executions/{EXECUTION}")]);
    // A person says for themselves that it is time.
    assert_eq!(app.run("full").await.state, RunState::Succeeded);
    assert_eq!(peak.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_peak_delays_no_acknowledgement() {
    let peak = Peak::start().await;
    peak.execution("42", EXECUTION, "Success");
    peak.hold(true);
    let app = app(&peak).await;
    let first = deliver(&app, "evt-1", names(EXECUTION)).await;
    peak.when_asked(1).await;
    let second = deliver(&app, "evt-2", names(EXECUTION)).await;
    assert_ne!(first, second, "the first is claimed, so the second waits behind it");
    assert_eq!(app.braze.stats().values_sent, 0);
    peak.hold(false);
    assert_eq!(app.finished(second).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_still_running_is_waited_for() {
    let peak = Peak::start().await;
    peak.execution("42", EXECUTION, "Running");
    let app = app(&peak).await;
    let run = deliver(&app, "evt-1", names(EXECUTION)).await;
    let waiting = app.when(run, |run| run.state == RunState::Waiting).await;
    assert_eq!(waiting.progress.phase, Phase::Verifying);
    assert!(waiting.throttled_until.is_some() && app.braze.stats().values_sent == 0);
    // Out of reach for a while is waited for, too: four tries, and later a fifth.
    peak.fail([500, 500, 500, 500]);
    peak.execution("42", EXECUTION, "Success");
    assert_eq!(app.finished(run).await.state, RunState::Succeeded);
    assert_eq!(peak.asked().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_ended_otherwise_fails_the_run() {
    let peak = Peak::start().await;
    let app = app(&peak).await;
    for (number, word) in ["Failed", "Stopped"].into_iter().enumerate() {
        peak.execution("42", EXECUTION, word);
        let run = deliver(&app, &format!("evt-{number}"), names(EXECUTION)).await;
        let error = failed(&app, &app.finished(run).await);
        assert_eq!((error.code.as_str(), error.retryable), ("model_step_failed", false));
        assert!(error.message.contains(word), "{error:?}");
    }
    assert_eq!(app.sync_state().await["watermark"], Value::Null);
    // A person who knows better has a way past.
    let failed = app.get("/v1/runs").await["runs"][0]["id"].as_str().expect("a run").to_owned();
    let (status, answer) = app.post(&format!("/v1/runs/{failed}/retrigger"), &json!({})).await;
    assert_eq!(status, 202, "{answer}");
    let again = answer["run_id"].as_str().expect("a run").parse().expect("a run id");
    assert_eq!(app.finished(again).await.state, RunState::Succeeded);
    assert_eq!(peak.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peak_does_not_know_is_not_believed() {
    let peak = Peak::start().await;
    peak.execution("42", EXECUTION, "Success");
    // Another workflow's execution is none of this sync's.
    peak.execution("43", "of-another-workflow", "Success");
    let app = app(&peak).await;
    for (id, data, words) in [
        ("unknown", names("0b6d6c5e-0000-4000-8000-000000000000"), "knows no execution"),
        ("other", names("of-another-workflow"), "knows no execution"),
        ("none", json!({}), "names none"),
        ("climbing", names("../../43/executions/of-another-workflow"), "names none"),
    ] {
        let run = deliver(&app, id, data).await;
        let error = failed(&app, &app.finished(run).await);
        assert_eq!(error.code, "model_run_unverified", "{id}");
        assert!(error.message.contains(words), "{error:?}");
    }
    peak.take_key("another-key");
    let run = deliver(&app, "refused", names(EXECUTION)).await;
    let error = failed(&app, &app.finished(run).await);
    assert!(error.code == "model_run_unverified" && error.message.contains("API key"), "{error:?}");
    peak.take_key(PEAK_KEY);
    let run = deliver(&app, "good", names(EXECUTION)).await;
    assert_eq!(app.finished(run).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_waiting_for_the_model_takes_no_time_and_loses_nothing() {
    let peak = Peak::start().await;
    peak.execution("42", EXECUTION, "Running");
    let mut app = app(&peak).await;
    let run = deliver(&app, "evt-1", names(EXECUTION)).await;
    app.when(run, |run| run.state == RunState::Waiting).await;
    tokio::time::timeout(Duration::from_secs(10), app.drain()).await.expect("a stop waits for nobody");
    peak.execution("42", EXECUTION, "Success");
    app.boot().await;
    assert_eq!(app.finished(run).await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_peak_for_the_workflow() {
    let peak = Peak::start().await;
    peak.execution("42", EXECUTION, "Success");
    let mut app = app(&peak).await;
    app.drain().await;
    let told = peak_braze(&app.config_path(), &["check"]).await;
    assert!(told.ended(0).contains("verify_run predictions: Peak takes the key and has the workflow"));
    peak.take_key("another-key");
    let told = peak_braze(&app.config_path(), &["check"]).await;
    let text = told.ended(1);
    assert!(text.contains("no callback's run can be verified") && !text.contains(PEAK_KEY), "{text}");
}
