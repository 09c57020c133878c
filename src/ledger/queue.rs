//! The queue of runs: the run row is the queue row.
//!
//! Joining is one conditional update on the queued row, and claiming another, so nothing joins a run that has been
//! claimed. Unique indexes, not checks, keep one queued and one active run per sync.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ask::Ask;
use super::column::{At, Json, Key};
use super::dialect::{Text, text};
use super::statement::{execute, fetch_optional};
use super::store::Tx;
use super::{Ledger, LedgerError};
use crate::run::{Mode, Model, RunError, RunId, RunState, TriggerKind};
use crate::telemetry::trace;

/// Most chosen customers one queued run may gather: beyond, the next request waits for its turn.
const MOST_CHOSEN: usize = 50_000;

/// Times that queueing a run is tried where others queue, and claim, runs of the sync at the same moment.
const MOST_TRIES: u32 = 32;

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

impl Ledger {
    /// Records a run, or joins the one that is queued (widening its mode).
    ///
    /// # Errors
    /// [`LedgerError::KeyReused`]; [`LedgerError::WrongState`] where the queued run has more chosen customers than
    /// one may gather; or [`LedgerError::Unavailable`].
    pub async fn enqueue(&self, run: NewRun) -> Result<Enqueued, LedgerError> {
        let mut tx = self.begin("enqueue").await?;
        let now = tx.now("enqueue").await?;
        if let Some(idempotency) = &run.idempotency
            && let Some(known) = super::idempotency::known(&mut tx, idempotency, now).await?
        {
            return Ok(known);
        }
        let queued = join_or_queue(&mut tx, &run, None, trace::traceparent(), now).await?;
        if let Some(idempotency) = &run.idempotency {
            super::idempotency::remember(&mut tx, idempotency, &queued, now).await?;
        }
        tx.commit("enqueue").await?;
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
            // Those of a delta were forced by somebody who may, and joined it; whoever repeats the delta may not.
            customers: first.customers.map(|customers| customers.0).filter(|_| run.mode == Mode::Force),
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
        let now = tx.now("cancel").await?;
        let state: Option<String> = fetch_optional!(
            tx,
            query_scalar(
                "-- ledger::cancel
             update runs set
               cancel_requested = true,
               state = case when lease_expires_at is null then 'cancelled' else state end,
               finished_at = case when lease_expires_at is null then $2 end,
               error = case when lease_expires_at is null then $3 else error end,
               checkpoint = case when lease_expires_at is null then null else checkpoint end,
               throttled_until = case when lease_expires_at is null then null else throttled_until end
             where id = $1 and state in ('queued', 'running', 'waiting', 'held')
             returning state",
                id.0,
                At(now),
                Json(RunError::cancelled())
            )
        )
        .map_err(LedgerError::during("cancel"))?;
        let Some(state) = state else {
            drop(tx);
            let run = self.run(id).await?.ok_or(LedgerError::NoSuchRun(id))?;
            return Err(LedgerError::WrongState { id, state: run.state });
        };
        tx.tell(id);
        tx.ring();
        tx.commit("cancel").await?;
        state.parse().map_err(|error| LedgerError::Unusable(format!("runs {id}: {error}")))
    }
}

/// Joins the queued run of the sync, or queues a new one, and tells of it. `model` is the callback's, if one asks; the
/// run goes on with the trace of the first who has one.
pub(super) async fn join_or_queue(
    tx: &mut Tx,
    run: &NewRun,
    model: Option<&Model>,
    traceparent: Option<String>,
    now: DateTime<Utc>,
) -> Result<Enqueued, LedgerError> {
    for _ in 0..MOST_TRIES {
        let queued = match queued(tx, &run.sync, run.mode == Mode::Plan).await? {
            Some(queued) => join(tx, queued, run, model, traceparent.as_deref()).await.map(Some)?,
            None => insert(tx, run, model, traceparent.as_deref(), now).await?,
        };
        if let Some(queued) = queued {
            tx.tell(queued.run_id);
            // Whoever queued the run rang for it: a burst of callbacks has workers, of all replicas, look once.
            if !queued.coalesced {
                tx.ring();
            }
            return Ok(queued);
        }
    }
    Err(LedgerError::during("enqueue")(sqlx::Error::PoolTimedOut))
}

/// None where another replica queued one at the same moment: that one may be joined.
async fn insert(
    tx: &mut Tx,
    run: &NewRun,
    model: Option<&Model>,
    traceparent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<Enqueued>, LedgerError> {
    let id = RunId::new(now);
    let inserted = execute!(
        tx,
        "-- ledger::insert
         insert into runs (id, sync, mode, state, kind, actor, reason, retrigger_of, customers, model, created_at,
           traceparent)
         values ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing",
        id.0,
        &run.sync,
        run.mode.as_str(),
        run.kind.as_str(),
        run.actor.as_deref().map(Key),
        run.reason.as_deref().map(Key),
        run.retrigger_of.map(|id| id.0),
        run.customers.as_ref().map(Json),
        Json(model.cloned().unwrap_or_default()),
        At(now),
        traceparent,
    )
    .map_err(LedgerError::during("enqueue"))?;
    Ok((inserted == 1).then_some(Enqueued { run_id: id, state: RunState::Queued, coalesced: false }))
}

/// The run that may be joined: the queued one, which nobody claims meanwhile, or for a plan the unfinished one.
async fn queued(tx: &mut Tx, sync: &str, is_plan: bool) -> Result<Option<QueuedRow>, LedgerError> {
    // The words of the unique indexes, so that it is one of those that answers.
    const PLAN: Text = text! {
        "-- ledger::queued
         select id, mode, state, customers from runs
         where sync = $1 and state in ('queued', 'running', 'waiting') and mode = 'plan'"
    };
    const QUEUED: Text = text! {
        "-- ledger::queued
         select id, mode, state, customers from runs
         where sync = $1 and state = 'queued' and mode <> 'plan'"
        [lock]
    };
    let statement = if is_plan { PLAN } else { QUEUED };
    fetch_optional!(tx, query_as(statement, sync)).map_err(LedgerError::during("enqueue"))
}

#[derive(sqlx::FromRow)]
struct QueuedRow {
    id: Uuid,
    mode: String,
    state: String,
    customers: Option<Json<Vec<String>>>,
}

/// One conditional update on the queued row: nothing joins a run that has been claimed. A plan is joined as it is.
async fn join(
    tx: &mut Tx,
    queued: QueuedRow,
    run: &NewRun,
    model: Option<&Model>,
    traceparent: Option<&str>,
) -> Result<Enqueued, LedgerError> {
    let (id, state) = (RunId(queued.id), queued.state.parse().unwrap_or(RunState::Queued));
    let joined = Enqueued { run_id: id, state, coalesced: true };
    if run.mode == Mode::Plan {
        return Ok(joined);
    }
    let mode = queued.mode.parse().unwrap_or(Mode::Delta);
    let held = Ask { mode, customers: queued.customers.map(|ids| ids.0) };
    let ask = held.join(Ask { mode: run.mode, customers: run.customers.clone() });
    if ask.customers.as_ref().is_some_and(|chosen| chosen.len() > MOST_CHOSEN) {
        return Err(LedgerError::WrongState { id, state: RunState::Queued });
    }
    execute!(
        tx,
        "-- ledger::join
         update runs set mode = $2, customers = $3, model = coalesce($4, model),
           traceparent = coalesce(traceparent, $5)
         where id = $1 and state = 'queued'",
        id.0,
        ask.mode.as_str(),
        ask.customers.as_ref().map(Json),
        model.map(Json),
        traceparent,
    )
    .map_err(LedgerError::during("enqueue"))?;
    Ok(joined)
}
