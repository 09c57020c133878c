//! A run that is cut short goes on where it was, and sends again only what is in doubt.

use std::time::Duration;

use peak_braze::clock::Clock;
use peak_braze::run::{Mode, RunState};
use peak_braze::sandbox::{Answer, RequestRecord, Rule};
use serde_json::json;

use crate::support::app::{Setup, TestApp, ago, assert_identities};
use crate::support::process::Service;

/// With leases so short that what a killed process held is soon free: on PostgreSQL nobody knows that it is dead.
fn short_leases(setup: Setup) -> Setup {
    Setup {
        ledger: format!("lease_secs = {LEASE_SECS}"),
        destination: "request_timeout_secs = 2".to_owned(),
        ..setup
    }
}

const LEASE_SECS: u64 = 4;

/// How long after a kill a run may stand still: a file has one process, so that its leases are void at once.
fn taken_over_within() -> Duration {
    let lease = if crate::ON_POSTGRES { LEASE_SECS } else { 0 };
    Duration::from_secs(lease + 2)
}

/// A rule that holds answers back by name until the story releases them.
fn hold(name: &str) -> Rule {
    Rule::new(Answer::Pass).hold(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_run_goes_on_after_the_restart() {
    let mut app = TestApp::start(Setup::customers(1_000)).await;
    app.braze.rule(hold("late").after(5).times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    let draining = app.app.take().expect("up").drain();
    tokio::pin!(draining);
    let early = tokio::time::timeout(Duration::from_millis(1), &mut draining).await;
    assert!(early.is_err(), "a request under way is waited for");
    app.braze.release("late");
    draining.await;
    app.boot().await;
    let run = app.finished(id).await;
    assert_eq!((run.state, run.attempt), (RunState::Succeeded, 2));
    assert_eq!((run.tally.customers, run.tally.accepted), (1_000, 1_000));
    assert_eq!((run.data_points.sent, run.data_points.saved), (2_000, 0));
    assert_identities(&run);
    assert_eq!(app.braze.stats().values_unchanged, 0, "nobody was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_stops_keeps_what_was_accepted_and_leaves_the_watermark() {
    let app = TestApp::start(Setup::customers(1_000)).await;
    app.braze.rule(hold("late").after(5).times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    let (status, _) = app.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(status, 202);
    app.braze.release("late");
    let run = app.finished(id).await;
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(app.sync_state().await["watermark"], json!(null));
    let next = app.run("delta").await;
    assert_eq!((next.state, next.tally.customers), (RunState::Succeeded, 1_000));
    assert_eq!(app.braze.stats().values_unchanged, 0, "nobody was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_goes_on_within_two_seconds_of_its_lease_and_loses_nobody() {
    let mut app = TestApp::start(short_leases(Setup::customers(2_000))).await;
    app.drain().await;
    let mut service = Service::start(&app.config_path()).await;
    app.braze.rule(hold("cut").after(10));
    let id = service.trigger().await;
    app.braze.wait_for(|stats| stats.held >= 1).await;
    service.kill();
    app.braze.clear_rules();
    let seen = app.braze.stats().requests;

    let restarted = std::time::Instant::now();
    let service = Service::start(&app.config_path()).await;
    app.braze.wait_for(|stats| stats.requests > seen).await;
    assert!(restarted.elapsed() < taken_over_within(), "went on after {:?}", restarted.elapsed());
    let run = service.finished(&id).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 2_000));
    assert_identities(&run);
    for customer in ["c-1", "c-999", "c-2000"] {
        assert!(app.in_braze(customer, "peak_churn").await.is_some(), "{customer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_sent_and_never_recorded_does_not_outlive_its_source() {
    let mut app = TestApp::start(short_leases(Setup::customers(1))).await;
    app.run("delta").await;
    app.drain().await;
    // v0 is in Braze and in the ledger; v1 is sent, and the process dies before it hears the answer.
    app.warehouse(&format!("update predictions set churn = 0.5, updated_at = '{}'", ago(1)));
    let mut service = Service::start(&app.config_path()).await;
    app.braze.rule(hold("cut"));
    service.trigger().await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    service.kill();
    app.braze.clear_rules();
    assert_eq!(app.in_braze("c-1", "peak_churn").await, Some(json!(0.5)));
    // The source goes back to v0, which the ledger believes Braze has.
    app.warehouse(&format!("update predictions set churn = 0.001, updated_at = '{}'", ago(0)));
    app.boot().await;
    let run = app.run("delta").await;
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(app.in_braze("c-1", "peak_churn").await, Some(json!(0.001)));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_ends_well_within_ten_seconds_whoever_hangs() {
    let mut app = TestApp::start(Setup::customers(500)).await;
    app.drain().await;
    let service = Service::start(&app.config_path()).await;
    app.braze.rule(hold("never"));
    service.trigger().await;
    app.braze.wait_for(|stats| stats.held >= 1).await;
    let mut client = tokio::net::TcpStream::connect(service.addr()).await.expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut client, b"POST /v1/callbacks/predictions HTTP/1.1\r\nhost: ")
        .await
        .expect("half a head");
    let told = std::time::Instant::now();
    let status = tokio::task::spawn_blocking(|| service.terminate()).await.expect("no panic");
    assert!(status.success(), "{status}");
    assert!(told.elapsed().as_secs_f64() < 10.5, "{:?}", told.elapsed());

    // What was under way is in doubt, and goes again.
    app.braze.clear_rules();
    app.boot().await;
    let runs = app.get("/v1/runs").await;
    let id = runs["runs"][0]["id"].as_str().expect("a run").parse().expect("an id");
    let run = app.finished(id).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 500));
    assert_identities(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_once_the_lease_can_no_longer_be_renewed() {
    let mut setup = Setup::customers(20_000);
    setup.ledger = "lease_secs = 2".to_owned();
    setup.destination = "request_timeout_secs = 1\nmax_in_flight = 2".to_owned();
    setup.sandbox.latency = Duration::from_millis(40);
    let app = TestApp::start(setup).await;
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.requests > 10).await;
    // Somebody has the ledger for longer than a lease lasts.
    let held = app.ledger.hold().await;
    let held_at = Clock::system().now();
    // The time is the point: nothing else tells when a lease is over.
    tokio::time::sleep(Duration::from_secs(6)).await;
    held.let_go().await;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let after = |request: &RequestRecord| request.arrived_at - held_at.timestamp_millis() as f64 / 1_000.0;
    let late = app.braze.requests().iter().map(after).filter(|secs| (2.5..6.0).contains(secs)).count();
    assert_eq!(late, 0, "sent after the lease of the last heartbeat");
    let run = app.finished(id).await;
    assert_eq!((run.state, run.tally.accepted, run.attempt > 1), (RunState::Succeeded, 20_000, true));
    assert_identities(&run);
    assert_eq!(app.braze.violations(), Vec::<String>::new());
    // What was accepted and could not be recorded goes again, and nothing else.
    let again = app.braze.stats().values_unchanged;
    assert!(again <= 2 * 3 * 100 * 75, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_drain_still_puts_the_run_down() {
    let setup = Setup { server: "drain_secs = 2".to_owned(), ..Setup::customers(500) };
    let mut app = TestApp::start(setup).await;
    app.drain().await;
    let service = Service::start(&app.config_path()).await;
    app.braze.rule(hold("never"));
    service.trigger().await;
    app.braze.wait_for(|stats| stats.held >= 1).await;
    service.ask_to_end();
    // Else it counts as a crash, and five restarts are the end of the run.
    service.says("run put down").await;
    let status = tokio::task::spawn_blocking(|| service.terminate()).await.expect("no panic");
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_that_goes_on_where_it_was_cut_off_is_no_full_run() {
    let clock = Clock::manual(Clock::system().now());
    let mut app = TestApp::start(Setup { clock: clock.clone(), ..Setup::customers(30_000) }).await;
    app.run("delta").await;
    app.warehouse(&format!("update predictions set churn = churn + 1, updated_at = '{}'", ago(0)));
    app.braze.rule(hold("late").after(5).times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    let draining = app.app.take().expect("up").drain();
    tokio::pin!(draining);
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut draining).await.is_err());
    app.braze.release("late");
    draining.await;
    // A full comparison is due by now; but this run has passed over some customers already.
    clock.advance(chrono::TimeDelta::days(8));
    app.boot().await;
    let run = app.finished(id).await;
    assert_eq!((run.attempt, run.mode, run.promoted.as_deref()), (2, Mode::Delta, None));
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 30_000));
    assert_identities(&run);
    assert_eq!(app.run("delta").await.promoted.as_deref(), Some("full_every"));
    assert_eq!(app.braze.stats().values_unchanged, 0, "nobody was sent twice");
}
