//! Runs as the API shows them.

use chrono::{DateTime, Utc};
use sqlx::Sqlite;
use sqlx::types::Json;

use super::row::{DELIVERIES_SHOWN, RunRow, run_columns, time};
use super::{Ledger, LedgerError, cursor};
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
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, LedgerError> {
        match self.row(id).await? {
            None => Ok(None),
            Some(row) => row.run(self.deliveries_of(id).await?).map(Some),
        }
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// [`LedgerError::BadCursor`], or [`LedgerError::Unavailable`].
    pub async fn runs(
        &self,
        filter: &RunFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Run>, LedgerError> {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new(concat!(
            "-- ledger::runs
             select ",
            run_columns!(),
            " from runs where number < "
        ));
        query.push_bind(cursor::number("runs", cursor)?);
        if let Some(sync) = &filter.sync {
            query.push(" and sync = ").push_bind(sync);
        }
        if let Some(syncs) = &filter.syncs {
            query.push(" and sync in (select value from json_each(").push_bind(Json(syncs)).push("))");
        }
        if let Some(state) = filter.state {
            query.push(" and state = ").push_bind(state.as_str());
        }
        query.push(" order by number desc limit ").push_bind(limit + 1);
        let mut rows: Vec<RunRow> = query
            .build_query_as()
            .fetch_all(&self.0.readers)
            .await
            .map_err(LedgerError::during("list runs"))?;
        let is_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor =
            rows.last().filter(|_| is_more).map(|row| cursor::write("runs", &[&row.number.to_string()]));
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            items.push(row.run(self.deliveries_of(RunId(row.id)).await?)?);
        }
        Ok(Page { items, next_cursor })
    }

    /// When the sync's runs started, by number, ascending: what digests are stamped with. As many as are retained.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn run_starts(&self, sync: &str) -> Result<Vec<(u32, DateTime<Utc>)>, LedgerError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "-- ledger::run_starts
             select number, started_at from runs where sync = $1 and started_at is not null order by number",
        )
        .bind(sync)
        .fetch_all(&self.0.readers)
        .await
        .map_err(LedgerError::during("list runs"))?;
        Ok(rows
            .into_iter()
            .map(|(number, at)| (u32::try_from(number).unwrap_or(u32::MAX), time(at)))
            .collect())
    }

    pub(super) async fn row(&self, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        sqlx::query_as(concat!("-- ledger::row\n select ", run_columns!(), " from runs where id = $1"))
            .bind(id.0)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(LedgerError::during("read a run"))
    }

    /// The accepted deliveries a run answers for: the newest hundred, oldest first.
    pub(super) async fn deliveries_of(&self, id: RunId) -> Result<Vec<String>, LedgerError> {
        let mut ids: Vec<String> = sqlx::query_scalar(
            "-- ledger::deliveries_of
             select delivery_id from deliveries where run_id = $1 and outcome = 'accepted'
             order by number desc limit $2",
        )
        .bind(id.0)
        .bind(DELIVERIES_SHOWN)
        .fetch_all(&self.0.readers)
        .await
        .map_err(LedgerError::during("read a run"))?;
        ids.reverse();
        Ok(ids)
    }
}
