//! Claims runs and sees them through: one task per run, a heartbeat beside it, at most one active run per sync.
//!
//! The worker meets the API only in the ledger, plus a bell that rings when a run may have become claimable. It
//! registers for the bell *before* it looks, so that none is missed, and looks twice a second all the same.

mod attempt;
mod heartbeat;
mod measure;
mod notices;
mod own;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config;
use crate::ledger::Ledger;
use crate::notify::Receiver;
use crate::sync::Rooms;
use own::Own;

/// How often the queue is looked at without a bell: covers a lost one, and leases and waits that run out, of which a
/// person is promised that a run goes on within two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a drain may take unless told otherwise: what `server.drain_secs` is by default.
const DRAIN: Duration = Duration::from_secs(10);

/// Gives the rooms of a sync as configured now.
pub trait Syncs: Send + Sync + 'static {
    /// The syncs this process knows.
    fn ids(&self) -> Vec<String>;
    /// The syncs that have a cadence, with it.
    fn cadences(&self) -> Vec<(String, config::Cadence)>;
    /// What a run of the sync works with, by the settings in force now.
    ///
    /// # Errors
    /// One sentence on what is wrong with them.
    fn rooms(&self, sync: &str) -> Result<Rooms, String>;
    /// Who is told of what happens.
    fn receivers(&self) -> Vec<Arc<Receiver>> {
        Vec::new()
    }
}

/// The claim loop.
pub struct Worker {
    ledger: Ledger,
    syncs: Arc<dyn Syncs>,
    clock: Clock,
    lease: Duration,
    drain: Duration,
    draining: CancellationToken,
    reloaded: Arc<Notify>,
    plans_only: bool,
    runs: TaskTracker,
    /// Numbers of the runs this process has.
    own: Own<u32>,
}

impl Worker {
    /// A worker whose leases last `lease`; it stops claiming, and stops its runs, once `draining` is cancelled.
    pub fn new(
        ledger: Ledger,
        syncs: Arc<dyn Syncs>,
        clock: Clock,
        lease: Duration,
        draining: CancellationToken,
    ) -> Self {
        Self {
            ledger,
            syncs,
            clock,
            lease,
            drain: DRAIN,
            draining,
            reloaded: Arc::default(),
            plans_only: false,
            runs: TaskTracker::new(),
            own: Own::default(),
        }
    }

    /// The same for plans alone: it claims nothing else and starts nothing by the clock, and so sends nothing.
    pub fn plans_only(self) -> Self {
        Self { plans_only: true, ..self }
    }

    /// The same with so much time from being told to drain to the end.
    pub fn drained_within(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// To be rung after a reload: blocked syncs are tried at once, for what blocks them may have changed.
    pub fn reloaded(&self) -> Arc<Notify> {
        self.reloaded.clone()
    }

    /// Claims and runs until told to drain, then waits for the runs under way to wind down.
    pub async fn work(self) {
        if !self.plans_only {
            let schedule = schedule::Schedule {
                ledger: self.ledger.clone(),
                syncs: self.syncs.clone(),
                clock: self.clock.clone(),
                draining: self.draining.clone(),
                reloaded: self.reloaded.clone(),
            };
            self.runs.spawn(schedule.keep());
        }
        let stopping = CancellationToken::new();
        let notices = (!self.plans_only).then(|| tokio::spawn(self.notices(&stopping).keep()));
        let wake = self.ledger.wake();
        let mut counted = Vec::new();
        while !self.draining.is_cancelled() {
            let ids = self.syncs.ids();
            if ids != counted {
                measure::begin(&ids);
                counted = ids;
            }
            let rung = wake.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            self.claim_all().await;
            tokio::select! {
                () = &mut rung => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.draining.cancelled() => {}
            }
        }
        self.runs.close();
        self.runs.wait().await;
        stopping.cancel();
        if let Some(notices) = notices {
            // It never panics, and if it did, nobody is left to be told.
            let _ = notices.await;
        }
    }

    fn notices(&self, stopping: &CancellationToken) -> notices::Notices {
        notices::Notices {
            ledger: self.ledger.clone(),
            syncs: self.syncs.clone(),
            clock: self.clock.clone(),
            stopping: stopping.clone(),
            drain: self.drain,
        }
    }

    /// Claims everything claimable.
    async fn claim_all(&self) {
        let ids = self.syncs.ids();
        while !self.draining.is_cancelled() {
            let own = self.own.numbers();
            let claimed = match self.plans_only {
                true => self.ledger.claim_plan(&ids, &own).await,
                false => self.ledger.claim_beside(&ids, &own).await,
            };
            match claimed {
                Ok(Some(lease)) => {
                    let attempt = attempt::Attempt {
                        ledger: self.ledger.clone(),
                        syncs: self.syncs.clone(),
                        clock: self.clock.clone(),
                        lease_lasts: self.lease,
                        drain: self.drain,
                        draining: self.draining.clone(),
                    };
                    let ours = self.own.take(lease.number);
                    self.runs.spawn(async move {
                        attempt.see_through(lease).await;
                        drop(ours);
                    });
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for runs");
                    return;
                }
            }
        }
    }
}
