//! One trace from the callback to the last verdict, across processes; nothing of customers in it, and no run that
//! waits for whoever collects it.

use std::collections::{BTreeMap, BTreeSet};

use peak_braze::callback;
use peak_braze::clock::Clock;
use peak_braze::run::RunState;
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::app::{BRAZE_KEY, CALLBACK_SECRET, SYNC, Setup, TOKEN, TestApp};
use crate::support::collector::{Collector, Told};
use crate::support::process::Service;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const FORGED: &str = "11111111111111111111111111111111";

/// Delivers a callback as part of a trace; returns the status and the run's id.
async fn deliver(service: &Service, secret: &str, trace: &str) -> (u16, String) {
    let body = r#"{"type":"model.run.completed"}"#;
    let now = Clock::system().now();
    let headers = callback::sign(&SecretString::from(secret), "evt-1", now, body.as_bytes()).expect("signed");
    let request = crate::support::app::http_client().post(service.url(&format!("/v1/callbacks/{SYNC}")));
    let request = request.header("traceparent", format!("00-{trace}-{PARENT}-01")).body(body);
    let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let answer: serde_json::Value = answer.json().await.expect("JSON");
    (status, answer["run_id"].as_str().unwrap_or_default().to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn only<'t>(told: &'t [Told], name: &str) -> &'t Told {
    let named: Vec<&Told> = told.iter().filter(|told| told.span.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {named:#?}");
    named[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_callback_to_the_last_verdict_across_processes() {
    let mut app = TestApp::start(Setup::customers(200)).await;
    app.drain().await;
    let trusted = app.path("collector.pem");
    let collector = Collector::start(&trusted).await;
    std::fs::write(app.path("otlp"), "Bearer of-the-collector").expect("a secret file");
    app.change(|setup| {
        setup.notify = format!(
            "[telemetry]\notlp_endpoint = \"{}\"\notlp_headers = {{ authorization = \"file:otlp\" }}",
            collector.url()
        );
    });
    let environment = [("SSL_CERT_FILE", trusted.to_str().expect("UTF-8"))];

    // One process takes the callback, and is gone before the run begins.
    let first = Service::start_with(&app.config_path(), &environment).await;
    first.post(&format!("/v1/syncs/{SYNC}/pause")).await;
    assert_eq!(deliver(&first, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", FORGED).await.0, 401);
    let (status, run) = deliver(&first, CALLBACK_SECRET, TRACE).await;
    assert_eq!(status, 202);
    assert!(first.terminate().success());
    // The drain has flushed.
    assert_eq!(only(&collector.spans(), "callback").attribute("outcome"), "accepted");

    // Another one sees the run through.
    let second = Service::start_with(&app.config_path(), &environment).await;
    second.post(&format!("/v1/syncs/{SYNC}/resume")).await;
    let ended = second.finished(&run).await;
    assert_eq!((ended.state, ended.tally.accepted), (RunState::Succeeded, 200));
    assert!(second.terminate().success());
    let told = collector.when(|told| told.iter().any(|told| told.span.name == "run")).await;

    assert_eq!(
        told.iter().map(|told| hex(&told.span.trace_id)).collect::<BTreeSet<_>>(),
        [TRACE.into()].into()
    );
    let callback = only(&told, "callback");
    assert_eq!(hex(&callback.span.parent_span_id), PARENT);
    let attempt = only(&told, "run");
    assert_eq!(attempt.span.parent_span_id, callback.span.span_id);
    assert_ne!(attempt.instance, callback.instance, "two processes");
    assert_eq!((attempt.attribute("run.id"), attempt.attribute("state")), (run, "succeeded".to_owned()));
    let parents: BTreeMap<Vec<u8>, Vec<u8>> =
        told.iter().map(|told| (told.span.span_id.clone(), told.span.parent_span_id.clone())).collect();
    let leads_to_the_run = |told: &Told| {
        std::iter::successors(Some(&told.span.span_id), |id| parents.get(*id))
            .any(|id| *id == attempt.span.span_id)
    };
    let requests: Vec<&Told> = told.iter().filter(|told| told.span.name == "POST /users/track").collect();
    assert_eq!(requests.len() as u64, ended.tally.requests);
    let recorded: Vec<&Told> = told.iter().filter(|told| told.span.name == "record").collect();
    assert!(!recorded.is_empty());
    for told in requests.iter().chain(&recorded) {
        assert!(leads_to_the_run(told), "{told:#?}");
        assert!(told.span.end_time_unix_nano <= attempt.span.end_time_unix_nano);
    }
    for request in requests {
        let said = [request.attribute("class"), request.attribute("http.response.status_code")];
        assert_eq!(said, ["settled", "201"]);
    }

    for export in collector.exports() {
        assert_eq!((&*export.path, &*export.authorization), ("/v1/traces", "Bearer of-the-collector"));
        let body = String::from_utf8_lossy(&export.body);
        // Not in the middle of a run's or a process's id, which may hold it by chance.
        let mut customers = body.match_indices("c-1");
        assert!(!customers.any(|(at, _)| !body[..at].ends_with(|before: char| before.is_ascii_hexdigit())));
        for word in ["peak_churn", "evt-1", TOKEN, BRAZE_KEY, CALLBACK_SECRET, "of-the-collector"] {
            assert!(!body.contains(word), "{word}");
        }
    }
    // Braze is told nothing of it.
    assert!(app.braze.violations().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_delays_no_run_and_no_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut app = TestApp::start(Setup::customers(3_000)).await;
    app.drain().await;
    app.change(|setup| setup.server = "drain_secs = 5".to_owned());
    let endpoint = format!("http://{}", silent.local_addr().expect("bound"));
    // Named by the standard variable alone.
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let service = Service::start_with(&app.config_path(), &environment).await;
    let (_, run) = deliver(&service, CALLBACK_SECRET, TRACE).await;
    let (_connection, _) = silent.accept().await.expect("it tries to export");
    let ended = service.finished(&run).await;
    assert_eq!((ended.state, ended.tally.accepted), (RunState::Succeeded, 3_000));
    let asked = std::time::Instant::now();
    assert!(service.terminate().success());
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_trace_unless_traces_are_asked_for() {
    let app = TestApp::start(Setup::customers(3)).await;
    let request =
        app.http.post(app.url(&format!("/v1/syncs/{SYNC}/runs"))).bearer_auth(TOKEN).json(&json!({}));
    let answer =
        request.header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let ledger = rusqlite::Connection::open_with_flags(
        app.path("ledger.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    );
    let kept: Option<String> = ledger
        .expect("the ledger")
        .query_row("select traceparent from runs", [], |row| row.get(0))
        .expect("one run");
    assert_eq!(kept, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_none_is_told_at_start() {
    let mut app = TestApp::start(Setup::customers(1)).await;
    app.drain().await;
    let mut serve = |settings: &str, standard: &str| {
        app.change(|setup| setup.notify = format!("[telemetry]\n{settings}"));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_peak-braze"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(app.config_path());
        let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", standard).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (settings, standard, says) in [
        ("", "http://[", "traces cannot be exported"),
        ("otlp_endpoint = \"collector:4318\"", "", "telemetry.otlp_endpoint: must begin with"),
        (
            "otlp_endpoint = \"http://127.0.0.1:1\"\notlp_headers = { authorization = \"file:braze\" }",
            "",
            "must begin with https:// where headers are sent",
        ),
        ("otlp_headers = { authorization = \"file:braze\" }", "", "needs telemetry.otlp_endpoint"),
        ("trace_ratio = 1.5", "", "telemetry.trace_ratio"),
    ] {
        let (status, stderr) = serve(settings, standard);
        assert!(matches!(status, Some(1 | 2)) && stderr.contains(says), "{status:?} {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains(BRAZE_KEY), "{stderr}");
    }
}
