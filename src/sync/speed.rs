//! How fast a run is, and how long it will take.

use tokio::time::Instant;

use crate::run::{Phase, Progress};

/// Customers per second of late: an exponential mean over about five seconds.
pub(super) struct Speed {
    done: u64,
    at: Instant,
    per_sec: f64,
}

impl Speed {
    pub(super) fn start(done: u64) -> Self {
        Self { done, at: Instant::now(), per_sec: 0.0 }
    }

    /// What people are shown with `done` customers of `total` behind.
    pub(super) fn progress(&mut self, done: u64, total: Option<u64>) -> Progress {
        let per_sec = self.at(done);
        let left = total.map(|total| total.saturating_sub(done));
        let eta_secs = left.and_then(|left| eta(left, per_sec));
        Progress { phase: Phase::Extracting, done, total, per_sec, eta_secs }
    }

    #[expect(clippy::cast_precision_loss, reason = "a speed for people")]
    fn at(&mut self, done: u64) -> f64 {
        let secs = self.at.elapsed().as_secs_f64();
        if secs >= 0.1 {
            let now = done.saturating_sub(self.done) as f64 / secs;
            let weight = if self.per_sec == 0.0 { 1.0 } else { (secs / 5.0).min(1.0) };
            self.per_sec += (now - self.per_sec) * weight;
            (self.done, self.at) = (done, Instant::now());
        }
        self.per_sec
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn eta(left: u64, per_sec: f64) -> Option<u64> {
    (per_sec > 0.0).then(|| (left as f64 / per_sec).ceil() as u64)
}
