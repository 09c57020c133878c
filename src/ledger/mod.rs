//! Our durable memory: deliveries, the queue of runs, what Braze accepted, what it refused, how far each sync came.
//!
//! One transaction per promise: a delivery and its run commit together before the callback is answered; keys are
//! marked in flight before a group of batches goes out; a group's digests, rejections and counts commit together;
//! the watermark moves last, with the outcome. Every write of a run carries the lease's epoch and changes one row
//! of `runs`, or the lease is lost and nothing changes.

mod ask;
mod budget;
mod cursor;
mod deliveries;
mod digest_key;
mod error;
mod finish;
mod forget;
mod idempotency;
mod inbox;
mod lease;
mod lookup;
mod prune;
mod queue;
mod refused;
mod rejections;
mod row;
mod runs;
mod sent;
mod slots;
mod sqlite;
mod syncs;

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::{Notify, broadcast};

use crate::clock::Clock;
use crate::config;
use crate::customer::Hasher;
use crate::run::RunId;

pub use deliveries::{Decision, Delivery, NewDelivery, Recorded};
pub use error::LedgerError;
pub use finish::Finish;
pub use lease::{Checkpoint, Lease};
pub use prune::Pruned;
pub use queue::{Enqueued, Idempotency, NewRun};
pub use refused::RefusedDelivery;
pub use rejections::{NewRejection, Rejection};
pub use runs::{Page, RunFilter};
pub use sent::{Flag, Group, KnownAttribute, KnownCustomer, Remembered, Sent, SentRow, Target};
pub use syncs::{Blocked, SyncState};

/// Changed runs that a slow listener may fall behind by; it then looks at everything again.
const CHANGES_KEPT: usize = 1_024;

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    writer: SqlitePool,
    readers: SqlitePool,
    lookups: lookup::Lookups,
    hasher: Hasher,
    clock: Clock,
    lease: Duration,
    retention_days: u32,
    wake: Arc<Notify>,
    changed: broadcast::Sender<RunId>,
    inbox: inbox::Inbox,
    refused: refused::Refused,
    lock: std::fs::File,
}

impl Ledger {
    /// Opens the ledger and brings its schema up to date. A SQLite ledger is taken for this process alone: the
    /// leases of whoever had it before are void.
    ///
    /// # Errors
    /// When another process holds it, the schema is newer than this binary, the SQLite library is older than
    /// 3.51.3 (which may lose committed transactions), the file is damaged, or it cannot be reached.
    pub async fn open(settings: &config::Ledger, clock: Clock) -> Result<Self, LedgerError> {
        let opened = sqlite::open(settings).await?;
        let hasher = digest_key::hasher(settings, &opened).await?;
        let wake = Arc::new(Notify::new());
        let (changed, _) = broadcast::channel(CHANGES_KEPT);
        let inbox = inbox::Inbox::start(opened.writer.clone(), clock.clone(), wake.clone(), changed.clone());
        let ledger = Self(Arc::new(Inner {
            lookups: lookup::Lookups::new(opened.path.clone()),
            writer: opened.writer,
            readers: opened.readers,
            hasher,
            clock,
            lease: Duration::from_secs(settings.lease_secs),
            retention_days: settings.retention_days,
            wake,
            changed,
            inbox,
            refused: refused::Refused::default(),
            lock: opened.lock,
        }));
        ledger.void_leases().await?;
        Ok(ledger)
    }

    /// Makes the digests of sent values, with this ledger's own key.
    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// Rings when a run may have become claimable. A hint: whoever waits must also poll.
    pub fn wake(&self) -> Arc<Notify> {
        self.0.wake.clone()
    }

    /// Tells which runs change. A listener that falls behind is told so, and looks again.
    pub fn watch(&self) -> broadcast::Receiver<RunId> {
        self.0.changed.subscribe()
    }

    /// Commits a probe row: whether a callback could be recorded now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it could not.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        let mut tx = self.begin("probe").await?;
        sqlx::query(
            "-- ledger::probe
             insert into facts (name, value) values ('probe', $1)
             on conflict (name) do update set value = excluded.value",
        )
        .bind(self.0.clock.now())
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("probe"))?;
        commit(tx, "probe").await
    }

    /// Writes what is waiting and lets the file go.
    pub async fn close(&self) {
        self.0.inbox.close().await;
        self.0.lookups.let_go();
        self.0.readers.close().await;
        self.0.writer.close().await;
        if let Err(error) = self.0.lock.unlock() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ledger's lock stays until the end");
        }
    }

    /// Begins a write. Writes wait for one another here, in order, rather than in SQLite.
    async fn begin(&self, what: &'static str) -> Result<Transaction<'static, Sqlite>, LedgerError> {
        self.0.writer.begin_with("begin immediate").await.map_err(LedgerError::during(what))
    }

    fn ring(&self) {
        self.0.wake.notify_waiters();
    }

    fn tell(&self, run: RunId) {
        // Nobody may be listening.
        let _ = self.0.changed.send(run);
    }
}

async fn commit(tx: Transaction<'static, Sqlite>, what: &'static str) -> Result<(), LedgerError> {
    tx.commit().await.map_err(LedgerError::during(what))
}
