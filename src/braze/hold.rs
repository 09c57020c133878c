//! Until when nothing may be sent to the workspace, by any run.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;

/// Shorter holds are not shown: they are over before anybody looks.
const SHOWN_FROM: Duration = Duration::from_secs(1);

/// Nothing is sent to the workspace before an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The instant.
    pub until: DateTime<Utc>,
    /// Why.
    pub why: HoldReason,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// Braze announced when it takes requests again.
    AnnouncedReset,
    /// Braze failed, or refused without saying until when.
    Backoff,
    /// The hour's share of requests is spent.
    BudgetHour,
}

/// The workspace's holds; the longest counts.
#[derive(Debug)]
pub(super) struct Holds {
    clock: Clock,
    until: Mutex<Option<Instant>>,
    shown: watch::Sender<Option<Hold>>,
}

impl Holds {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, until: Mutex::new(None), shown: watch::Sender::new(None) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Hold>> {
        self.shown.subscribe()
    }

    /// Nothing for `wait` from now; a longer hold in force stays.
    pub(super) fn extend(&self, wait: Duration, why: HoldReason) {
        let end = Instant::now() + wait;
        let mut until = self.until.lock().expect("no holder of the hold panics");
        if until.is_some_and(|until| until >= end) {
            return;
        }
        *until = Some(end);
        if wait >= SHOWN_FROM {
            self.shown.send_replace(Some(Hold { until: self.clock.now() + wait, why }));
        }
    }

    /// Until when nothing may be sent, if that is to come.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.lock().expect("no holder of the hold panics").filter(|until| *until > now)
    }

    /// Waits until there is none.
    pub(super) async fn passed(&self) {
        while let Some(until) = self.until(Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
        let until = self.until.lock().expect("no holder of the hold panics");
        // Under the lock: one that began just now is not taken down.
        if until.is_none_or(|until| until <= Instant::now()) {
            self.shown.send_if_modified(|shown| shown.take().is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_hold_counts_and_is_shown_until_it_passes() {
        let holds = Holds::new(Clock::manual(DateTime::<Utc>::UNIX_EPOCH));
        let shown = holds.subscribe();
        let began = Instant::now();
        holds.extend(Duration::from_millis(900), HoldReason::Backoff);
        assert_eq!(*shown.borrow(), None);
        holds.extend(Duration::from_secs(17), HoldReason::AnnouncedReset);
        holds.extend(Duration::from_secs(3), HoldReason::Backoff);
        let until = DateTime::<Utc>::UNIX_EPOCH + Duration::from_secs(17);
        assert_eq!(*shown.borrow(), Some(Hold { until, why: HoldReason::AnnouncedReset }));
        holds.passed().await;
        assert_eq!(began.elapsed(), Duration::from_secs(17));
        assert_eq!(*shown.borrow(), None);
    }
}
