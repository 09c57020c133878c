//! Braze keeps no order between calls: a later value does not set out before the earlier one has surely arrived.

use chrono::TimeDelta;
use peak_braze::clock::Clock;
use peak_braze::run::{Phase, RunState};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::json;

use crate::support::app::{Setup, TestApp, ago};
use crate::support::process::Service;

/// Long enough to tell from a slow machine's delays, short enough to wait for.
const SETTLE_SECS: f64 = 2.0;

fn settling(customers: u32) -> Setup {
    Setup { destination: format!("settle_secs = {SETTLE_SECS}"), ..Setup::customers(customers) }
}

fn change(app: &TestApp) {
    app.warehouse(&format!("update predictions set churn = churn + 1, updated_at = '{}'", ago(0)));
}

/// When each request arrived, in seconds.
fn arrivals(app: &TestApp) -> Vec<f64> {
    app.braze.requests().iter().map(|request| request.arrived_at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_sends_nothing_until_the_sends_before_it_are_settled() {
    let app = TestApp::start(settling(3)).await;
    app.run("delta").await;
    change(&app);
    let id = app.trigger(&json!({})).await;
    let waiting = app.when(id, |run| run.state == RunState::Waiting).await;
    assert_eq!((waiting.progress.phase, waiting.throttled_until.is_some()), (Phase::Settling, true));
    assert_eq!(app.finished(id).await.state, RunState::Succeeded);
    let [first, second] = arrivals(&app)[..] else { panic!("two requests") };
    assert!(second - first >= SETTLE_SECS, "{}", second - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_may_have_sent_until_it_died() {
    let mut app = TestApp::start(settling(3)).await;
    app.drain().await;
    let mut service = Service::start(&app.config_path()).await;
    // In flight, and for longer than the settling takes: not when it was announced counts.
    app.braze.rule(Rule::new(Answer::Status { status: 503 }).times(4));
    app.braze.rule(Rule::new(Answer::Pass).hold("cut"));
    service.trigger().await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    service.kill();
    app.braze.clear_rules();
    // Another attempt notes the doubt and dies too, before it sends anything.
    let died = Clock::system().now();
    let mut service = Service::start(&app.config_path()).await;
    service.says("run claimed").await;
    service.says("attempt=2").await;
    service.kill();
    app.boot().await;
    let runs = app.get("/v1/runs").await;
    let run = app.finished(runs["runs"][0]["id"].as_str().expect("a run").parse().expect("an id")).await;
    assert_eq!(run.state, RunState::Succeeded);
    let last = *arrivals(&app).last().expect("a request");
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let died = died.timestamp_millis() as f64 / 1_000.0;
    assert!(last - died >= SETTLE_SECS, "{}", last - died);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_keeps_nobody_waiting() {
    let clock = Clock::manual(Clock::system().now() + TimeDelta::days(400));
    let app = TestApp::start(Setup { clock: clock.clone(), ..settling(3) }).await;
    app.run("delta").await;
    clock.advance(TimeDelta::days(-400));
    change(&app);
    let began = tokio::time::Instant::now();
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
    assert!(began.elapsed().as_secs_f64() < SETTLE_SECS + 10.0, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_given_up_and_applied_late_does_not_outlive_what_comes_after_it() {
    let mut setup = settling(3);
    setup.destination += "\nrequest_timeout_secs = 1\nretry_base_ms = 10";
    let app = TestApp::start(setup).await;
    app.braze.rule(Rule::new(Answer::Pass).hold_before_apply("ghost").times(1));
    let first = app.run("delta").await;
    assert_eq!((first.tally.accepted, first.tally.retries), (3, 1));
    change(&app);
    let id = app.trigger(&json!({})).await;
    app.when(id, |run| run.state == RunState::Waiting).await;
    app.braze.release("ghost");
    app.braze.wait_for(|stats| stats.held == 0).await;
    assert_eq!(app.finished(id).await.state, RunState::Succeeded);
    assert_eq!(app.in_braze("c-1", "peak_churn").await, Some(json!(1.001)));
}
