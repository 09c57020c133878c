//! A run: one sync from trigger to outcome. Pure values and the state machine; the run row is the queue row.
//!
//! ```text
//!              claim               settle, announced reset, backoff
//!   queued ------------> running <----------------------------------> waiting
//!     |                   |   |                                          |
//!     | cancel            |   +--- a guard is breached ---> held         |
//!     v                   v                                  |           v
//!  cancelled   succeeded · partial · failed · cancelled <----+-----------+
//! ```
//!
//! A finished run never changes: a re-trigger is a new run that points at the one it repeats.

mod forecast;
mod occasion;
mod words;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use forecast::{Forecast, ForecastValues};
pub use occasion::{Occasion, RunSummary, Standstill};
pub use words::UnknownWord;
use words::words;

/// Names one run, for ever. Version 7, so that ids sort by creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Uuid)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A new id for a run created at `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        let nanos = now.timestamp_subsec_nanos();
        let secs = u64::try_from(now.timestamp()).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, secs, nanos)))
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

words! {
    /// Where a run stands.
    RunState {
        /// Recorded, not yet claimed. Further triggers join it.
        Queued = "queued",
        /// Claimed by a worker that reads or sends.
        Running = "running",
        /// Claimed, but nothing moves until `throttled_until`: settle time, announced reset, backoff, source, or the model run in Peak.
        Waiting = "waiting",
        /// A guard's bound was breached before anything was sent.
        Held = "held",
        /// Nothing invalid, rejected or unknown.
        Succeeded = "succeeded",
        /// Some customers are invalid, rejected or unknown; each is tried again by later runs.
        Partial = "partial",
        /// The watermark did not move.
        Failed = "failed",
        /// Stopped by a person, or superseded while held.
        Cancelled = "cancelled",
    }
}

impl RunState {
    /// Whether a run in this state never changes again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled)
    }

    /// Whether a run in this state is its sync's one active run.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Waiting | Self::Held)
    }
}

words! {
    /// How much a run selects and sends. Ordered: joining a queued run widens it to the greater mode.
    Mode {
        /// Rows past the watermark less the overlap, plus outstanding rejections and customers in doubt.
        Delta = "delta",
        /// Every row, still only changed values.
        Full = "full",
        /// Every row, every value.
        Force = "force",
        /// What a delta would send; nothing is sent.
        Plan = "plan",
    }
}

words! {
    /// What brought a run about.
    TriggerKind {
        /// A verified callback from Peak.
        Callback = "callback",
        /// A person or script through the HTTP API or the pages.
        Manual = "manual",
        /// The cadence, or the service itself (an unblocked sync).
        Schedule = "schedule",
        /// `peak-braze sync`.
        Cli = "cli",
        /// A repeat of an earlier run.
        Retrigger = "retrigger",
    }
}

words! {
    /// What a run is doing now.
    Phase {
        /// Asking Peak how the model's step ended.
        Verifying = "verifying",
        /// Reading the source and comparing with what was sent.
        Extracting = "extracting",
        /// Waiting until the sends of the run before are old enough to be safely overtaken.
        Settling = "settling",
        /// Sending.
        Pushing = "pushing",
        /// Writing down the last verdicts and the outcome.
        Recording = "recording",
    }
}

/// What brought a run about, in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// The first trigger's kind; those that joined later do not change it.
    pub kind: TriggerKind,
    /// Ids of the accepted deliveries this run answers for.
    pub deliveries: Vec<String>,
    /// The name of the token that asked; null for callbacks and the schedule.
    pub actor: Option<String>,
    /// Free text given by whoever asked.
    pub reason: Option<String>,
    /// The run this one repeats.
    pub retrigger_of: Option<RunId>,
}

/// What the callback said about the model run. Shown, and asked about where the sync verifies runs; never used as data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// The model's name.
    pub name: Option<String>,
    /// The model's version.
    pub version: Option<String>,
    /// Peak's id of the workflow execution.
    pub execution_id: Option<String>,
}

/// The part of the source a run covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Window {
    /// Rows past this instant are read: the watermark less the overlap. Null: from the beginning.
    pub after: Option<DateTime<Utc>>,
    /// The furthest the watermark may go. Null until known, and at the end of a run that has no say in the watermark:
    /// nothing was read, or only chosen customers.
    pub up_to: Option<DateTime<Utc>>,
}

/// Counts of one run, across its attempts.
///
/// At the end of a succeeded or partial run `customers = unchanged + changed + invalid`,
/// `changed = accepted + rejected + unknown` and `rows_read = customers + collapsed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Tally {
    /// Rows selected in the source.
    pub rows_read: u64,
    /// Distinct customers among them (a row without a usable key counts as one).
    pub customers: u64,
    /// Rows that gave way to a later row of the same customer.
    pub collapsed: u64,
    /// Customers all of whose values Braze already has.
    pub unchanged: u64,
    /// Customers with something to send.
    pub changed: u64,
    /// Customers with nothing usable to send, or without a usable key.
    pub invalid: u64,
    /// Single values that could not be sent.
    pub invalid_values: u64,
    /// Changed customers Braze accepted.
    pub accepted: u64,
    /// Changed customers Braze refused.
    pub rejected: u64,
    /// Changed customers whose verdict could not be learned.
    pub unknown: u64,
    /// Requests sent to Braze, retries included.
    pub requests: u64,
    /// Requests that repeated an earlier one.
    pub retries: u64,
    /// Bytes of request bodies sent.
    pub bytes_sent: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.rows_read += more.rows_read;
        self.customers += more.customers;
        self.collapsed += more.collapsed;
        self.unchanged += more.unchanged;
        self.changed += more.changed;
        self.invalid += more.invalid;
        self.invalid_values += more.invalid_values;
        self.accepted += more.accepted;
        self.rejected += more.rejected;
        self.unknown += more.unknown;
        self.requests += more.requests;
        self.retries += more.retries;
        self.bytes_sent += more.bytes_sent;
    }
}

/// Data points of one attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Points {
    /// Values Braze accepted.
    pub sent: u64,
    /// Mapped values of customers read that were not sent, because Braze already has them.
    pub saved: u64,
}

/// Data points of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DataPoints {
    /// Values Braze accepted.
    pub sent: u64,
    /// Mapped values of customers read that were not sent, because Braze already has them.
    pub saved: u64,
    /// The same by Braze attribute name.
    pub by_attribute: BTreeMap<String, Points>,
}

impl DataPoints {
    /// Adds `points` to the attribute `name` and to the sums.
    pub fn add(&mut self, name: &str, points: Points) {
        self.sent += points.sent;
        self.saved += points.saved;
        match self.by_attribute.get_mut(name) {
            Some(sum) => {
                sum.sent += points.sent;
                sum.saved += points.saved;
            }
            None => {
                self.by_attribute.insert(name.to_owned(), points);
            }
        }
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// What the run is doing.
    pub phase: Phase,
    /// Customers read and settled one way or the other.
    pub done: u64,
    /// Customers to read, where the source could tell.
    pub total: Option<u64>,
    /// Customers per second of late.
    pub per_sec: f64,
    /// Seconds to go at that speed.
    pub eta_secs: Option<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { phase: Phase::Extracting, done: 0, total: None, per_sec: 0.0, eta_secs: None }
    }
}

/// Why a run failed, in a form a script can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunError {
    /// A stable word, such as `braze_unauthorized`.
    pub code: String,
    /// One sentence for people: what was tried, and what to do. Never a secret, a customer or a value.
    pub message: String,
    /// Whether the same run may succeed later without anyone changing anything.
    pub retryable: bool,
}

impl RunError {
    /// Every code there is; what each means and what to do stands in the runbook.
    pub const CODES: &'static [&'static str] = &[
        "braze_unauthorized",
        "braze_forbidden",
        "braze_not_found",
        "braze_unsupported",
        "braze_redirected",
        "braze_tls",
        "braze_refuses_everything",
        "gave_up",
        "source_unreachable",
        "source_refused",
        "schema_mismatch",
        "crashed",
        "ledger_unavailable",
        "cancelled",
        "model_step_failed",
        "model_run_unverified",
    ];

    /// What a cancelled run says of itself.
    pub fn cancelled() -> Self {
        let message = "cancelled on request; what was accepted by then is recorded".to_owned();
        Self { code: "cancelled".to_owned(), message, retryable: false }
    }
}

/// One run, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The run's id.
    pub id: RunId,
    /// The sync it belongs to.
    pub sync: String,
    /// How much it selects and sends.
    pub mode: Mode,
    /// Where it stands.
    pub state: RunState,
    /// What brought it about.
    pub trigger: Trigger,
    /// What the latest callback said of the model run.
    pub model: Model,
    /// Times it was claimed: 0 while queued.
    pub attempt: u32,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was first claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it reached its final state.
    pub finished_at: Option<DateTime<Utc>>,
    /// The part of the source it covers.
    pub window: Window,
    /// Its counts.
    pub tally: Tally,
    /// Its data points.
    pub data_points: DataPoints,
    /// How far it has come.
    pub progress: Progress,
    /// Why a delta became, or of a plan would become, a full run: `first_run`, `mapping_changed`, `workspace_changed`, `full_every`, `outstanding`.
    pub promoted: Option<String>,
    /// Until when it waits.
    pub throttled_until: Option<DateTime<Utc>>,
    /// The guard that holds it.
    pub held_by: Option<String>,
    /// The run that took the place of this held one.
    pub superseded_by: Option<RunId>,
    /// Why it failed, or what its last attempt met.
    pub error: Option<RunError>,
    /// What a plan came to; null for every other run, and until the plan ends.
    pub plan: Option<Forecast>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_written() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse::<RunState>().expect("own word"), *state);
        }
        assert!("done".parse::<RunState>().is_err());
    }

    #[test]
    fn joining_widens_by_order() {
        assert!(Mode::Delta < Mode::Full && Mode::Full < Mode::Force);
    }
}
