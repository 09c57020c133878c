//! What is past retention goes, in small steps.

use chrono::{DateTime, TimeDelta, Utc};

use super::column::At;
use super::idempotency::HONOURED;
use super::statement::execute;
use super::store::Database;
use super::{Ledger, LedgerError};

/// Rows of one table removed in one transaction: a callback waits behind it for no longer than a group does.
const ROWS_A_STEP: i64 = 2_000;
/// Steps of one pruning: what is left waits for the next.
const MOST_STEPS: usize = 50;
/// Fewest days a delivery's id is remembered: senders retry for days. Source: Standard Webhooks, retry schedule.
const DELIVERY_DAYS: u32 = 30;

/// Marks of commits, left by who is gone.
const MARKS: &str = "-- ledger::prune
     delete from commits where id in (select id from commits where at < $1 limit $2)";
/// How long: whoever asks about a commit does so within seconds.
const MARKS_KEPT: TimeDelta = TimeDelta::hours(1);

/// What a pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows of all tables, but for marks of commits.
    pub rows: u64,
}

impl Ledger {
    /// Removes runs, deliveries, settled rejections and Idempotency-Keys past retention, in small steps. A run stays
    /// as long as a delivery that it answers for. By the clock that replicas share: what one of them removes is gone
    /// for all.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; what was removed by then stays removed.
    pub async fn prune(&self) -> Result<Pruned, LedgerError> {
        let now = self.read("prune").await?.now("prune").await?;
        let days = |days: u32| now - TimeDelta::days(i64::from(days));
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
                   (select number from runs where finished_at < $1
                      and not exists (select 1 from deliveries where run_id = runs.id) order by finished_at limit $2)",
                kept,
            ),
            (
                "-- ledger::prune
                 delete from idempotency where (scope, key) in
                   (select scope, key from idempotency where created_at < $1 limit $2)",
                now - HONOURED,
            ),
        ] {
            pruned.rows += self.prune_table(statement, before).await?;
        }
        match &self.0.store.database {
            Database::Sqlite(file) if pruned.rows > 0 => file.shrink().await?,
            Database::Sqlite(_) => {}
            Database::Postgres(_) => drop(self.prune_table(MARKS, now - MARKS_KEPT).await?),
        }
        Ok(pruned)
    }

    async fn prune_table(&self, statement: &'static str, before: DateTime<Utc>) -> Result<u64, LedgerError> {
        let mut rows = 0;
        for _ in 0..MOST_STEPS {
            let mut tx = self.begin("prune").await?;
            let step =
                execute!(tx, statement, At(before), ROWS_A_STEP).map_err(LedgerError::during("prune"))?;
            tx.commit("prune").await?;
            rows += step;
            if step < u64::try_from(ROWS_A_STEP).unwrap_or(0) {
                break;
            }
        }
        Ok(rows)
    }
}
