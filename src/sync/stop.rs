//! The claim a run works under, and why it stopped before its end.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::ledger::LedgerError;
use crate::run::RunError;

/// The lease as the run sees it, kept up to date by the worker's heartbeat.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Until when the lease holds.
    pub expires: watch::Receiver<Moment>,
    /// How long a lease lasts from a heartbeat.
    pub lease: Duration,
    /// How long requests under way are waited for once the run is told to stop.
    pub last_answers: Duration,
    /// Somebody asked for the run to be cancelled.
    pub cancelled: CancellationToken,
    /// The process is going down.
    pub draining: CancellationToken,
    /// The lease is gone: nothing may be sent or written any more.
    pub lost: CancellationToken,
}

impl Claim {
    /// Whether a request that may take `request_timeout` may start: the remaining lease exceeds it by a tenth of
    /// the lease, so that no request is under way when somebody else may claim the run.
    pub fn lets_start(&self, request_timeout: Duration) -> bool {
        let remaining = self.expires.borrow().remaining();
        !self.is_stopping() && remaining > request_timeout + self.lease / 10
    }

    /// Whether the run should end as soon as what is under way is answered.
    pub fn is_stopping(&self) -> bool {
        self.cancelled.is_cancelled() || self.draining.is_cancelled() || self.lost.is_cancelled()
    }

    /// Resolves once the run should stop, with the reason.
    pub async fn stopping(&self) -> Stopped {
        tokio::select! {
            () = self.lost.cancelled() => Stopped::LeaseLost,
            () = self.cancelled.cancelled() => Stopped::Cancelled,
            () = self.draining.cancelled() => Stopped::Draining,
        }
    }

    /// Waits for `work`, unless the run is told to stop first.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            stopped = self.stopping() => Err(stopped),
            done = work => Ok(done),
        }
    }
}

/// Why a run stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// It met something that no waiting heals.
    #[error("the run failed: {}", error.code)]
    Failed {
        /// What it met.
        error: RunError,
        /// Whether the sync is blocked from now on.
        blocks: bool,
    },
    /// A person cancelled it.
    #[error("the run was cancelled")]
    Cancelled,
    /// The process is going down; another attempt goes on.
    #[error("the process is going down")]
    Draining,
    /// Somebody else has the run, or it is finished.
    #[error("the lease is lost")]
    LeaseLost,
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[source] LedgerError),
}

impl Stopped {
    /// Whether nothing more will be read or sent in this run.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Cancelled)
    }

    /// A final failure.
    pub(super) fn failed(code: &str, message: impl Into<String>, retryable: bool) -> Self {
        let error = RunError { code: code.to_owned(), message: message.into(), retryable };
        Self::Failed { error, blocks: false }
    }
}
