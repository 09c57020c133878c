//! Our durable memory: deliveries, the queue of runs, what Braze accepted, what it refused, how far each sync came.
//!
//! One transaction per promise: a delivery and its run commit together before the callback is answered; keys are
//! marked in flight before a group of batches goes out; a group's digests, rejections and counts commit together;
//! the watermark moves last, with the outcome and the notices that tell of it. Every write of a run carries the lease's epoch and changes one row
//! of `runs`, or the lease is lost and nothing changes.

mod ask;
mod budget;
mod column;
mod cursor;
mod deliveries;
mod dialect;
mod digest_key;
mod error;
mod file_system;
mod finish;
mod follow;
mod forget;
mod herald;
mod idempotency;
mod inbox;
mod lease;
mod lookup;
mod notices;
mod outbox;
mod postgres;
mod prune;
mod queue;
mod refused;
mod rejections;
mod row;
mod rows;
mod runs;
mod sample;
mod sent;
mod shares;
mod sheet;
mod slots;
mod sqlite;
mod standing;
mod statement;
mod store;
mod syncs;
mod transfer;
mod version;

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::{Notify, broadcast};

use crate::clock::Clock;
use crate::config;
use crate::customer::Hasher;
use crate::run::RunId;
use statement::execute;
use store::{Database, Store, Tx};

pub use deliveries::{Decision, Delivery, DeliveryFilter, NewDelivery, Recorded};
pub use error::LedgerError;
pub use finish::Finish;
pub use follow::Follow;
pub use lease::{Checkpoint, Lease};
pub use notices::Subscriber;
pub use outbox::{Backlog, Notice};
pub use prune::Pruned;
pub use queue::{Enqueued, Idempotency, NewRun};
pub use refused::RefusedDelivery;
pub use rejections::{NewRejection, Rejection};
pub use runs::{Page, RunFilter};
pub use sample::Accepted;
pub use sent::{Flag, Group, KnownAttribute, KnownCustomer, Remembered, Sent, SentRow, Target};
pub use standing::OpenRun;
pub use syncs::{Blocked, SyncState};
pub use transfer::{MoveProgress, MovedTable, transfer};

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    store: Arc<Store>,
    hasher: Hasher,
    clock: Clock,
    lease: Duration,
    retention_days: u32,
    inbox: inbox::Inbox,
    refused: refused::Refused,
}

impl Ledger {
    /// Opens the ledger and brings its schema up to date. A SQLite ledger is taken for this process alone: the
    /// leases of whoever had it before are void. One on PostgreSQL is shared.
    ///
    /// # Errors
    /// When another process holds the file, the schema is newer than this binary, the SQLite library is older than
    /// 3.51.3 (which may lose committed transactions), the file is damaged, it cannot be reached, or the digest key
    /// is missing or another one.
    pub async fn open(settings: &config::Ledger, clock: Clock) -> Result<Self, LedgerError> {
        let url = config::resolve_url(&settings.url)
            .map_err(|error| LedgerError::Unusable(format!("ledger.url: {error}")))?;
        let database = match url.expose_secret() {
            text if postgres::is_address(text) => {
                let server = postgres::Server::open(text)?;
                server.migrate().await?;
                Database::Postgres(server)
            }
            text => Database::Sqlite(sqlite::File::open(text).await?),
        };
        let store = Arc::new(Store::new(database, clock.clone()));
        let hasher = digest_key::hasher(settings, &store).await?;
        let ledger = Self(Arc::new(Inner {
            inbox: inbox::Inbox::start(store.clone())
                .map_err(|error| LedgerError::during("open")(error.into()))?,
            store,
            hasher,
            clock,
            lease: Duration::from_secs(settings.lease_secs),
            retention_days: settings.retention_days,
            refused: refused::Refused::default(),
        }));
        match &ledger.0.store.database {
            Database::Sqlite(file) => file.void_leases().await?,
            Database::Postgres(server) => server.listen(&ledger.0.store.herald),
        }
        Ok(ledger)
    }

    /// Makes the digests of sent values, with this ledger's own key.
    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// Rings when a run may have become claimable. A hint: whoever waits must also poll.
    pub fn wake(&self) -> Arc<Notify> {
        self.0.store.herald.wake.clone()
    }

    /// Tells which runs change. A listener that falls behind is told so, and looks again.
    pub fn watch(&self) -> broadcast::Receiver<RunId> {
        self.0.store.herald.changed.subscribe()
    }

    /// The pool of connections that write to a ledger on PostgreSQL. Everything asked of it sets its own search path
    /// and bounds; see the room `postgres`.
    pub fn postgres(&self) -> Option<&sqlx::PgPool> {
        match &self.0.store.database {
            Database::Sqlite(_) => None,
            Database::Postgres(server) => Some(&server.writers),
        }
    }

    /// Commits a probe row: whether a callback could be recorded now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it could not.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        let mut tx = self.begin("probe").await?;
        execute!(
            tx,
            "-- ledger::probe
             insert into facts (name, value) values ('probe', $1)
             on conflict (name) do update set value = excluded.value",
            self.0.clock.now().to_rfc3339(),
        )
        .map_err(LedgerError::during("probe"))?;
        tx.commit("probe").await
    }

    /// Writes what is waiting and lets the database go.
    pub async fn close(&self) {
        self.0.inbox.close().await;
        match &self.0.store.database {
            Database::Sqlite(file) => file.close().await,
            Database::Postgres(server) => server.close().await,
        }
    }

    async fn begin(&self, what: &'static str) -> Result<Tx, LedgerError> {
        self.0.store.begin(what).await
    }

    async fn read(&self, what: &'static str) -> Result<Tx, LedgerError> {
        self.0.store.read(what).await
    }
}
