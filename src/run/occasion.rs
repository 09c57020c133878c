//! What a notice tells of: never a customer, never a value.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{DataPoints, Mode, Model, Run, RunId, RunState, Tally, TriggerKind};

/// What a notice tells of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Occasion {
    /// A run came to an end, or is held.
    Run(Box<RunSummary>),
    /// A sync's watermark stands still.
    Standstill(Standstill),
}

/// A run in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's id.
    pub id: RunId,
    /// The sync it belongs to.
    pub sync: String,
    /// How much it selected and sent.
    pub mode: Mode,
    /// Where it stands.
    pub state: RunState,
    /// What brought it about.
    pub trigger: TriggerKind,
    /// What the callback said of the model run.
    pub model: Model,
    /// Its counts.
    pub tally: Tally,
    /// Its data points.
    pub data_points: DataPoints,
    /// The code of what it failed on.
    pub error_code: Option<String>,
    /// The guard that holds it.
    pub held_by: Option<String>,
    /// When it was first claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A watermark that stands still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standstill {
    /// The sync.
    pub sync: String,
    /// How far its source was synced.
    pub watermark: Option<DateTime<Utc>>,
    /// Since when the watermark has not moved.
    pub watermark_moved_at: DateTime<Utc>,
    /// For how many seconds it may.
    pub stale_after_secs: u64,
}

impl Occasion {
    /// The sync it is about.
    pub fn sync(&self) -> &str {
        match self {
            Self::Run(run) => &run.sync,
            Self::Standstill(standstill) => &standstill.sync,
        }
    }
}

impl From<&Run> for RunSummary {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id,
            sync: run.sync.clone(),
            mode: run.mode,
            state: run.state,
            trigger: run.trigger.kind,
            model: run.model.clone(),
            tally: run.tally,
            data_points: run.data_points.clone(),
            error_code: run.error.as_ref().map(|error| error.code.clone()),
            held_by: run.held_by.clone(),
            started_at: run.started_at,
            finished_at: run.finished_at,
        }
    }
}
