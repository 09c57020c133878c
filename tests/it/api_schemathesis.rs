//! The OpenAPI document against the real service: schemathesis makes requests of it, good and bad, and checks that
//! every answer is one the document knows. `tests/python/schemathesis.toml` says how, and why where it allows more.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::app::{SYNC, Setup, TOKEN, TestApp};
use crate::support::python::{python, run_script};

/// What the sync under test takes callbacks with.
const CALLBACK: &str = "bearer-for-the-callbacks-of-this-test";

/// Cases for each operation and phase: about a minute of them. `PEAK_BRAZE_SCHEMATHESIS=500` makes a long night's.
fn examples() -> String {
    std::env::var("PEAK_BRAZE_SCHEMATHESIS").unwrap_or_else(|_| "10".to_owned())
}

/// Chains of requests, each of up to six: they cost more.
fn chains() -> String {
    std::env::var("PEAK_BRAZE_SCHEMATHESIS").unwrap_or_else(|_| "10".to_owned())
}

/// Something to read everywhere: a finished run with a rejection, and a delivery of each outcome.
async fn lived_in() -> TestApp {
    let mut setup = Setup::customers(20);
    setup.callback = "scheme = \"bearer\"".to_owned();
    setup.files = vec![("callback", CALLBACK)];
    setup.seed += "insert into predictions values ('bad', 'not a time', 0.5, 'low');";
    let app = TestApp::start(setup).await;
    app.finished(app.trigger(&json!({})).await).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_the_document_knows() {
    let app = lived_in().await;
    let runs = app.get(&format!("/v1/runs?sync={SYNC}")).await;
    let run = runs["runs"][0]["id"].as_str().expect("a run").to_owned();
    let told = schemathesis(&app, &run, "examples,coverage,fuzzing", &examples()).await;
    // All but the document's own route, which is what they are made from.
    assert!(told.contains("Selected: 18/18"), "{told}");
    // One request's answer leads to the next: trigger, look, watch, cancel, repeat.
    schemathesis(&app, &run, "stateful", &chains()).await;
}

/// Makes requests of the document served, and returns what came of it.
async fn schemathesis(app: &TestApp, run: &str, phases: &str, examples: &str) -> String {
    let work = tempfile::tempdir().expect("a temp dir");
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/schemathesis.toml");
    let mut command = Command::new(python());
    command
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file", settings, "run"])
        .arg(app.url("/openapi.json"))
        .args(["--phases", phases, "--max-examples", examples, "--seed", "1"])
        .current_dir(work.path())
        .env("PEAK_BRAZE_TEST_TOKEN", TOKEN)
        .env("PEAK_BRAZE_TEST_CALLBACK", CALLBACK)
        .env("PEAK_BRAZE_TEST_RUN", run)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it is waited for");
    let output = output.expect("the interpreter of the tests runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{}", told.split("SUMMARY").last().unwrap_or_default());
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn every_example_fits_its_schema() {
    let document = peak_braze::api::openapi_json().expect("JSON");
    let examples: usize = run_script("openapi_examples.py", &[], &document).parse().expect("a count");
    assert!(examples > 100, "{examples}");
}
