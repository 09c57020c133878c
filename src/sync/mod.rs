//! One run, top to bottom: verify where asked, window, extract, diff, batch, push, record, outcome.
//!
//! ```text
//! source -> chunks -> Differ -> portions -> groups -> Braze -> verdicts -> ledger
//!                       ^ what the ledger remembers        in flight before, recorded after, in order
//! ```
//!
//! A customer is in one portion once, so never in two requests at a time. Groups are recorded in the order they
//! were read; with each goes the position up to which everything is settled, so another attempt reads on from there.

mod diff;
mod extract;
mod forecast;
mod gather;
mod group;
mod patience;
mod portion;
mod push;
mod receipt;
mod records;
mod resend;
mod speed;
mod stop;
mod verdicts;
mod verify;
mod window;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::braze::Braze;
use crate::clock::Clock;
use crate::config;
use crate::ledger::{Finish, Lease, Ledger, LedgerError};
use crate::run::{Mode, Phase, RunError, RunState};
use crate::source::Source;
use crate::telemetry::trace;

use extract::Extract;
use receipt::Receipt;
pub use stop::{Claim, Stopped};
use window::Plan;

/// How often a wait looks at the wall clock: one that is set forward ends it.
const CLOCK_SLICE: Duration = Duration::from_secs(5);

/// What a run works with.
#[derive(Clone)]
pub struct Rooms {
    /// Our durable memory.
    pub ledger: Ledger,
    /// The warehouse.
    pub source: Arc<Source>,
    /// The Braze workspace.
    pub braze: Arc<Braze>,
    /// The sync's settings, as in force when the run was claimed.
    pub sync: Arc<config::Sync>,
    /// The destination's settings.
    pub destination: Arc<config::Destination>,
    /// Tells the time.
    pub clock: Clock,
}

/// Runs what `lease` claims, and returns how it ended; the caller records that.
///
/// # Errors
/// [`Stopped`] when the run did not end: it was told to stop, lost its lease, or the ledger failed. What was
/// answered by then is recorded, and another attempt goes on from there.
pub async fn run(rooms: &Rooms, lease: &Lease, claim: &Claim) -> Result<Finish, Stopped> {
    if lease.run.mode == Mode::Plan {
        return forecast::foresee(rooms, lease, claim).await;
    }
    trace::part("verify").around(verify::verify(rooms, lease, claim)).await?;
    let plan = trace::part("window").around(Plan::make(rooms, lease)).await?;
    let mut receipt = Receipt::open(lease, &plan);
    if !receipt.is_complete() {
        let (extract, portions) = Extract::start(rooms, lease, claim, &plan, &mut receipt).await?;
        let pushing = Box::pin(group::push_all(rooms, lease, claim, &plan, portions, &mut receipt));
        if let Some(ending) = ending_of(trace::part("push").around(pushing).await)? {
            return Ok(failed(ending, &receipt));
        }
        if let Some(ending) = ending_of(extract.outcome().await)? {
            return Ok(failed(ending, &receipt));
        }
    }
    Ok(ended(&plan, receipt))
}

/// A run that met something final ends as failed; everything else goes up.
fn ending_of(outcome: Result<(), Stopped>) -> Result<Option<Ending>, Stopped> {
    match outcome {
        Ok(()) => Ok(None),
        Err(Stopped::Failed { error, blocks }) => {
            Ok(Some(Ending { state: RunState::Failed, error: Some(error), blocks }))
        }
        Err(Stopped::Cancelled) => {
            Ok(Some(Ending { state: RunState::Cancelled, error: None, blocks: false }))
        }
        Err(other) => Err(other),
    }
}

struct Ending {
    state: RunState,
    error: Option<RunError>,
    blocks: bool,
}

/// The watermark stays; what was sent is recorded.
fn failed(ending: Ending, receipt: &Receipt) -> Finish {
    Finish {
        state: ending.state,
        checkpoint: Some(receipt.checkpoint().clone()),
        error: ending.error,
        watermark: None,
        was_full: false,
        blocks: ending.blocks,
    }
}

/// Everything read is accounted for: the watermark moves.
fn ended(plan: &Plan, receipt: Receipt) -> Finish {
    let tally = &receipt.checkpoint().tally;
    let is_whole = tally.invalid + tally.invalid_values + tally.rejected + tally.unknown == 0;
    Finish {
        state: if is_whole { RunState::Succeeded } else { RunState::Partial },
        error: None,
        watermark: if plan.moves_watermark { receipt.checkpoint().newest } else { None },
        was_full: plan.mode >= Mode::Full && plan.moves_watermark,
        blocks: false,
        checkpoint: Some(receipt.checkpoint().clone()),
    }
}

/// Shows the run waiting for `phase` until `until`, waits, and shows it running again. The wall clock only says when
/// it is over early: one that is set back meanwhile makes nobody wait longer.
async fn wait_until(
    rooms: &Rooms,
    lease: &Lease,
    claim: &Claim,
    phase: Phase,
    until: DateTime<Utc>,
) -> Result<(), Stopped> {
    let Ok(wait) = (until - rooms.clock.now()).to_std() else { return Ok(()) };
    let deadline = Instant::now() + wait;
    while rooms.clock.now() < until && Instant::now() < deadline {
        shown(rooms.ledger.show_waiting(lease, phase, Some(until)).await)?;
        let slice = deadline.min(Instant::now() + CLOCK_SLICE);
        claim.unless_stopped(tokio::time::sleep_until(slice)).await?;
    }
    group::persist(claim, || rooms.ledger.show_waiting(lease, phase, None)).await
}

/// What is shown is for people: where it cannot be written now, the next time does, or the next record fails for good.
fn shown(written: Result<(), LedgerError>) -> Result<(), Stopped> {
    match written {
        Err(error) if error.is_retryable() => Ok(()),
        other => Ok(other?),
    }
}

impl From<LedgerError> for Stopped {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::LeaseLost(_) => Self::LeaseLost,
            other => Self::Ledger(other),
        }
    }
}
