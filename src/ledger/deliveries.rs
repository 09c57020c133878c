//! What arrived: accepted, duplicate, conflicting, ignored and refused deliveries.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Ledger, LedgerError, Page};
use crate::run::{Model, RunId, RunState};

/// A verified delivery, ready to be recorded.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The sync it is for.
    pub sync: String,
    /// The sender's id; none where the scheme has none, and then it is never taken for a duplicate.
    pub delivery_id: Option<String>,
    /// SHA-256 of the body.
    pub body_digest: [u8; 32],
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// The event's type.
    pub event_type: String,
    /// The index of the secret that matched.
    pub secret: u32,
    /// Whether it starts a run.
    pub decision: Decision,
    /// What it said of the model run.
    pub model: Model,
}

/// Whether a delivery starts a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does.
    Run,
    /// It does not, and why: `event_type`, `match`, `model_failed`.
    Ignored(&'static str),
}

/// What became of a verified delivery. Committed before it is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// New, and answered for by this run.
    Accepted {
        /// The id it is kept under.
        delivery_id: String,
        /// Its run.
        run_id: RunId,
        /// The run's state.
        state: RunState,
    },
    /// Known already, with the same body.
    Duplicate {
        /// The id it is kept under.
        delivery_id: String,
        /// The first one's run; none if that was ignored.
        run: Option<(RunId, RunState)>,
    },
    /// New, and of no consequence.
    Ignored {
        /// The id it is kept under.
        delivery_id: String,
    },
    /// The id is known with another body; the first one stands.
    Conflict,
}

/// A delivery that did not prove where it comes from.
#[derive(Clone, Debug)]
pub struct RefusedDelivery {
    /// The sync it was for, if there is such a sync.
    pub sync: String,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// The step that failed.
    pub reason: &'static str,
}

/// One line of `GET /v1/deliveries`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// The sender's id, or the one given in its place; null for refused ones.
    pub delivery_id: Option<String>,
    /// The sync it was for.
    pub sync: String,
    /// When it arrived (of duplicates, the latest).
    pub received_at: DateTime<Utc>,
    /// The event's type; null for refused ones.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// accepted, duplicate, conflict, ignored or refused.
    pub outcome: String,
    /// Why it was ignored or refused.
    pub reason: Option<String>,
    /// The run that answers for it.
    pub run_id: Option<RunId>,
    /// The index of the secret that matched.
    pub secret: Option<u32>,
    /// How often it came (duplicates, conflicts and refusals are counted in one line).
    pub times: u32,
}

impl Ledger {
    /// Records a delivery, with its run, and returns once that is committed. Deliveries that wait at the same
    /// time share one commit.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the commit failed: the sender must be told to come again.
    pub async fn record_delivery(&self, delivery: NewDelivery) -> Result<Recorded, LedgerError> {
        let _ = delivery;
        todo!()
    }

    /// Remembers a refused delivery in a bounded list (the newest 1,000 per sync). Never waits, never writes to disk.
    pub fn refuse_delivery(&self, delivery: RefusedDelivery) {
        let _ = delivery;
        todo!()
    }

    /// Deliveries, newest first; of one sync, or all.
    pub async fn deliveries(
        &self,
        sync: Option<&str>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, LedgerError> {
        let _ = (sync, limit, cursor);
        todo!()
    }
}
