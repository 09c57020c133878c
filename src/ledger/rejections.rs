//! Updates and values that were refused, by us or by Braze, and why. Kept for the receipt after they are settled.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Ledger, LedgerError, Page};
use crate::customer::Code;
use crate::run::RunId;

/// A refusal to record.
#[derive(Clone, Copy, Debug)]
pub struct NewRejection<'a> {
    /// The customer; of a bad key, what can be shown of it.
    pub customer_id: &'a str,
    /// The attribute, where one value was refused.
    pub attribute: Option<&'a str>,
    /// Why.
    pub code: Code,
}

/// One line of a run's rejections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejection {
    /// The customer.
    pub customer_id: String,
    /// The attribute, where one value was refused.
    pub attribute: Option<String>,
    /// Why.
    pub code: String,
    /// In how many runs in a row.
    pub attempts: u32,
    /// When it was first refused.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last refused.
    pub last_seen_at: DateTime<Utc>,
}

impl Ledger {
    /// What a run refused or had refused.
    pub async fn rejections(
        &self,
        run: RunId,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Rejection>, LedgerError> {
        let _ = (run, limit, cursor);
        todo!()
    }

    /// Customers of the sync with outstanding rejections or in doubt.
    pub async fn outstanding_rejections(&self, sync: &str) -> Result<u64, LedgerError> {
        let _ = sync;
        todo!()
    }
}
