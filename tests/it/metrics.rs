//! Every metric is in the one list, and every one of the list is shown, under the labels it has there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peak_braze::run::RunState;
use peak_braze::sandbox::{Announce, Answer, Rule};
use peak_braze::telemetry::metric::{ALL, Kind};
use serde_json::json;

use crate::support::app::{SYNC, Setup, TOKEN, TestApp};
use crate::support::exposition::Exposition;
use crate::support::hook::Hook;

const PATIENCE: Duration = Duration::from_secs(60);

async fn scrape(app: &TestApp) -> (String, Exposition) {
    let answer = app.http.get(app.url("/metrics")).bearer_auth(TOKEN).send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    let read = Exposition::read(&text);
    (text, read)
}

/// Scrapes until it shows what `is` wants: figures that have to be looked up are so every few seconds.
async fn when(app: &TestApp, is: impl Fn(&Exposition) -> bool) -> (String, Exposition) {
    let showing = async {
        loop {
            let (text, shown) = scrape(app).await;
            if is(&shown) {
                return (text, shown);
            }
        }
    };
    match tokio::time::timeout(PATIENCE, showing).await {
        Ok(shown) => shown,
        Err(_) => panic!("{}", scrape(app).await.0),
    }
}

/// A day of a service: callbacks of every outcome, a throttled run, a partial one, a failed one, a block, notices,
/// reloads, traces.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_a_service_shows_every_metric_of_the_list_and_no_other() {
    let hook = Hook::start().await;
    let on = r#"on = ["failed", "partial", "blocked", "succeeded"]"#;
    let setup = Setup {
        notify: format!(
            "[[notify]]\nurl = \"{}\"\nsecret = \"file:notify\"\n{on}\n[telemetry]\notlp_endpoint = \"http://{}\"",
            hook.url(),
            hook.addr()
        ),
        files: vec![("notify", super::notices::SECRET)],
        cadence: "cron = \"0 6 * * *\"\n  stale_after = \"1s\"".to_owned(),
        destination: "requests_per_hour = 100000\nrequests_per_3s = 3".to_owned(),
        ..Setup::customers(300)
    };
    let app = TestApp::start(setup).await;
    let limited = Answer::RateLimited { announce: Announce::RetryAfter { secs: 2 } };
    app.braze.rule(Rule::new(limited).times(1));
    assert_eq!(app.deliver_and_finish("evt-1").await.state, RunState::Succeeded);
    app.deliver("evt-1").await;
    let forged = app.http.post(app.url(&format!("/v1/callbacks/{SYNC}"))).json(&json!({"type": "x"}));
    assert_eq!(forged.send().await.expect("an answer").status(), 401);
    app.warehouse("update predictions set band = null, churn = 9e999, updated_at = datetime('now') where customer_id = 'c-1'");
    assert_eq!(app.run("full").await.state, RunState::Partial);
    app.braze.rule(Rule::new(Answer::EchoKey { status: 401 }));
    app.warehouse("update predictions set band = 'high'");
    assert_eq!(app.run("full").await.state, RunState::Failed);
    app.app().reload().await.expect("the same config");
    std::fs::write(app.path("braze"), "").expect("a secret file");
    app.app().reload().await.expect_err("a key that is empty");
    app.post(&format!("/v1/syncs/{SYNC}/pause"), &json!({})).await;
    app.trigger(&json!({})).await;

    let sync = [("sync", SYNC)];
    let (text, shown) = when(&app, |shown| {
        let is = |name: &str, value: f64| shown.sum(&format!("peak_braze_{name}"), &sync) == Some(value);
        is("sync_blocked", 1.0)
            && is("sync_paused", 1.0)
            && is("sync_stale", 1.0)
            && is("open_runs", 1.0)
            && shown.sum("peak_braze_trace_spans_total", &[("outcome", "exported")]) > Some(0.0)
            && shown.sum("peak_braze_notices_total", &[("outcome", "delivered")]) > Some(2.0)
    })
    .await;

    let listed: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(shown.families(), listed);
    for metric in ALL {
        assert_eq!(shown.kinds[metric.name], metric.kind.as_str(), "{}", metric.name);
        assert!(text.contains(&format!("# HELP {} ", metric.name)), "{}", metric.name);
        let labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
        for (name, of, _) in shown.series.iter().filter(|(name, ..)| name == metric.name) {
            assert_eq!(of.keys().map(String::as_str).collect::<BTreeSet<_>>(), labels, "{name}");
        }
        // Nobody was turned away on this day; everything else happened.
        let happened = metric.name == "peak_braze_http_connections_refused_total"
            || metric.kind == Kind::Gauge
            || shown.sum(metric.name, &[]) > Some(0.0);
        assert!(happened, "{} never moved\n{text}", metric.name);
    }
    for (name, labels, least) in [
        ("runs_total", &[("state", "succeeded")][..], 1.0),
        ("runs_total", &[("state", "partial")], 1.0),
        ("runs_total", &[("state", "failed")], 1.0),
        ("run_errors_total", &[("code", "braze_unauthorized")], 1.0),
        ("braze_answers_total", &[("class", "rate_limited")], 1.0),
        ("braze_answers_total", &[("class", "settled")], 4.0),
        ("braze_answers_total", &[("class", "fatal")], 1.0),
        ("braze_throttled_seconds_total", &[("reason", "hold")], 1.0),
        ("customers_total", &[("verdict", "accepted")], 300.0),
        ("values_total", &[("fate", "invalid")], 1.0),
        ("config_reloads_total", &[("outcome", "refused")], 1.0),
        ("sync_outstanding_rejections", &[], 1.0),
        ("sync_stale_after_seconds", &[], 1.0),
        ("ledger_up", &[], 1.0),
        ("ledger_bytes", &[("part", "tables")], 4096.0),
        ("braze_budget_left", &[("window", "hour")], 1.0),
        ("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert!(shown.sum(&format!("peak_braze_{name}"), labels) >= Some(least), "{name} {labels:?}\n{text}");
    }
    for secret in ["c-1", TOKEN, "evt-", super::notices::SECRET] {
        assert!(!text.contains(&format!("\"{secret}")), "{secret}");
    }
}

/// What is counted of the sync's runs.
fn counted(shown: &Exposition) -> [Option<f64>; 3] {
    let runs = |state| shown.sum("peak_braze_runs_total", &[("sync", SYNC), ("state", state)]);
    [runs("succeeded"), runs("cancelled"), shown.sum("peak_braze_customers_total", &[("sync", SYNC)])]
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_counted_as_recorded_and_plans_are_not() {
    let app = TestApp::start(Setup::customers(10)).await;
    assert_eq!(app.run("plan").await.state, RunState::Succeeded);
    let (_, shown) = when(&app, |shown| shown.sum("peak_braze_run_attempts_total", &[]) == Some(1.0)).await;
    assert_eq!(counted(&shown), [Some(0.0); 3]);
    // The request to cancel comes after the last heartbeat: the run itself does not hear of it.
    app.braze.rule(Rule::new(Answer::Pass).hold_before_apply("late").times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    app.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    app.braze.release("late");
    assert_eq!(app.finished(id).await.state, RunState::Cancelled);
    let (_, shown) = when(&app, |shown| shown.sum("peak_braze_runs_total", &[]) == Some(1.0)).await;
    assert_eq!(counted(&shown), [Some(0.0), Some(1.0), Some(10.0)]);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the source tree");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn no_metric_is_named_outside_the_list() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let list = top.join("telemetry/metric.rs");
    for file in sources(&top).into_iter().filter(|file| *file != list) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for words in ["counter!(\"", "gauge!(\"", "histogram!(\"", "describe_"] {
            let named = text.split(words).count() > 1 && text.contains("metrics::");
            assert!(!named, "{} names a metric by itself: {words}", file.display());
        }
    }
}

#[test]
fn the_readme_lists_every_metric_as_it_is() {
    let readme = include_str!("../../README.md");
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!(
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.help
        );
        assert!(readme.contains(&row.replace("|  |", "| |")), "the README should have the row: {row}");
    }
    assert_eq!(readme.matches("\n| `peak_braze_").count(), ALL.len());
}
