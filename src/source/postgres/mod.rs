//! PostgreSQL and Amazon Redshift as sources: one read-only snapshot, a cursor, every value as the text the server
//! prints. What the two do not share is a matter of the [`Dialect`](dialect::Dialect).
//!
//! Text, because the driver's binary decoding panics on what PostgreSQL allows (`infinity`, year 294276): the
//! server's own spelling is parsed here, and what does not parse spoils its value alone.

mod catalog;
mod ceiling;
mod columns;
mod connect;
mod dialect;
mod error;
mod literal;
mod login;
mod order;
mod probe;
mod scan;
mod select;
mod shape;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::config;
use crate::customer::Chunk;

use super::mapping::{Mapping, Relation};
use super::reading::{CHUNKS_AHEAD, Reader};
use super::{Description, Reading, SNAPSHOT_HOLD, Selection, SourceError};

use ceiling::Ceiling;
use columns::Columns;
use dialect::Dialect;
use login::Login;

/// A PostgreSQL or Redshift database, read for one sync.
#[derive(Clone)]
pub struct Postgres {
    dialect: Dialect,
    login: Arc<Login>,
    mapping: Arc<Mapping>,
    hold: Duration,
}

impl Postgres {
    pub(super) fn new(settings: &config::Source, mapping: Arc<Mapping>) -> Result<Self, SourceError> {
        let dialect = Dialect::of(settings.kind);
        require_one_statement(dialect, &mapping.relation)?;
        let login = Arc::new(Login::new(settings, dialect)?);
        Ok(Self { dialect, login, mapping, hold: SNAPSHOT_HOLD })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) async fn describe(&self) -> Result<Description, SourceError> {
        let mut connection = connect::connect(self.dialect, &self.login).await?;
        let overlap_secs = self.mapping.overlap_secs;
        connect::answered(self.dialect, async {
            let ceiling = Ceiling::look(self.dialect, &mut connection, overlap_secs).await?;
            connect::begin(self.dialect, &mut connection).await?;
            let mut description =
                Columns::look(self.dialect, &mut connection, &self.mapping).await?.description;
            description.problems.extend(ceiling.problem(overlap_secs));
            Ok(description)
        })
        .await
    }

    pub(super) async fn sample(&self, rows: usize) -> Result<Chunk, SourceError> {
        let mut connection = connect::connect(self.dialect, &self.login).await?;
        let columns = connect::answered(self.dialect, async {
            connect::begin(self.dialect, &mut connection).await?;
            Columns::look(self.dialect, &mut connection, &self.mapping).await
        })
        .await?;
        columns.description.require_sound()?;
        scan::sample(&mut connection, &self.mapping, &columns, rows).await
    }

    pub(super) async fn read(&self, selection: Selection) -> Result<Reading, SourceError> {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let (ready, opened) = oneshot::channel();
        let scan = scan::Scan::new(self.clone(), selection, sender);
        // Held from here on, so that dropping the wait for the snapshot ends the task too.
        let task = AbortOnDropHandle::new(tokio::spawn(scan.run(ready)));
        let stopped = |_| SourceError::Unreachable("opening the source stopped before its end".to_owned());
        let scan::Opened { ceiling, total } = opened.await.map_err(stopped)??;
        Ok(Reading::new(ceiling, total, chunks, Reader::Task { _task: task }))
    }
}

/// To Redshift a query goes as plain text, which might be several statements, and Redshift reads quotes with a
/// backslash or dollars in them in ways of its own: where that could matter, the query is refused.
fn require_one_statement(dialect: Dialect, relation: &Relation) -> Result<(), SourceError> {
    match relation {
        Relation::Query(text)
            if dialect == Dialect::Redshift && text.contains(';') && text.contains(['\\', '$', '`', '[']) =>
        {
            let why = "holds a semicolon beside \\, $, ` or [, and cannot be told to be one statement; \
                       write chr(59) for the semicolon";
            Err(SourceError::config("query", why))
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the login: it holds the password.
        f.debug_struct("Postgres").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}
