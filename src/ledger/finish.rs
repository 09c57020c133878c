//! How a run ends: outcome, counts and watermark in one transaction, the watermark last.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::row::micros;
use super::{Checkpoint, Lease, Ledger, LedgerError, commit};
use crate::run::{Forecast, Mode, Phase, Progress, RunError, RunState};

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Succeeded, partial, failed or cancelled.
    pub state: RunState,
    /// Final counts; none: those last recorded.
    pub checkpoint: Option<Checkpoint>,
    /// Why it failed.
    pub error: Option<RunError>,
    /// The watermark to move to; none: it stays.
    pub watermark: Option<DateTime<Utc>>,
    /// Whether every row was compared.
    pub was_full: bool,
    /// Whether the sync is blocked from now on, with the error's code.
    pub blocks: bool,
}

impl Finish {
    /// Whether everything that was read is accounted for.
    fn has_succeeded(&self) -> bool {
        matches!(self.state, RunState::Succeeded | RunState::Partial)
    }
}

impl Ledger {
    /// Ends the run: outcome, counts and watermark in one transaction. Of a plan nothing but the run itself changes.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`]; [`LedgerError::WrongState`] where the end asked for is no end; or
    /// [`LedgerError::Unavailable`].
    pub async fn finish(&self, lease: Lease, finish: Finish) -> Result<(), LedgerError> {
        if !finish.state.is_final() {
            return Err(LedgerError::WrongState { id: lease.run.id, state: finish.state });
        }
        let now = micros(self.0.clock.now());
        let mut tx = self.begin("finish").await?;
        let finish = unless_cancelled(&mut tx, &lease, finish).await?;
        let checkpoint = finish.checkpoint.as_ref();
        let tally = checkpoint.map_or(lease.run.tally, |checkpoint| checkpoint.tally);
        let done = tally.customers;
        let progress = Progress { phase: Phase::Recording, done, total: Some(done), ..Progress::default() };
        let changed = sqlx::query(
            "-- ledger::finish
             update runs set state = $3, finished_at = $4, tally = coalesce($5, tally),
               data_points = coalesce($6, data_points), error = $7, progress = $8,
               window_up_to = coalesce($9, window_up_to), checkpoint = null, lease_expires_at = null,
               throttled_until = null
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(finish.state.as_str())
        .bind(now)
        .bind(checkpoint.map(|checkpoint| Json(checkpoint.tally)))
        .bind(checkpoint.map(|checkpoint| Json(&checkpoint.data_points)))
        .bind(finish.error.as_ref().map(Json))
        .bind(Json(progress))
        .bind(finish.watermark.map(micros))
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("finish"))?;
        if changed.rows_affected() != 1 {
            return Err(LedgerError::LeaseLost(lease.run.id));
        }
        // A plan sent nothing: rejections, marks and watermark are as the sync's own runs left them.
        if lease.run.mode != Mode::Plan {
            if finish.has_succeeded() {
                self.settle_rejections(&mut tx, &lease).await?;
                unmark(&mut tx, &lease).await?;
            }
            self.move_sync(&mut tx, &lease, &finish, now).await?;
        }
        commit(tx, "finish").await?;
        self.tell(lease.run.id);
        self.ring();
        Ok(())
    }

    /// Records that a plan came to this; it still has to be finished.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn record_plan(&self, lease: &Lease, plan: &Forecast) -> Result<(), LedgerError> {
        let mut tx = self.begin("record a plan").await?;
        let changed = sqlx::query(
            "-- ledger::record_plan
             update runs set plan = $3
             where id = $1 and epoch = $2 and mode = 'plan' and state in ('running', 'waiting')",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(Json(plan))
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("record a plan"))?;
        self.held(tx, lease, changed.rows_affected(), "record a plan").await
    }

    async fn move_sync(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
        lease: &Lease,
        finish: &Finish,
        now: i64,
    ) -> Result<(), LedgerError> {
        let succeeded = finish.has_succeeded();
        let watermark = finish.watermark.filter(|_| succeeded);
        let blocked = finish.error.as_ref().filter(|_| finish.blocks).map(|error| error.code.as_str());
        let fingerprint = finish
            .checkpoint
            .as_ref()
            .filter(|_| succeeded && (finish.was_full || watermark.is_some()))
            .map(|checkpoint| checkpoint.fingerprint.as_str());
        sqlx::query(
            "-- ledger::move_sync
             insert into syncs (sync) values ($1) on conflict (sync) do nothing",
        )
        .bind(&lease.run.sync)
        .execute(&mut **tx)
        .await
        .map_err(LedgerError::during("finish"))?;
        // The watermark never goes back, whatever a late run believes.
        sqlx::query(
            "-- ledger::move_sync
             update syncs set
               watermark_moved_at = case when $2 is not null and (watermark is null or watermark < $2) then $3
                                    else watermark_moved_at end,
               watermark = case when $2 is not null and (watermark is null or watermark < $2) then $2
                           else watermark end,
               fingerprint = coalesce($4, fingerprint),
               last_full_at = case when $5 then $3 else last_full_at end,
               blocked_code = case when $6 then null when $7 is not null then $7 else blocked_code end,
               blocked_since = case when $6 then null when $7 is not null then coalesce(blocked_since, $3)
                               else blocked_since end
             where sync = $1",
        )
        .bind(&lease.run.sync)
        .bind(watermark.map(micros))
        .bind(now)
        .bind(fingerprint)
        .bind(succeeded && finish.was_full)
        .bind(succeeded)
        .bind(blocked)
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(LedgerError::during("finish"))
    }
}

/// Who was told that the run is being cancelled must not find it succeeded: its end and a request to cancel it are
/// put in order here.
async fn unless_cancelled(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    lease: &Lease,
    finish: Finish,
) -> Result<Finish, LedgerError> {
    let asked: Option<bool> = sqlx::query_scalar(
        "-- ledger::unless_cancelled
         select cancel_requested from runs where id = $1 and epoch = $2",
    )
    .bind(lease.run.id.0)
    .bind(lease.epoch)
    .fetch_optional(&mut **tx)
    .await
    .map_err(LedgerError::during("finish"))?;
    if !asked.ok_or(LedgerError::LeaseLost(lease.run.id))? || finish.state == RunState::Failed {
        return Ok(finish);
    }
    let error = Some(RunError::cancelled());
    Ok(Finish { state: RunState::Cancelled, error, watermark: None, was_full: false, ..finish })
}

/// Every group is recorded: a mark that is left was committed twice, its first commit having failed to say so.
async fn unmark(tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>, lease: &Lease) -> Result<(), LedgerError> {
    sqlx::query("-- ledger::unmark\n delete from in_flight where run = $1")
        .bind(i64::from(lease.number))
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(LedgerError::during("finish"))
}
