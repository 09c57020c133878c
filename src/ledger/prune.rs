//! What is past retention goes, in small steps, and so does one customer who asked to be forgotten.

use chrono::{DateTime, TimeDelta, Utc};

use super::row::micros;
use super::{Ledger, LedgerError, commit};

/// Rows of one table removed in one transaction: a callback waits behind it for no longer than a group does.
const ROWS_A_STEP: i64 = 2_000;
/// Steps of one pruning: what is left waits for the next.
const MOST_STEPS: usize = 50;
/// Pages given back to the file system after each pruning.
const PAGES_FREED: &str = "pragma incremental_vacuum(2000)";
/// Fewest days a delivery's id is remembered: senders retry for days. Source: Standard Webhooks, retry schedule.
const DELIVERY_DAYS: u32 = 30;

/// What a pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows of all tables.
    pub rows: u64,
}

impl Ledger {
    /// Removes runs, deliveries and settled rejections past retention, in small steps.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; what was removed by then stays removed.
    pub async fn prune(&self, now: DateTime<Utc>) -> Result<Pruned, LedgerError> {
        let days = |days: u32| micros(now - TimeDelta::days(i64::from(days)));
        let kept = days(self.0.retention_days);
        let deliveries_kept = days(self.0.retention_days.max(DELIVERY_DAYS));
        let mut pruned = Pruned::default();
        for (statement, before) in [
            (
                "-- ledger::prune
                 delete from rejections where (target, customer_id, attribute) in
                   (select target, customer_id, attribute from rejections where cleared_at < $1 limit $2)",
                kept,
            ),
            (
                "-- ledger::prune
                 delete from deliveries where number in
                   (select number from deliveries where received_at < $1 order by received_at limit $2)",
                deliveries_kept,
            ),
            (
                "-- ledger::prune
                 delete from runs where number in
                   (select number from runs where finished_at < $1 order by number limit $2)",
                kept,
            ),
        ] {
            pruned.rows += self.prune_table(statement, before).await?;
        }
        if pruned.rows > 0 {
            sqlx::query(PAGES_FREED).execute(&self.0.writer).await.map_err(LedgerError::during("prune"))?;
        }
        Ok(pruned)
    }

    async fn prune_table(&self, statement: &'static str, before: i64) -> Result<u64, LedgerError> {
        let mut rows = 0;
        for _ in 0..MOST_STEPS {
            let mut tx = self.begin("prune").await?;
            let step = sqlx::query(statement)
                .bind(before)
                .bind(ROWS_A_STEP)
                .execute(&mut *tx)
                .await
                .map_err(LedgerError::during("prune"))?;
            commit(tx, "prune").await?;
            rows += step.rows_affected();
            if step.rows_affected() < u64::try_from(ROWS_A_STEP).unwrap_or(0) {
                break;
            }
        }
        Ok(rows)
    }

    /// Erases one customer: digests and rejections, also from free pages and the write-ahead log. How many rows went.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`], also while a run that may hold the customer is active.
    pub async fn forget(&self, sync: &str, customer_id: &str) -> Result<u64, LedgerError> {
        let during = LedgerError::during("forget a customer");
        let mut tx = self.begin("forget a customer").await?;
        let mut rows = 0;
        for statement in [
            "-- ledger::forget
             delete from sent where customer_id = $2 and target in (select number from targets where sync = $1)",
            "-- ledger::forget
             delete from rejections where customer_id = $2 and target in (select number from targets where sync = $1)",
        ] {
            let gone = sqlx::query(statement).bind(sync).bind(customer_id).execute(&mut *tx).await.map_err(&during)?;
            rows += gone.rows_affected();
        }
        // A finished run has no position and no chosen customers; one that is queued must not name this one.
        sqlx::query(
            "-- ledger::forget
             update runs set customers = (select json_group_array(value) from json_each(customers) where value <> $2)
             where sync = $1 and customers is not null",
        )
        .bind(sync)
        .bind(customer_id)
        .execute(&mut *tx)
        .await
        .map_err(&during)?;
        commit(tx, "forget a customer").await?;
        self.0.lookups.let_go();
        // Free pages were overwritten (secure_delete); the log still has the old ones.
        sqlx::query("pragma wal_checkpoint(truncate)").execute(&self.0.writer).await.map_err(&during)?;
        Ok(rows)
    }
}
