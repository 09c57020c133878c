//! What is told outside: written with what it tells of, claimed by one, and gone once delivered.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use peak_braze::config::NotifyEvent;
use peak_braze::ledger::{Backlog, Finish, Ledger, LedgerError, Notice, Subscriber};
use peak_braze::run::{Mode, Occasion, RunError, RunState};

use super::{SYNC, Time, checkpoint, claim, ending, finish, is_lost, queue, start};

const HOOK: &str = "hook";

fn subscriber(receiver: &str, on: &[NotifyEvent]) -> Subscriber {
    Subscriber { receiver: receiver.to_owned(), on: on.to_vec(), syncs: None }
}

/// A receiver that is told everything.
fn all() -> Subscriber {
    subscriber(HOOK, &NotifyEvent::ALL)
}

async fn run(ledger: &Ledger, state: RunState) {
    queue(ledger, Mode::Delta).await;
    finish(ledger, claim(ledger).await, state).await;
}

async fn claimed(ledger: &Ledger, receiver: &str) -> Vec<Notice> {
    ledger.claim_notices(receiver, 100, &[]).await.expect("claimed")
}

/// Delivers everything due, and says of which events it told.
async fn told(ledger: &Ledger) -> Vec<NotifyEvent> {
    let notices = claimed(ledger, HOOK).await;
    for notice in &notices {
        ledger.settle_notice(notice).await.expect("settled");
    }
    notices.iter().map(|notice| notice.event).collect()
}

async fn pending(ledger: &Ledger) -> u64 {
    ledger.backlog().await.expect("counted").pending
}

fn blocking() -> Finish {
    let error = RunError { code: "braze_forbidden".into(), message: "no".into(), retryable: false };
    Finish { error: Some(error), blocks: true, ..ending(RunState::Failed) }
}

fn moving(hours: i64) -> Finish {
    let mut sent = checkpoint(3);
    sent.tally.requests = 1;
    let watermark = Some(start() + TimeDelta::hours(hours));
    Finish { watermark, checkpoint: Some(sent), ..ending(RunState::Succeeded) }
}

async fn end(ledger: &Ledger, end: Finish) {
    queue(ledger, Mode::Delta).await;
    ledger.finish(claim(ledger).await, end).await.expect("finished");
}

pub async fn an_outcome_and_its_notice_are_one(ledger: &Ledger, time: &Time) {
    ledger.subscribe(vec![all()]);
    let id = queue(ledger, Mode::Delta).await;
    let lease = claim(ledger).await;
    finish(ledger, lease.clone(), RunState::Partial).await;
    // The commit failed to say so, and the end is written again; or another end is tried.
    finish(ledger, lease.clone(), RunState::Partial).await;
    assert!(is_lost(ledger.finish(lease, ending(RunState::Failed)).await));
    let notices = claimed(ledger, HOOK).await;
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((notice.event, notice.at, notice.tries), (NotifyEvent::Partial, time.now(), 1));
    let Occasion::Run(run) = &notice.occasion else { panic!("{notice:?}") };
    assert_eq!((run.id, run.state, run.tally), (id, RunState::Partial, checkpoint(3).tally));
    assert_eq!(run.finished_at, Some(time.now()));
}

pub async fn plans_and_cancelled_runs_are_not_told(ledger: &Ledger, _: &Time) {
    ledger.subscribe(vec![all()]);
    run(ledger, RunState::Cancelled).await;
    queue(ledger, Mode::Plan).await;
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    assert_eq!(pending(ledger).await, 0);
}

pub async fn everybody_is_told_what_they_asked_for(ledger: &Ledger, _: &Time) {
    let of = |syncs: &str| Some(vec![syncs.to_owned()]);
    ledger.subscribe(vec![
        all(),
        subscriber("failures", &[NotifyEvent::Failed]),
        Subscriber { syncs: of(SYNC), ..subscriber("this", &[NotifyEvent::Succeeded]) },
        Subscriber { syncs: of("another"), ..subscriber("other", &[NotifyEvent::Succeeded]) },
    ]);
    run(ledger, RunState::Succeeded).await;
    let receivers: Vec<String> = ["failures", "this", "other", HOOK].map(str::to_owned).to_vec();
    let mut due = ledger.due_receivers(&receivers).await.expect("a look");
    due.sort();
    assert_eq!(due, [HOOK, "this"]);
    let (one, other) = (claimed(ledger, HOOK).await, claimed(ledger, "this").await);
    assert_ne!(one[0].id, other[0].id, "each receiver's delivery has an id of its own");
    ledger.subscribe(Vec::new());
    run(ledger, RunState::Succeeded).await;
    assert_eq!(pending(ledger).await, 2, "nobody asks any more");
}

pub async fn a_notice_is_claimed_by_one(ledger: &Ledger, _: &Time) {
    ledger.subscribe(vec![subscriber(HOOK, &[NotifyEvent::Succeeded])]);
    for _ in 0..20 {
        run(ledger, RunState::Succeeded).await;
    }
    let looks = join_all((0..8).map(|_| ledger.claim_notices(HOOK, 4, &[]))).await;
    let mut ids: Vec<_> =
        looks.into_iter().flat_map(|notices| notices.expect("a look")).map(|notice| notice.id).collect();
    ids.extend(claimed(ledger, HOOK).await.iter().map(|notice| notice.id));
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (20, 20));
}

pub async fn a_notice_comes_round_again_with_its_id(ledger: &Ledger, time: &Time) {
    ledger.subscribe(vec![all()]);
    run(ledger, RunState::Succeeded).await;
    let first = claimed(ledger, HOOK).await.remove(0);
    assert!(claimed(ledger, HOOK).await.is_empty(), "somebody has it");
    time.advance(TimeDelta::seconds(61)).await;
    let beside = ledger.claim_notices(HOOK, 9, &[first.number]).await.expect("a look");
    assert!(beside.is_empty(), "this process has it under way, whatever the clock says");
    // Whoever had it is gone.
    let second = claimed(ledger, HOOK).await.remove(0);
    assert_eq!((second.id, second.at, second.tries), (first.id, first.at, 2));
    // And comes back late: the wait it wants is no longer its business.
    ledger.postpone_notice(&first, TimeDelta::zero()).await.expect("nothing done");
    assert!(claimed(ledger, HOOK).await.is_empty());
    ledger.postpone_notice(&second, TimeDelta::minutes(5)).await.expect("postponed");
    time.advance(TimeDelta::minutes(5) - TimeDelta::seconds(1)).await;
    assert!(claimed(ledger, HOOK).await.is_empty());
    time.advance(TimeDelta::seconds(1)).await;
    assert_eq!(told(ledger).await, [NotifyEvent::Succeeded]);
    assert_eq!(ledger.backlog().await.expect("counted"), Backlog::default());
}

pub async fn a_standstill_is_told_once_until_it_is_over(ledger: &Ledger, time: &Time) {
    let day = Duration::from_secs(86_400);
    let look = || async { join_all((0..4).map(|_| ledger.note_staleness(SYNC, day))).await };
    let looked = async || look().await.into_iter().collect::<Result<Vec<()>, LedgerError>>().expect("a look");
    ledger.subscribe(vec![subscriber(HOOK, &[NotifyEvent::Stale, NotifyEvent::Recovered])]);
    looked().await;
    end(ledger, moving(0)).await;
    let moved_at = time.now();
    time.advance(TimeDelta::days(1)).await;
    looked().await;
    assert_eq!(pending(ledger).await, 0, "a day is allowed");
    for _ in 0..2 {
        time.advance(TimeDelta::seconds(1)).await;
        looked().await;
    }
    let notices = claimed(ledger, HOOK).await;
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    let Occasion::Standstill(standstill) = &notice.occasion else { panic!("{notice:?}") };
    assert_eq!((standstill.watermark, standstill.watermark_moved_at), (Some(start()), moved_at));
    assert_eq!((standstill.sync.as_str(), standstill.stale_after_secs), (SYNC, 86_400));
    ledger.settle_notice(notice).await.expect("settled");
    // A success that finds nothing new is no recovery.
    end(ledger, moving(0)).await;
    looked().await;
    assert_eq!(told(ledger).await, []);
    end(ledger, moving(1)).await;
    looked().await;
    assert_eq!(told(ledger).await, [NotifyEvent::Recovered]);
    time.advance(TimeDelta::days(2)).await;
    looked().await;
    assert_eq!(told(ledger).await, [NotifyEvent::Stale]);
    // With more patience it is fresh, and stale anew where that ends.
    for (days, expected) in [(9, &[][..]), (1, &[NotifyEvent::Stale])] {
        ledger.note_staleness(SYNC, day * days).await.expect("a look");
        assert_eq!(told(ledger).await, expected);
    }
}

pub async fn trouble_begins_and_ends_once(ledger: &Ledger, _: &Time) {
    use NotifyEvent::{Blocked, Failed, Partial, Recovered, Succeeded};
    ledger.subscribe(vec![all()]);
    for (ends, expected) in [
        (moving(1), &[Succeeded][..]),
        (blocking(), &[Failed, Blocked]),
        (blocking(), &[Failed]),
        // Nothing was sent: nobody knows of the key.
        (ending(RunState::Succeeded), &[Succeeded]),
        (moving(2), &[Succeeded, Recovered]),
        (ending(RunState::Partial), &[Partial]),
        (ending(RunState::Cancelled), &[]),
        (ending(RunState::Succeeded), &[Succeeded, Recovered]),
        (ending(RunState::Succeeded), &[Succeeded]),
    ] {
        end(ledger, ends).await;
        assert_eq!(told(ledger).await, expected);
    }
}

pub async fn a_wait_set_by_a_clock_that_was_ahead_is_over(ledger: &Ledger, time: &Time) {
    ledger.subscribe(vec![all()]);
    time.advance(TimeDelta::days(2)).await;
    run(ledger, RunState::Succeeded).await;
    let notice = claimed(ledger, HOOK).await.remove(0);
    ledger.postpone_notice(&notice, TimeDelta::hours(26)).await.expect("postponed");
    ledger.sweep_notices(&[HOOK.to_owned()]).await.expect("swept");
    assert!(claimed(ledger, HOOK).await.is_empty(), "a wait of the schedule's own stands");
    time.set(start()).await;
    ledger.sweep_notices(&[HOOK.to_owned()]).await.expect("swept");
    assert_eq!(told(ledger).await, [NotifyEvent::Succeeded]);
}

pub async fn what_nobody_will_be_told_goes(ledger: &Ledger, time: &Time) {
    ledger.subscribe(vec![all(), subscriber("gone", &[NotifyEvent::Succeeded])]);
    let both = [HOOK.to_owned(), "gone".to_owned()];
    run(ledger, RunState::Succeeded).await;
    assert_eq!(ledger.sweep_notices(&both).await.expect("swept"), []);
    // This process has it no more, but another one may, for all it knows.
    time.advance(TimeDelta::minutes(59)).await;
    assert_eq!(ledger.sweep_notices(&both[..1]).await.expect("swept"), []);
    time.advance(TimeDelta::minutes(2)).await;
    assert_eq!(ledger.sweep_notices(&both[..1]).await.expect("swept"), [NotifyEvent::Succeeded]);
    assert_eq!((pending(ledger).await, claimed(ledger, HOOK).await.len()), (1, 1));
    // The beds keep 7 days.
    time.advance(TimeDelta::days(6)).await;
    assert_eq!(ledger.sweep_notices(&both[..1]).await.expect("swept"), []);
    time.advance(TimeDelta::days(1)).await;
    assert_eq!(ledger.sweep_notices(&both[..1]).await.expect("swept"), [NotifyEvent::Succeeded]);
    assert_eq!(pending(ledger).await, 0);
}

pub async fn a_receiver_that_another_process_was_just_given_is_told(ledger: &Ledger, time: &Time) {
    ledger.subscribe(vec![subscriber("new", &[NotifyEvent::Succeeded])]);
    run(ledger, RunState::Succeeded).await;
    let old = [HOOK.to_owned()];
    for minutes in [0, 60] {
        time.advance(TimeDelta::minutes(minutes)).await;
        assert_eq!(ledger.sweep_notices(&old).await.expect("swept"), []);
    }
    time.advance(TimeDelta::seconds(1)).await;
    assert_eq!(ledger.sweep_notices(&old).await.expect("swept"), [NotifyEvent::Succeeded]);
}
