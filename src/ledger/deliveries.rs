//! What arrived: accepted, duplicate, conflicting, ignored and refused deliveries.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use uuid::Uuid;

use super::column::{At, Key, instant};
use super::statement::built;
use super::{Ledger, LedgerError, Page, cursor};
use crate::run::{Model, RunId, RunState};

/// A verified delivery, ready to be recorded.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The sync it is for.
    pub sync: String,
    /// The sender's id; none where the scheme has none, and then it is never taken for a duplicate.
    pub delivery_id: Option<String>,
    /// SHA-256 of the body.
    pub body_digest: [u8; 32],
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// The event's type.
    pub event_type: String,
    /// The index of the secret that matched.
    pub secret: u32,
    /// Whether it starts a run.
    pub decision: Decision,
    /// What it said of the model run.
    pub model: Model,
}

/// Whether a delivery starts a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does.
    Run,
    /// It does not, and why: `event_type`, `match`, `model_failed`.
    Ignored(&'static str),
}

/// What became of a verified delivery. Committed before it is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// New, and answered for by this run.
    Accepted {
        /// The id it is kept under.
        delivery_id: String,
        /// Its run.
        run_id: RunId,
        /// The run's state.
        state: RunState,
    },
    /// Known already, with the same body.
    Duplicate {
        /// The id it is kept under.
        delivery_id: String,
        /// The first one's run; none if that was ignored.
        run: Option<(RunId, RunState)>,
    },
    /// New, and of no consequence.
    Ignored {
        /// The id it is kept under.
        delivery_id: String,
    },
    /// The id is known with another body; the first one stands.
    Conflict,
}

/// One line of `GET /v1/deliveries`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// The sender's id, or the one given in its place; null for refused ones.
    pub delivery_id: Option<String>,
    /// The sync it was for.
    pub sync: String,
    /// When it arrived (of duplicates, the latest).
    pub received_at: DateTime<Utc>,
    /// The event's type; null for refused ones.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// accepted, duplicate, conflict, ignored or refused.
    pub outcome: String,
    /// Why it was ignored or refused.
    pub reason: Option<String>,
    /// The run that answers for it.
    pub run_id: Option<RunId>,
    /// The index of the secret that matched.
    pub secret: Option<u32>,
    /// How often it came (duplicates, conflicts and refusals are counted in one line).
    pub times: u32,
}

/// Which deliveries to list.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only of this sync.
    pub sync: Option<String>,
    /// Only of these syncs; none: all.
    pub syncs: Option<Vec<String>>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Only those that this run answers for, and their repetitions.
    pub run: Option<RunId>,
}

impl DeliveryFilter {
    /// Whether refused deliveries of this sync are among them. They have no run.
    pub(super) fn takes_refused(&self, sync: &str) -> bool {
        let is_theirs = self.syncs.as_ref().is_none_or(|syncs| syncs.iter().any(|one| one == sync));
        let is_its = self.sync.as_ref().is_none_or(|one| one == sync);
        let is_refused = self.outcome.as_ref().is_none_or(|outcome| outcome == REFUSED);
        is_theirs && is_its && is_refused && self.run.is_none()
    }
}

/// The outcome of a delivery that did not prove where it comes from.
pub(super) const REFUSED: &str = "refused";

impl Ledger {
    /// Records a delivery, with its run, and returns once that is committed. Deliveries that wait at the same
    /// time share one commit.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the commit failed: the sender must be told to come again.
    pub async fn record_delivery(&self, delivery: NewDelivery) -> Result<Recorded, LedgerError> {
        self.0.inbox.record(delivery).await
    }

    /// Deliveries, newest first; of one sync, or all.
    ///
    /// # Errors
    /// [`LedgerError::BadCursor`], or [`LedgerError::Unavailable`].
    pub async fn deliveries(
        &self,
        sync: Option<&str>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, LedgerError> {
        let filter = DeliveryFilter { sync: sync.map(str::to_owned), ..DeliveryFilter::default() };
        self.deliveries_where(&filter, limit, cursor).await
    }

    /// Deliveries of some kind, newest first.
    ///
    /// # Errors
    /// [`LedgerError::BadCursor`], or [`LedgerError::Unavailable`].
    pub async fn deliveries_where(
        &self,
        filter: &DeliveryFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, LedgerError> {
        let (before, number) = match cursor {
            None => (DateTime::<Utc>::MAX_UTC, i64::MAX),
            Some(cursor) => {
                let [at, number] = cursor::read::<2>("deliveries", cursor)?;
                let parse = |text: String| text.parse().map_err(|_| LedgerError::BadCursor);
                (instant(parse(at)?).ok_or(LedgerError::BadCursor)?, parse(number)?)
            }
        };
        let mut tx = self.read("list deliveries").await?;
        let rows: Result<Vec<DeliveryRow>, sqlx::Error> = built!(
            tx,
            |query| "-- ledger::deliveries
             select number, sync, delivery_id, outcome, received_at, event_type, reason, run_id, secret, times
             from deliveries where (received_at, number) < (",
            {
                query.push_bind(At(before)).push(", ").push_bind(number).push(")");
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
                if let Some(outcome) = &filter.outcome {
                    query.push(" and outcome = ").push_bind(outcome);
                }
                if let Some(run) = filter.run {
                    query.push(" and run_id = ").push_bind(run.0);
                }
                query.push(" order by received_at desc, number desc limit ").push_bind(i64::from(limit) + 1);
            },
            build_query_as.fetch_all
        );
        let rows = rows.map_err(LedgerError::during("list deliveries"))?;
        let refused = self.0.refused.before(filter, (before, number), limit as usize + 1);
        let mut items: Vec<(i64, Delivery)> =
            rows.into_iter().map(|row| (row.number, row.delivery())).collect();
        items.extend(refused);
        items.sort_by_key(|(number, delivery)| std::cmp::Reverse((delivery.received_at, *number)));
        let is_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_cursor = items.last().filter(|_| is_more).map(|(number, last)| {
            cursor::write(
                "deliveries",
                &[&last.received_at.timestamp_micros().to_string(), &number.to_string()],
            )
        });
        Ok(Page { items: items.into_iter().map(|(_, delivery)| delivery).collect(), next_cursor })
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    number: i64,
    sync: String,
    delivery_id: Key<String>,
    outcome: String,
    received_at: At,
    event_type: Key<String>,
    reason: Option<String>,
    run_id: Option<Uuid>,
    secret: Option<i64>,
    times: i64,
}

impl DeliveryRow {
    fn delivery(self) -> Delivery {
        Delivery {
            delivery_id: Some(self.delivery_id.0),
            sync: self.sync,
            received_at: self.received_at.0,
            event_type: Some(self.event_type.0),
            outcome: self.outcome,
            reason: self.reason,
            run_id: self.run_id.map(RunId),
            secret: self.secret.and_then(|secret| u32::try_from(secret).ok()),
            times: u32::try_from(self.times).unwrap_or(u32::MAX),
        }
    }
}
