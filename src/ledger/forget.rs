//! One customer who asked to be forgotten: erased from every table, from free pages and from the write-ahead log.

use sqlx::types::Json;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::row::micros;
use super::{Ledger, LedgerError, commit};
use crate::run::{DataPoints, RunId, RunState, Tally};

/// What is removed, and what is rewritten without the customer. `$1` is the sync, `$2` the customer.
const REMOVED: [&str; 2] = [
    "-- ledger::forget
     delete from sent where customer_id = $2 and target in (select number from targets where sync = $1)",
    "-- ledger::forget
     delete from rejections where customer_id = $2 and target in (select number from targets where sync = $1)",
];
const REWRITTEN: [&str; 2] = [
    "-- ledger::forget
     update runs set customers = (select json_group_array(value) from json_each(customers) where value <> $2)
     where sync = $1 and exists (select 1 from json_each(customers) where value = $2)",
    "-- ledger::forget
     update in_flight set customers = cast((select json_group_array(value)
       from json_each(cast(in_flight.customers as text)) where value <> $2) as blob)
     where target in (select number from targets where sync = $1)
       and exists (select 1 from json_each(cast(in_flight.customers as text)) where value = $2)",
];

impl Ledger {
    /// Erases one customer: digests, rejections, and wherever a run names it. How many digests and rejections went.
    /// A run that stopped at this very customer reads from the beginning again.
    ///
    /// # Errors
    /// [`LedgerError::WrongState`] while a worker has a run of the sync, which may hold the customer in memory;
    /// [`LedgerError::Unavailable`], also where a reader kept the log from being emptied: then try again.
    pub async fn forget(&self, sync: &str, customer_id: &str) -> Result<u64, LedgerError> {
        let during = LedgerError::during("forget a customer");
        let mut tx = self.begin("forget a customer").await?;
        self.nobody_runs(&mut tx, sync).await?;
        let mut rows = 0;
        for statement in REMOVED {
            let gone = sqlx::query(statement).bind(sync).bind(customer_id).execute(&mut *tx);
            rows += gone.await.map_err(&during)?.rows_affected();
        }
        for statement in REWRITTEN {
            let changed = sqlx::query(statement).bind(sync).bind(customer_id).execute(&mut *tx);
            changed.await.map_err(&during)?;
        }
        start_over(&mut tx, sync, customer_id).await?;
        commit(tx, "forget a customer").await?;
        self.0.lookups.let_go();
        self.erase().await?;
        Ok(rows)
    }

    /// A worker that has a run of the sync may write the customer again.
    async fn nobody_runs(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        sync: &str,
    ) -> Result<(), LedgerError> {
        let claimed: Option<(Uuid, String)> = sqlx::query_as(
            "-- ledger::nobody_runs
             select id, state from runs
             where sync = $1 and state in ('queued', 'running', 'waiting', 'held') and lease_expires_at >= $2 limit 1",
        )
        .bind(sync)
        .bind(micros(self.0.clock.now()))
        .fetch_optional(&mut **tx)
        .await
        .map_err(LedgerError::during("forget a customer"))?;
        let Some((id, state)) = claimed else { return Ok(()) };
        Err(LedgerError::WrongState { id: RunId(id), state: state.parse().unwrap_or(RunState::Running) })
    }
}

/// The position is where an attempt stopped reading: the last customer it recorded. Nothing else can stand for it.
async fn start_over(
    tx: &mut Transaction<'static, Sqlite>,
    sync: &str,
    customer_id: &str,
) -> Result<(), LedgerError> {
    sqlx::query(
        "-- ledger::start_over
         update runs set checkpoint = null, tally = $3, data_points = $4
         where sync = $1 and state in ('queued', 'running', 'waiting', 'held')
           and cast(coalesce(checkpoint ->> '$.position.text', checkpoint ->> '$.position.integer') as text) = $2",
    )
    .bind(sync)
    .bind(customer_id)
    .bind(Json(Tally::default()))
    .bind(Json(DataPoints::default()))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(LedgerError::during("forget a customer"))
}
