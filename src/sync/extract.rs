//! Reads the source, compares, and hands portions on; reads on where it was cut off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::diff::{Differ, Limits};
use super::group::persist;
use super::patience::Patience;
use super::portion::Portion;
use super::receipt::Receipt;
use super::window::Plan;
use super::{Claim, Rooms, Stopped, wait_until};
use crate::customer::{Digester, Position};
use crate::ledger::Lease;
use crate::run::Phase;
use crate::source::{Reading, Rows, Selection, SourceError};

/// Portions that may wait to be gathered into a group, which then waits for room itself: a few are enough that nobody
/// waits for a hand-over.
const PORTIONS_AHEAD: usize = 16;
/// How long a source may stay out of reach before the run fails: long enough for a fail-over or a restart, short
/// enough that the next scheduled run is not kept waiting.
const SOURCE_PATIENCE: Duration = Duration::from_secs(3600);
/// First and longest wait between tries of a source.
const SOURCE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The reading and comparing half of a run, on a task of its own.
pub(super) struct Extract {
    task: AbortOnDropHandle<Result<(), Stopped>>,
}

/// How many customers were read, and how many the source expects; read by the progress display.
#[derive(Debug, Default)]
pub(super) struct Seen {
    customers: AtomicU64,
    total: AtomicU64,
}

impl Seen {
    pub(super) fn customers(&self) -> u64 {
        self.customers.load(Ordering::Relaxed)
    }

    pub(super) fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }
}

/// Portions as they come, and how far reading has come.
pub(super) struct Portions {
    pub queue: mpsc::Receiver<Portion>,
    pub seen: Arc<Seen>,
}

impl Extract {
    /// Opens the source and starts to read where an earlier attempt left off.
    pub(super) async fn start(
        rooms: &Rooms,
        lease: &Lease,
        claim: &Claim,
        plan: &Plan,
        receipt: &mut Receipt,
    ) -> Result<(Self, Portions), Stopped> {
        let slots = plan.target.slots.as_slice().into();
        let digester = Digester { hasher: rooms.ledger.hasher().clone(), slots };
        let mut reader = Reader {
            rooms: rooms.clone(),
            lease: lease.clone(),
            claim: claim.clone(),
            rows: plan.rows.clone(),
            last: receipt.checkpoint().position.clone(),
            target: plan.target.number,
            digester: digester.clone(),
            patience: Patience::new(SOURCE_PATIENCE, SOURCE_RETRY),
        };
        let reading = reader.open().await?;
        receipt.set_ceiling(reading.ceiling());
        let window = plan.window(Some(receipt.checkpoint().ceiling));
        rooms.ledger.show_progress(lease, lease.run.progress, Some(window), plan.promoted).await?;

        let seen = Arc::new(Seen::default());
        let already = receipt.checkpoint().tally.customers;
        seen.customers.store(already, Ordering::Relaxed);
        seen.total.store(reading.total().map_or(0, |total| total + already), Ordering::Relaxed);
        let differ = Differ::new(digester, lease.number, &rooms.sync, plan, limits(rooms));
        let differ = Arc::new(Mutex::new(differ));
        let (sender, queue) = mpsc::channel(PORTIONS_AHEAD);
        let task = tokio::spawn(reader.read_all(reading, differ, sender, seen.clone()));
        Ok((Self { task: AbortOnDropHandle::new(task) }, Portions { queue, seen }))
    }

    /// How reading ended, once every portion has been taken.
    pub(super) async fn outcome(self) -> Result<(), Stopped> {
        match self.task.await {
            Ok(outcome) => outcome,
            Err(joined) if joined.is_panic() => std::panic::resume_unwind(joined.into_panic()),
            Err(_) => Err(Stopped::Draining),
        }
    }
}

fn limits(rooms: &Rooms) -> Limits {
    Limits { updates: rooms.braze.batch_size(), bytes: rooms.braze.max_body_bytes() }
}

struct Reader {
    rooms: Rooms,
    lease: Lease,
    claim: Claim,
    rows: Rows,
    last: Option<Position>,
    target: i64,
    digester: Digester,
    patience: Patience,
}

impl Reader {
    async fn read_all(
        mut self,
        mut reading: Reading,
        differ: Arc<Mutex<Differ>>,
        portions: mpsc::Sender<Portion>,
        seen: Arc<Seen>,
    ) -> Result<(), Stopped> {
        loop {
            let chunk = match self.claim.unless_stopped(reading.next()).await? {
                Ok(Some(chunk)) => Arc::new(chunk),
                Ok(None) => break,
                Err(error) => {
                    self.wait_out(error).await?;
                    reading = self.open().await?;
                    continue;
                }
            };
            self.patience.restore();
            let (ledger, limits) = (&self.rooms.ledger, limits(&self.rooms));
            let (ready, read_now) = persist(&self.claim, || {
                let differ = differ.clone();
                ledger.look_up(self.target, chunk.clone(), move |chunk, remembered| {
                    let mut differ = differ.lock().unwrap_or_else(PoisonError::into_inner);
                    (differ.compare(chunk, &remembered, limits), differ.counted().tally.customers)
                })
            })
            .await?;
            self.last = (0..chunk.len()).rev().find_map(|index| chunk.position(index)).or(self.last);
            seen.customers.store(self.read_before() + read_now, Ordering::Relaxed);
            for portion in ready {
                if portions.send(portion).await.is_err() {
                    // Sending stopped; it has the reason.
                    return Ok(());
                }
            }
        }
        let finished = differ.lock().unwrap_or_else(PoisonError::into_inner).finish();
        for portion in finished {
            if portions.send(portion).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn read_before(&self) -> u64 {
        self.lease.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.tally.customers)
    }

    /// Opens the source, waiting out what may heal.
    async fn open(&mut self) -> Result<Reading, Stopped> {
        loop {
            let selection = Selection {
                rows: self.rows.clone(),
                after: self.last.clone(),
                digester: Some(self.digester.clone()),
            };
            match self.claim.unless_stopped(self.rooms.source.read(selection)).await? {
                Ok(reading) => return Ok(reading),
                Err(error) => self.wait_out(error).await?,
            }
        }
    }

    /// Waits before the next try, or fails the run when there is no sense in one.
    async fn wait_out(&mut self, error: SourceError) -> Result<(), Stopped> {
        let wait = match error.is_retryable() {
            true => self.patience.next_wait(),
            false => None,
        };
        let Some(wait) = wait else {
            return Err(Stopped::failed(error.code(), error.to_string(), error.is_retryable()));
        };
        tracing::warn!(run.id = %self.lease.run.id, code = error.code(), wait_secs = wait.as_secs(), "source out of reach");
        let until = self.rooms.clock.now() + wait;
        wait_until(&self.rooms, &self.lease, &self.claim, Phase::Extracting, until).await
    }
}
