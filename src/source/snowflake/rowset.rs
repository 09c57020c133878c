//! A result that stands at Snowflake, taken part by part: one in hand, one on its way.
//!
//! A statement's result is one moment's, whatever is written afterwards. Snowflake keeps it for 24 hours at no cost to
//! the warehouse, which may suspend meanwhile; so, unlike a snapshot in a database, it need not be let go while nobody
//! reads. Source: Snowflake docs, SQL API, Handling responses; Using persisted query results.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::api::{Api, Call, Refusal};
use super::partition::{ColumnType, Meta, Partition};
use super::running::incomplete;
use crate::source::SourceError;

type Fetched = Result<Partition, SourceError>;

/// The result of one statement.
pub(super) struct Rowset {
    api: Arc<Api>,
    handle: String,
    meta: Meta,
    first: Option<Partition>,
    ahead: Option<AbortOnDropHandle<Fetched>>,
    next: usize,
}

impl Rowset {
    pub(super) fn new(
        api: Arc<Api>,
        handle: String,
        meta: Meta,
        first: Partition,
    ) -> Result<Self, SourceError> {
        let told: usize = match meta.partition_info.as_slice() {
            [] => first.len(),
            parts => parts.iter().map(|part| part.row_count).sum(),
        };
        let is_whole = u64::try_from(told).is_ok_and(|told| told == meta.num_rows);
        let first_is_whole = meta.partition_info.first().is_none_or(|part| part.row_count == first.len());
        if !is_whole || !first_is_whole {
            return Err(incomplete());
        }
        Ok(Self { api, handle, meta, first: Some(first), ahead: None, next: 1 })
    }

    pub(super) fn columns(&self) -> &[ColumnType] {
        &self.meta.row_type
    }

    pub(super) fn rows(&self) -> u64 {
        self.meta.num_rows
    }

    /// The next part; while it is being used, the one after it is fetched.
    pub(super) async fn next(&mut self) -> Result<Option<Partition>, SourceError> {
        let part = match (self.first.take(), self.ahead.take()) {
            (Some(first), _) => first,
            (None, Some(fetching)) => fetching.await.map_err(|_| incomplete())??,
            (None, None) => return Ok(None),
        };
        if let Some(info) = self.meta.partition_info.get(self.next) {
            let fetching = fetch(self.api.clone(), self.handle.clone(), self.next, info.row_count);
            self.ahead = Some(AbortOnDropHandle::new(tokio::spawn(fetching)));
            self.next += 1;
        }
        Ok(Some(part))
    }
}

async fn fetch(api: Arc<Api>, handle: String, number: usize, rows: usize) -> Fetched {
    let answer = api.ask(&Call::Part(&handle, number)).await.map_err(|refusal| match refusal {
        Refusal::Other(error) => error,
        Refusal::Statement(failure, access) => failure.means(&access.place),
    })?;
    let read = tokio::task::spawn_blocking(move || Partition::read(answer.bytes)).await;
    match read.map_err(|_| incomplete())? {
        Some((_, part)) if part.len() == rows && !answer.is_running => Ok(part),
        _ => Err(incomplete()),
    }
}
