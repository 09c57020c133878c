//! What Braze accepted, as packed digests per customer, and what is in flight or in doubt.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Checkpoint, Lease, Ledger, LedgerError, NewRejection, Rejection};
use crate::customer::{Chunk, Digests};
use crate::run::{Model, Progress, RunId};

/// What digests are about: one sync and one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The number its rows are kept under.
    pub number: i64,
    /// For each attribute asked for, the slot its digest has in the packed blob. A slot is never given to
    /// another attribute.
    pub slots: Vec<usize>,
}

/// What stands out about a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag {
    /// Its last send has no verdict: all its values go again, whatever the digests say.
    pub in_doubt: bool,
    /// It has outstanding rejections.
    pub rejected: bool,
}

/// What the ledger remembers of one customer.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Packed digests of the values last accepted.
    pub digests: Digests<'a>,
    /// What stands out.
    pub flag: Flag,
}

/// What the ledger remembers of a chunk's customers.
#[derive(Debug, Default)]
pub struct Remembered {
    pub(super) bytes: Vec<u8>,
    pub(super) customers: Vec<Option<(u32, u32, Flag)>>,
}

impl Remembered {
    /// What is remembered of the chunk's customer `index`.
    pub fn get(&self, index: usize) -> Option<Sent<'_>> {
        let (start, len, flag) = self.customers[index]?;
        Some(Sent { digests: Digests(&self.bytes[start as usize..(start + len) as usize]), flag })
    }
}

/// One customer's new row.
#[derive(Clone, Copy, Debug)]
pub struct SentRow<'a> {
    /// The customer.
    pub customer_id: &'a str,
    /// Packed digests: what was remembered, with what was accepted laid over it.
    pub digests: &'a [u8],
    /// What stands out about it now.
    pub flag: Flag,
}

/// A group of batches whose verdicts are in.
#[derive(Debug)]
pub struct Group<'a> {
    /// The in-flight mark it was announced with; none if nothing of it was sent.
    pub in_flight: Option<u64>,
    /// The customers whose rows change.
    pub sent: Vec<SentRow<'a>>,
    /// Values and customers refused, by us or by Braze.
    pub rejections: Vec<NewRejection<'a>>,
    /// Customers whose earlier rejections, unless repeated above, are settled.
    pub cleared: Vec<&'a str>,
    /// How far the run has come with it.
    pub checkpoint: &'a Checkpoint,
    /// The same for people.
    pub progress: Progress,
    /// When the last request of the group was answered; none if nothing was sent.
    pub sent_at: Option<DateTime<Utc>>,
}

/// What is known of one customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KnownCustomer {
    /// The customer.
    pub customer_id: String,
    /// Whether its last send has no verdict.
    pub in_doubt: bool,
    /// What was accepted, by attribute.
    pub attributes: Vec<KnownAttribute>,
    /// Its outstanding rejections.
    pub rejections: Vec<Rejection>,
}

/// What is known of one attribute of one customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KnownAttribute {
    /// Braze attribute.
    pub attribute: String,
    /// When the run that sent it started; null once that run is past retention.
    pub last_sent_at: Option<DateTime<Utc>>,
    /// The run that sent it.
    pub run_id: Option<RunId>,
    /// The model that run answered for.
    pub model: Option<Model>,
}

impl Ledger {
    /// The target of a sync and workspace, with the slots of these attributes; made if new.
    pub async fn target(
        &self,
        sync: &str,
        workspace: &str,
        attributes: &[&str],
    ) -> Result<Target, LedgerError> {
        let _ = (sync, workspace, attributes);
        todo!()
    }

    /// What is remembered of a chunk's customers. Read on a connection of its own, in key order.
    pub async fn remembered(&self, target: i64, chunk: Arc<Chunk>) -> Result<Remembered, LedgerError> {
        let _ = (target, chunk);
        todo!()
    }

    /// Customers in doubt or with outstanding rejections, `limit` at most.
    pub async fn flagged(&self, target: i64, limit: usize) -> Result<Vec<String>, LedgerError> {
        let _ = (target, limit);
        todo!()
    }

    /// Commits that these customers' updates are about to be sent, and numbers the mark.
    pub async fn mark_in_flight(
        &self,
        lease: &Lease,
        target: i64,
        customers: &[&str],
    ) -> Result<u64, LedgerError> {
        let _ = (lease, target, customers);
        todo!()
    }

    /// Turns what a dead or stopped attempt left in flight into customers in doubt. When that was last committed,
    /// if anything was.
    pub async fn doubt_in_flight(
        &self,
        lease: &Lease,
        target: i64,
    ) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let _ = (lease, target);
        todo!()
    }

    /// Commits a group: rows, rejections, the run's counts and position, and the in-flight mark gone.
    pub async fn record_group(
        &self,
        lease: &Lease,
        target: i64,
        group: Group<'_>,
    ) -> Result<(), LedgerError> {
        let _ = (lease, target, group);
        todo!()
    }

    /// What is known of one customer.
    pub async fn customer(
        &self,
        target: i64,
        customer_id: &str,
    ) -> Result<Option<KnownCustomer>, LedgerError> {
        let _ = (target, customer_id);
        todo!()
    }

    /// Erases one customer: digests and rejections, also from free pages and the write-ahead log. How many rows went.
    pub async fn forget(&self, sync: &str, customer_id: &str) -> Result<u64, LedgerError> {
        let _ = (sync, customer_id);
        todo!()
    }
}
