//! Until when a destination must not be sent anything, so that an announced wait outlives a restart.

use chrono::{DateTime, Utc};

use super::column::At;
use super::statement::{execute, fetch_optional};
use super::{Ledger, LedgerError};

impl Ledger {
    /// Remembers that nothing may be sent to the destination before `until`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn save_hold(&self, destination: &str, until: DateTime<Utc>) -> Result<(), LedgerError> {
        let mut tx = self.begin("save a hold").await?;
        execute!(
            tx,
            "-- ledger::save_hold
             insert into holds (destination, until) values ($1, $2)
             on conflict (destination) do update set until = excluded.until",
            destination,
            At(until)
        )
        .map_err(LedgerError::during("save a hold"))?;
        tx.commit("save a hold").await
    }

    /// Until when nothing may be sent to the destination, if that is still to come.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn hold(&self, destination: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let until: Option<At> = fetch_optional!(
            self.read("read a hold").await?,
            query_scalar("-- ledger::hold\n select until from holds where destination = $1", destination)
        )
        .map_err(LedgerError::during("read a hold"))?;
        Ok(until.map(|until| until.0).filter(|until| *until > self.0.clock.now()))
    }
}
