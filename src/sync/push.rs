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
    // A copy has seen no more than what it was made of, which has seen no heartbeat.
    expires.mark_unchanged();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;
    use crate::clock::Moment;

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_short_is_waited_for_until_the_next_heartbeat() {
        let lease = Duration::from_secs(30);
        let (heartbeat, expires) = watch::channel(Moment::now());
        let [cancelled, draining, lost] = std::array::from_fn(|_| CancellationToken::new());
        let claim = Claim { expires, lease, last_answers: lease, cancelled, draining, lost };
        heartbeat.send_replace(Moment::now() + lease);
        let began = Instant::now();
        let next = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            heartbeat.send_replace(Moment::now() + lease);
        };
        let halt = CancellationToken::new();
        let waited = async {
            renewed(&claim, &halt).await;
            began.elapsed()
        };
        assert_eq!(tokio::join!(waited, next).0, Duration::from_secs(5));
    }
}
