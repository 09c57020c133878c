//! Our durable memory: deliveries, the queue of runs, what Braze accepted, what it refused, how far each sync came.
//!
//! One transaction per promise: a delivery and its run commit together before the callback is answered; keys are
//! marked in flight before a group of batches goes out; a group's digests, rejections and counts commit together;
//! the watermark moves last, with the outcome. Every write of a run carries the lease's epoch and changes one row
//! of `runs`, or the lease is lost and nothing changes.

mod budget;
mod deliveries;
mod error;
mod queue;
mod rejections;
mod runs;
mod sent;
mod syncs;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config;
use crate::customer::Hasher;

pub use deliveries::{Decision, Delivery, NewDelivery, Recorded, RefusedDelivery};
pub use error::LedgerError;
pub use queue::{Checkpoint, Enqueued, Finish, Idempotency, Lease, NewRun};
pub use rejections::{NewRejection, Rejection};
pub use runs::{Page, RunFilter};
pub use sent::{Flag, Group, KnownAttribute, KnownCustomer, Remembered, Sent, SentRow, Target};
pub use syncs::{Blocked, SyncState};

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {}

impl Ledger {
    /// Opens the ledger and brings its schema up to date. A SQLite ledger is taken for this process alone: the
    /// leases of whoever had it before are void.
    ///
    /// # Errors
    /// When another process holds it, the schema is newer than this binary, the SQLite library is older than
    /// 3.51.3 (which may lose committed transactions), the file is damaged, or it cannot be reached.
    pub async fn open(settings: &config::Ledger, clock: Clock) -> Result<Self, LedgerError> {
        let _ = (settings, clock);
        todo!()
    }

    /// Makes the digests of sent values, with this ledger's own key.
    pub fn hasher(&self) -> &Hasher {
        todo!()
    }

    /// Rings when a run may have become claimable. A hint: whoever waits must also poll.
    pub fn wake(&self) -> Arc<Notify> {
        todo!()
    }

    /// Commits a probe row: whether a callback could be recorded now.
    pub async fn probe(&self) -> Result<(), LedgerError> {
        todo!()
    }

    /// Writes what is waiting, lets the file or the connections go.
    pub async fn close(&self) {
        todo!()
    }
}
