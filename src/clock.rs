//! The one place that reads the wall clock. Everything else is handed a [`Clock`].
//!
//! Durations (timeouts, backoff, budgets) use `tokio::time::Instant`, which tests pause; what must not outlast a
//! suspended machine (leases, shares) a [`Moment`]; wall-clock instants (callback tolerance, `…_at` columns) come
//! from here.

mod moment;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

pub use moment::Moment;

/// Tells the time in UTC, to the microsecond: the precision every ledger keeps.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until [`Clock::set`] or [`Clock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(start))))
    }

    /// The present instant, truncated to microseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = match &self.0 {
            None => Utc::now(),
            Some(manual) => *manual.lock().expect("no holder of the clock panics"),
        };
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Moves a manual clock to `to`; the machine's clock is left alone.
    pub fn set(&self, to: DateTime<Utc>) {
        if let Some(manual) = &self.0 {
            *manual.lock().expect("no holder of the clock panics") = to;
        }
    }

    /// Moves a manual clock on by `by`; the machine's clock is left alone.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(manual) = &self.0 {
            *manual.lock().expect("no holder of the clock panics") += by;
        }
    }
}
