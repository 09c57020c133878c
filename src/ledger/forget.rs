//! One customer who asked to be forgotten: erased from every table, and on SQLite from free pages and the write-ahead
//! log. PostgreSQL's own log and backups keep what they have until they go; what is deleted goes with a vacuum.

use uuid::Uuid;

use super::column::{At, Json, Key};
use super::dialect::{Text, text};
use super::statement::{execute, fetch_all};
use super::store::{Database, Tx};
use super::{Ledger, LedgerError};
use crate::run::{DataPoints, RunId, RunState, Tally};

/// What is removed, and what is rewritten without the customer. `$1` is the sync, `$2` the customer.
const REMOVED: [&str; 2] = [
    "-- ledger::forget
     delete from sent where customer_id = $2 and target in (select number from targets where sync = $1)",
    "-- ledger::forget
     delete from rejections where customer_id = $2 and target in (select number from targets where sync = $1)",
];
const REWRITTEN: [Text; 2] = [
    Text {
        sqlite: "-- ledger::forget
            update runs set customers = (select json_group_array(value) from json_each(customers) where value <> $2)
            where sync = $1 and exists (select 1 from json_each(customers) where value = $2)",
        postgres: "-- ledger::forget
            update runs set customers = customers - $2 where sync = $1 and customers ? $2",
    },
    Text {
        sqlite: "-- ledger::forget
            update in_flight set customers = cast((select json_group_array(value)
              from json_each(cast(in_flight.customers as text)) where value <> $2) as blob)
            where target in (select number from targets where sync = $1)
              and exists (select 1 from json_each(cast(in_flight.customers as text)) where value = $2)",
        postgres: "-- ledger::forget
            update in_flight set customers = array_remove(customers, $2)
            where target in (select number from targets where sync = $1) and $2 = any (customers)",
    },
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
        nobody_runs(&mut tx, sync).await?;
        let mut rows = 0;
        for statement in REMOVED {
            rows += execute!(tx, statement, sync, Key(customer_id)).map_err(&during)?;
        }
        for statement in REWRITTEN {
            execute!(tx, statement, sync, Key(customer_id)).map_err(&during)?;
        }
        start_over(&mut tx, sync, customer_id).await?;
        tx.commit("forget a customer").await?;
        match &self.0.store.database {
            Database::Sqlite(file) => file.erase().await?,
            Database::Postgres(server) => server.vacuum().await,
        }
        Ok(rows)
    }
}

const OPEN: Text = text! {
    "-- ledger::nobody_runs
     select id, state, lease_expires_at from runs
     where sync = $1 and state in ('queued', 'running', 'waiting', 'held')"
    [lock]
};

/// A worker that has a run of the sync may write the customer again. None is claimed until this is committed.
async fn nobody_runs(tx: &mut Tx, sync: &str) -> Result<(), LedgerError> {
    let now = tx.now("forget a customer").await?;
    let open: Vec<(Uuid, String, Option<At>)> =
        fetch_all!(tx, query_as(OPEN, sync)).map_err(LedgerError::during("forget a customer"))?;
    let claimed = open.into_iter().find(|(.., lease)| lease.is_some_and(|lease| lease.0 >= now));
    let Some((id, state, _)) = claimed else { return Ok(()) };
    Err(LedgerError::WrongState { id: RunId(id), state: state.parse().unwrap_or(RunState::Running) })
}

/// The position is where an attempt stopped reading: the last customer it recorded. Nothing else can stand for it.
async fn start_over(tx: &mut Tx, sync: &str, customer_id: &str) -> Result<(), LedgerError> {
    execute!(tx, START_OVER, sync, Key(customer_id), Json(Tally::default()), Json(DataPoints::default()))
        .map(drop)
        .map_err(LedgerError::during("forget a customer"))
}

const START_OVER: Text = text! {
    "-- ledger::start_over
     update runs set checkpoint = null, tally = $3, data_points = $4
     where sync = $1 and state in ('queued', 'running', 'waiting', 'held') and "
    [checkpoint_customer]
    " = $2"
};
