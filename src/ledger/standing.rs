//! How the ledger stands, for whoever watches: runs not finished, and how large it is.

use chrono::{DateTime, Utc};

use super::column::At;
use super::statement::fetch_all;
use super::store::{Database, Side};
use super::{Ledger, LedgerError, sqlite};
use crate::run::RunState;

/// A run that is not finished; plans aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// Its sync.
    pub sync: String,
    /// Where it stands.
    pub state: RunState,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was first claimed.
    pub started_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct OpenRow {
    sync: String,
    state: String,
    created_at: At,
    started_at: Option<At>,
}

impl Ledger {
    /// Every run that is not finished, of this sync or of all, plans aside: two a sync at most.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_runs(&self, sync: Option<&str>) -> Result<Vec<OpenRun>, LedgerError> {
        let rows: Result<Vec<OpenRow>, sqlx::Error> = fetch_all!(
            self.read("read open runs").await?,
            query_as(
                "-- ledger::open_runs
                 select sync, state, created_at, started_at from runs
                 where state in ('queued', 'running', 'waiting', 'held') and mode <> 'plan'
                   and sync = coalesce($1, sync)",
                sync
            )
        );
        let rows = rows.map_err(LedgerError::during("read open runs"))?;
        let open = rows.into_iter().map(|row| {
            let odd = |error| LedgerError::Unusable(format!("runs of {}: {error}", row.sync));
            Ok(OpenRun {
                state: row.state.parse().map_err(odd)?,
                created_at: row.created_at.0,
                started_at: row.started_at.map(|at| at.0),
                sync: row.sync,
            })
        });
        open.collect()
    }

    /// Bytes it takes, by part: its tables with their indexes, and for SQLite the write-ahead log beside them.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sizes(&self) -> Result<Vec<(&'static str, u64)>, LedgerError> {
        if let Database::Sqlite(file) = &self.0.store.database {
            let bytes = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
            let log = sqlite::beside(&file.path, "-wal");
            return Ok(vec![("tables", bytes(&file.path)), ("log", bytes(&log))]);
        }
        let mut tx = self.read("measure").await?;
        let Side::Postgres(session) = tx.side() else { return Ok(Vec::new()) };
        let (connection, is_asking) = session.parts();
        // The files' sizes, as the system has them: no row is read.
        let asked = sqlx::query_scalar::<_, i64>(
            "-- ledger::sizes
             select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from pg_class
             where relnamespace = 'peak_braze'::regnamespace and relkind = 'r'",
        );
        let asked = asked.persistent(false).fetch_one(connection);
        let bytes = super::postgres::answered(is_asking, asked).await;
        let bytes = bytes.map_err(LedgerError::during("measure"))?;
        Ok(vec![("tables", u64::try_from(bytes).unwrap_or(0))])
    }
}
