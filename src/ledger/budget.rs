//! Until when a destination must not be sent anything, so that an announced wait outlives a restart.

use chrono::{DateTime, Utc};

use super::{Ledger, LedgerError};

impl Ledger {
    /// Remembers that nothing may be sent to the destination before `until`.
    pub async fn save_hold(&self, destination: &str, until: DateTime<Utc>) -> Result<(), LedgerError> {
        let _ = (destination, until);
        todo!()
    }

    /// Until when nothing may be sent to the destination, if that is still to come.
    pub async fn hold(&self, destination: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let _ = destination;
        todo!()
    }
}
