//! Deliveries that did not prove where they come from: a bounded list in memory, no disk write per refusal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::deliveries::REFUSED;
use super::{Delivery, DeliveryFilter, Ledger};

/// Most lines kept per sync. Source: contract, Deliveries.
const MOST_PER_SYNC: usize = 1_000;
/// Most syncs that have a list: unknown names are the caller's invention.
const MOST_SYNCS: usize = 256;
/// Refusals of one sync for one reason within this time share a line.
const ONE_LINE: TimeDelta = TimeDelta::seconds(1);

/// Numbers of lines begin here, far above those of recorded deliveries, so that both are in one order.
const FIRST: i64 = i64::MAX / 2;

/// A delivery that did not prove where it comes from.
#[derive(Clone, Debug)]
pub struct RefusedDelivery {
    /// The sync it was for, if there is such a sync.
    pub sync: String,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// The step that failed.
    pub reason: &'static str,
}

/// The newest refused deliveries by sync.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    syncs: BTreeMap<String, VecDeque<Line>>,
    /// Lines ever begun: what tells apart two that came at the same time.
    begun: i64,
}

#[derive(Clone, Debug)]
struct Line {
    number: i64,
    received_at: DateTime<Utc>,
    since: DateTime<Utc>,
    reason: &'static str,
    times: u32,
}

impl Refused {
    fn add(&self, refused: RefusedDelivery) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Lines { syncs, begun } = &mut *lines;
        if !syncs.contains_key(&refused.sync) && syncs.len() >= MOST_SYNCS {
            return;
        }
        let lines = syncs.entry(refused.sync).or_default();
        let at = refused.received_at;
        if let Some(last) = lines.iter_mut().rev().take(8).find(|line| line.reason == refused.reason)
            && at - last.since < ONE_LINE
        {
            last.times = last.times.saturating_add(1);
            last.received_at = at;
            return;
        }
        if lines.len() == MOST_PER_SYNC {
            lines.pop_front();
        }
        *begun += 1;
        lines.push_back(Line {
            number: FIRST + *begun,
            received_at: at,
            since: at,
            reason: refused.reason,
            times: 1,
        });
    }

    /// Lines of these syncs that come before `before` (time, number), newest first.
    pub(super) fn before(
        &self,
        filter: &DeliveryFilter,
        before: (DateTime<Utc>, i64),
        limit: usize,
    ) -> Vec<(i64, Delivery)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<(i64, Delivery)> = lines
            .syncs
            .iter()
            .filter(|(name, _)| filter.takes_refused(name))
            .flat_map(|(name, lines)| lines.iter().map(move |line| (name, line)))
            .filter(|(_, line)| (line.received_at, line.number) < before)
            .map(|(name, line)| (line.number, delivery(name, line)))
            .collect();
        found.sort_by_key(|(number, delivery)| std::cmp::Reverse((delivery.received_at, *number)));
        found.truncate(limit);
        found
    }
}

fn delivery(sync: &str, line: &Line) -> Delivery {
    Delivery {
        delivery_id: None,
        sync: sync.to_owned(),
        received_at: line.received_at,
        event_type: None,
        outcome: REFUSED.to_owned(),
        reason: Some(line.reason.to_owned()),
        run_id: None,
        secret: None,
        times: line.times,
    }
}

impl Ledger {
    /// Remembers a refused delivery in a bounded list (the newest 1,000 per sync). Never waits, never writes to disk.
    pub fn refuse_delivery(&self, delivery: RefusedDelivery) {
        self.0.refused.add(delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_second_and_the_list_is_bounded() {
        let refused = Refused::default();
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let add = |millis: i64, reason| {
            let received_at = start + TimeDelta::milliseconds(millis);
            refused.add(RefusedDelivery { sync: "s".to_owned(), received_at, reason });
        };
        (0..5_000).for_each(|millis| add(millis, "no_match"));
        let later = (start + TimeDelta::days(1), 0);
        let lines = refused.before(&DeliveryFilter::default(), later, 9_999);
        assert_eq!((lines.len(), lines.iter().map(|(_, line)| line.times).sum::<u32>()), (5, 5_000));
        (0..2_000).for_each(|second| add(10_000 + second * 2_000, "too_old"));
        let of = |sync: &str| DeliveryFilter { sync: Some(sync.to_owned()), ..DeliveryFilter::default() };
        assert_eq!(refused.before(&of("s"), later, 9_999).len(), MOST_PER_SYNC);
        assert_eq!(refused.before(&of("other"), later, 9_999).len(), 0);
        let accepted = DeliveryFilter { outcome: Some("accepted".to_owned()), ..DeliveryFilter::default() };
        assert_eq!(refused.before(&accepted, later, 9_999).len(), 0);
        let theirs = DeliveryFilter { syncs: Some(vec!["other".to_owned()]), ..DeliveryFilter::default() };
        assert_eq!(refused.before(&theirs, later, 9_999).len(), 0);
    }
}
