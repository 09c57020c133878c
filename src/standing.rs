//! How each sync stands, as API and pages show it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cadence;
use crate::config;
use crate::ledger::{Ledger, LedgerError, RunFilter, SyncState};
use crate::run::{Run, RunState};

/// One sync.
#[derive(Serialize, ToSchema)]
pub struct SyncView {
    /// Its id.
    pub id: String,
    /// idle, queued, running, waiting or held. Plans do not count.
    #[schema(value_type = String, pattern = "^(idle|queued|running|waiting|held)$", example = "idle")]
    pub state: &'static str,
    /// Whether a person paused it.
    pub paused: bool,
    /// Whether Braze lets nothing of it through.
    pub blocked: bool,
    /// Why, such as `braze_unauthorized`.
    pub blocked_reason: Option<String>,
    /// Whether the watermark has stood still for longer than `stale_after`.
    pub stale: bool,
    /// How far its source was synced.
    pub watermark: Option<DateTime<Utc>>,
    /// Seconds since the watermark last moved; null before that.
    pub freshness_secs: Option<i64>,
    /// The newest run, plans aside.
    pub last_run: Option<Run>,
    /// When it runs by itself next; null without a cadence, and while paused.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Customers with outstanding rejections or in doubt.
    pub outstanding_rejections: u64,
}

/// How a sync stands at `now`.
///
/// # Errors
/// [`LedgerError::Unavailable`].
pub async fn standing(
    ledger: &Ledger,
    sync: &config::Sync,
    now: DateTime<Utc>,
) -> Result<SyncView, LedgerError> {
    let id = &sync.id;
    let cadence = sync.cadence.as_ref();
    let known = ledger.sync_state(id).await?;
    Ok(SyncView {
        id: id.clone(),
        state: state_word(ledger, id).await?,
        paused: known.paused,
        blocked: known.blocked.is_some(),
        stale: is_stale(cadence, &known, now),
        watermark: known.watermark,
        freshness_secs: known.watermark_moved_at.map(|at| (now - at).num_seconds().max(0)),
        last_run: newest(ledger, id).await?,
        next_run_at: cadence.filter(|_| !known.paused).and_then(|cadence| cadence::next_of(cadence, now)),
        outstanding_rejections: ledger.outstanding_rejections(id).await?,
        blocked_reason: known.blocked.map(|blocked| blocked.code),
    })
}

fn is_stale(cadence: Option<&config::Cadence>, known: &SyncState, now: DateTime<Utc>) -> bool {
    let bound = cadence.and_then(|cadence| cadence.stale_after_secs);
    let bound = bound.and_then(|secs| TimeDelta::try_seconds(i64::try_from(secs).ok()?));
    match (bound, known.watermark_moved_at) {
        (Some(bound), Some(at)) => now - at > bound,
        _ => false,
    }
}

/// The state of the active run, else of the queued one.
async fn state_word(ledger: &Ledger, sync: &str) -> Result<&'static str, LedgerError> {
    let open = ledger.open_runs(Some(sync)).await?;
    let first = [RunState::Held, RunState::Waiting, RunState::Running, RunState::Queued]
        .into_iter()
        .find(|state| open.iter().any(|run| run.state == *state));
    Ok(first.map_or("idle", RunState::as_str))
}

/// The newest run, plans aside.
async fn newest(ledger: &Ledger, sync: &str) -> Result<Option<Run>, LedgerError> {
    let filter = RunFilter { sync: Some(sync.to_owned()), without_plans: true, ..RunFilter::default() };
    Ok(ledger.runs(&filter, 1, None).await?.items.pop())
}
