//! Until when a destination must not be sent anything, so that an announced wait outlives a restart.

use chrono::{DateTime, TimeDelta, Utc};

use super::column::At;
use super::dialect::Text;
use super::statement::{execute, fetch_optional};
use super::{Ledger, LedgerError};

/// What another replica heard later stays: whoever was stopped for a while comes late with its own.
const SAVE_HOLD: Text = Text {
    sqlite: "-- ledger::save_hold
             insert into holds (destination, until) values ($1, $2)
             on conflict (destination) do update set until = excluded.until",
    postgres: "-- ledger::save_hold
             insert into holds (destination, until) values ($1, $2)
             on conflict (destination) do update set until = greatest(holds.until, excluded.until)",
};

impl Ledger {
    /// Remembers that nothing may be sent to the destination before `until`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn save_hold(&self, destination: &str, until: DateTime<Utc>) -> Result<(), LedgerError> {
        let mut tx = self.begin("save a hold").await?;
        // What the caller's clock means by it, by the clock that replicas share; ours first, so never earlier.
        let ours = self.0.clock.now();
        let until = tx.now("save a hold").await? + (until - ours);
        execute!(tx, SAVE_HOLD, destination, At(until)).map_err(LedgerError::during("save a hold"))?;
        tx.commit("save a hold").await
    }

    /// Until when nothing may be sent to the destination, if that is still to come.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn hold(&self, destination: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let mut tx = self.read("read a hold").await?;
        let now = tx.now("read a hold").await?;
        let until: Option<At> = fetch_optional!(
            tx,
            query_scalar("-- ledger::hold\n select until from holds where destination = $1", destination)
        )
        .map_err(LedgerError::during("read a hold"))?;
        let left = until.map(|until| until.0 - now).filter(|left| *left > TimeDelta::zero());
        Ok(left.map(|left| self.0.clock.now() + left))
    }
}
