//! Runs as the API shows them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::column::{At, Key};
use super::row::{DELIVERIES_SHOWN, RunRow, run_columns};
use super::statement::{built, fetch_all, fetch_optional};
use super::store::Tx;
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
    /// Plans aside.
    pub without_plans: bool,
}

impl Ledger {
    /// One run.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, LedgerError> {
        match self.row(id).await? {
            None => Ok(None),
            Some(row) => row.run(deliveries_of(&mut self.read("read a run").await?, id).await?).map(Some),
        }
    }

    /// Runs, newest first, each with its deliveries.
    ///
    /// # Errors
    /// [`LedgerError::BadCursor`], or [`LedgerError::Unavailable`].
    pub async fn runs(
        &self,
        filter: &RunFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Run>, LedgerError> {
        let mut tx = self.read("list runs").await?;
        let (rows, next_cursor) = list(&mut tx, filter, limit, cursor).await?;
        let mut deliveries = deliveries_by_run(&mut tx, &rows).await?;
        drop(tx);
        let items = rows.iter().map(|row| row.run(deliveries.remove(&row.id).unwrap_or_default()));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next_cursor })
    }

    /// The same without their deliveries, which no chart shows.
    ///
    /// # Errors
    /// [`LedgerError::BadCursor`], or [`LedgerError::Unavailable`].
    pub async fn runs_alone(
        &self,
        filter: &RunFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Run>, LedgerError> {
        let (rows, next_cursor) = list(&mut self.read("list runs").await?, filter, limit, cursor).await?;
        let items = rows.iter().map(|row| row.run(Vec::new()));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next_cursor })
    }

    /// When the sync's runs started, by number, ascending: what digests are stamped with. As many as are retained.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn run_starts(&self, sync: &str) -> Result<Vec<(u32, DateTime<Utc>)>, LedgerError> {
        let rows: Vec<(i64, At)> = fetch_all!(
            self.read("list runs").await?,
            query_as(
                "-- ledger::run_starts
             select number, started_at from runs where sync = $1 and started_at is not null order by number",
                sync
            )
        )
        .map_err(LedgerError::during("list runs"))?;
        Ok(rows.into_iter().map(|(number, at)| (u32::try_from(number).unwrap_or(u32::MAX), at.0)).collect())
    }

    pub(super) async fn row(&self, id: RunId) -> Result<Option<RunRow>, LedgerError> {
        fetch_optional!(
            self.read("read a run").await?,
            query_as(concat!("-- ledger::row\n select ", run_columns!(), " from runs where id = $1"), id.0)
        )
        .map_err(LedgerError::during("read a run"))
    }
}

/// A part of the list, and where the next one begins.
async fn list(
    tx: &mut Tx,
    filter: &RunFilter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<(Vec<RunRow>, Option<String>), LedgerError> {
    let before = cursor::number("runs", cursor)?;
    let rows: Result<Vec<RunRow>, sqlx::Error> = built!(
        tx,
        |query| concat!("-- ledger::runs\n select ", run_columns!(), " from runs where number < "),
        {
            query.push_bind(before);
            if let Some(sync) = &filter.sync {
                query.push(" and sync = ").push_bind(Key(sync));
            }
            if let Some(syncs) = &filter.syncs {
                query.push(" and sync in (null");
                for sync in syncs {
                    query.push(", ").push_bind(Key(sync));
                }
                query.push(")");
            }
            if let Some(state) = filter.state {
                query.push(" and state = ").push_bind(state.as_str());
            }
            if filter.without_plans {
                query.push(" and mode <> 'plan'");
            }
            query.push(" order by number desc limit ").push_bind(i64::from(limit) + 1);
        },
        build_query_as.fetch_all
    );
    let mut rows = rows.map_err(LedgerError::during("list runs"))?;
    let is_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| is_more);
    let next_cursor = last.map(|row| cursor::write("runs", &[&row.number.to_string()]));
    Ok((rows, next_cursor))
}

/// Runs whose deliveries are asked for at once: SQLite joins at most 500 selects (SQLITE_MAX_COMPOUND_SELECT,
/// <https://www.sqlite.org/limits.html>), and no page of the API is longer than this.
const RUNS_AT_ONCE: usize = 200;

/// The accepted deliveries of runs, by run: of each the newest hundred, oldest first.
async fn deliveries_by_run(tx: &mut Tx, runs: &[RunRow]) -> Result<HashMap<Uuid, Vec<String>>, LedgerError> {
    let mut found: HashMap<Uuid, Vec<String>> = HashMap::new();
    for runs in runs.chunks(RUNS_AT_ONCE) {
        // A select each: of a run that a flood joined, no more is read than is shown.
        let rows: Result<Vec<(Uuid, Key<String>, i64)>, sqlx::Error> = built!(
            tx,
            |query| "-- ledger::deliveries_by_run\n",
            {
                for (index, run) in runs.iter().enumerate() {
                    query.push(if index == 0 { "select * from (" } else { " union all select * from (" });
                    query.push(
                        "select run_id, delivery_id, number from deliveries where outcome = 'accepted'",
                    );
                    query.push(" and run_id = ").push_bind(run.id);
                    query.push(" order by number desc limit ").push_bind(DELIVERIES_SHOWN);
                    query.push(") as newest");
                }
                query.push(" order by number");
            },
            build_query_as.fetch_all
        );
        for (run, delivery, _) in rows.map_err(LedgerError::during("list runs"))? {
            found.entry(run).or_default().push(delivery.0);
        }
    }
    Ok(found)
}

/// The accepted deliveries a run answers for: the newest hundred, oldest first.
pub(super) async fn deliveries_of(tx: &mut Tx, id: RunId) -> Result<Vec<String>, LedgerError> {
    let ids: Vec<Key<String>> = fetch_all!(
        tx,
        query_scalar(
            "-- ledger::deliveries_of
             select delivery_id from deliveries where run_id = $1 and outcome = 'accepted'
             order by number desc limit $2",
            id.0,
            DELIVERIES_SHOWN
        )
    )
    .map_err(LedgerError::during("read a run"))?;
    Ok(ids.into_iter().rev().map(|id| id.0).collect())
}
