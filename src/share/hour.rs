//! The hour's limit: requests are handed out before they are started, and counted by the minute once they are.

use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::table::{Holder, Table};
use super::{HourAsk, HourDealt};

/// Requests that were started, or may have been, in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Its beginning.
    pub began_at: DateTime<Utc>,
    /// How many.
    pub used: u64,
}

impl Minute {
    /// How long its requests count: Braze counts by the clock hour, and one that slides holds for each. All of the
    /// minute must be an hour old.
    pub const COUNTS: TimeDelta = TimeDelta::seconds(3_600 + 60);

    /// Whether its requests still count.
    pub fn counts(&self, now: DateTime<Utc>) -> bool {
        self.began_at + Self::COUNTS > now
    }
}

impl Table {
    /// Counts requests as started in the minute of `at`.
    pub(super) fn count(&mut self, used: u64, at: DateTime<Utc>) {
        if used == 0 {
            return;
        }
        let began_at = at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at);
        match self.minutes.iter_mut().find(|minute| minute.began_at == began_at) {
            Some(minute) => minute.used += used,
            None => self.minutes.push(Minute { began_at, used }),
        }
    }

    /// What the holder at `index` may start of the hour: as much as its share allows in a window, if there is.
    pub(super) fn deal_hour(
        &mut self,
        index: usize,
        ask: HourAsk,
        share: u32,
        now: DateTime<Utc>,
    ) -> HourDealt {
        self.count(ask.used.saturating_sub(self.holders[index].hour_used), now);
        let limit =
            self.holders.iter().filter(|holder| holder.is_live(now)).filter_map(|holder| holder.per_hour);
        let limit = u64::from(limit.min().unwrap_or(ask.limit));
        let handed_out = |holder: &Holder| holder.hour_granted - holder.hour_used.min(holder.hour_granted);
        let others = self.holders.iter().enumerate().filter(|(other, _)| *other != index);
        let with_others: u64 = others.map(|(_, holder)| handed_out(holder)).sum();
        let spent: u64 =
            self.minutes.iter().filter(|minute| minute.counts(now)).map(|minute| minute.used).sum();
        let granted = u64::from(share).min(limit.saturating_sub(spent + with_others));
        let up_to = ask.used + granted;
        let holder = &mut self.holders[index];
        (holder.hour_used, holder.hour_granted) = (ask.used, ask.keeping.max(up_to));
        let is_spent = share > 0 && granted == 0 && with_others == 0;
        HourDealt { up_to, more_in: is_spent.then(|| self.next_leaves_in(now)).flatten() }
    }

    /// When the oldest minute that counts does no longer.
    fn next_leaves_in(&self, now: DateTime<Utc>) -> Option<Duration> {
        let counting = self.minutes.iter().filter(|minute| minute.counts(now));
        let first = counting.map(|minute| minute.began_at).min()?;
        (first + Minute::COUNTS - now).to_std().ok()
    }
}
