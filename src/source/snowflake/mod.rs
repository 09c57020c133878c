//! Snowflake as a source, over its documented SQL API: one statement, its result read part by part.
//!
//! ```text
//! login -> api (one request) -> running (one statement) -> rowset (its parts) -> cell -> shape (a value)
//! columns (names, types), select (the statement), ceiling (the watermark's bound) -> scan
//! ```
//!
//! A statement sees one moment, so its result is the snapshot. The service was not at hand: what is said here of the
//! wire is Snowflake's documentation as read, and what is said of SQL ran on DuckDB behind a Snowflake dialect.

mod api;
mod ceiling;
mod cell;
mod columns;
mod error;
mod jwt;
mod key;
mod login;
mod partition;
mod place;
mod rowset;
mod running;
mod scan;
mod select;
mod shape;
mod statement;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::config;
use crate::customer::Chunk;

use super::mapping::Mapping;
use super::reading::{CHUNKS_AHEAD, Reader};
use super::{Description, Reading, Selection, SourceError};

use api::Api;
use columns::Columns;
use login::Login;

/// One statement at most: a sort of hundreds of millions of rows before the first comes out.
const STATEMENT_WAIT: Duration = Duration::from_secs(30 * 60);
/// A few rows in no order; a view may work for them, and a warehouse wake up.
const SAMPLE_WAIT: Duration = Duration::from_secs(5 * 60);

/// A Snowflake account, read for one sync.
#[derive(Clone)]
pub struct Snowflake {
    api: Arc<Api>,
    mapping: Arc<Mapping>,
}

impl Snowflake {
    pub(super) fn new(
        settings: &config::Source,
        mapping: Arc<Mapping>,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        let api = Arc::new(Api::new(Login::new(settings, clock)?)?);
        Ok(Self { api, mapping })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) async fn describe(&self) -> Result<Description, SourceError> {
        let overlap_secs = self.mapping.overlap_secs;
        ceiling::ceiling(&self.api, overlap_secs).await?;
        let mut description = Columns::look(&self.api, &self.mapping).await?.description;
        description.problems.push(ceiling::problem(overlap_secs));
        Ok(description)
    }

    pub(super) async fn sample(&self, rows: usize) -> Result<Chunk, SourceError> {
        scan::sample(&self.api, &self.mapping, rows).await
    }

    pub(super) async fn read(&self, selection: Selection) -> Result<Reading, SourceError> {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let (ready, opened) = oneshot::channel();
        let scan = scan::Scan::new(self.clone(), selection, sender);
        // Held from here on, so that dropping the wait for the result ends the task too, and the statement with it.
        let task = AbortOnDropHandle::new(tokio::spawn(scan.run(ready)));
        let stopped = |_| SourceError::Unreachable("opening the source stopped before its end".to_owned());
        let scan::Opened { ceiling, total } = opened.await.map_err(stopped)??;
        Ok(Reading::new(ceiling, total, chunks, Reader::Task { _task: task }))
    }
}

impl std::fmt::Debug for Snowflake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the API: it holds the login.
        f.debug_struct("Snowflake").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}
