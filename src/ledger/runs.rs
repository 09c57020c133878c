//! Runs as the API shows them.

use chrono::{DateTime, Utc};

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
        let before = cursor::number("runs", cursor)?;
        let mut tx = self.read("list runs").await?;
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
                query.push(" order by number desc limit ").push_bind(i64::from(limit) + 1);
            },
            build_query_as.fetch_all
        );
        let mut rows = rows.map_err(LedgerError::during("list runs"))?;
        drop(tx);
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

    /// The accepted deliveries a run answers for: the newest hundred, oldest first.
    pub(super) async fn deliveries_of(&self, id: RunId) -> Result<Vec<String>, LedgerError> {
        deliveries_of(&mut self.read("read a run").await?, id).await
    }
}

/// The same, within a transaction.
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
