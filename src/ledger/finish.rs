//! How a run ends: outcome, counts and watermark in one transaction, the watermark last.

use chrono::{DateTime, Utc};

use super::column::{At, Json};
use super::dialect::{Text, text};
use super::lease::held;
use super::notices;
use super::rejections::settle_rejections;
use super::statement::{execute, fetch_optional};
use super::store::Tx;
use super::{Checkpoint, Lease, Ledger, LedgerError};
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
    /// Whether Braze was asked for anything: only then it says something of the key that the run succeeded.
    fn has_sent(&self) -> bool {
        self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.tally.requests > 0)
    }

    /// Whether everything that was read is accounted for.
    fn has_succeeded(&self) -> bool {
        matches!(self.state, RunState::Succeeded | RunState::Partial)
    }
}

impl Ledger {
    /// Ends the run: outcome, counts and watermark in one transaction. Of a plan nothing but the run itself changes.
    /// Returns the end as recorded: cancelled where a request to cancel came first.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`]; [`LedgerError::WrongState`] where the end asked for is no end; or
    /// [`LedgerError::Unavailable`].
    pub async fn finish(&self, lease: Lease, finish: Finish) -> Result<Finish, LedgerError> {
        if !finish.state.is_final() {
            return Err(LedgerError::WrongState { id: lease.run.id, state: finish.state });
        }
        let mut tx = self.begin("finish").await?;
        let now = tx.now("finish").await?;
        let finish = unless_cancelled(&mut tx, &lease, finish).await?;
        let checkpoint = finish.checkpoint.as_ref();
        let tally = checkpoint.map_or(lease.run.tally, |checkpoint| checkpoint.tally);
        let done = tally.customers;
        let progress = Progress { phase: Phase::Recording, done, total: Some(done), ..Progress::default() };
        // Until here the window told how far the watermark might go.
        let stays = finish.has_succeeded() && lease.run.mode != Mode::Plan && finish.watermark.is_none();
        let changed = execute!(
            tx,
            "-- ledger::finish
             update runs set state = $3, finished_at = $4, tally = coalesce($5, tally),
               data_points = coalesce($6, data_points), error = $7, progress = $8,
               window_up_to = case when $10 then null else coalesce($9, window_up_to) end, checkpoint = null,
               lease_expires_at = null, throttled_until = null
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
            lease.run.id.0,
            lease.epoch,
            finish.state.as_str(),
            At(now),
            checkpoint.map(|checkpoint| Json(checkpoint.tally)),
            checkpoint.map(|checkpoint| Json(&checkpoint.data_points)),
            finish.error.as_ref().map(Json),
            Json(progress),
            finish.watermark.map(At),
            stays
        )
        .map_err(LedgerError::during("finish"))?;
        if changed != 1 {
            return is_told_again(&mut tx, &lease, finish).await;
        }
        // A plan sent nothing: rejections, marks and watermark are as the sync's own runs left them.
        if lease.run.mode != Mode::Plan {
            if finish.has_succeeded() {
                settle_rejections(&mut tx, &lease, now).await?;
                unmark(&mut tx, &lease).await?;
            }
            let before = notices::standing(&mut tx, &lease.run.sync).await?;
            move_sync(&mut tx, &lease, &finish, now).await?;
            notices::tell_outcome(&mut tx, &lease, finish.state, before, now).await?;
        }
        tx.tell(lease.run.id);
        tx.ring();
        tx.commit("finish").await?;
        Ok(finish)
    }

    /// Records that a plan came to this; it still has to be finished.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn record_plan(&self, lease: &Lease, plan: &Forecast) -> Result<(), LedgerError> {
        let mut tx = self.begin("record a plan").await?;
        let changed = execute!(
            tx,
            "-- ledger::record_plan
             update runs set plan = $3
             where id = $1 and epoch = $2 and mode = 'plan' and state in ('running', 'waiting')",
            lease.run.id.0,
            lease.epoch,
            Json(plan)
        )
        .map_err(LedgerError::during("record a plan"))?;
        held(tx, lease, changed, "record a plan").await
    }
}

/// The end was recorded already by this very claim, whose commit failed to say so; else the lease is lost.
async fn is_told_again(tx: &mut Tx, lease: &Lease, finish: Finish) -> Result<Finish, LedgerError> {
    let ended: Option<i64> = fetch_optional!(
        tx,
        query_scalar(
            "-- ledger::is_told_again
             select number from runs where id = $1 and epoch = $2 and state = $3",
            lease.run.id.0,
            lease.epoch,
            finish.state.as_str(),
        )
    )
    .map_err(LedgerError::during("finish"))?;
    ended.map(|_| finish).ok_or(LedgerError::LeaseLost(lease.run.id))
}

async fn move_sync(
    tx: &mut Tx,
    lease: &Lease,
    finish: &Finish,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let succeeded = finish.has_succeeded();
    let watermark = finish.watermark.filter(|_| succeeded);
    let blocked = finish.error.as_ref().filter(|_| finish.blocks).map(|error| error.code.as_str());
    let fingerprint = finish
        .checkpoint
        .as_ref()
        .filter(|_| succeeded && (finish.was_full || watermark.is_some()))
        .map(|checkpoint| checkpoint.fingerprint.as_str());
    execute!(
        tx,
        "-- ledger::move_sync
             insert into syncs (sync) values ($1) on conflict (sync) do nothing",
        &lease.run.sync
    )
    .map_err(LedgerError::during("finish"))?;
    // The watermark never goes back, whatever a late run believes.
    execute!(
        tx,
        "-- ledger::move_sync
             update syncs set
               watermark_moved_at = case when $2 is not null and (watermark is null or watermark < $2) then $3
                                    else watermark_moved_at end,
               watermark = case when $2 is not null and (watermark is null or watermark < $2) then $2
                           else watermark end,
               fingerprint = coalesce($4, fingerprint),
               stale_at = case when $2 is not null and (watermark is null or watermark < $2) then null
                          else stale_at end,
               last_full_at = case when $5 then $3 else last_full_at end,
               blocked_code = case when $6 then null when $7 is not null then $7 else blocked_code end,
               blocked_since = case when $6 then null when $7 is not null then coalesce(blocked_since, $3)
                               else blocked_since end
             where sync = $1",
        &lease.run.sync,
        watermark.map(At),
        At(now),
        fingerprint,
        succeeded && finish.was_full,
        succeeded && finish.has_sent(),
        blocked
    )
    .map(drop)
    .map_err(LedgerError::during("finish"))
}

/// Who was told that the run is being cancelled must not find it succeeded: its end and a request to cancel it are
/// put in order here.
async fn unless_cancelled(tx: &mut Tx, lease: &Lease, finish: Finish) -> Result<Finish, LedgerError> {
    let asked: Option<bool> = fetch_optional!(tx, query_scalar(CANCELLED, lease.run.id.0, lease.epoch))
        .map_err(LedgerError::during("finish"))?;
    if !asked.ok_or(LedgerError::LeaseLost(lease.run.id))? || finish.state == RunState::Failed {
        return Ok(finish);
    }
    let error = Some(RunError::cancelled());
    Ok(Finish { state: RunState::Cancelled, error, watermark: None, was_full: false, ..finish })
}

const CANCELLED: Text = text! {
    "-- ledger::unless_cancelled
     select cancel_requested from runs where id = $1 and epoch = $2"
    [lock]
};

/// Every group is recorded: a mark that is left was committed twice, its first commit having failed to say so.
async fn unmark(tx: &mut Tx, lease: &Lease) -> Result<(), LedgerError> {
    execute!(tx, "-- ledger::unmark\n delete from in_flight where run = $1", i64::from(lease.number))
        .map(drop)
        .map_err(LedgerError::during("finish"))
}
