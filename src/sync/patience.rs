//! How long something out of reach is put up with.

use std::time::Duration;

use tokio::time::Instant;

/// Patience with one thing that fails: ever longer waits, until it has failed for too long without a break.
pub(super) struct Patience {
    limit: Duration,
    /// First and longest wait.
    steps: (Duration, Duration),
    failing_since: Option<Instant>,
    wait: Duration,
}

impl Patience {
    pub(super) fn new(limit: Duration, steps: (Duration, Duration)) -> Self {
        Self { limit, steps, failing_since: None, wait: steps.0 }
    }

    /// The next wait, twice the last; none once patience is spent.
    pub(super) fn next_wait(&mut self) -> Option<Duration> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let wait = self.wait;
        self.wait = (wait * 2).min(self.steps.1);
        (since.elapsed() < self.limit).then_some(wait)
    }

    /// It answered.
    pub(super) fn restore(&mut self) {
        *self = Self::new(self.limit, self.steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_a_bound_and_end_with_the_limit() {
        let secs = Duration::from_secs;
        let mut patience = Patience::new(secs(20), (secs(1), secs(4)));
        let mut waits = Vec::new();
        while let Some(wait) = patience.next_wait() {
            waits.push(wait.as_secs());
            tokio::time::advance(wait).await;
        }
        assert_eq!(waits, [1, 2, 4, 4, 4, 4, 4]);
        patience.restore();
        assert_eq!(patience.next_wait(), Some(secs(1)));
    }
}
