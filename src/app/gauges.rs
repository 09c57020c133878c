//! Figures that have to be looked up: how syncs, ledger and destinations stand. Looked up on a timer, never because
//! somebody asks, so that no scrape costs the ledger anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::rooms::Configured;
use crate::clock::Clock;
use crate::config;
use crate::ledger::{Ledger, LedgerError, OpenRun};
use crate::run::RunState;
use crate::telemetry::metric::{
    BLOCKED, BUILD, LEDGER_BYTES, LEDGER_UP, OPEN_RUNS, OUTSTANDING, PAUSED, QUEUE_AGE, RELOADS, RUN_AGE,
    STALE, STALE_AFTER, WATERMARK_AGE,
};

/// How old the figures may be: well under the usual 15 s between scrapes.
const EVERY: Duration = Duration::from_secs(5);
/// Looking them up takes at most this share of the time: counting a million rejections is not done every few seconds.
const SHARE: u32 = 20;
const OPEN: [RunState; 4] = [RunState::Queued, RunState::Running, RunState::Waiting, RunState::Held];

/// Looks the figures up until told to stop.
pub(super) struct Gauges {
    pub ledger: Ledger,
    pub configured: Arc<Configured>,
    pub clock: Clock,
    pub metrics: PrometheusHandle,
}

impl Gauges {
    pub(super) async fn keep(self, stopping: CancellationToken) {
        for outcome in ["done", "refused"] {
            reloaded(outcome, 0);
        }
        stopping.run_until_cancelled(self.refresh_on()).await;
    }

    async fn refresh_on(&self) {
        loop {
            let began = Instant::now();
            self.refresh().await;
            // Histograms gather what is recorded until it is summed up here, or by a scrape, if any comes.
            self.metrics.run_upkeep();
            tokio::time::sleep(EVERY.max(began.elapsed() * SHARE)).await;
        }
    }

    async fn refresh(&self) {
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        self.configured.destinations().iter().for_each(|braze| braze.measure());
        let looked_up = self.look_up().await;
        if let Err(error) = &looked_up {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the ledger's figures are not up to date"
            );
        }
        gauge!(LEDGER_UP).set(f64::from(u8::from(looked_up.is_ok())));
    }

    #[expect(clippy::cast_precision_loss, reason = "a size, for a graph")]
    async fn look_up(&self) -> Result<(), LedgerError> {
        for (part, bytes) in self.ledger.sizes().await? {
            gauge!(LEDGER_BYTES, "part" => part).set(bytes as f64);
        }
        let mut open: BTreeMap<String, Vec<OpenRun>> = BTreeMap::new();
        for run in self.ledger.open_runs(None).await? {
            open.entry(run.sync.clone()).or_default().push(run);
        }
        for sync in self.configured.syncs() {
            let runs = open.remove(&sync.id).unwrap_or_default();
            show_runs(&sync.id, &runs, self.clock.now());
            self.show_sync(&sync).await?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count, for a graph")]
    async fn show_sync(&self, sync: &config::Sync) -> Result<(), LedgerError> {
        // All of it before any is shown: a scrape in between would see one sync at two times.
        let known = self.ledger.sync_state(&sync.id).await?;
        let outstanding = self.ledger.outstanding_rejections(&sync.id).await?;
        let now = self.clock.now();
        let show = |name: &'static str, value: f64| gauge!(name, "sync" => sync.id.clone()).set(value);
        let flag = |name, is: bool| show(name, f64::from(u8::from(is)));
        flag(PAUSED, known.paused);
        flag(BLOCKED, known.blocked.is_some());
        let age = known.watermark_moved_at.map(|at| seconds(now - at));
        let bound =
            sync.cadence.as_ref().and_then(|cadence| cadence.stale_after_secs).map(|secs| secs as f64);
        age.into_iter().for_each(|age| show(WATERMARK_AGE, age));
        bound.into_iter().for_each(|bound| show(STALE_AFTER, bound));
        flag(STALE, age.zip(bound).is_some_and(|(age, bound)| age > bound));
        show(OUTSTANDING, outstanding as f64);
        Ok(())
    }
}

fn show_runs(sync: &str, runs: &[OpenRun], now: DateTime<Utc>) {
    for state in OPEN {
        let count = runs.iter().filter(|run| run.state == state).count();
        #[expect(clippy::cast_precision_loss, reason = "two at most")]
        gauge!(OPEN_RUNS, "sync" => sync.to_owned(), "state" => state.as_str()).set(count as f64);
    }
    let queued = runs.iter().find(|run| run.state == RunState::Queued).map(|run| run.created_at);
    let active = runs.iter().find(|run| run.state.is_active()).and_then(|run| run.started_at);
    for (name, since) in [(QUEUE_AGE, queued), (RUN_AGE, active)] {
        gauge!(name, "sync" => sync.to_owned()).set(since.map_or(0.0, |since| seconds(now - since)));
    }
}

/// A clock set back makes nothing younger than now.
fn seconds(age: TimeDelta) -> f64 {
    age.as_seconds_f64().max(0.0)
}

/// The config was read again, so many times.
pub(super) fn reloaded(outcome: &'static str, times: u64) {
    counter!(RELOADS, "outcome" => outcome).increment(times);
}
