//! Asks Peak whether the model's step ended well, where a sync wants that known, before anything is read.
//!
//! Only a run that answers for a callback has something to ask about; a person, a script and the schedule say
//! themselves that it is time. Where Peak does not confirm what a callback said, nothing is sent: whoever asked for
//! verification is served worse by a silent exception than by a run that failed and says why.

use std::time::Duration;

use super::patience::Patience;
use super::{Claim, Rooms, Stopped, wait_until};
use crate::ledger::Lease;
use crate::peak::{Peak, PeakError, StepStatus};
use crate::run::Phase;

/// How long a step may go on running, or Peak stay out of reach, before the run fails: the step that calls us comes
/// after the model's, so minutes are much already.
const PATIENCE: Duration = Duration::from_secs(3600);
/// First and longest wait between looks.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Longest execution id that is asked about: Peak's are UUIDs.
const ID_BYTES: usize = 64;

/// Returns once Peak confirmed the step, or where nothing is to be asked.
pub(super) async fn verify(rooms: &Rooms, lease: &Lease, claim: &Claim) -> Result<(), Stopped> {
    let wanted = rooms.sync.callback.as_ref().and_then(|callback| callback.verify_run.as_ref());
    let Some(wanted) = wanted else { return Ok(()) };
    // An attempt that has recorded something was let through before.
    if lease.run.trigger.deliveries.is_empty() || lease.checkpoint.is_some() {
        return Ok(());
    }
    let execution = execution_id(lease)?;
    let peak = Peak::new(&wanted.peak.api_key, wanted.peak.base_url.as_deref())
        .map_err(|error| unverified(&error.to_string(), false))?;
    let mut patience = Patience::new(PATIENCE, LOOK_AGAIN);
    loop {
        let look = peak.step(&wanted.workflow_id, execution, &wanted.step);
        let why = match claim.unless_stopped(look).await? {
            Ok(StepStatus::Success) => return Ok(()),
            Ok(StepStatus::Running) => "its step is still running".to_owned(),
            Ok(StepStatus::Failed(word)) => {
                let message =
                    format!("Peak says that the model's step ended as {word}; there is nothing new to send");
                return Err(Stopped::failed("model_step_failed", message, false));
            }
            Ok(StepStatus::Missing) => {
                return Err(unverified(
                    "its execution has no step of that name; check verify_run.step",
                    false,
                ));
            }
            Err(error) if error.is_retryable() => error.to_string(),
            Err(error) => return Err(unverified(&refusal(&error), false)),
        };
        let Some(wait) = patience.next_wait() else { return Err(unverified(&why, true)) };
        tracing::info!(why, wait_secs = wait.as_secs(), "the model run is not verified yet");
        let until = rooms.clock.now() + wait;
        wait_until(rooms, lease, claim, Phase::Verifying, until).await?;
    }
}

/// What the latest callback named. It becomes part of an address, so nothing but an id will do.
fn execution_id(lease: &Lease) -> Result<&str, Stopped> {
    let plain = |id: &&str| {
        (1..=ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let named = lease.run.model.execution_id.as_deref();
    let none = "the callback names none: it must hold data.execution_id";
    named.filter(plain).ok_or_else(|| unverified(none, false))
}

fn refusal(error: &PeakError) -> String {
    match error {
        PeakError::NotFound(_) => {
            format!("{error}; check verify_run.workflow_id and what the callback sends as data.execution_id")
        }
        error => error.to_string(),
    }
}

fn unverified(why: &str, retryable: bool) -> Stopped {
    let message = format!("the model run could not be verified: {why}; nothing was read or sent");
    Stopped::failed("model_run_unverified", message, retryable)
}
