//! A row of `runs`.

use sqlx::FromRow;
use uuid::Uuid;

use super::LedgerError;
use super::column::{At, Json, Key};
use crate::run::{
    DataPoints, Forecast, Model, Progress, Run, RunError, RunId, Tally, Trigger, UnknownWord, Window,
};

/// Most accepted deliveries shown with a run, the newest: a flood joins one queued run.
pub(super) const DELIVERIES_SHOWN: i64 = 100;

/// The columns of [`RunRow`].
macro_rules! run_columns {
    () => {
        "number, id, sync, mode, state, kind, actor, reason, retrigger_of, customers, model, attempt, epoch, \
         cancel_requested, created_at, started_at, finished_at, window_after, window_up_to, tally, data_points, \
         progress, promoted, throttled_until, held_by, superseded_by, error, checkpoint, plan, traceparent"
    };
}
pub(super) use run_columns;

/// A row of `runs`.
#[derive(Debug, FromRow)]
pub(super) struct RunRow {
    pub number: i64,
    pub id: Uuid,
    pub sync: String,
    pub mode: String,
    pub state: String,
    pub kind: String,
    pub actor: Option<Key<String>>,
    pub reason: Option<Key<String>>,
    pub retrigger_of: Option<Uuid>,
    pub customers: Option<Json<Vec<String>>>,
    pub model: Json<Model>,
    pub attempt: i64,
    pub epoch: i64,
    pub cancel_requested: bool,
    pub created_at: At,
    pub started_at: Option<At>,
    pub finished_at: Option<At>,
    pub window_after: Option<At>,
    pub window_up_to: Option<At>,
    pub tally: Json<Tally>,
    pub data_points: Json<DataPoints>,
    pub progress: Option<Json<Progress>>,
    pub promoted: Option<String>,
    pub throttled_until: Option<At>,
    pub held_by: Option<String>,
    pub superseded_by: Option<Uuid>,
    pub error: Option<Json<RunError>>,
    pub checkpoint: Option<Json<super::Checkpoint>>,
    pub plan: Option<Json<Forecast>>,
    pub traceparent: Option<String>,
}

impl RunRow {
    /// The run as the API shows it, answering for these deliveries.
    pub(super) fn run(&self, deliveries: Vec<String>) -> Result<Run, LedgerError> {
        let odd = |error: UnknownWord| LedgerError::Unusable(format!("runs {}: {error}", self.id));
        Ok(Run {
            id: RunId(self.id),
            sync: self.sync.clone(),
            mode: self.mode.parse().map_err(odd)?,
            state: self.state.parse().map_err(odd)?,
            trigger: Trigger {
                kind: self.kind.parse().map_err(odd)?,
                deliveries,
                actor: self.actor.clone().map(|actor| actor.0),
                reason: self.reason.clone().map(|reason| reason.0),
                retrigger_of: self.retrigger_of.map(RunId),
            },
            model: self.model.0.clone(),
            attempt: u32::try_from(self.attempt).unwrap_or(u32::MAX),
            created_at: self.created_at.0,
            started_at: self.started_at.map(|at| at.0),
            finished_at: self.finished_at.map(|at| at.0),
            window: Window {
                after: self.window_after.map(|at| at.0),
                up_to: self.window_up_to.map(|at| at.0),
            },
            tally: self.tally.0,
            data_points: self.data_points.0.clone(),
            progress: self.progress.as_ref().map_or_else(Progress::default, |progress| progress.0),
            promoted: self.promoted.clone(),
            throttled_until: self.throttled_until.map(|at| at.0),
            held_by: self.held_by.clone(),
            superseded_by: self.superseded_by.map(RunId),
            error: self.error.as_ref().map(|error| error.0.clone()),
            plan: self.plan.as_ref().map(|plan| plan.0.clone()),
        })
    }
}
