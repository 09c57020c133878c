//! The queue of runs: the run row is the queue row.
//!
//! Joining is one conditional update on the queued row, and claiming another, so nothing joins a run that has been
//! claimed. Unique indexes, not checks, keep one queued and one active run per sync.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use sqlx::types::Json;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::ask::Ask;
use super::row::{RunRow, micros, run_columns};
use super::{Ledger, LedgerError, commit};
use crate::customer::Position;
use crate::run::{
    DataPoints, Mode, Model, Phase, Progress, Run, RunError, RunId, RunState, Tally, TriggerKind, Window,
};

/// How often a run may crash its process before it is given up. Source: contract, run error `crashed`.
const MOST_CRASHES: i64 = 5;
/// Most chosen customers one queued run may gather: beyond, the next request waits for its turn.
const MOST_CHOSEN: usize = 50_000;

/// A run to be.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The sync to run.
    pub sync: String,
    /// How much to select and send.
    pub mode: Mode,
    /// What brings it about.
    pub kind: TriggerKind,
    /// The name of the token that asked.
    pub actor: Option<String>,
    /// Free text.
    pub reason: Option<String>,
    /// The run it repeats.
    pub retrigger_of: Option<RunId>,
    /// With [`Mode::Force`]: only these customers.
    pub customers: Option<Vec<String>>,
    /// Makes a repeated request find the first one's run, for 24 h.
    pub idempotency: Option<Idempotency>,
}

/// What makes a repeated request the same request.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Who asks: the token's name and the path, so that one client's key is not another's.
    pub scope: String,
    /// The Idempotency-Key.
    pub key: String,
    /// SHA-256 of the body.
    pub body_digest: [u8; 32],
}

/// A run recorded or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The run.
    pub run_id: RunId,
    /// Its state.
    pub state: RunState,
    /// Whether a queued run was joined.
    pub coalesced: bool,
}

/// A time-bound claim on a run. After `expires` any worker may claim it anew; whoever still holds the old claim
/// changes nothing, for its epoch no longer matches.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The run as it was when claimed.
    pub run: Run,
    /// The run's number: ascending, and what digests are stamped with.
    pub number: u32,
    /// Which claim of the run this is.
    pub epoch: i64,
    /// Until when it holds, as of the claim or the last heartbeat, on a local clock that never jumps.
    pub expires: Instant,
    /// With [`Mode::Force`] these alone, else these on top: customers all of whose values are sent.
    pub customers: Option<Vec<String>>,
    /// How far an earlier attempt came.
    pub checkpoint: Option<Checkpoint>,
    /// Whether somebody asked for it to be cancelled.
    pub cancel_requested: bool,
}

/// How far a run has come, for good: everything up to `position` is counted and recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What mapping, table and workspace the attempt worked with; another one starts over.
    pub fingerprint: String,
    /// The last customer recorded; none: nothing yet.
    pub position: Option<Position>,
    /// The furthest the watermark may go, fixed at the run's first snapshot.
    pub ceiling: DateTime<Utc>,
    /// The greatest `updated_at` read so far, not past the ceiling.
    pub newest: Option<DateTime<Utc>>,
    /// Counts so far.
    pub tally: Tally,
    /// Data points so far.
    pub data_points: DataPoints,
    /// Whether everything was read and recorded, so that only the outcome is missing.
    #[serde(default)]
    pub complete: bool,
}

impl Ledger {
    /// Records a run, or joins the one that is queued (widening its mode).
    ///
    /// # Errors
    /// [`LedgerError::KeyReused`]; [`LedgerError::WrongState`] where the queued run has more chosen customers than
    /// one may gather; or [`LedgerError::Unavailable`].
    pub async fn enqueue(&self, run: NewRun) -> Result<Enqueued, LedgerError> {
        let now = self.0.clock.now();
        let mut tx = self.begin("enqueue").await?;
        if let Some(idempotency) = &run.idempotency
            && let Some(known) = super::idempotency::known(&mut tx, idempotency, now).await?
        {
            return Ok(known);
        }
        let queued = join_or_queue(&mut tx, &run, None, now).await?;
        if let Some(idempotency) = &run.idempotency {
            super::idempotency::remember(&mut tx, idempotency, &queued, now).await?;
        }
        commit(tx, "enqueue").await?;
        self.tell(queued.run_id);
        self.ring();
        Ok(queued)
    }

    /// A new run like `id`, pointing at it; joins like a trigger.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchRun`], and as [`Ledger::enqueue`].
    pub async fn retrigger(
        &self,
        id: RunId,
        actor: Option<String>,
        idempotency: Option<Idempotency>,
    ) -> Result<Enqueued, LedgerError> {
        let first = self.row(id).await?.ok_or(LedgerError::NoSuchRun(id))?;
        let run = first.run(Vec::new())?;
        self.enqueue(NewRun {
            sync: run.sync,
            mode: run.mode,
            kind: TriggerKind::Retrigger,
            actor,
            reason: None,
            retrigger_of: Some(id),
            customers: first.customers.map(|customers| customers.0),
            idempotency,
        })
        .await
    }

    /// Cancels a run nobody has claimed (queued, held, or given back to wait) at once, and asks whoever runs another
    /// to stop. Returns the state it is in now.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchRun`], or [`LedgerError::WrongState`] where it is finished.
    pub async fn cancel(&self, id: RunId) -> Result<RunState, LedgerError> {
        let mut tx = self.begin("cancel").await?;
        let state: Option<String> = sqlx::query_scalar(
            "-- ledger::cancel
             update runs set
               cancel_requested = 1,
               state = case when lease_expires_at is null then 'cancelled' else state end,
               finished_at = case when lease_expires_at is null then $2 end,
               error = case when lease_expires_at is null then $3 else error end,
               checkpoint = case when lease_expires_at is null then null else checkpoint end,
               throttled_until = case when lease_expires_at is null then null else throttled_until end
             where id = $1 and state in ('queued', 'running', 'waiting', 'held')
             returning state",
        )
        .bind(id.0)
        .bind(micros(self.0.clock.now()))
        .bind(Json(RunError::cancelled()))
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::during("cancel"))?;
        commit(tx, "cancel").await?;
        let Some(state) = state else {
            let run = self.run(id).await?.ok_or(LedgerError::NoSuchRun(id))?;
            return Err(LedgerError::WrongState { id, state: run.state });
        };
        self.tell(id);
        self.ring();
        state.parse().map_err(|error| LedgerError::Unusable(format!("runs {id}: {error}")))
    }

    /// Claims the oldest claimable run of these syncs, if any: a queued one of a sync that is neither paused nor
    /// has an active run, or an active one whose lease has run out and whose wait is over. Counts the attempt.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn claim(&self, syncs: &[String]) -> Result<Option<Lease>, LedgerError> {
        self.claim_beside(syncs, &[]).await
    }

    /// As [`Ledger::claim`], but never one of the runs of these numbers, which this very process has: a wall clock
    /// that jumps must not make it rob itself.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn claim_beside(&self, syncs: &[String], own: &[u32]) -> Result<Option<Lease>, LedgerError> {
        loop {
            if self.claimable(syncs, own).await?.is_none() {
                return Ok(None);
            }
            // Read before the write: the lease counts from when it was asked for.
            let asked = Instant::now();
            let Some(row) = self.take(syncs, own).await? else { return Ok(None) };
            let run = row.run(self.deliveries_of(RunId(row.id)).await?)?;
            self.tell(run.id);
            let lease = Lease {
                number: u32::try_from(row.number).unwrap_or(u32::MAX),
                epoch: row.epoch,
                expires: asked + self.0.lease,
                customers: row.customers.map(|customers| customers.0),
                checkpoint: row.checkpoint.map(|checkpoint| checkpoint.0),
                cancel_requested: row.cancel_requested,
                run,
            };
            if !self.give_up_on_crashes(&lease).await? {
                return Ok(Some(lease));
            }
        }
    }

    /// Looks without writing, so that an idle worker costs the disk nothing.
    async fn claimable(&self, syncs: &[String], own: &[u32]) -> Result<Option<i64>, LedgerError> {
        sqlx::query_scalar(CLAIMABLE)
            .bind(Json(syncs))
            .bind(micros(self.0.clock.now()))
            .bind(Json(own))
            .fetch_optional(&self.0.readers)
            .await
            .map_err(LedgerError::during("claim"))
    }

    async fn take(&self, syncs: &[String], own: &[u32]) -> Result<Option<RunRow>, LedgerError> {
        let now = self.0.clock.now();
        let mut tx = self.begin("claim").await?;
        let number: Option<i64> = sqlx::query_scalar(CLAIMABLE)
            .bind(Json(syncs))
            .bind(micros(now))
            .bind(Json(own))
            .fetch_optional(&mut *tx)
            .await
            .map_err(LedgerError::during("claim"))?;
        let Some(number) = number else { return Ok(None) };
        let lease_ends = now + chrono::TimeDelta::from_std(self.0.lease).unwrap_or_default();
        let row = sqlx::query_as(concat!(
            "-- ledger::take
             update runs set state = 'running', attempt = attempt + 1, epoch = epoch + 1,
               crashes = crashes + (lease_expires_at is not null), lease_expires_at = $2,
               throttled_until = null, started_at = coalesce(started_at, $3)
             where number = $1 returning ",
            run_columns!()
        ))
        .bind(number)
        .bind(micros(lease_ends))
        .bind(micros(now))
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::during("claim"))?;
        commit(tx, "claim").await?;
        Ok(row)
    }

    /// A run that crashed its process too often is not handed out again.
    async fn give_up_on_crashes(&self, lease: &Lease) -> Result<bool, LedgerError> {
        let crashes: i64 = sqlx::query_scalar("select crashes from runs where id = $1")
            .bind(lease.run.id.0)
            .fetch_one(&self.0.readers)
            .await
            .map_err(LedgerError::during("claim"))?;
        if crashes < MOST_CRASHES {
            return Ok(false);
        }
        let message = format!("the run was cut short {crashes} times without being put down; see the log");
        let error = RunError { code: "crashed".to_owned(), message, retryable: false };
        let finish = super::Finish {
            state: RunState::Failed,
            checkpoint: lease.checkpoint.clone(),
            error: Some(error),
            watermark: None,
            was_full: false,
            blocks: false,
        };
        self.finish(lease.clone(), finish).await?;
        Ok(true)
    }

    /// Renews the lease; tells whether somebody asked for the run to be cancelled.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn heartbeat(&self, lease: &mut Lease) -> Result<(), LedgerError> {
        // Read before the write: the lease counts from when it was asked for.
        let asked = Instant::now();
        let lease_ends = self.0.clock.now() + chrono::TimeDelta::from_std(self.0.lease).unwrap_or_default();
        let mut tx = self.begin("heartbeat").await?;
        let cancel_requested: Option<bool> = sqlx::query_scalar(
            "-- ledger::heartbeat
             update runs set lease_expires_at = $3
             where id = $1 and epoch = $2 and state in ('running', 'waiting') and lease_expires_at is not null
             returning cancel_requested",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(micros(lease_ends))
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::during("heartbeat"))?;
        lease.cancel_requested = cancel_requested.ok_or(LedgerError::LeaseLost(lease.run.id))?;
        commit(tx, "heartbeat").await?;
        lease.expires = asked + self.0.lease;
        Ok(())
    }

    /// Shows how far the run has come. `window` is set as soon as known.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn show_progress(
        &self,
        lease: &Lease,
        progress: Progress,
        window: Option<Window>,
        promoted: Option<&str>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("show progress").await?;
        let changed = sqlx::query(
            "-- ledger::show_progress
             update runs set progress = $3, promoted = coalesce($6, promoted),
               mode = case when $6 is not null and mode = 'delta' then 'full' else mode end,
               window_after = case when $7 then $4 else window_after end,
               window_up_to = case when $7 then $5 else window_up_to end
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(Json(progress))
        .bind(window.and_then(|window| window.after).map(micros))
        .bind(window.and_then(|window| window.up_to).map(micros))
        .bind(promoted)
        .bind(window.is_some())
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("show progress"))?;
        self.held(tx, lease, changed.rows_affected(), "show progress").await
    }

    /// Shows the run waiting until `until` for `phase` (`Some`), or running again (`None`).
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn show_waiting(
        &self,
        lease: &Lease,
        phase: Phase,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("show waiting").await?;
        let changed = sqlx::query(
            "-- ledger::show_waiting
             update runs set throttled_until = $3,
               state = case when $3 is null then 'running' else 'waiting' end,
               progress = json_set(coalesce(progress, $5), '$.phase', $4)
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(until.map(micros))
        .bind(phase.as_str())
        .bind(Json(Progress::default()))
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("show waiting"))?;
        self.held(tx, lease, changed.rows_affected(), "show waiting").await
    }

    /// Gives the claim back: the run goes on not before `not_before`, in another attempt. `crashed` counts towards
    /// the five crashes a run may have; waits and clean stops do not. Keeps what is given of the error with the run.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn release(
        &self,
        lease: Lease,
        not_before: Option<DateTime<Utc>>,
        crashed: bool,
        error: Option<RunError>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("release").await?;
        let changed = sqlx::query(
            "-- ledger::release
             update runs set state = 'waiting', lease_expires_at = null, throttled_until = $3,
               crashes = crashes + $4, error = coalesce($5, error), epoch = epoch + 1
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(not_before.map(micros))
        .bind(i64::from(crashed))
        .bind(error.map(Json))
        .execute(&mut *tx)
        .await
        .map_err(LedgerError::during("release"))?;
        self.held(tx, &lease, changed.rows_affected(), "release").await?;
        self.ring();
        Ok(())
    }

    /// Commits a write of the lease's holder, or finds that it is the holder no longer.
    async fn held(
        &self,
        tx: Transaction<'static, Sqlite>,
        lease: &Lease,
        rows: u64,
        what: &'static str,
    ) -> Result<(), LedgerError> {
        if rows != 1 {
            return Err(LedgerError::LeaseLost(lease.run.id));
        }
        commit(tx, what).await?;
        self.tell(lease.run.id);
        Ok(())
    }

    /// The process that held these leases is gone: its runs may be claimed at once.
    pub(super) async fn void_leases(&self) -> Result<(), LedgerError> {
        sqlx::query(
            "-- ledger::void_leases
             update runs set lease_expires_at = 0
             where state in ('queued', 'running', 'waiting', 'held') and lease_expires_at is not null",
        )
        .execute(&self.0.writer)
        .await
        .map(drop)
        .map_err(LedgerError::during("void leases"))
    }
}

/// The oldest run that may be claimed: of an active one the lease is over (null: given back) and so is the wait; a
/// queued one has no active one beside it, and its sync is not paused.
const CLAIMABLE: &str = "-- ledger::claimable
    select number from runs as run
    where state in ('queued', 'running', 'waiting', 'held')
      and sync in (select value from json_each($1))
      and case
        when state in ('running', 'waiting') then
          (lease_expires_at is not null and lease_expires_at < $2
            and number not in (select value from json_each($3)))
          or (lease_expires_at is null and coalesce(throttled_until, 0) <= $2)
        when state = 'queued' then
          mode = 'plan'
          or (not exists (select 1 from runs as active where active.sync = run.sync
                and active.state in ('running', 'waiting', 'held') and active.mode <> 'plan')
              and not exists (select 1 from syncs where syncs.sync = run.sync and syncs.paused = 1))
        else 0
      end
    order by number limit 1";

/// Joins the queued run of the sync, or queues a new one. `model` is the callback's, if one asks.
pub(super) async fn join_or_queue(
    tx: &mut Transaction<'static, Sqlite>,
    run: &NewRun,
    model: Option<&Model>,
    now: DateTime<Utc>,
) -> Result<Enqueued, LedgerError> {
    let ask = Ask { mode: run.mode, customers: run.customers.clone() };
    if let Some(queued) = queued(tx, &run.sync, run.mode == Mode::Plan).await? {
        let (id, state) = (RunId(queued.id), queued.state.parse().unwrap_or(RunState::Queued));
        if run.mode != Mode::Plan {
            let held = Ask {
                mode: queued.mode.parse().unwrap_or(Mode::Delta),
                customers: queued.customers.map(|ids| ids.0),
            };
            join(tx, id, held.join(ask), model).await?;
        }
        return Ok(Enqueued { run_id: id, state, coalesced: true });
    }
    let id = RunId::new(now);
    sqlx::query(
        "-- ledger::join_or_queue
         insert into runs (id, sync, mode, state, kind, actor, reason, retrigger_of, customers, model, created_at)
         values ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id.0)
    .bind(&run.sync)
    .bind(run.mode.as_str())
    .bind(run.kind.as_str())
    .bind(&run.actor)
    .bind(&run.reason)
    .bind(run.retrigger_of.map(|id| id.0))
    .bind(run.customers.as_ref().map(Json))
    .bind(Json(model.cloned().unwrap_or_default()))
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .map_err(LedgerError::during("enqueue"))?;
    Ok(Enqueued { run_id: id, state: RunState::Queued, coalesced: false })
}

/// The run that may be joined: the queued one, or for a plan the unfinished one.
async fn queued(
    tx: &mut Transaction<'static, Sqlite>,
    sync: &str,
    is_plan: bool,
) -> Result<Option<QueuedRow>, LedgerError> {
    // The words of the unique indexes, so that it is one of those that answers.
    let statement = match is_plan {
        true => {
            "-- ledger::queued
             select id, mode, state, customers from runs
             where sync = $1 and state in ('queued', 'running', 'waiting') and mode = 'plan'"
        }
        false => {
            "-- ledger::queued
             select id, mode, state, customers from runs
             where sync = $1 and state = 'queued' and mode <> 'plan'"
        }
    };
    sqlx::query_as(statement)
        .bind(sync)
        .fetch_optional(&mut **tx)
        .await
        .map_err(LedgerError::during("enqueue"))
}

#[derive(sqlx::FromRow)]
struct QueuedRow {
    id: Uuid,
    mode: String,
    state: String,
    customers: Option<Json<Vec<String>>>,
}

/// One conditional update on the queued row: nothing joins a run that has been claimed.
async fn join(
    tx: &mut Transaction<'static, Sqlite>,
    id: RunId,
    ask: Ask,
    model: Option<&Model>,
) -> Result<(), LedgerError> {
    if ask.customers.as_ref().is_some_and(|chosen| chosen.len() > MOST_CHOSEN) {
        return Err(LedgerError::WrongState { id, state: RunState::Queued });
    }
    sqlx::query(
        "-- ledger::join
         update runs set mode = $2, customers = $3, model = coalesce($4, model) where id = $1 and state = 'queued'",
    )
    .bind(id.0)
    .bind(ask.mode.as_str())
    .bind(ask.customers.map(Json))
    .bind(model.map(Json))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(LedgerError::during("enqueue"))
}
