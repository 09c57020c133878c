//! How runs end: the watermark moves last and forward only, and what is finished stays as it is.

use chrono::TimeDelta;
use futures_util::future::join_all;
use peak_braze::ledger::{Finish, Ledger, LedgerError, NewDelivery, Recorded, SyncState};
use peak_braze::run::{Mode, RunError, RunState, Window};

use super::{
    SYNC, Time, checkpoint, claim, deliver, delivery, ending, finish, is_lost, queue, start, state, try_claim,
};

async fn known(ledger: &Ledger) -> SyncState {
    ledger.sync_state(SYNC).await.expect("a ledger")
}

pub async fn the_watermark_never_goes_back(ledger: &Ledger, time: &Time) {
    let before_1970 = "1960-01-01T00:00:00Z".parse().expect("a time");
    let hour = TimeDelta::hours(1);
    let mut moved_at = None;
    for (to, stands) in [
        (Some(before_1970), before_1970),
        (Some(start()), start()),
        (Some(start() - hour), start()),
        (None, start()),
        (Some(start() + hour), start() + hour),
    ] {
        queue(ledger, Mode::Delta).await;
        time.advance(TimeDelta::minutes(1)).await;
        let moves = to == Some(stands);
        let end = Finish { watermark: to, ..ending(RunState::Succeeded) };
        ledger.finish(claim(ledger).await, end).await.expect("finished");
        moved_at = if moves { Some(time.now()) } else { moved_at };
        let known = known(ledger).await;
        assert_eq!((known.watermark, known.watermark_moved_at), (Some(stands), moved_at));
    }
    assert_eq!(known(ledger).await.fingerprint.as_deref(), Some("braze:1"));
}

pub async fn a_run_without_a_watermark_reaches_nowhere(ledger: &Ledger, _: &Time) {
    let ceiling = start() + TimeDelta::hours(1);
    for (mode, end, up_to) in [
        (Mode::Delta, ending(RunState::Succeeded), None),
        (Mode::Delta, Finish { watermark: Some(start()), ..ending(RunState::Partial) }, Some(start())),
        (Mode::Delta, ending(RunState::Failed), Some(ceiling)),
        (Mode::Plan, ending(RunState::Succeeded), Some(ceiling)),
    ] {
        let id = queue(ledger, mode).await;
        let lease = claim(ledger).await;
        let window = Window { after: None, up_to: Some(ceiling) };
        ledger.show_progress(&lease, lease.run.progress, Some(window), None).await.expect("shown");
        ledger.finish(lease, end).await.expect("finished");
        assert_eq!(ledger.run(id).await.expect("a ledger").expect("a run").window.up_to, up_to);
    }
}

pub async fn a_failed_run_moves_nothing(ledger: &Ledger, _: &Time) {
    for failed in [RunState::Failed, RunState::Cancelled] {
        let id = queue(ledger, Mode::Full).await;
        let end = Finish { watermark: Some(start()), was_full: true, ..ending(failed) };
        ledger.finish(claim(ledger).await, end).await.expect("finished");
        assert_eq!((known(ledger).await, state(ledger, id).await), (SyncState::default(), failed));
    }
}

pub async fn a_plan_changes_nothing_but_itself(ledger: &Ledger, _: &Time) {
    queue(ledger, Mode::Delta).await;
    let error = RunError { code: "braze_unauthorized".into(), message: "no".into(), retryable: false };
    let blocked = Finish { error: Some(error), blocks: true, ..ending(RunState::Failed) };
    ledger.finish(claim(ledger).await, blocked).await.expect("finished");
    let before = known(ledger).await;
    let id = queue(ledger, Mode::Plan).await;
    let end = Finish { watermark: Some(start()), was_full: true, ..ending(RunState::Succeeded) };
    ledger.finish(claim(ledger).await, end).await.expect("finished");
    assert_eq!((known(ledger).await, state(ledger, id).await), (before, RunState::Succeeded));
}

pub async fn a_blocked_sync_is_freed_by_a_success(ledger: &Ledger, time: &Time) {
    let since = time.now();
    for _ in 0..2 {
        queue(ledger, Mode::Delta).await;
        let error = RunError { code: "braze_forbidden".into(), message: "no".into(), retryable: false };
        let end = Finish { error: Some(error), blocks: true, ..ending(RunState::Failed) };
        ledger.finish(claim(ledger).await, end).await.expect("finished");
        time.advance(TimeDelta::minutes(5)).await;
        let blocked = known(ledger).await.blocked.expect("blocked");
        assert_eq!((blocked.code.as_str(), blocked.since), ("braze_forbidden", since));
    }
    queue(ledger, Mode::Delta).await;
    let lease = try_claim(ledger).await.expect("a delivery or trigger tries at once");
    finish(ledger, lease, RunState::Succeeded).await;
    assert!(known(ledger).await.blocked.is_some(), "nothing was sent, so nothing is known of the key");
    queue(ledger, Mode::Delta).await;
    let mut sent = checkpoint(3);
    sent.tally.requests = 1;
    let end = Finish { checkpoint: Some(sent), ..ending(RunState::Partial) };
    ledger.finish(claim(ledger).await, end).await.expect("finished");
    assert_eq!(known(ledger).await.blocked, None);
    assert!(!ledger.unblock(SYNC).await.expect("a ledger"));
}

pub async fn a_finished_run_never_changes(ledger: &Ledger, time: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    let mut lease = claim(ledger).await;
    let unfinished = ledger.finish(lease.clone(), ending(RunState::Waiting)).await;
    assert!(matches!(unfinished, Err(LedgerError::WrongState { .. })));
    finish(ledger, lease.clone(), RunState::Succeeded).await;
    let run = ledger.run(id).await.expect("a ledger").expect("a run");
    assert_eq!((run.state, run.tally), (RunState::Succeeded, checkpoint(3).tally));
    time.advance(TimeDelta::hours(1)).await;
    assert!(is_lost(ledger.finish(lease.clone(), ending(RunState::Failed)).await));
    assert!(is_lost(ledger.release(lease.clone(), None, false, None).await));
    assert!(is_lost(ledger.heartbeat(&mut lease).await));
    assert!(ledger.cancel(id).await.is_err());
    deliver(ledger, "evt-1").await;
    assert_eq!(ledger.run(id).await.expect("a ledger").expect("a run"), run);
}

pub async fn a_request_to_cancel_that_came_first_is_the_end(ledger: &Ledger, _: &Time) {
    let id = queue(ledger, Mode::Delta).await;
    let lease = claim(ledger).await;
    ledger.cancel(id).await.expect("asked");
    let end = Finish { watermark: Some(start()), ..ending(RunState::Succeeded) };
    // The second time as if the commit had failed to say so.
    for _ in 0..2 {
        let recorded = ledger.finish(lease.clone(), end.clone()).await.expect("finished");
        let code = recorded.error.map(|error| error.code);
        assert_eq!((recorded.state, code.as_deref()), (RunState::Cancelled, Some("cancelled")));
        assert_eq!(recorded.watermark, None);
    }
    assert_eq!((known(ledger).await, state(ledger, id).await), (SyncState::default(), RunState::Cancelled));
}

pub async fn pruning_keeps_what_is_still_needed(ledger: &Ledger, time: &Time) {
    let old = deliver(ledger, "evt-1").await;
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    let quiet = queue(ledger, Mode::Delta).await;
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    let open = queue(ledger, Mode::Delta).await;
    // The beds keep 7 days; a delivery's id is known for 30 all the same, and with it the run it names.
    time.advance(TimeDelta::days(29)).await;
    ledger.prune().await.expect("pruned");
    let run = async |id| ledger.run(id).await.expect("a ledger");
    assert!(run(quiet).await.is_none() && run(old).await.is_some() && run(open).await.is_some());
    let again = ledger.record_delivery(delivery("evt-1", 1)).await.expect("recorded");
    assert!(matches!(again, Recorded::Duplicate { run: Some((id, RunState::Succeeded)), .. } if id == old));
    time.advance(TimeDelta::days(2)).await;
    let pruned = ledger.prune().await.expect("pruned");
    assert!(pruned.rows >= 2, "{pruned:?}");
    assert!(run(old).await.is_none() && run(open).await.is_some());
    assert_eq!(ledger.prune().await.expect("pruned").rows, 0);
}

pub async fn pruning_goes_in_steps_to_the_end(ledger: &Ledger, time: &Time) {
    let ids: Vec<String> = (0..4_500).map(|number| format!("evt-{number}")).collect();
    for some in ids.chunks(4_000) {
        for one in join_all(some.iter().map(|id| ledger.record_delivery(delivery(id, 1)))).await {
            one.expect("recorded");
        }
    }
    let open = queue(ledger, Mode::Delta).await;
    time.advance(TimeDelta::days(31)).await;
    let pruned = ledger.prune().await.expect("pruned");
    assert_eq!(pruned.rows, 4_500, "more than two steps of deliveries");
    assert_eq!(ledger.deliveries(None, 9, None).await.expect("a list").items.len(), 0);
    assert_eq!(state(ledger, open).await, RunState::Queued, "what is queued stays");
}

pub async fn an_id_that_comes_again_after_pruning_is_listed_with_its_new_run(ledger: &Ledger, time: &Time) {
    let at = |days| start() + TimeDelta::days(days);
    let again = async |days| {
        let again = NewDelivery { received_at: at(days), ..delivery("evt-1", 1) };
        ledger.record_delivery(again).await.expect("recorded")
    };
    let first = deliver(ledger, "evt-1").await;
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    assert!(matches!(again(20).await, Recorded::Duplicate { run: Some((id, _)), .. } if id == first));
    time.set(at(31)).await;
    ledger.prune().await.expect("pruned");
    let Recorded::Accepted { run_id: second, .. } = again(31).await else { panic!("forgotten by then") };
    assert!(matches!(again(31).await, Recorded::Duplicate { run: Some((id, _)), .. } if id == second));
    let lines = ledger.deliveries(None, 9, None).await.expect("a list").items;
    assert!(lines.iter().all(|line| line.run_id == Some(second)), "{lines:?}");
}
