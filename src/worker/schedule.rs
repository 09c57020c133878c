//! What happens by the clock: the cadence's runs, watermarks that stand still, probes of blocked syncs, pruning.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Syncs;
use crate::cadence;
use crate::clock::Clock;
use crate::config;
use crate::ledger::{Ledger, LedgerError, NewRun};
use crate::run::{Mode, TriggerKind};

/// How often the clock is looked at: a cron expression has minutes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a blocked sync's key is tried with an empty body.
const PROBE_EVERY: Duration = Duration::from_secs(300);
/// How far a slot answered for may lie ahead: more than the clocks of replicas differ by. Farther ahead, a clock was
/// wrong, and would leave the cadence without runs until it is right.
const SLOT_AHEAD: TimeDelta = TimeDelta::minutes(5);
/// How often what is past retention is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Looks after everything that happens by the clock, until told to drain.
pub(super) struct Schedule {
    pub ledger: Ledger,
    pub syncs: Arc<dyn Syncs>,
    pub clock: Clock,
    pub draining: CancellationToken,
    /// Rings after a reload.
    pub reloaded: Arc<Notify>,
}

impl Schedule {
    pub(super) async fn keep(self) {
        let cadence = self.every(LOOK_EVERY, "cadence", || self.start_due());
        let staleness = self.every(LOOK_EVERY, "staleness", || self.note_staleness());
        let prune = self.every(PRUNE_EVERY, "prune", || async { self.ledger.prune().await.map(drop) });
        // Each on its own: a probe may wait half a minute for its answer, and no slot waits with it.
        let (cadence, probe, prune) = (Box::pin(cadence), Box::pin(self.probe_on()), Box::pin(prune));
        let staleness = Box::pin(staleness);
        let all = async { tokio::join!(cadence, staleness, probe, prune) };
        self.draining.run_until_cancelled(all).await;
    }

    /// Does `work` now and every `period` from then on.
    async fn every<F>(&self, period: Duration, what: &str, work: impl Fn() -> F) -> Infallible
    where
        F: Future<Output = Result<(), LedgerError>>,
    {
        let mut ticks = ticks(period);
        loop {
            ticks.tick().await;
            tell(what, work().await);
        }
    }

    /// Tries blocked syncs now, at every reload, and every [`PROBE_EVERY`].
    async fn probe_on(&self) -> Infallible {
        let mut ticks = ticks(PROBE_EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.reloaded.notified() => {}
            }
            tell("probe", self.probe_blocked().await);
        }
    }

    /// Queues a run for every sync whose cadence has a slot that nobody has answered for. Of several missed slots
    /// only the last counts.
    async fn start_due(&self) -> Result<(), LedgerError> {
        for (sync, cadence) in self.syncs.cadences() {
            let now = self.clock.now();
            let Some(last) = self.ledger.last_slot(&sync).await? else {
                // Never scheduled before: slots before today are nobody's.
                self.ledger.take_slot(&sync, now, None).await?;
                continue;
            };
            if last > now + SLOT_AHEAD {
                tracing::warn!(%sync, "the clock has been ahead: slots from now on count again");
                self.ledger.put_back_slot(&sync, last, now).await?;
                continue;
            }
            if let Some(slot) = last_due(&cadence, last, now) {
                let run = by_the_clock(&sync, Mode::Delta, "cadence");
                self.ledger.take_slot(&sync, slot, Some(run)).await?;
            }
        }
        Ok(())
    }

    /// Has it told where a watermark has stood still for longer than the cadence allows.
    async fn note_staleness(&self) -> Result<(), LedgerError> {
        for (sync, cadence) in self.syncs.cadences() {
            if let Some(secs) = cadence.stale_after_secs {
                self.ledger.note_staleness(&sync, Duration::from_secs(secs)).await?;
            }
        }
        Ok(())
    }

    /// Tries the key of every blocked sync; one that Braze takes again is unblocked, and gets one run.
    async fn probe_blocked(&self) -> Result<(), LedgerError> {
        for sync in self.syncs.ids() {
            if self.ledger.sync_state(&sync).await?.blocked.is_none() {
                continue;
            }
            let Ok(rooms) = self.syncs.rooms(&sync) else { continue };
            match rooms.braze.probe().await {
                Ok(()) => {
                    // The run first: one too many does no harm, one that was forgotten does.
                    self.ledger.enqueue(by_the_clock(&sync, Mode::Delta, "unblocked")).await?;
                    self.ledger.unblock(&sync).await?;
                    tracing::info!(%sync, "Braze takes the key again");
                }
                Err(stop) => tracing::info!(%sync, reason = %stop, "still blocked"),
            }
        }
        Ok(())
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    ticks
}

fn tell(what: &str, done: Result<(), LedgerError>) {
    if let Err(error) = done {
        tracing::warn!(what, error = &error as &dyn std::error::Error, "not done by the clock; tried again");
    }
}

fn by_the_clock(sync: &str, mode: Mode, reason: &str) -> NewRun {
    NewRun {
        sync: sync.to_owned(),
        mode,
        kind: TriggerKind::Schedule,
        actor: None,
        reason: Some(reason.to_owned()),
        retrigger_of: None,
        customers: None,
        idempotency: None,
    }
}

/// The last slot after `last` that is not still to come.
fn last_due(cadence: &config::Cadence, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    cadence::last_of(cadence, now).filter(|slot| *slot > last)
}
