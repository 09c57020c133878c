//! `resend_every`: values not sent for so long go again, which heals what Braze dropped in silence.
//!
//! Each customer has its own phase, so that what was sent in one run does not come due in one run: it comes due at
//! its phase's next turn once nine tenths of the period are over, spread over the period that follows, and from then
//! on once in every period.

use chrono::{DateTime, Utc};

/// Which values have not been sent for long.
#[derive(Clone, Debug)]
pub(super) struct Resend {
    every: i64,
    now: i64,
    /// When runs started, by number, ascending.
    starts: Vec<(u32, i64)>,
}

impl Resend {
    /// For values older than `every_secs` at `now`, told by when the runs that sent them started.
    pub(super) fn new(every_secs: u64, now: DateTime<Utc>, starts: Vec<(u32, DateTime<Utc>)>) -> Self {
        let every = i64::try_from(every_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let starts = starts.into_iter().map(|(run, at)| (run, at.timestamp_micros())).collect();
        Self { every: every.max(1), now: now.timestamp_micros(), starts }
    }

    /// Whether a value that `run` sent, of a customer with this phase, goes again.
    pub(super) fn is_due(&self, phase: u64, run: u32) -> bool {
        let sent = self.sent_at(run);
        let earliest = sent.saturating_add(self.every - self.every / 10);
        if self.now < earliest {
            return false;
        }
        let phase = i64::try_from(phase % self.every.unsigned_abs()).expect("less than the period");
        let past_turn = (earliest - phase).rem_euclid(self.every);
        let turn = if past_turn == 0 { earliest } else { earliest.saturating_add(self.every - past_turn) };
        self.now >= turn
    }

    /// When the run started; one past retention counts as old as the oldest that is left.
    fn sent_at(&self, run: u32) -> i64 {
        let at = self.starts.partition_point(|(number, _)| *number < run);
        self.starts.get(at).map_or(self.now, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + secs, 0).expect("a time")
    }

    #[test]
    fn each_value_goes_again_once_a_period_and_each_day_its_share() {
        let customers: Vec<u64> = (0..3_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let mut last = vec![0_u32; customers.len()];
        let mut starts = vec![(0, at(0))];
        let (mut times, mut most) = (vec![0; customers.len()], 0);
        for day in 1..=120_u32 {
            let now = at(i64::from(day) * DAY);
            let resend = Resend::new(30 * 86_400, now, starts.clone());
            let mut today = 0;
            for (index, phase) in customers.iter().enumerate() {
                if resend.is_due(*phase, last[index]) {
                    assert!(day - last[index] >= 27, "day {day} after {}", last[index]);
                    (last[index], times[index], today) = (day, times[index] + 1, today + 1);
                }
            }
            most = most.max(today);
            starts.push((day, now));
        }
        assert!(times.iter().all(|times| (2..=4).contains(times)), "every value goes again about monthly");
        assert!(most <= 3_000 / 30 * 2, "{most} in one day");
    }
}
