//! What was sent: digests with the verdicts, doubts after a death, refusals until they are settled.

use std::sync::Arc;

use chrono::TimeDelta;
use peak_braze::customer::{Chunk, ChunkBuilder, Code, Packer, Position, Stamp, Value, Zone};
use peak_braze::ledger::{
    Checkpoint, Flag, Group, Lease, Ledger, LedgerError, NewRejection, NewRun, SentRow,
};
use peak_braze::run::{Mode, Progress, RunState};

use super::{SYNC, Time, checkpoint, claim, finish, outlast_the_lease, queue};

const CLEAN: Flag = Flag { in_doubt: false, rejected: false };

fn chunk(keys: &[&str]) -> Arc<Chunk> {
    let mut builder = ChunkBuilder::new([].into(), Zone::utc());
    for key in keys {
        builder.push(Value::Text(key.as_bytes()), Value::Instant(1), |_| Value::Null);
    }
    Arc::new(builder.take())
}

fn packed(slot: usize, digest: u64, run: u32) -> Vec<u8> {
    let (mut packer, mut bytes) = (Packer::default(), Vec::new());
    packer.put(slot, Stamp { digest, run });
    packer.pack(&mut bytes);
    bytes
}

async fn target(ledger: &Ledger) -> i64 {
    ledger.target(SYNC, "braze", &["churn", "value"]).await.expect("a target").number
}

async fn next_run(ledger: &Ledger) -> Lease {
    queue(ledger, Mode::Delta).await;
    claim(ledger).await
}

/// Records a group of these rows and refusals.
async fn record(
    ledger: &Ledger,
    lease: &Lease,
    in_flight: Option<u64>,
    sent: Vec<SentRow<'_>>,
    rejections: Vec<NewRejection<'_>>,
    cleared: Vec<&str>,
) {
    let (counted, sent_at) = (checkpoint(1), in_flight.map(|_| super::start()));
    let progress = Progress::default();
    let group = Group {
        in_flight,
        sent,
        rejections,
        cleared,
        next: Vec::new(),
        checkpoint: &counted,
        progress,
        sent_at,
    };
    ledger.record_group(lease, target(ledger).await, group).await.expect("recorded");
}

fn refused<'a>(customer_id: &'a str, attribute: Option<&'a str>, code: Code) -> NewRejection<'a> {
    NewRejection { customer_id, attribute, code }
}

pub async fn what_was_recorded_is_remembered(ledger: &Ledger, _: &Time) {
    let (lease, target) = (next_run(ledger).await, target(ledger).await);
    let ids: Vec<String> = (0..10_000).map(|number| format!("c-{number}")).collect();
    let digests: Vec<Vec<u8>> = (0..10_000).map(|number| packed(1, number + 1, lease.number)).collect();
    let rows = |flag| -> Vec<SentRow<'_>> {
        ids.iter().zip(&digests).map(|(id, digests)| SentRow { customer_id: id, digests, flag }).collect()
    };
    let keys: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mark = ledger.mark_in_flight(&lease, target, &keys).await.expect("marked");
    let mut some_in_doubt = rows(CLEAN);
    some_in_doubt.iter_mut().step_by(3).for_each(|row| row.flag.in_doubt = true);
    record(ledger, &lease, None, some_in_doubt, Vec::new(), Vec::new()).await;
    assert_eq!(ledger.flagged(target, 10_000).await.expect("a list").len(), 3_334);
    record(ledger, &lease, Some(mark), rows(CLEAN), Vec::new(), Vec::new()).await;
    assert_eq!(ledger.flagged(target, 10_000).await.expect("a list").len(), 0);
    assert_eq!(ledger.doubt_in_flight(&lease, target).await.expect("none left"), None);

    let found = ledger
        .look_up(target, chunk(&["c-9999", "stranger", "", "c-0"]), |_, found| found)
        .await
        .expect("found");
    let stamp = |index| found.get(index).and_then(|sent| sent.digests.get(1)).map(|stamp| stamp.digest);
    assert_eq!([stamp(0), stamp(1), stamp(2), stamp(3)], [Some(10_000), None, None, Some(1)]);
    let elsewhere = ledger.look_up(target + 1, chunk(&["c-0"]), |_, found| found).await.expect("found");
    assert!(elsewhere.get(0).is_none(), "another workspace knows nothing of it");

    let known = ledger.customer(target, "c-7").await.expect("a ledger").expect("a customer");
    assert_eq!((known.attributes.len(), known.attributes[0].attribute.as_str()), (1, "value"));
    assert_eq!(known.attributes[0].run_id, Some(lease.run.id));
    assert!(ledger.customer(target, "stranger").await.expect("a ledger").is_none());
    let last_sent = ledger.sync_state(SYNC).await.expect("a ledger").last_sent;
    assert_eq!(last_sent, Some((super::start(), lease.number)));
}

pub async fn whoever_is_remembered_is_found_however_far_apart(ledger: &Ledger, _: &Time) {
    let (lease, target) = (next_run(ledger).await, target(ledger).await);
    // Strangers stand between all of them, and some keys hold what a database may not take as it is.
    let key = |number: usize| match number % 500 {
        250 => format!("{number:05}\u{0}"),
        251 => format!("{number:05}\u{1}é"),
        _ => format!("{number:05}"),
    };
    let known: Vec<(String, Vec<u8>)> = (0..30_000)
        .step_by(2)
        .map(|number| (key(number), packed(1, number as u64 + 1, lease.number)))
        .collect();
    let rows = known.iter().map(|(id, digests)| SentRow { customer_id: id, digests, flag: CLEAN });
    record(ledger, &lease, None, rows.collect(), Vec::new(), Vec::new()).await;

    let together = (10_000..14_000).step_by(2).collect::<Vec<_>>();
    let apart = (0..30_000).step_by(34).collect();
    let together_then_apart = (0..600).chain((600..30_000).step_by(26)).collect();
    let apart_then_together = (0..20_000).step_by(40).chain(20_000..21_000).collect();
    let turned = together.iter().copied().rev().collect();
    let strangers = (1..4_000).step_by(2).collect();
    let beyond = (29_000..31_000).collect();
    // Where a key is not ASCII, no database's order is relied on.
    let foreign = (250..2_252).step_by(2).chain([251]).collect();
    for asked in [
        together,
        apart,
        together_then_apart,
        apart_then_together,
        turned,
        strangers,
        beyond,
        foreign,
        vec![8],
        vec![9],
    ] {
        let keys: Vec<String> = asked.iter().map(|number| key(*number)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let found = ledger.look_up(target, chunk(&keys), |_, found| found).await.expect("found");
        for (index, number) in asked.iter().enumerate() {
            let digest = found.get(index).and_then(|sent| sent.digests.get(1)).map(|stamp| stamp.digest);
            let is_known = number % 2 == 0 && *number < 30_000;
            assert_eq!(digest, is_known.then_some(*number as u64 + 1), "{number} of {}", asked.len());
        }
    }
}

pub async fn what_was_left_in_flight_is_in_doubt(ledger: &Ledger, time: &Time) {
    let (lease, target) = (next_run(ledger).await, target(ledger).await);
    let known = packed(0, 5, lease.number);
    let row = SentRow { customer_id: "c-1", digests: &known, flag: CLEAN };
    record(ledger, &lease, None, vec![row], Vec::new(), Vec::new()).await;
    let marked_at = time.now();
    ledger.mark_in_flight(&lease, target, &["c-1", "c-\"2\"\n"]).await.expect("marked");
    outlast_the_lease(time).await;

    let next = claim(ledger).await;
    assert_eq!(ledger.doubt_in_flight(&next, target).await.expect("doubted"), Some(marked_at));
    let mut doubted = ledger.flagged(target, 9).await.expect("a list");
    doubted.sort();
    assert_eq!(doubted, ["c-\"2\"\n", "c-1"]);
    let found = ledger.look_up(target, chunk(&["c-1", "c-\"2\"\n"]), |_, found| found).await.expect("found");
    let (first, second) = (found.get(0).expect("known"), found.get(1).expect("known"));
    assert!(first.flag.in_doubt && second.flag.in_doubt);
    assert_eq!(first.digests.get(0).map(|stamp| stamp.digest), Some(5), "what was known stays");
    assert_eq!(ledger.doubt_in_flight(&next, target).await.expect("once"), None);
    let row = SentRow { customer_id: "c-1", digests: &known, flag: CLEAN };
    record(ledger, &next, None, vec![row], Vec::new(), Vec::new()).await;
    assert_eq!(ledger.flagged(target, 9).await.expect("a list"), ["c-\"2\"\n"]);
    assert_eq!(ledger.flagged(target, 0).await.expect("a list").len(), 0);
}

pub async fn what_goes_next_is_in_flight_once_what_went_is_recorded(ledger: &Ledger, time: &Time) {
    let (lease, target) = (next_run(ledger).await, target(ledger).await);
    let mark = ledger.mark_in_flight(&lease, target, &["c-1"]).await.expect("marked");
    let (known, counted) = (packed(0, 5, lease.number), checkpoint(1));
    let group = |in_flight, sent, next| Group {
        in_flight,
        sent,
        rejections: Vec::new(),
        cleared: Vec::new(),
        next,
        checkpoint: &counted,
        progress: Progress::default(),
        sent_at: None,
    };
    let rows = vec![SentRow { customer_id: "c-1", digests: &known, flag: CLEAN }];
    let went =
        ledger.record_group(&lease, target, group(Some(mark), rows, vec!["c-2"])).await.expect("recorded");
    assert!(went.is_some_and(|next| next != mark));
    let went =
        ledger.record_group(&lease, target, group(went, Vec::new(), vec!["c-3"])).await.expect("recorded");
    assert!(went.is_some());
    outlast_the_lease(time).await;
    let next = claim(ledger).await;
    assert!(ledger.record_group(&lease, target, group(None, Vec::new(), vec!["c-4"])).await.is_err(), "lost");
    ledger.doubt_in_flight(&next, target).await.expect("doubted");
    assert_eq!(ledger.flagged(target, 9).await.expect("a list"), ["c-3"]);
}

pub async fn what_was_in_flight_to_another_workspace_is_in_doubt_there(ledger: &Ledger, time: &Time) {
    let (lease, here) = (next_run(ledger).await, target(ledger).await);
    let there = ledger.target(SYNC, "elsewhere", &["churn"]).await.expect("a target").number;
    ledger.mark_in_flight(&lease, there, &["c-1"]).await.expect("marked");
    outlast_the_lease(time).await;
    // Meanwhile the config was given another workspace.
    let next = claim(ledger).await;
    ledger.doubt_in_flight(&next, here).await.expect("doubted");
    finish(ledger, next, RunState::Succeeded).await;
    assert_eq!(ledger.flagged(here, 9).await.expect("a list").len(), 0);
    assert_eq!(ledger.flagged(there, 9).await.expect("a list"), ["c-1"], "still unknown what it has there");
}

pub async fn a_plan_leaves_alone_what_an_active_run_has_in_flight(ledger: &Ledger, time: &Time) {
    let (active, target) = (next_run(ledger).await, target(ledger).await);
    ledger.mark_in_flight(&active, target, &["c-1"]).await.expect("marked");
    queue(ledger, Mode::Plan).await;
    let plan = claim(ledger).await;
    assert_eq!(ledger.doubt_in_flight(&plan, target).await.expect("looked"), None);
    assert_eq!(ledger.flagged(target, 9).await.expect("a list").len(), 0);
    finish(ledger, plan, RunState::Succeeded).await;
    outlast_the_lease(time).await;
    let next = claim(ledger).await;
    assert!(ledger.doubt_in_flight(&next, target).await.expect("doubted").is_some());
}

pub async fn rejections_count_runs_and_begin_anew(ledger: &Ledger, time: &Time) {
    let codes = async |lease: &Lease| -> Vec<(String, Option<String>, u32)> {
        let page = ledger.rejections(lease.run.id, 9, None).await.expect("a page");
        page.items.into_iter().map(|line| (line.customer_id, line.attribute, line.attempts)).collect()
    };
    let line =
        |id: &str, attribute: Option<&str>, attempts| (id.to_owned(), attribute.map(str::to_owned), attempts);
    let began = time.now();
    let mut runs = Vec::new();
    for _ in 0..2 {
        let lease = next_run(ledger).await;
        for _ in 0..2 {
            let again = vec![
                refused("c-1", None, Code::BrazeBlocklisted),
                refused("c-1", Some("churn"), Code::NotFinite),
            ];
            record(ledger, &lease, None, Vec::new(), again, vec!["c-1"]).await;
        }
        runs.push(lease.clone());
        finish(ledger, lease, RunState::Partial).await;
        time.advance(TimeDelta::minutes(1)).await;
    }
    assert_eq!(codes(&runs[1]).await, [line("c-1", None, 2), line("c-1", Some("churn"), 2)]);
    assert_eq!(ledger.outstanding_rejections(SYNC).await.expect("a count"), 2);

    let accepted = next_run(ledger).await;
    let still = vec![refused("c-1", Some("churn"), Code::NotFinite)];
    record(ledger, &accepted, None, Vec::new(), still, vec!["c-1"]).await;
    assert_eq!(ledger.outstanding_rejections(SYNC).await.expect("a count"), 1);
    assert_eq!(codes(&accepted).await, [line("c-1", Some("churn"), 3)]);
    let page = ledger.rejections(accepted.run.id, 9, None).await.expect("a page");
    let seen = &page.items[0];
    assert_eq!((seen.first_seen_at, seen.last_seen_at), (began, time.now()));
    assert_eq!(codes(&runs[0]).await.len(), 2, "the receipt of an earlier run keeps its lines");
    finish(ledger, accepted, RunState::Partial).await;

    let anew = next_run(ledger).await;
    let back = vec![refused("c-1", None, Code::BrazeBlocklisted)];
    record(ledger, &anew, None, Vec::new(), back, Vec::new()).await;
    assert_eq!(codes(&anew).await[0], line("c-1", None, 1), "settled in between: from the beginning");
    let page = ledger.rejections(anew.run.id, 1, None).await.expect("a page");
    let seen = &page.items[0];
    assert_eq!((seen.first_seen_at, seen.last_seen_at), (time.now(), time.now()));
    let known = ledger.customer(target(ledger).await, "c-1").await.expect("a ledger");
    assert_eq!(known.expect("known by its refusals alone").rejections.len(), 2);
}

pub async fn a_second_attempt_settles_what_the_first_refused(ledger: &Ledger, time: &Time) {
    let first = next_run(ledger).await;
    let unknown = vec![refused("c-1", None, Code::Unknown)];
    record(ledger, &first, None, Vec::new(), unknown, Vec::new()).await;
    outlast_the_lease(time).await;
    let second = claim(ledger).await;
    assert_eq!(second.number, first.number);
    record(ledger, &second, None, Vec::new(), Vec::new(), vec!["c-1"]).await;
    assert_eq!(ledger.outstanding_rejections(SYNC).await.expect("a count"), 0);
}

pub async fn bad_keys_not_seen_again_are_settled(ledger: &Ledger, _: &Time) {
    let first = next_run(ledger).await;
    let bad = vec![refused("", None, Code::BadKey), refused(" ", None, Code::BadKey)];
    record(ledger, &first, None, Vec::new(), bad, Vec::new()).await;
    finish(ledger, first, RunState::Partial).await;
    let second = next_run(ledger).await;
    record(ledger, &second, None, Vec::new(), vec![refused("", None, Code::BadKey)], Vec::new()).await;
    finish(ledger, second.clone(), RunState::Failed).await;
    assert_eq!(ledger.outstanding_rejections(SYNC).await.expect("a count"), 2, "it may not have read all");
    let third = next_run(ledger).await;
    record(ledger, &third, None, Vec::new(), vec![refused("", None, Code::BadKey)], Vec::new()).await;
    finish(ledger, third, RunState::Partial).await;
    assert_eq!(ledger.outstanding_rejections(SYNC).await.expect("a count"), 1);
}

pub async fn cursors_of_other_lists_are_refused(ledger: &Ledger, _: &Time) {
    let lease = next_run(ledger).await;
    let ids: Vec<String> = (0..5).map(|number| format!("c-{number}\n{}", "x".repeat(980))).collect();
    let many = ids.iter().map(|id| refused(id, Some("churn"), Code::TooLong)).collect();
    record(ledger, &lease, None, Vec::new(), many, Vec::new()).await;
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = ledger.rejections(lease.run.id, 2, cursor.as_deref()).await.expect("a page");
        found.extend(page.items.into_iter().map(|line| line.customer_id));
        let Some(next) = page.next_cursor else { break };
        let elsewhere = ledger.deliveries(None, 2, Some(&next)).await;
        assert!(matches!(elsewhere, Err(LedgerError::BadCursor)));
        cursor = Some(next);
    }
    assert_eq!(found, ids);
    let garbage = ledger.rejections(lease.run.id, 2, Some("garbage")).await;
    assert!(matches!(garbage, Err(LedgerError::BadCursor)));
}

pub async fn holds_outlive_only_themselves(ledger: &Ledger, time: &Time) {
    let until = time.now() + TimeDelta::seconds(30);
    ledger.save_hold("braze", until).await.expect("saved");
    assert_eq!(ledger.hold("braze").await.expect("a ledger"), Some(until));
    assert_eq!(ledger.hold("other").await.expect("a ledger"), None);
    time.set(until).await;
    assert_eq!(ledger.hold("braze").await.expect("a ledger"), None);
}

pub async fn slots_are_never_reused(ledger: &Ledger, _: &Time) {
    let slots = async |workspace: &str, names: &[&str]| {
        ledger.target(SYNC, workspace, names).await.expect("a target").slots
    };
    assert_eq!(slots("braze", &["a", "b"]).await, [0, 1]);
    assert_eq!(slots("braze", &["c", "a"]).await, [2, 0]);
    assert_eq!(slots("braze", &["b"]).await, [1]);
    assert_eq!(slots("other", &["b"]).await, [0]);
}

pub async fn who_is_forgotten_is_nowhere(ledger: &Ledger, _: &Time) {
    let (target, id) = (target(ledger).await, "to-be-forgotten");
    let chosen = Some(vec![id.to_owned(), "another".to_owned()]);
    ledger.enqueue(NewRun { customers: chosen, ..super::new_run(Mode::Force) }).await.expect("queued");
    let lease = claim(ledger).await;
    let stopped_at_it = Checkpoint { position: Some(Position::Text(id.to_owned())), ..checkpoint(1) };
    let digests = packed(1, 7, lease.number);
    let group = Group {
        in_flight: None,
        sent: vec![SentRow { customer_id: id, digests: &digests, flag: CLEAN }],
        rejections: vec![refused(id, None, Code::Unknown)],
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &stopped_at_it,
        progress: Progress::default(),
        sent_at: None,
    };
    ledger.record_group(&lease, target, group).await.expect("recorded");
    ledger.mark_in_flight(&lease, target, &["another", id]).await.expect("marked");
    let busy = ledger.forget(SYNC, id).await;
    assert!(matches!(busy, Err(LedgerError::WrongState { .. })), "a worker has it in memory: {busy:?}");

    ledger.release(lease, None, false, None).await.expect("put down");
    assert_eq!(ledger.forget(SYNC, id).await.expect("forgotten"), 2);
    assert!(ledger.customer(target, id).await.expect("a ledger").is_none());
    let lease = claim(ledger).await;
    assert_eq!((&lease.customers, &lease.checkpoint), (&Some(vec!["another".to_owned()]), &None));
    ledger.doubt_in_flight(&lease, target).await.expect("doubted");
    assert_eq!(ledger.flagged(target, 9).await.expect("a list"), ["another"]);
    finish(ledger, lease, RunState::Succeeded).await;
    assert_eq!(ledger.forget(SYNC, id).await.expect("nothing left"), 0);
}
