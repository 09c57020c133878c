//! The queue: one queued and one active run per sync, joined until claimed and never after.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use futures_util::future::{FutureExt, join, join_all};
use peak_braze::ledger::{Ledger, LedgerError, NewRun, RunFilter};
use peak_braze::run::{Mode, Run, RunId, RunState};

use super::{SYNC, Time, claim, deliver, finish, keyed, new_run, queue, start, state, try_claim};

pub async fn triggers_join_the_queued_run_and_widen_it(ledger: &Ledger, _: &Time) {
    let first = ledger.enqueue(new_run(Mode::Delta)).await.expect("queued");
    assert!(!first.coalesced);
    for (mode, widened) in [(Mode::Full, Mode::Full), (Mode::Delta, Mode::Full), (Mode::Force, Mode::Force)] {
        let joined = ledger.enqueue(new_run(mode)).await.expect("joined");
        assert_eq!((joined.run_id, joined.coalesced), (first.run_id, true));
        let run = ledger.run(first.run_id).await.expect("a ledger").expect("a run");
        assert_eq!(run.mode, widened);
    }
    assert_eq!(deliver(ledger, "evt-1").await, first.run_id);
    let lease = claim(ledger).await;
    assert_eq!((lease.run.id, lease.run.mode), (first.run_id, Mode::Force));
    assert_ne!(queue(ledger, Mode::Delta).await, first.run_id, "a follow-up");
}

pub async fn chosen_customers_gather_and_survive_a_retrigger(ledger: &Ledger, _: &Time) {
    let chosen = |ids: &[&str]| NewRun {
        customers: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..new_run(Mode::Force)
    };
    ledger.enqueue(chosen(&["a", "b"])).await.expect("queued");
    let first = ledger.enqueue(chosen(&["b", "c"])).await.expect("joined").run_id;
    let lease = claim(ledger).await;
    let (mode, customers) = (lease.run.mode, lease.customers.clone());
    assert_eq!((mode, customers), (Mode::Force, Some(vec!["a".into(), "b".into(), "c".into()])));
    finish(ledger, lease, RunState::Succeeded).await;

    ledger.retrigger(first, None, None).await.expect("queued");
    let again = claim(ledger).await;
    assert_eq!(again.run.trigger.retrigger_of, Some(first));
    assert_eq!(again.customers.as_ref().map(Vec::len), Some(3), "not everybody");
    ledger.enqueue(chosen(&["d"])).await.expect("queued");
    queue(ledger, Mode::Delta).await;
    ledger.cancel(again.run.id).await.expect("asked");
    finish(ledger, again, RunState::Cancelled).await;
    let both = claim(ledger).await;
    assert_eq!((both.run.mode, &both.customers), (Mode::Delta, &Some(vec!["d".to_owned()])));
    let delta = both.run.id;
    finish(ledger, both, RunState::Succeeded).await;
    ledger.retrigger(delta, None, None).await.expect("queued");
    assert_eq!(claim(ledger).await.customers, None, "who repeats a delta forces nobody");
    let unknown = RunId::new(start());
    let missing = ledger.retrigger(unknown, None, None).await;
    assert!(matches!(missing, Err(LedgerError::NoSuchRun(id)) if id == unknown));
}

pub async fn workers_are_rung_for_a_new_run_and_not_when_one_is_joined(ledger: &Ledger, _: &Time) {
    let wake = ledger.wake();
    let rings = async |id: &str| {
        let rung = wake.notified();
        deliver(ledger, id).await;
        rung.now_or_never().is_some()
    };
    assert!(rings("evt-1").await);
    let mut joined = 0;
    for id in ["evt-2", "evt-3", "evt-4"] {
        joined += u32::from(rings(id).await);
    }
    // Who listens for other replicas rings once when it begins to, which may be now.
    assert!(joined <= 1, "{joined} of 3 rang");
    claim(ledger).await;
    assert!(rings("evt-5").await, "a follow-up");
}

pub async fn nothing_joins_a_run_that_was_claimed(ledger: &Ledger, _: &Time) {
    for round in 0..20 {
        let queued = queue(ledger, Mode::Delta).await;
        let (lease, joined) = join(try_claim(ledger), ledger.enqueue(new_run(Mode::Full))).await;
        let (lease, joined) = (lease.expect("claimed"), joined.expect("queued"));
        assert_eq!(lease.run.id, queued);
        if joined.run_id == queued {
            assert_eq!(lease.run.mode, Mode::Full, "round {round}: joined, so claimed with what joined");
            finish(ledger, lease, RunState::Succeeded).await;
        } else {
            assert_eq!(lease.run.mode, Mode::Delta, "round {round}: claimed first, so not widened");
            finish(ledger, lease, RunState::Succeeded).await;
            finish(ledger, claim(ledger).await, RunState::Succeeded).await;
        }
        assert!(try_claim(ledger).await.is_none());
    }
}

/// Callbacks and triggers on threads of their own, each with what it was told: (delivery, run, mode at least).
async fn ask_on(ledger: Ledger, who: u32) -> Vec<(Option<String>, RunId, Mode)> {
    let mut told = Vec::new();
    for number in 0..20 {
        let id = format!("evt-{who}-{number}");
        told.push(match who % 2 {
            0 => {
                let run = deliver(&ledger, &id).await;
                (Some(id), run, Mode::Delta)
            }
            _ => (None, queue(&ledger, Mode::Full).await, Mode::Full),
        });
        tokio::task::yield_now().await;
    }
    told
}

/// Claims and finishes until nobody asks any more and nothing is left. What it claimed, as it was when claimed.
async fn work_on(ledger: Ledger, asking: Arc<AtomicBool>) -> Vec<Run> {
    let mut claimed = Vec::new();
    loop {
        let was_asking = asking.load(Ordering::SeqCst);
        let Some(lease) = try_claim(&ledger).await else {
            if !was_asking {
                return claimed;
            }
            tokio::task::yield_now().await;
            continue;
        };
        claimed.push(lease.run.clone());
        finish(&ledger, lease, RunState::Succeeded).await;
    }
}

pub async fn whoever_joined_in_a_race_is_covered_by_the_claim(ledger: &Ledger, _: &Time) {
    let asking = Arc::new(AtomicBool::new(true));
    let workers: Vec<_> = (0..3).map(|_| tokio::spawn(work_on(ledger.clone(), asking.clone()))).collect();
    let callers: Vec<_> = (0..6).map(|who| tokio::spawn(ask_on(ledger.clone(), who))).collect();
    let mut told = Vec::new();
    for caller in callers {
        told.extend(caller.await.expect("no panic"));
    }
    asking.store(false, Ordering::SeqCst);
    let mut claimed = HashMap::new();
    for worker in workers {
        for run in worker.await.expect("no panic") {
            assert!(claimed.insert(run.id, run).is_none(), "a run was claimed twice");
        }
    }
    for (delivery, run, mode) in told {
        let run = claimed.get(&run).expect("every run that answers for somebody was claimed");
        assert!(run.mode >= mode, "joined after the claim: {run:?}");
        assert!(delivery.is_none_or(|id| run.trigger.deliveries.contains(&id)), "joined after the claim");
    }
}

pub async fn plans_stand_outside_the_queue(ledger: &Ledger, _: &Time) {
    let delta = queue(ledger, Mode::Delta).await;
    let plan = ledger.enqueue(new_run(Mode::Plan)).await.expect("queued");
    assert!(!plan.coalesced && plan.run_id != delta);
    let active = claim(ledger).await;
    let planning = claim(ledger).await;
    assert_eq!((active.run.id, planning.run.id), (delta, plan.run_id), "beside the active run");
    let again = ledger.enqueue(new_run(Mode::Plan)).await.expect("found");
    assert_eq!((again.run_id, again.state, again.coalesced), (plan.run_id, RunState::Running, true));
    assert_ne!(deliver(ledger, "evt-1").await, plan.run_id);
    finish(ledger, planning, RunState::Succeeded).await;
    assert_ne!(queue(ledger, Mode::Plan).await, plan.run_id);
}

pub async fn an_idempotency_key_finds_its_run_for_a_day(ledger: &Ledger, time: &Time) {
    let ask = |body| NewRun { idempotency: keyed("k-1", body), ..new_run(Mode::Delta) };
    let first = ledger.enqueue(ask(1)).await.expect("queued");
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    let again = ledger.enqueue(ask(1)).await.expect("found");
    assert_eq!(
        (again.run_id, again.state, again.coalesced),
        (first.run_id, RunState::Succeeded, first.coalesced)
    );
    assert!(matches!(ledger.enqueue(ask(2)).await, Err(LedgerError::KeyReused)));
    assert!(try_claim(ledger).await.is_none(), "a refused request queues nothing");
    time.advance(TimeDelta::hours(24) + TimeDelta::seconds(1)).await;
    let later = ledger.enqueue(ask(2)).await.expect("queued");
    assert_ne!(later.run_id, first.run_id);
}

pub async fn a_hundred_requests_with_one_key_are_one_run(ledger: &Ledger, _: &Time) {
    let ask = || NewRun { idempotency: keyed("k-1", 1), ..new_run(Mode::Delta) };
    let queued = join_all((0..100).map(|_| ledger.enqueue(ask()))).await;
    let queued: Vec<_> = queued.into_iter().map(|one| one.expect("queued")).collect();
    assert!(queued.iter().all(|one| *one == queued[0]), "all hear the same");
    assert_eq!(ledger.runs(&RunFilter::default(), 9, None).await.expect("a list").items.len(), 1);
}

pub async fn a_run_nobody_has_is_cancelled_at_once(ledger: &Ledger, time: &Time) {
    let queued = queue(ledger, Mode::Delta).await;
    assert_eq!(ledger.cancel(queued).await.expect("cancelled"), RunState::Cancelled);
    assert!(try_claim(ledger).await.is_none());
    let waiting = queue(ledger, Mode::Delta).await;
    let due = time.now() + TimeDelta::hours(1);
    ledger.release(claim(ledger).await, Some(due), false, None).await.expect("given back");
    assert_eq!(ledger.cancel(waiting).await.expect("cancelled"), RunState::Cancelled);
    let run = ledger.run(waiting).await.expect("a ledger").expect("a run");
    assert_eq!((run.finished_at, run.throttled_until), (Some(time.now()), None));
    assert_eq!(run.error.map(|error| error.code).as_deref(), Some("cancelled"));
    let again = ledger.cancel(waiting).await;
    assert!(matches!(again, Err(LedgerError::WrongState { state: RunState::Cancelled, .. })));
    assert!(matches!(ledger.cancel(RunId::new(start())).await, Err(LedgerError::NoSuchRun(_))));
}

pub async fn a_paused_sync_starts_nothing_new(ledger: &Ledger, _: &Time) {
    queue(ledger, Mode::Delta).await;
    let active = claim(ledger).await;
    ledger.set_paused(SYNC, true).await.expect("paused");
    let follow_up = queue(ledger, Mode::Delta).await;
    ledger.release(active, None, false, None).await.expect("given back");
    let active = claim(ledger).await;
    assert_ne!(active.run.id, follow_up, "what was active goes on");
    finish(ledger, active, RunState::Succeeded).await;
    assert!(try_claim(ledger).await.is_none());
    ledger.set_paused(SYNC, false).await.expect("resumed");
    assert_eq!(claim(ledger).await.run.id, follow_up);
}

pub async fn only_the_syncs_asked_for_are_claimed(ledger: &Ledger, _: &Time) {
    let run = queue(ledger, Mode::Delta).await;
    let others = ["segments".to_owned(), "x".to_owned()];
    assert!(ledger.claim(&others).await.expect("a ledger").is_none());
    assert!(ledger.claim(&[]).await.expect("a ledger").is_none());
    assert_eq!(state(ledger, run).await, RunState::Queued);
    assert_eq!(claim(ledger).await.run.id, run);
}

pub async fn a_slot_is_answered_for_once(ledger: &Ledger, _: &Time) {
    let slot = start();
    let take = || ledger.take_slot(SYNC, slot, Some(new_run(Mode::Delta)));
    let taken = join_all((0..10).map(|_| take())).await;
    assert_eq!(taken.into_iter().filter(|one| *one.as_ref().expect("a ledger")).count(), 1);
    assert_eq!(ledger.last_slot(SYNC).await.expect("a ledger"), Some(slot));
    ledger.put_back_slot(SYNC, slot + TimeDelta::days(9), start()).await.expect("a ledger");
    assert_eq!(ledger.last_slot(SYNC).await.expect("a ledger"), Some(slot), "somebody was first");
    let earlier = ledger.take_slot(SYNC, slot - TimeDelta::days(1), Some(new_run(Mode::Delta))).await;
    assert!(!earlier.expect("a ledger"));
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    assert!(try_claim(ledger).await.is_none(), "one slot, one run");
}

pub async fn a_list_tells_each_run_its_own_deliveries_and_may_leave_plans_out(ledger: &Ledger, _: &Time) {
    let first = deliver(ledger, "evt-1").await;
    deliver(ledger, "evt-2").await;
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    let second = deliver(ledger, "evt-3").await;
    let plan = queue(ledger, Mode::Plan).await;
    let told = async |filter: RunFilter| {
        let page = ledger.runs(&filter, 9, None).await.expect("a page");
        page.items.into_iter().map(|run| (run.id, run.trigger.deliveries)).collect::<Vec<_>>()
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let runs = vec![(second, ids(&["evt-3"])), (first, ids(&["evt-1", "evt-2"]))];
    let own = RunFilter { without_plans: true, ..RunFilter::default() };
    assert_eq!(told(own.clone()).await, runs);
    let mut all = runs;
    all.insert(0, (plan, Vec::new()));
    assert_eq!(told(RunFilter::default()).await, all);
    let alone = ledger.runs_alone(&own, 1, None).await.expect("a page");
    assert_eq!((alone.items[0].id, alone.items[0].trigger.deliveries.len()), (second, 0));
    assert!(alone.next_cursor.is_some());
    let open = ledger.open_runs(Some(SYNC)).await.expect("a list");
    assert_eq!(open, ledger.open_runs(None).await.expect("a list"));
    assert_eq!(open.iter().map(|run| run.state).collect::<Vec<_>>(), [RunState::Queued]);
    assert_eq!(ledger.open_runs(Some("segments")).await.expect("a list"), []);
}

pub async fn runs_page_newest_first(ledger: &Ledger, _: &Time) {
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(queue(ledger, Mode::Delta).await);
        finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    }
    made.push(queue(ledger, Mode::Delta).await);
    made.reverse();
    for sync in [None, Some(SYNC.to_owned())] {
        let filter = RunFilter { sync, syncs: Some(vec![SYNC.to_owned()]), ..RunFilter::default() };
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = ledger.runs(&filter, 2, cursor.as_deref()).await.expect("a page");
            found.extend(page.items.into_iter().map(|run| run.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, made);
    }
    let queued = RunFilter { state: Some(RunState::Queued), ..RunFilter::default() };
    let page = ledger.runs(&queued, 9, None).await.expect("a page");
    assert_eq!(page.items.iter().map(|run| run.id).collect::<Vec<_>>(), made[..1]);
    for bad in ["", "garbage", "MQ"] {
        let page = ledger.runs(&RunFilter::default(), 2, Some(bad)).await;
        assert!(matches!(page, Err(LedgerError::BadCursor)), "{bad:?}");
    }
    let others = RunFilter { syncs: Some(vec!["segments".to_owned()]), ..RunFilter::default() };
    assert_eq!(ledger.runs(&others, 9, None).await.expect("a page").items, []);
}
