//! A random sample of what Braze accepted.

use super::column::Key;
use super::statement::fetch_all;
use super::{Ledger, LedgerError};

/// What is kept of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The customer.
    pub customer_id: String,
    /// Packed digests of the values last accepted.
    pub digests: Vec<u8>,
    /// Whether its last send has no verdict: nothing can be said of what Braze has.
    pub in_doubt: bool,
}

impl Ledger {
    /// So many customers of a target, each as likely as any other. Reads the whole target once.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sample(&self, target: i64, limit: u32) -> Result<Vec<Accepted>, LedgerError> {
        let rows: Vec<(Key<String>, Vec<u8>, bool)> = fetch_all!(
            self.read("draw a sample").await?,
            query_as(
                "-- ledger::sample
             select customer_id, digests, in_doubt from sent where target = $1 order by random() limit $2",
                target,
                i64::from(limit)
            )
        )
        .map_err(LedgerError::during("draw a sample"))?;
        let accepted = rows.into_iter().map(|(customer_id, digests, in_doubt)| Accepted {
            customer_id: customer_id.0,
            digests,
            in_doubt,
        });
        Ok(accepted.collect())
    }
}
