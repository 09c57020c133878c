//! What is counted of a workspace, as it happens and as it stands.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use super::destination::Braze;
use super::verdict::Reply;
use crate::telemetry::metric::{
    ANSWERS, BUDGET_LEFT, CONCURRENCY, FAILING, HOLD, IN_FLIGHT, REQUEST_SECONDS, THROTTLED,
};

/// What makes requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A 429, a backoff, the hour's share.
    Hold,
    /// The even pace of the budget.
    Pace,
}

/// Time that requests waited, in microseconds so far: counters are of whole seconds.
#[derive(Debug, Default)]
pub(super) struct Waited {
    hold: AtomicU64,
    pace: AtomicU64,
}

impl Waited {
    /// Counts from `since` to now, also where whoever waits gives up.
    pub(super) fn during<'a>(&'a self, destination: &'a str, wait: Wait) -> Waiting<'a> {
        Waiting { waited: self, destination, wait, since: Instant::now() }
    }
}

/// A wait under way; counted at its end.
pub(super) struct Waiting<'a> {
    waited: &'a Waited,
    destination: &'a str,
    wait: Wait,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (sum, reason) = match self.wait {
            Wait::Hold => (&self.waited.hold, "hold"),
            Wait::Pace => (&self.waited.pace, "pace"),
        };
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let before = sum.fetch_add(micros, Ordering::Relaxed);
        let seconds = before.wrapping_add(micros) / 1_000_000 - before / 1_000_000;
        if seconds > 0 {
            counter!(THROTTLED, "destination" => self.destination.to_owned(), "reason" => reason)
                .increment(seconds);
        }
    }
}

/// One request was answered, or was not.
pub(super) fn answered(destination: &str, reply: &Reply, started_at: Instant) {
    let to = || destination.to_owned();
    counter!(ANSWERS, "destination" => to(), "class" => reply.class()).increment(1);
    histogram!(REQUEST_SECONDS, "destination" => to()).record(started_at.elapsed().as_secs_f64());
}

impl Braze {
    /// Shows how the workspace stands now, and what is counted of it from zero on.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    pub fn measure(&self) {
        let to = || self.name.clone();
        let figures = self.gate.figures();
        gauge!(IN_FLIGHT, "destination" => to()).set(figures.in_flight as f64);
        gauge!(CONCURRENCY, "destination" => to()).set(figures.concurrency);
        gauge!(HOLD, "destination" => to()).set(figures.hold.as_secs_f64());
        gauge!(FAILING, "destination" => to()).set(figures.failing.as_secs_f64());
        for (window, left) in figures.left {
            gauge!(BUDGET_LEFT, "destination" => to(), "window" => window).set(left as f64);
        }
        for class in Reply::CLASSES {
            counter!(ANSWERS, "destination" => to(), "class" => class).increment(0);
        }
        for reason in ["hold", "pace"] {
            counter!(THROTTLED, "destination" => to(), "reason" => reason).increment(0);
        }
    }
}
