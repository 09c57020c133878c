//! The kit for Peak, with Peak's own SDK, the Standard Webhooks library and the real service.

use std::path::PathBuf;
use std::process::{Command, Output};

use peak_braze::run::RunState;
use serde_json::{Value, json};

use crate::support::app::{CALLBACK_SECRET, SYNC, Setup, TestApp};
use crate::support::python::python;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("waited for").expect("it starts")
}

async fn script(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(python());
    command.arg(repository().join("tests/python").join(name)).args(arguments);
    command.current_dir(repository().join("deploy/peak")).env("PEAK_AUTH_TOKEN", "none");
    // Wide enough that nothing is folded.
    command.env("COLUMNS", "10000");
    run(command).await
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

async fn rendered(workflow: &str, params: &str) -> Value {
    let output = script("peak_kit.py", &["render", workflow, params]).await;
    serde_json::from_str(&succeeded(&output)).expect("JSON")
}

#[tokio::test]
async fn peaks_sdk_renders_every_workflow_with_nothing_empty_or_unknown() {
    for workflow in ["workflow.yaml", "workflow.http.yaml"] {
        for (params, cron) in [("params.daily.yaml", "0 3 * * *"), ("params.weekly.yaml", "0 3 * * 1")] {
            let body = rendered(workflow, params).await;
            assert_eq!(body["triggers"], json!([{"cron": cron}]), "{workflow} {params}");
            assert_eq!(body["steps"]["notify-peak-braze"]["parents"], json!(["score-customers"]));
        }
    }
}

#[tokio::test]
async fn peaks_command_line_would_send_the_workflow_as_it_was_rendered() {
    let create = ["workflows", "create", "workflow.yaml", "-v", "params.daily.yaml", "--dry-run"];
    let told = succeeded(&script("peak_dry_run.py", &create).await);
    let requests: Vec<Value> = told
        .split("Sample request:")
        .skip(1)
        .map(|request| {
            let mut values = serde_json::Deserializer::from_str(request).into_iter::<Value>();
            values.next().expect("a request").unwrap_or_default()
        })
        .collect();
    let create = requests.last().expect("the request to create");
    assert_eq!(create["method"], "POST", "{told}");
    let mut sent = create["body"].clone();
    sent.as_object_mut().expect("a body").retain(|name, _| name != "repository");
    assert_eq!(sent, rendered("workflow.yaml", "params.daily.yaml").await);
}

#[tokio::test]
async fn the_library_of_standard_webhooks_verifies_what_notify_signs() {
    succeeded(&script("peak_kit.py", &["sign", CALLBACK_SECRET]).await);
}

fn notify(url: &str, secret: &str, execution: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(repository().join("deploy/peak/notify.py")).env_clear().envs([
        ("CALLBACK_URL", url),
        ("CALLBACK_CUSTOM", secret),
        ("PEAK_EXEC_ID", execution),
        ("PEAK_WORKFLOW_ID", "wf-1"),
        ("TENANT_NAME", "acme"),
        ("MODEL_NAME", "churn"),
        ("MODEL_VERSION", "7\n"),
        ("SCORED_AT", "2026-11-01T00:00:00Z\n"),
        ("ROWS_UPDATED", "3\n"),
        ("OUTPUT_TABLE", "PUBLISH.CUSTOMER_PREDICTIONS"),
    ]);
    command
}

/// That it failed, with one line that does not show the secret.
#[track_caller]
fn refused(output: &Output, with: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.lines().count() == 1 && told.contains(with), "{told}");
    assert!(!told.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") && output.stdout.is_empty(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_tells_of_a_run_is_heard_once_however_often_it_is_retried() {
    let mut app = TestApp::start(Setup::customers(3)).await;
    let url = app.url(&format!("/v1/callbacks/{SYNC}"));
    let first = succeeded(&run(notify(&url, CALLBACK_SECRET, "ex-1")).await);
    let id = first.split("run_id ").nth(1).and_then(|rest| rest.split(',').next()).expect("a run").to_owned();
    let finished = app.finished(id.parse().expect("its id")).await;
    assert_eq!((finished.state, finished.tally.accepted), (RunState::Succeeded, 3));
    let model = (finished.model.name.as_deref(), finished.model.version.as_deref());
    assert_eq!((model, finished.model.execution_id.as_deref()), ((Some("churn"), Some("7")), Some("ex-1")));

    let again = succeeded(&run(notify(&url, CALLBACK_SECRET, "ex-1")).await);
    assert!(again.contains("duplicate True") && again.contains(&id), "{again}");
    let mut anew = notify(&url, CALLBACK_SECRET, "ex-1");
    anew.env("MODEL_VERSION", "8");
    assert!(succeeded(&run(anew).await).contains("duplicate False"), "a new result of one execution is news");
    app.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_not_heard_fails_and_says_why() {
    let mut app = TestApp::start(Setup::customers(1)).await;
    let url = app.url(&format!("/v1/callbacks/{SYNC}"));
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    refused(&run(notify(&url, other, "ex-1")).await, "not accepted: 401");
    refused(&run(notify(&url, "whsec_c2hvcnQ=", "ex-1")).await, "has 5 bytes");
    refused(&run(notify(&url, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!", "ex-1")).await, "not base64");
    refused(&run(notify("http://sync.example.com/", CALLBACK_SECRET, "ex-1")).await, "https://");
    refused(&run(notify(&url, CALLBACK_SECRET, "")).await, "PEAK_EXEC_ID");
    app.drain().await;
    refused(&run(notify(&url, CALLBACK_SECRET, "ex-1")).await, "no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_without_code_is_heard_with_its_bearer() {
    let token = "a-bearer-of-twenty-four-bytes-or-more";
    let setup = Setup {
        callback: "scheme = \"bearer\"".to_owned(),
        files: vec![("callback", token)],
        ..Setup::customers(2)
    };
    let app = TestApp::start(setup).await;
    let step =
        rendered("workflow.http.yaml", "params.daily.yaml").await["steps"]["notify-peak-braze"].clone();
    assert_eq!((&step["method"], &step["auth"]["type"]), (&json!("post"), &json!("bearer-token")));
    let payload = step["payload"].as_str().expect("a payload");
    let payload = payload.replace("{{SCORED_AT}}", "2026-11-01T00:00:00Z").replace("{{MODEL_VERSION}}", "7");
    let content_type = step["headers"]["absolute"]["Content-Type"].as_str().expect("a header");
    let request = app.http.post(app.url(&format!("/v1/callbacks/{SYNC}"))).bearer_auth(token);
    let answer = request.header("content-type", content_type).body(payload).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.expect("JSON");
    let finished = app.finished(answer["run_id"].as_str().expect("a run").parse().expect("its id")).await;
    assert_eq!((finished.state, finished.model.version.as_deref()), (RunState::Succeeded, Some("7")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_quality_event_starts_a_run() {
    let app = TestApp::start(Setup::customers(2)).await;
    let event = json!({
        "specversion": "1.0",
        "id": "evt_1f0c6b2a9d3e4c5f8a7b6c5d4e3f2a1b",
        "source": "/data-quality",
        "type": "ai.peak.data_validation.run.completed",
        "time": "2026-11-01T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {"tables": [{"name": "CUSTOMER_PREDICTIONS", "rules": [{"status": "passed"}]}]}
    });
    let answer = app.post_callback("evt_1f0c6b2a9d3e4c5f8a7b6c5d4e3f2a1b", &event).await;
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.expect("JSON");
    let finished = app.finished(answer["run_id"].as_str().expect("a run").parse().expect("its id")).await;
    assert_eq!(finished.tally.accepted, 2);
}
