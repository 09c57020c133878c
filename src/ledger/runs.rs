//! Runs as the API shows them.

use super::{Ledger, LedgerError};
use crate::run::{Run, RunId, RunState};

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next part begins; none at the end.
    pub next_cursor: Option<String>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this sync.
    pub sync: Option<String>,
    /// Only of these syncs; none: all.
    pub syncs: Option<Vec<String>>,
    /// Only in this state.
    pub state: Option<RunState>,
}

impl Ledger {
    /// One run.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, LedgerError> {
        let _ = id;
        todo!()
    }

    /// Runs, newest first.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Run>, LedgerError> {
        let _ = (filter, limit, cursor);
        todo!()
    }
}
