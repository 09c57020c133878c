//! Deliveries: each recorded once, each answered for by one run, before anybody hears of it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::future::join_all;
use peak_braze::ledger::{
    Decision, DeliveryFilter, Ledger, LedgerError, NewDelivery, Recorded, RefusedDelivery, RunFilter,
};
use peak_braze::run::{RunId, RunState};

use super::{SYNC, Time, claim, deliver, delivery, finish, start};

fn run_of(recorded: &Recorded) -> Option<RunId> {
    match recorded {
        Recorded::Accepted { run_id, .. } => Some(*run_id),
        Recorded::Duplicate { run, .. } => run.map(|(id, _)| id),
        Recorded::Ignored { .. } | Recorded::Conflict => None,
    }
}

pub async fn a_hundred_identical_deliveries_are_one_run(ledger: &Ledger, _: &Time) {
    let recorded = join_all((0..100).map(|_| ledger.record_delivery(delivery("evt-1", 1)))).await;
    let recorded: Vec<Recorded> = recorded.into_iter().map(|one| one.expect("recorded")).collect();
    let accepted = recorded.iter().filter(|one| matches!(one, Recorded::Accepted { .. })).count();
    assert_eq!(accepted, 1);
    let runs: BTreeSet<_> = recorded.iter().map(|one| run_of(one).expect("a run")).collect();
    assert_eq!(runs.len(), 1);
    let listed = ledger.deliveries(None, 10, None).await.expect("a list").items;
    let mut times: Vec<_> = listed.iter().map(|line| (line.outcome.as_str(), line.times)).collect();
    times.sort_unstable();
    assert_eq!(times, [("accepted", 1), ("duplicate", 99)]);
}

pub async fn deliveries_that_come_together_share_one_run(ledger: &Ledger, _: &Time) {
    let ids: Vec<String> = (0..300).map(|number| format!("evt-{number}")).collect();
    let together = ids.iter().enumerate().map(|(number, id)| {
        let sync = if number % 2 == 0 { SYNC } else { "segments" };
        ledger.record_delivery(NewDelivery { sync: sync.to_owned(), ..delivery(id, 1) })
    });
    let recorded = join_all(together).await;
    let runs: BTreeSet<_> =
        recorded.iter().map(|one| run_of(one.as_ref().expect("recorded")).expect("a run")).collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(ledger.runs(&RunFilter::default(), 10, None).await.expect("a list").items.len(), 2);
}

pub async fn a_repeat_finds_the_first_run_and_another_body_conflicts(ledger: &Ledger, _: &Time) {
    let id = deliver(ledger, "evt-1").await;
    let again = ledger.record_delivery(delivery("evt-1", 1)).await.expect("recorded");
    let expected = Recorded::Duplicate { delivery_id: "evt-1".to_owned(), run: Some((id, RunState::Queued)) };
    assert_eq!(again, expected);
    assert_eq!(ledger.record_delivery(delivery("evt-1", 2)).await.expect("recorded"), Recorded::Conflict);
    let elsewhere = NewDelivery { sync: "segments".to_owned(), ..delivery("evt-1", 2) };
    let elsewhere = ledger.record_delivery(elsewhere).await.expect("recorded");
    assert!(matches!(elsewhere, Recorded::Accepted { .. }), "another sync's ids are its own");

    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    let late = ledger.record_delivery(delivery("evt-1", 1)).await.expect("recorded");
    let expected =
        Recorded::Duplicate { delivery_id: "evt-1".to_owned(), run: Some((id, RunState::Succeeded)) };
    assert_eq!(late, expected);
    let run = ledger.run(id).await.expect("a ledger").expect("a run");
    assert_eq!(run.trigger.deliveries, ["evt-1"]);
}

pub async fn a_late_repeat_queues_nothing_alone_or_beside_a_new_delivery(ledger: &Ledger, _: &Time) {
    let first = deliver(ledger, "evt-1").await;
    finish(ledger, claim(ledger).await, RunState::Succeeded).await;
    let repeated =
        Recorded::Duplicate { delivery_id: "evt-1".to_owned(), run: Some((first, RunState::Succeeded)) };
    assert_eq!(ledger.record_delivery(delivery("evt-1", 1)).await.expect("recorded"), repeated);
    assert!(ledger.claim(&[SYNC.to_owned()]).await.expect("a ledger").is_none());

    let together = ["evt-2", "evt-1", "evt-3"].map(|id| ledger.record_delivery(delivery(id, 1)));
    let recorded: Vec<Recorded> =
        join_all(together).await.into_iter().map(|one| one.expect("recorded")).collect();
    assert_eq!(recorded[1], repeated);
    let second = claim(ledger).await;
    assert_eq!([run_of(&recorded[0]), run_of(&recorded[2])], [Some(second.run.id); 2]);
    let run = ledger.run(second.run.id).await.expect("a ledger").expect("a run");
    assert_eq!(run.trigger.deliveries, ["evt-2", "evt-3"]);
    assert_eq!(ledger.runs(&RunFilter::default(), 10, None).await.expect("a list").items.len(), 2);
}

pub async fn ignored_deliveries_run_nothing(ledger: &Ledger, _: &Time) {
    let ignored = NewDelivery { decision: Decision::Ignored("event_type"), ..delivery("evt-1", 1) };
    let expected = Recorded::Ignored { delivery_id: "evt-1".to_owned() };
    assert_eq!(ledger.record_delivery(ignored.clone()).await.expect("recorded"), expected);
    let expected = Recorded::Duplicate { delivery_id: "evt-1".to_owned(), run: None };
    assert_eq!(ledger.record_delivery(ignored).await.expect("recorded"), expected);
    assert_eq!(ledger.runs(&RunFilter::default(), 10, None).await.expect("a list").items, []);
    let listed = ledger.deliveries(Some(SYNC), 10, None).await.expect("a list").items;
    let line = listed.iter().find(|line| line.outcome == "ignored").expect("its line");
    assert_eq!((line.reason.as_deref(), line.run_id), (Some("event_type"), None));
}

pub async fn deliveries_without_an_id_are_never_duplicates(ledger: &Ledger, _: &Time) {
    let nameless = || NewDelivery { delivery_id: None, ..delivery("", 1) };
    let recorded = join_all((0..20).map(|_| ledger.record_delivery(nameless()))).await;
    let mut ids = BTreeSet::new();
    for one in recorded {
        match one.expect("recorded") {
            Recorded::Accepted { delivery_id, .. } => ids.insert(delivery_id),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(ids.len(), 20);
}

pub async fn lists_page_through_every_delivery_once(ledger: &Ledger, _: &Time) {
    for number in 0..7 {
        let received_at = start() + TimeDelta::seconds(number / 2);
        let one = NewDelivery { received_at, ..delivery(&format!("evt-{number}"), 1) };
        ledger.record_delivery(one).await.expect("recorded");
    }
    // Reasons of their own, so that each is a line; all of them at the time of a recorded one.
    for reason in ["no_match", "too_old", "no_timestamp", "no_id", "bad_id"] {
        let received_at = start() + TimeDelta::seconds(1);
        ledger.refuse_delivery(RefusedDelivery { sync: SYNC.to_owned(), received_at, reason });
    }
    for sync in [None, Some(SYNC)] {
        let (mut lines, mut cursor) = (Vec::new(), None);
        loop {
            let page = ledger.deliveries(sync, 2, cursor.as_deref()).await.expect("a page");
            lines.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let names: BTreeSet<_> =
            lines.iter().map(|line| (line.delivery_id.clone(), line.reason.clone())).collect();
        assert_eq!((lines.len(), names.len()), (12, 12), "of {sync:?}");
        assert!(lines.is_sorted_by_key(|line| std::cmp::Reverse(line.received_at)));
    }
    assert_eq!(ledger.deliveries(Some("segments"), 9, None).await.expect("a page").items.len(), 0);
    for bad in ["", "garbage", "MQ"] {
        let page = ledger.deliveries(None, 2, Some(bad)).await;
        assert!(matches!(page, Err(LedgerError::BadCursor)), "{bad:?}");
    }
}

pub async fn a_run_shows_its_newest_hundred_deliveries(ledger: &Ledger, _: &Time) {
    let mut id = None;
    for number in 0..103 {
        id = Some(deliver(ledger, &format!("evt-{number}")).await);
    }
    let run = ledger.run(id.expect("a run")).await.expect("a ledger").expect("a run");
    assert_eq!(run.trigger.deliveries.len(), 100);
    assert_eq!((&*run.trigger.deliveries[0], &*run.trigger.deliveries[99]), ("evt-3", "evt-102"));
    assert_eq!(run.model.name.as_deref(), Some("model of evt-102"), "the latest callback's");
}

pub async fn one_id_with_two_bodies_at_once_is_one_run_and_conflicts(ledger: &Ledger, _: &Time) {
    let together = (0..40).map(|number| ledger.record_delivery(delivery("evt-1", number % 2)));
    let recorded: Vec<Recorded> =
        join_all(together).await.into_iter().map(|one| one.expect("recorded")).collect();
    let accepted =
        recorded.iter().position(|one| matches!(one, Recorded::Accepted { .. })).expect("the first");
    let run = run_of(&recorded[accepted]);
    for (number, one) in recorded.iter().enumerate().filter(|(number, _)| *number != accepted) {
        match one {
            Recorded::Duplicate { .. } => assert!(number % 2 == accepted % 2 && run_of(one) == run),
            other => {
                assert!(number % 2 != accepted % 2 && *other == Recorded::Conflict, "{number}: {other:?}")
            }
        }
    }
    let listed = ledger.deliveries(None, 9, None).await.expect("a list").items;
    let mut times: Vec<_> = listed.iter().map(|line| (line.outcome.as_str(), line.times)).collect();
    times.sort_unstable();
    assert_eq!(times, [("accepted", 1), ("conflict", 20), ("duplicate", 19)]);
}

pub async fn deliveries_of_one_kind_are_listed_alone(ledger: &Ledger, time: &Time) {
    let id = deliver(ledger, "evt-1").await;
    ledger.record_delivery(delivery("evt-1", 1)).await.expect("recorded");
    let elsewhere = NewDelivery { sync: "segments".to_owned(), ..delivery("evt-2", 2) };
    ledger.record_delivery(elsewhere).await.expect("recorded");
    let refused = RefusedDelivery { sync: SYNC.to_owned(), received_at: time.now(), reason: "too_old" };
    ledger.refuse_delivery(refused);
    let all = DeliveryFilter::default();
    let theirs = Some(vec!["segments".to_owned()]);
    for (filter, expected) in [
        (
            DeliveryFilter { outcome: Some("accepted".to_owned()), ..all.clone() },
            &["accepted", "accepted"][..],
        ),
        (DeliveryFilter { outcome: Some("refused".to_owned()), ..all.clone() }, &["refused"]),
        (DeliveryFilter { run: Some(id), ..all.clone() }, &["accepted", "duplicate"]),
        (DeliveryFilter { syncs: theirs.clone(), ..all.clone() }, &["accepted"]),
        (DeliveryFilter { syncs: theirs, sync: Some(SYNC.to_owned()), ..all.clone() }, &[]),
        (all, &["accepted", "accepted", "duplicate", "refused"]),
    ] {
        let listed = ledger.deliveries_where(&filter, 10, None).await.expect("a list").items;
        let mut outcomes: Vec<_> = listed.iter().map(|line| line.outcome.as_str()).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, expected, "{filter:?}");
    }
}
