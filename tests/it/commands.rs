//! The commands as a shell sees them: exit status, pipes, signals.

use std::time::{Duration, Instant};

use peak_braze::run::{Run, RunState};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::support::app::{Setup, TestApp, ago};
use crate::support::command::{Told, peak_braze};
use crate::support::process::Service;

async fn stopped(setup: Setup) -> TestApp {
    let mut app = TestApp::start(setup).await;
    app.drain().await;
    app
}

async fn run(app: &TestApp, args: &[&str]) -> Told {
    peak_braze(&app.config_path(), args).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_the_command_with_its_own_status() {
    let app = stopped(Setup::customers(30)).await;
    let told = run(&app, &["sync", "predictions", "--wait"]).await;
    let text = told.ended(0);
    assert!(text.contains("succeeded") && text.contains("data points sent"), "{text}");
    assert!(!text.contains('\u{1b}') && !told.stderr.contains('\u{1b}'), "no escape codes on a pipe");

    app.warehouse(&format!(
        "update predictions set band = printf('%.300c', 'x'), updated_at = '{}' where customer_id = 'c-1'",
        ago(0)
    ));
    let told = run(&app, &["sync", "predictions", "--json"]).await;
    told.ended(3);
    let partial: Run = serde_json::from_value(told.json()).expect("a run");
    assert_eq!((partial.state, partial.tally.invalid_values), (RunState::Partial, 1));

    app.braze.rule(Rule::new(Answer::Status { status: 401 }));
    let told = run(&app, &["sync", "predictions", "--mode", "force"]).await;
    assert!(told.ended(1).contains("braze_unauthorized"), "{}", told.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_config_errors_are_one_line_and_status_2() {
    let app = stopped(Setup::customers(1)).await;
    let told = run(&app, &["sync", "nobody"]).await;
    told.ended(2);
    assert_eq!(told.stderr.trim().lines().count(), 1, "{}", told.stderr);
    assert!(told.stderr.contains("sync nobody"), "{}", told.stderr);
    assert_eq!(run(&app, &["sync", "predictions", "--mode", "everything"]).await.status, 2);
    assert_eq!(run(&app, &["plan", "nobody"]).await.status, 2);
    assert_eq!(run(&app, &["runs", "not-a-run"]).await.status, 2);
    let nowhere = peak_braze(&app.path("nowhere.toml"), &["sync", "predictions"]).await;
    nowhere.ended(2);
    assert!(nowhere.stderr.contains("nowhere.toml: cannot be read"), "{}", nowhere.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_ledger_is_refused_with_the_way_out() {
    let app = TestApp::start(Setup::customers(3)).await;
    for args in [
        &["sync", "predictions"][..],
        &["plan", "predictions"],
        &["runs"],
        &["forget", "--sync", "predictions", "c-1"],
    ] {
        let told = run(&app, args).await;
        told.ended(1);
        assert!(
            told.stderr.contains("in use by another process") && told.stderr.contains("--server"),
            "{}",
            told.stderr
        );
    }
    assert_eq!(app.braze.stats().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_does_the_work_where_it_is_named() {
    let app = TestApp::start(Setup::customers(3)).await;
    let (url, config) = (app.url(""), app.config_path());
    let server = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_peak-braze"));
        command.arg("--config").arg(&config).args(args).args(["--server", &url]);
        let output = command.env("PEAK_BRAZE_TOKEN", crate::support::app::TOKEN).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (plan, sync, runs) = tokio::task::block_in_place(|| {
        (
            server(&["plan", "predictions"]),
            server(&["sync", "predictions", "--wait"]),
            server(&["runs", "--json"]),
        )
    });
    assert!(plan.0 == Some(0) && plan.1.contains("a full run because first_run would send"), "{plan:?}");
    assert!(sync.0 == Some(0) && sync.1.contains("succeeded"), "{sync:?}");
    let runs: Vec<Value> = serde_json::from_str(&runs.1).expect("a list");
    assert_eq!(runs.iter().map(|run| run["mode"].as_str()).collect::<Vec<_>>(), [Some("full"), Some("plan")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_for_people_and_machines() {
    let app = stopped(Setup::customers(3)).await;
    let ran = run(&app, &["sync", "predictions", "--json"]).await.json();
    let listed = run(&app, &["runs", "--json"]).await;
    listed.ended(0);
    assert_eq!(listed.json(), Value::Array(vec![ran.clone()]));
    let id = ran["id"].as_str().expect("an id");
    assert_eq!(run(&app, &["runs", id, "--json"]).await.json(), ran);
    let table = run(&app, &["runs"]).await;
    assert!(table.ended(0).contains(id) && !table.stdout.contains('\u{1b}'), "{}", table.stdout);
    assert_eq!(run(&app, &["runs", "0199aaaa-0000-7000-8000-000000000000"]).await.status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_customer_is_sent_anew_and_leaves_no_trace() {
    let app = stopped(Setup::customers(3)).await;
    run(&app, &["sync", "predictions"]).await.ended(0);
    let held = |app: &TestApp| {
        let files = ["ledger.db", "ledger.db-wal"].map(|name| crate::support::app::bytes(&app.path(name)));
        files.concat().windows(3).any(|bytes| bytes == b"c-2")
    };
    assert!(held(&app));
    let told = run(&app, &["forget", "--sync", "predictions", "c-2"]).await;
    assert!(!told.ended(0).contains("c-2"), "{}", told.stdout);
    assert!(!held(&app));
    let told = run(&app, &["sync", "predictions", "--mode", "full", "--json"]).await;
    let run: Run = serde_json::from_value(told.json()).expect("a run");
    assert_eq!((run.tally.unchanged, run.tally.accepted), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_contracts_are_the_ones_kept() {
    let nowhere = std::path::Path::new("/nonexistent/peak-braze.toml");
    let told = peak_braze(nowhere, &["openapi"]).await;
    assert_eq!(told.ended(0).trim_end(), include_str!("../../openapi/openapi.json").trim_end());
    let told = peak_braze(nowhere, &["config-schema"]).await;
    told.ended(0);
    assert_eq!(told.json(), peak_braze::config::schema());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_result_can_be_had_as_json() {
    let app = stopped(Setup::customers(3)).await;
    let file = app.path("sample.db").display().to_string();
    for args in [
        &["sync", "predictions", "--json"][..],
        &["plan", "predictions", "--json"],
        &["runs", "--json"],
        &["check", "--json"],
        &["migrate", "--json"],
        &["forget", "--sync", "predictions", "c-1", "--json"],
        &["sample-warehouse", &file, "--customers", "3", "--json"],
        &["sample-warehouse", &file, "--touch", "50", "--json"],
        &["verify-braze", "predictions", "--json"],
    ] {
        let told = run(&app, args).await;
        told.ended(0);
        assert!(!told.json().is_null(), "{args:?}");
    }
    let checked = run(&app, &["check", "--json"]).await.json();
    assert_eq!(checked["ok"], true);
    let source = checked["findings"].as_array().expect("a list").iter();
    let source: Vec<&Value> = source.filter(|finding| finding["what"] == "source warehouse").collect();
    assert!(source.iter().all(|finding| finding["level"] == "ok"), "{source:?}");
    assert_eq!(source[0]["details"].as_array().map(Vec::len), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_manual_know_every_command() {
    let nowhere = std::path::Path::new("/nonexistent/peak-braze.toml");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = peak_braze(nowhere, &["completions", shell]).await;
        let script = told.ended(0);
        assert!(script.contains("verify-braze") && script.contains("show-values"), "{shell}");
    }
    assert_eq!(peak_braze(nowhere, &["completions", "tcsh"]).await.status, 2);

    let script = peak_braze(nowhere, &["completions", "bash"]).await.stdout;
    let folder = tempfile::tempdir().expect("a temp dir");
    let file = folder.path().join("peak-braze.bash");
    std::fs::write(&file, script).expect("written");
    let read = std::process::Command::new("bash").arg("-n").arg(&file).status().expect("bash runs");
    assert!(read.success());

    let pages = folder.path().join("man1");
    let told = peak_braze(nowhere, &["man", &pages.display().to_string()]).await;
    told.ended(0);
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|_| panic!("no {name}"));
    assert!(page("peak-braze.1").contains("peak\\-braze\\-verify\\-braze(1)"));
    let of_sync = page("peak-braze-sync.1");
    assert!(
        of_sync.contains(".TH") && of_sync.contains("\\-\\-token\\-env") && of_sync.contains("\\-\\-config")
    );
    let printed = peak_braze(nowhere, &["man"]).await;
    assert_eq!(printed.ended(0), page("peak-braze.1"));
}

/// Beyond `drain_secs`: what a busy machine may add.
const SLACK: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_request_does_not_hold_up_the_end() {
    let server = "drain_secs = 2".to_owned();
    let app = stopped(Setup { server, ..Setup::customers(1) }).await;
    let service = Service::start(&app.config_path()).await;
    let mut client = tokio::net::TcpStream::connect(service.addr()).await.expect("a connection");
    let half = "POST /v1/callbacks/predictions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    client.write_all(half.as_bytes()).await.expect("written");
    let asked = Instant::now();
    let status = tokio::task::block_in_place(|| service.terminate());
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let app = stopped(Setup::customers(500)).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("never"));
    let service = Service::start(&app.config_path()).await;
    service.trigger().await;
    app.braze.wait_for(|stats| stats.held > 0).await;
    service.ask_to_end();
    service.says("draining").await;
    let asked = Instant::now();
    let status = tokio::task::block_in_place(|| service.terminate());
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < SLACK, "{:?}", asked.elapsed());
}
