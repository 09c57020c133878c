//! Updates and values that were refused, by us or by Braze, and why. Kept for the receipt after they are settled.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use sqlx::types::Json;
use sqlx::{Sqlite, Transaction};

use super::row::{micros, time};
use super::{Lease, Ledger, LedgerError, Page, cursor};
use crate::customer::Code;
use crate::run::{Mode, RunId};

/// A refusal to record.
#[derive(Clone, Copy, Debug)]
pub struct NewRejection<'a> {
    /// The customer; of a bad key, what can be shown of it.
    pub customer_id: &'a str,
    /// The attribute, where one value was refused.
    pub attribute: Option<&'a str>,
    /// Why.
    pub code: Code,
}

/// One line of a run's rejections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejection {
    /// The customer.
    pub customer_id: String,
    /// The attribute, where one value was refused.
    pub attribute: Option<String>,
    /// Why.
    pub code: String,
    /// In how many runs in a row.
    pub attempts: u32,
    /// When it was first refused.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last refused.
    pub last_seen_at: DateTime<Utc>,
}

/// Rows of one statement: six values each, under SQLite's 32,766 of a statement.
const ROWS_TOGETHER: usize = 4_000;

/// Records refusals of a run, each counted once per run.
pub(super) async fn record(
    tx: &mut Transaction<'static, Sqlite>,
    target: i64,
    run: u32,
    now: DateTime<Utc>,
    rejections: &[NewRejection<'_>],
) -> Result<(), LedgerError> {
    for some in rejections.chunks(ROWS_TOGETHER) {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new(
            "-- rejections::record
             insert into rejections (target, customer_id, attribute, code, attempts, first_run, last_run,
               first_seen_at, last_seen_at) ",
        );
        query.push_values(some, |mut row, rejection| {
            row.push_bind(target)
                .push_bind(rejection.customer_id)
                .push_bind(rejection.attribute.unwrap_or_default())
                .push_bind(rejection.code.as_str())
                .push("1")
                .push_bind(i64::from(run))
                .push_bind(i64::from(run))
                .push_bind(micros(now))
                .push_bind(micros(now));
        });
        // One that was settled in between begins anew.
        query.push(
            " on conflict (target, customer_id, attribute) do update set
                code = excluded.code,
                attempts = case when cleared_at is not null then 1
                           when last_run = excluded.last_run then attempts else attempts + 1 end,
                first_run = case when cleared_at is null then first_run else excluded.first_run end,
                first_seen_at = case when cleared_at is null then first_seen_at else excluded.first_seen_at end,
                last_run = excluded.last_run, last_seen_at = excluded.last_seen_at, cleared_at = null",
        );
        query.build().execute(&mut **tx).await.map_err(LedgerError::during("record rejections"))?;
    }
    Ok(())
}

/// Settles these customers' refusals, except those `repeated` in the same group.
pub(super) async fn clear(
    tx: &mut Transaction<'static, Sqlite>,
    target: i64,
    now: DateTime<Utc>,
    customers: &[&str],
    repeated: &[NewRejection<'_>],
) -> Result<(), LedgerError> {
    if customers.is_empty() {
        return Ok(());
    }
    let repeated: Vec<(&str, &str)> = repeated
        .iter()
        .map(|rejection| (rejection.customer_id, rejection.attribute.unwrap_or_default()))
        .collect();
    sqlx::query(
        "-- rejections::clear
         update rejections set cleared_at = $2
         where target = $1 and cleared_at is null
           and customer_id in (select value from json_each($3))
           and (customer_id, attribute) not in (select value ->> 0, value ->> 1 from json_each($4))",
    )
    .bind(target)
    .bind(micros(now))
    .bind(Json(customers))
    .bind(Json(repeated))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(LedgerError::during("record rejections"))
}

impl Ledger {
    /// What a run refused or had refused.
    ///
    /// # Errors
    /// [`LedgerError::BadCursor`], or [`LedgerError::Unavailable`].
    pub async fn rejections(
        &self,
        run: RunId,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Rejection>, LedgerError> {
        let [after_customer, after_attribute] = match cursor {
            None => [String::new(), String::new()],
            Some(cursor) => cursor::read::<2>("rejections", cursor)?,
        };
        let rows: Vec<RejectionRow> = sqlx::query_as(
            "-- ledger::rejections
             select customer_id, attribute, code, attempts, first_seen_at, last_seen_at
             from rejections join runs on runs.id = $1
               join targets on targets.number = rejections.target and targets.sync = runs.sync
             where first_run <= runs.number and last_run >= runs.number
               and ($4 or (customer_id, attribute) > ($2, $3))
             order by customer_id, attribute limit $5",
        )
        .bind(run.0)
        .bind(&after_customer)
        .bind(&after_attribute)
        .bind(cursor.is_none())
        .bind(limit + 1)
        .fetch_all(&self.0.readers)
        .await
        .map_err(LedgerError::during("list rejections"))?;
        let is_more = rows.len() > limit as usize;
        let items: Vec<Rejection> =
            rows.into_iter().take(limit as usize).map(RejectionRow::rejection).collect();
        let next_cursor = items.last().filter(|_| is_more).map(|last| {
            cursor::write("rejections", &[&last.customer_id, last.attribute.as_deref().unwrap_or_default()])
        });
        Ok(Page { items, next_cursor })
    }

    /// Outstanding rejections of one customer.
    pub(super) async fn rejections_of(
        &self,
        target: i64,
        customer_id: &str,
    ) -> Result<Vec<Rejection>, LedgerError> {
        let rows: Vec<RejectionRow> = sqlx::query_as(
            "-- ledger::rejections_of
             select customer_id, attribute, code, attempts, first_seen_at, last_seen_at
             from rejections where target = $1 and customer_id = $2 and cleared_at is null order by attribute",
        )
        .bind(target)
        .bind(customer_id)
        .fetch_all(&self.0.readers)
        .await
        .map_err(LedgerError::during("list rejections"))?;
        Ok(rows.into_iter().map(RejectionRow::rejection).collect())
    }

    /// Outstanding rejections of the sync.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn outstanding_rejections(&self, sync: &str) -> Result<u64, LedgerError> {
        let count: i64 = sqlx::query_scalar(
            "-- ledger::outstanding_rejections
             select count(*) from rejections join targets on targets.number = target
             where sync = $1 and cleared_at is null",
        )
        .bind(sync)
        .fetch_one(&self.0.readers)
        .await
        .map_err(LedgerError::during("count rejections"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Every run sees every bad key, but one of chosen customers alone: those this one did not see are settled.
    pub(super) async fn settle_rejections(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        lease: &Lease,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "-- ledger::settle_rejections
             update rejections set cleared_at = $3
             where target in (select number from targets where sync = $1) and code = 'bad_key'
               and last_run < $2 and cleared_at is null and $4",
        )
        .bind(&lease.run.sync)
        .bind(i64::from(lease.number))
        .bind(micros(self.0.clock.now()))
        .bind(lease.run.mode != Mode::Force || lease.customers.is_none())
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(LedgerError::during("finish"))
    }
}

#[derive(sqlx::FromRow)]
struct RejectionRow {
    customer_id: String,
    attribute: String,
    code: String,
    attempts: i64,
    first_seen_at: i64,
    last_seen_at: i64,
}

impl RejectionRow {
    fn rejection(self) -> Rejection {
        Rejection {
            customer_id: self.customer_id,
            attribute: Some(self.attribute).filter(|attribute| !attribute.is_empty()),
            code: self.code,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            first_seen_at: time(self.first_seen_at),
            last_seen_at: time(self.last_seen_at),
        }
    }
}
