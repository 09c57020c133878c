//! What can go wrong with the ledger, in its own words.

use crate::run::{RunId, RunState};

/// Why the ledger did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database cannot be reached, is locked, full or read-only: nothing was changed. Worth another try.
    #[error("the ledger cannot be written now: {what}")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The lease's epoch is no longer the run's: somebody else has it, or it is finished.
    #[error("the lease on run {0} is lost")]
    LeaseLost(RunId),
    /// The same Idempotency-Key came with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// The run is in no state for this.
    #[error("run {id} is {state}")]
    WrongState {
        /// The run.
        id: RunId,
        /// Its state.
        state: RunState,
    },
    /// No such run.
    #[error("there is no run {0}")]
    NoSuchRun(RunId),
    /// Another process holds this SQLite ledger.
    #[error("{path} is in use by another process; stop it, or give it the work with --server URL")]
    InUse {
        /// The file.
        path: String,
    },
    /// The ledger can not be used as it is.
    #[error("{0}")]
    Unusable(String),
    /// A cursor that this ledger did not give out.
    #[error("not a cursor of this list")]
    BadCursor,
}

impl LedgerError {
    /// What a failure of the database means while `what` was tried.
    pub(super) fn during(what: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self::Unavailable { what, source }
    }

    /// Whether trying the same again later may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
