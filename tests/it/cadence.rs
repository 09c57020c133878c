//! What happens by the clock.

use chrono::{DateTime, TimeDelta, Utc};
use peak_braze::clock::Clock;
use peak_braze::run::{Mode, Run, RunState, TriggerKind};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::json;

use crate::support::app::{Setup, TestApp};

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a test's own time").to_utc()
}

fn scheduled(cadence: &str, now: &str) -> (Setup, Clock) {
    let clock = Clock::manual(at(now));
    let mut setup = Setup::customers(3);
    setup.seed += "update predictions set updated_at = '2026-01-01T00:00:00Z';";
    setup.cadence = cadence.to_owned();
    setup.clock = clock.clone();
    (setup, clock)
}

/// Waits for the sync's newest run to be the `count`th, and for its end.
async fn nth_run(app: &TestApp, count: usize) -> Run {
    let ledger = app.app().ledger().clone();
    let mut changes = ledger.watch();
    let waiting = async {
        loop {
            let runs = ledger
                .runs(&peak_braze::ledger::RunFilter::default(), 200, None)
                .await
                .expect("a list")
                .items;
            assert!(runs.len() <= count, "one run per slot: {}", runs.len());
            if runs.len() == count && runs[0].state.is_final() {
                return runs[0].clone();
            }
            let _ = changes.recv().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.expect("the run comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_slot_gets_one_run_and_missed_ones_one_together() {
    let cadence = "cron = \"0 6 * * *\"\n  timezone = \"Europe/London\"";
    let (setup, clock) = scheduled(cadence, "2026-03-27T12:00:00Z");
    let mut app = TestApp::start(setup).await;
    app.when_slot_is_kept().await;
    clock.set(at("2026-03-28T06:00:01Z"));
    let first = nth_run(&app, 1).await;
    assert_eq!((first.trigger.kind, first.state), (TriggerKind::Schedule, RunState::Succeeded));
    assert_eq!(
        app.sync_state().await["next_run_at"],
        "2026-03-29T05:00:00Z",
        "summer time begins that night"
    );
    clock.set(at("2026-03-29T05:00:00Z"));
    nth_run(&app, 2).await;
    // Down for four slots.
    app.drain().await;
    clock.set(at("2026-04-02T12:00:00Z"));
    app.boot().await;
    nth_run(&app, 3).await;
    clock.set(at("2026-04-03T05:00:30Z"));
    nth_run(&app, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_leaves_no_slot_without_its_run() {
    let (setup, clock) = scheduled("cron = \"0 6 * * *\"", "2026-03-27T12:00:00Z");
    let app = TestApp::start(setup).await;
    app.when_slot_is_kept().await;
    clock.set(at("2027-06-01T06:00:01Z"));
    nth_run(&app, 1).await;
    clock.set(at("2026-03-27T12:00:10Z"));
    while app.app().ledger().last_slot(crate::support::app::SYNC).await.expect("a ledger") > Some(clock.now())
    {
        tokio::task::yield_now().await;
    }
    clock.set(at("2026-03-28T06:00:01Z"));
    nth_run(&app, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_watermark_makes_the_sync_stale() {
    let (setup, clock) = scheduled("stale_after = \"26h\"", "2026-06-01T00:00:00Z");
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    clock.advance(TimeDelta::hours(25));
    assert_eq!(app.sync_state().await["stale"], false);
    clock.advance(TimeDelta::hours(2));
    let sync = app.sync_state().await;
    assert_eq!((&sync["stale"], &sync["freshness_secs"]), (&json!(true), &json!(27 * 3600)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_comparison_comes_round() {
    let (setup, clock) = scheduled("stale_after = \"26h\"", "2026-06-01T00:00:00Z");
    let app = TestApp::start(setup).await;
    assert_eq!(app.run("delta").await.promoted.as_deref(), Some("first_run"));
    clock.advance(TimeDelta::days(6));
    assert_eq!(app.run("delta").await.mode, Mode::Delta);
    // Older than the overlap: no delta would see it.
    app.warehouse(
        "update predictions set churn = 0.9, updated_at = '2026-01-02T00:00:00Z' where customer_id = 'c-2'",
    );
    clock.advance(TimeDelta::days(1));
    let full = app.run("delta").await;
    assert_eq!((full.promoted.as_deref(), full.tally.accepted), (Some("full_every"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_sent_long_ago_go_again_spread_over_the_period() {
    let (mut setup, clock) = scheduled("stale_after = \"26h\"", "2026-06-01T00:00:00Z");
    setup.seed = Setup::customers(200).seed;
    setup.sync = "resend_every = \"30d\"".to_owned();
    let app = TestApp::start(setup).await;
    app.run("full").await;
    let mut again = 0;
    for _ in 0..58 {
        clock.advance(TimeDelta::days(1));
        let run = app.run("full").await;
        assert!(run.tally.accepted < 40, "{} in one day", run.tally.accepted);
        again += run.tally.accepted;
    }
    assert!((200..=240).contains(&again), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_sync_is_unblocked_by_the_next_delivery() {
    let app = TestApp::start(Setup::customers(10)).await;
    app.braze.rule(Rule::new(Answer::Status { status: 403 }));
    assert_eq!(app.deliver_and_finish("evt-1").await.error.expect("why").code, "braze_forbidden");
    app.braze.clear_rules();
    assert_eq!(app.deliver_and_finish("evt-2").await.state, RunState::Succeeded);
    assert_eq!(app.sync_state().await["blocked"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_disturbs_no_run() {
    let (mut setup, clock) = scheduled("stale_after = \"26h\"", "2026-06-01T00:00:00Z");
    setup.ledger = "lease_secs = 2".to_owned();
    setup.destination = "request_timeout_secs = 1".to_owned();
    let app = TestApp::start(setup).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("jump").times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    clock.advance(TimeDelta::days(3650));
    // Its bell makes the worker look through the queue after the jump.
    let next = app.trigger(&json!({})).await;
    assert_ne!(next, id);
    clock.advance(TimeDelta::days(-7300));
    app.braze.release("jump");
    let run = app.finished(id).await;
    assert_eq!((run.state, run.attempt, run.tally.accepted), (RunState::Succeeded, 1, 3));
    assert_eq!(app.finished(next).await.state, RunState::Succeeded);
}
