//! Until when a destination must not be sent anything, so that an announced wait outlives a restart.

use chrono::{DateTime, Utc};

use super::row::{micros, time};
use super::{Ledger, LedgerError, commit};

impl Ledger {
    /// Remembers that nothing may be sent to the destination before `until`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn save_hold(&self, destination: &str, until: DateTime<Utc>) -> Result<(), LedgerError> {
        let mut tx = self.begin("save a hold").await?;
        sqlx::query(
            "-- ledger::save_hold
             insert into holds (destination, until) values ($1, $2)
             on conflict (destination) do update set until = excluded.until",
        )
        .bind(destination)
        .bind(micros(until))
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("save a hold"))?;
        commit(tx, "save a hold").await
    }

    /// Until when nothing may be sent to the destination, if that is still to come.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn hold(&self, destination: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let until: Option<i64> =
            sqlx::query_scalar("-- ledger::hold\n select until from holds where destination = $1")
                .bind(destination)
                .fetch_optional(&self.0.readers)
                .await
                .map_err(LedgerError::during("read a hold"))?;
        Ok(until.map(time).filter(|until| *until > self.0.clock.now()))
    }
}
