//! The hour's bound, of a process that has it to itself.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The hour's bound slides too, and so holds for every clock hour, by which Braze counts. In whole seconds: a
/// second leaves when all of it is an hour old.
pub(super) const HOUR_SECS: u64 = 3_600;

#[derive(Debug)]
pub(super) struct Hour {
    limit: u32,
    from: Instant,
    used: u32,
    /// Starts by second since `from`, oldest first.
    seconds: VecDeque<(u64, u32)>,
}

impl Hour {
    pub(super) fn new(limit: u32, now: Instant) -> Self {
        Self { limit: limit.max(1), from: now, used: 0, seconds: VecDeque::new() }
    }

    /// The same hour under another limit.
    pub(super) fn under(self, limit: u32) -> Self {
        Self { limit: limit.max(1), ..self }
    }

    fn second(&self, now: Instant) -> u64 {
        (now - self.from).as_secs()
    }

    /// Requests that may still start at `now`.
    pub(super) fn left(&self, now: Instant) -> u32 {
        let second = self.second(now);
        let over = self.seconds.iter().take_while(|(oldest, _)| oldest + HOUR_SECS < second);
        self.limit.saturating_sub(self.used - over.map(|(_, count)| count).sum::<u32>())
    }

    pub(super) fn free_at(&mut self, now: Instant) -> Option<Instant> {
        let second = self.second(now);
        while let Some((oldest, count)) = self.seconds.front().copied()
            && oldest + HOUR_SECS < second
        {
            self.used -= count;
            self.seconds.pop_front();
        }
        let (oldest, _) = self.seconds.front().filter(|_| self.used >= self.limit)?;
        Some(self.from + Duration::from_secs(oldest + HOUR_SECS + 1))
    }

    pub(super) fn count(&mut self, now: Instant) {
        let second = self.second(now);
        self.used += 1;
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
    }
}
