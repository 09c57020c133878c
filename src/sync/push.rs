//! Sends one portion and says what became of it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Claim;
use super::portion::Portion;
use crate::braze::{PushFailed, Pushed, Pusher, Stop};

/// What became of a portion.
#[derive(Debug)]
pub(super) enum Fate {
    /// Every update has a verdict.
    Answered(Pushed),
    /// Nothing of it can have been taken: no request was started, or each was refused clearly.
    Unsent(Effort),
    /// Requests were started, and no verdict is known.
    InDoubt(Effort),
    /// Braze, or patience, ended the run.
    Ended(Stop, Effort),
}

/// What was spent on a portion without a verdict.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort {
    pub requests: u32,
    pub retries: u32,
    pub bytes_sent: u64,
    /// Whether Braze may have taken any of it.
    pub may_be_taken: bool,
}

/// Sends a portion's batch, however often the lease has to be renewed meanwhile.
pub(super) async fn push(
    pusher: Arc<Pusher>,
    portion: &Portion,
    claim: Claim,
    halt: CancellationToken,
) -> Fate {
    if portion.batch.is_empty() {
        return Fate::Answered(Pushed::default());
    }
    let mut spent = Effort::default();
    loop {
        let failed = tokio::select! {
            biased;
            pushed = pusher.push(&portion.batch) => match pushed {
                Ok(pushed) => return Fate::Answered(spent.and(pushed)),
                Err(failed) => failed,
            },
            () = last_answers(&claim, &halt) => return Fate::InDoubt(spent),
        };
        spent = spent.plus(&failed);
        match failed.stop {
            Stop::Fenced if claim.is_stopping() || halt.is_cancelled() => {
                return if spent.may_be_taken { Fate::InDoubt(spent) } else { Fate::Unsent(spent) };
            }
            Stop::Fenced => renewed(&claim, &halt).await,
            stop => return Fate::Ended(stop, spent),
        }
    }
}

/// The lease ran short: waits for the next heartbeat, or for the end.
async fn renewed(claim: &Claim, halt: &CancellationToken) {
    let mut expires = claim.expires.clone();
    tokio::select! {
        _ = expires.changed() => {}
        _ = claim.stopping() => {}
        () = halt.cancelled() => {}
    }
}

/// Resolves when requests under way have had their time since the run was told to stop.
async fn last_answers(claim: &Claim, halt: &CancellationToken) {
    tokio::select! {
        _ = claim.stopping() => {}
        () = halt.cancelled() => {}
    }
    tokio::select! {
        () = claim.lost.cancelled() => {}
        () = tokio::time::sleep(claim.last_answers) => {}
    }
}

impl Effort {
    fn plus(self, failed: &PushFailed) -> Self {
        Self {
            requests: self.requests + failed.requests,
            retries: self.retries + failed.retries,
            bytes_sent: self.bytes_sent + failed.bytes_sent,
            may_be_taken: self.may_be_taken || failed.may_be_taken,
        }
    }

    fn and(self, pushed: Pushed) -> Pushed {
        Pushed {
            requests: pushed.requests + self.requests,
            retries: pushed.retries + self.retries,
            bytes_sent: pushed.bytes_sent + self.bytes_sent,
            ..pushed
        }
    }
}
