//! Claims: one holder at a time, and whoever lost it changes nothing.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::future::join_all;
use peak_braze::ledger::{Group, Lease, Ledger};
use peak_braze::run::{Forecast, Mode, Phase, Progress, RunError, RunState};

use super::{
    SYNC, Time, checkpoint, claim, ending, finish, is_lost, outlast_the_lease, queue, state, try_claim,
};

pub async fn two_workers_never_have_the_same_run(ledger: &Ledger, _: &Time) {
    for _ in 0..10 {
        queue(ledger, Mode::Delta).await;
        let claims = join_all((0..8).map(|_| try_claim(ledger))).await;
        let mut leases: Vec<Lease> = claims.into_iter().flatten().collect();
        assert_eq!(leases.len(), 1);
        finish(ledger, leases.remove(0), RunState::Succeeded).await;
    }
}

pub async fn a_lost_lease_changes_nothing(ledger: &Ledger, time: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    let mut old = claim(ledger).await;
    let target = ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    let mark = ledger.mark_in_flight(&old, target, &["c-1"]).await.expect("marked");
    outlast_the_lease(time).await;
    let new = claim(ledger).await;
    assert!(new.epoch > old.epoch);
    let before = ledger.run(id).await.expect("a ledger").expect("a run");

    let progress = Progress { done: 99, ..Progress::default() };
    assert!(is_lost(ledger.heartbeat(&mut old).await));
    assert!(is_lost(ledger.show_progress(&old, progress, None, Some("first_run")).await));
    assert!(is_lost(ledger.show_waiting(&old, Phase::Settling, Some(time.now())).await));
    assert!(is_lost(ledger.mark_in_flight(&old, target, &["c-2"]).await));
    assert!(is_lost(ledger.doubt_in_flight(&old, target).await));
    let stale = checkpoint(9);
    let group = Group {
        in_flight: Some(mark),
        sent: Vec::new(),
        rejections: Vec::new(),
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &stale,
        progress,
        sent_at: Some(time.now()),
    };
    assert!(is_lost(ledger.record_group(&old, target, group).await));
    assert!(is_lost(ledger.release(old.clone(), None, true, None).await));
    assert!(is_lost(ledger.finish(old, ending(RunState::Succeeded)).await));

    assert_eq!(ledger.run(id).await.expect("a ledger").expect("a run"), before);
    assert_eq!(ledger.sync_state(SYNC).await.expect("a ledger").last_sent, None);
    let doubted = ledger.doubt_in_flight(&new, target).await.expect("the holder's");
    assert!(doubted.is_some(), "the mark is still there");
    assert_eq!(ledger.flagged(target, 9).await.expect("a list"), ["c-1"], "and is the only one");
    finish(ledger, new, RunState::Succeeded).await;
}

pub async fn a_lost_plan_records_nothing(ledger: &Ledger, time: &Time) {
    let forecast = |changed| Forecast {
        mode: Mode::Delta,
        promoted: None,
        customers: changed,
        unchanged: 0,
        changed,
        invalid: 0,
        data_points: changed,
        by_attribute: BTreeMap::new(),
        requests: 1,
        bytes: 1,
        budget_secs: 0.0,
    };
    let id = queue(ledger, Mode::Plan).await;
    let old = claim(ledger).await;
    outlast_the_lease(time).await;
    let new = claim(ledger).await;
    ledger.record_plan(&new, &forecast(1)).await.expect("recorded");
    assert!(is_lost(ledger.record_plan(&old, &forecast(9)).await));
    let run = ledger.run(id).await.expect("a ledger").expect("a run");
    assert_eq!(run.plan.map(|plan| plan.changed), Some(1));
}

pub async fn an_expired_lease_is_claimed_anew_and_goes_on(ledger: &Ledger, time: &Time) {
    queue(ledger, Mode::Delta).await;
    let mut lease = claim(ledger).await;
    assert!(!lease.expires.has_passed());
    assert!(try_claim(ledger).await.is_none(), "while it lasts");
    time.advance(TimeDelta::seconds(15)).await;
    let expires = lease.expires;
    ledger.heartbeat(&mut lease).await.expect("renewed");
    assert!(lease.expires >= expires);
    time.advance(TimeDelta::seconds(15)).await;
    assert!(try_claim(ledger).await.is_none(), "the heartbeat renewed it");
    let kept = checkpoint(7);
    let group = Group {
        in_flight: None,
        sent: Vec::new(),
        rejections: Vec::new(),
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &kept,
        progress: Progress::default(),
        sent_at: None,
    };
    ledger.record_group(&lease, 1, group).await.expect("recorded");
    outlast_the_lease(time).await;
    let next = claim(ledger).await;
    assert_eq!((next.run.attempt, next.checkpoint), (2, Some(kept)));
    assert_eq!(next.run.started_at, lease.run.started_at, "when it was first claimed");
}

pub async fn a_run_given_back_waits_until_it_is_due(ledger: &Ledger, time: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    let due = time.now() + TimeDelta::minutes(5);
    let error = RunError { code: "source_unreachable".into(), message: "no".into(), retryable: true };
    ledger.release(claim(ledger).await, Some(due), false, Some(error.clone())).await.expect("given back");
    let run = ledger.run(id).await.expect("a ledger").expect("a run");
    assert_eq!((run.state, run.throttled_until, run.error), (RunState::Waiting, Some(due), Some(error)));
    let follow_up = queue(ledger, Mode::Delta).await;
    assert_ne!(follow_up, id, "a run that was claimed is not joined");
    assert!(try_claim(ledger).await.is_none(), "and the follow-up stays behind it");
    time.set(due).await;
    let lease = claim(ledger).await;
    assert_eq!((lease.run.id, lease.run.attempt, lease.run.throttled_until), (id, 2, None));
    finish(ledger, lease, RunState::Succeeded).await;
    assert_eq!(claim(ledger).await.run.id, follow_up);
}

pub async fn the_fifth_crash_ends_the_run(ledger: &Ledger, time: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    for attempt in 1..=5 {
        let lease = claim(ledger).await;
        assert_eq!(lease.run.attempt, attempt);
        match attempt % 2 {
            0 => ledger.release(lease, None, true, None).await.expect("given back"),
            _ => outlast_the_lease(time).await,
        }
    }
    let follow_up = queue(ledger, Mode::Delta).await;
    let next = claim(ledger).await;
    assert_eq!(next.run.id, follow_up, "the sync goes on");
    let run = ledger.run(id).await.expect("a ledger").expect("a run");
    assert_eq!((run.state, run.error.expect("why").code.as_str()), (RunState::Failed, "crashed"));
    assert_eq!(ledger.sync_state(SYNC).await.expect("a ledger").watermark, None);
}

pub async fn waits_and_clean_stops_are_no_crashes(ledger: &Ledger, _: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    for _ in 0..12 {
        ledger.release(claim(ledger).await, None, false, None).await.expect("given back");
    }
    let lease = claim(ledger).await;
    assert_eq!((lease.run.id, lease.run.attempt), (id, 13));
    assert_eq!(state(ledger, id).await, RunState::Running);
}

pub async fn a_request_to_cancel_is_heard_with_the_heartbeat(ledger: &Ledger, time: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    let mut lease = claim(ledger).await;
    ledger.heartbeat(&mut lease).await.expect("renewed");
    assert!(!lease.cancel_requested);
    assert_eq!(ledger.cancel(id).await.expect("asked"), RunState::Running);
    ledger.heartbeat(&mut lease).await.expect("renewed");
    assert!(lease.cancel_requested);
    outlast_the_lease(time).await;
    assert!(claim(ledger).await.cancel_requested, "the next attempt hears it too");
}
