//! The queue of runs: the run row is the queue row.
//!
//! Joining is one conditional update on the queued row, and claiming another, so nothing joins a run that has been
//! claimed. Unique indexes, not checks, keep one queued and one active run per sync.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Ledger, LedgerError};
use crate::customer::Position;
use crate::run::{
    DataPoints, Mode, Phase, Progress, Run, RunError, RunId, RunState, Tally, TriggerKind, Window,
};

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

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Succeeded, partial, failed or cancelled.
    pub state: RunState,
    /// Final counts.
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

impl Ledger {
    /// Records a run, or joins the one that is queued (widening its mode).
    ///
    /// # Errors
    /// [`LedgerError::KeyReused`], or [`LedgerError::Unavailable`].
    pub async fn enqueue(&self, run: NewRun) -> Result<Enqueued, LedgerError> {
        let _ = run;
        todo!()
    }

    /// A new run like `id`, pointing at it; joins like a trigger.
    pub async fn retrigger(
        &self,
        id: RunId,
        actor: Option<String>,
        idempotency: Option<Idempotency>,
    ) -> Result<Enqueued, LedgerError> {
        let _ = (id, actor, idempotency);
        todo!()
    }

    /// Cancels a queued run at once, and asks whoever runs an active one to stop. Returns the state it is in now.
    pub async fn cancel(&self, id: RunId) -> Result<RunState, LedgerError> {
        let _ = id;
        todo!()
    }

    /// Claims the oldest claimable run of these syncs, if any: a queued one of a sync that is neither paused nor
    /// has an active run, or an active one whose lease has run out and whose wait is over. Counts the attempt.
    pub async fn claim(&self, syncs: &[String]) -> Result<Option<Lease>, LedgerError> {
        let _ = syncs;
        todo!()
    }

    /// Renews the lease; tells whether somebody asked for the run to be cancelled.
    pub async fn heartbeat(&self, lease: &mut Lease) -> Result<(), LedgerError> {
        let _ = lease;
        todo!()
    }

    /// Shows how far the run has come. `window` is set as soon as known.
    pub async fn show_progress(
        &self,
        lease: &Lease,
        progress: Progress,
        window: Option<Window>,
        promoted: Option<&str>,
    ) -> Result<(), LedgerError> {
        let _ = (lease, progress, window, promoted);
        todo!()
    }

    /// Shows the run waiting until `until` for `phase` (`Some`), or running again (`None`).
    pub async fn show_waiting(
        &self,
        lease: &Lease,
        phase: Phase,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), LedgerError> {
        let _ = (lease, phase, until);
        todo!()
    }

    /// Gives the claim back: the run goes on not before `not_before`, in another attempt. `crashed` counts towards
    /// the five crashes a run may have; waits and clean stops do not. Keeps what is given of the error with the run.
    pub async fn release(
        &self,
        lease: Lease,
        not_before: Option<DateTime<Utc>>,
        crashed: bool,
        error: Option<RunError>,
    ) -> Result<(), LedgerError> {
        let _ = (lease, not_before, crashed, error);
        todo!()
    }

    /// Ends the run: outcome, counts and watermark in one transaction.
    pub async fn finish(&self, lease: Lease, finish: Finish) -> Result<(), LedgerError> {
        let _ = (lease, finish);
        todo!()
    }
}
