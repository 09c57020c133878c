//! Updates and values that were refused, by us or by Braze, and why. Kept for the receipt after they are settled.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use sqlx::{Sqlite, SqliteConnection};

use super::column::{At, Json, Key};
use super::dialect::{Text, text};
use super::postgres::{Session, answered};
use super::statement::{execute, fetch_all, fetch_one};
use super::store::{Side, Tx};
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

/// One that was settled in between begins anew.
macro_rules! again {
    () => {
        " on conflict (target, customer_id, attribute) do update set
            code = excluded.code,
            attempts = case when rejections.cleared_at is not null then 1
                       when rejections.last_run = excluded.last_run then rejections.attempts
                       else rejections.attempts + 1 end,
            first_run = case when rejections.cleared_at is null then rejections.first_run
                        else excluded.first_run end,
            first_seen_at = case when rejections.cleared_at is null then rejections.first_seen_at
                            else excluded.first_seen_at end,
            last_run = excluded.last_run, last_seen_at = excluded.last_seen_at, cleared_at = null"
    };
}

/// Records refusals of a run, each counted once per run.
pub(super) async fn record(
    tx: &mut Tx,
    target: i64,
    run: u32,
    now: DateTime<Utc>,
    rejections: &[NewRejection<'_>],
) -> Result<(), LedgerError> {
    // In key order, and of two on the same the later: a statement of PostgreSQL's may change a row once.
    let codes: BTreeMap<(&str, &str), &str> = rejections
        .iter()
        .map(|one| ((one.customer_id, one.attribute.unwrap_or_default()), one.code.as_str()))
        .collect();
    let codes: Vec<((&str, &str), &str)> = codes.into_iter().collect();
    let (run, now) = (i64::from(run), At(now));
    for some in codes.chunks(ROWS_TOGETHER) {
        let recorded = match tx.side() {
            Side::Sqlite(connection) => record_sqlite(connection, target, run, now, some).await,
            Side::Postgres(session) => record_postgres(session, target, run, now, some).await,
        };
        recorded.map_err(LedgerError::during("record rejections"))?;
    }
    Ok(())
}

async fn record_sqlite(
    connection: &mut SqliteConnection,
    target: i64,
    run: i64,
    now: At,
    codes: &[((&str, &str), &str)],
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::QueryBuilder::<Sqlite>::new(
        "-- rejections::record
         insert into rejections (target, customer_id, attribute, code, attempts, first_run, last_run,
           first_seen_at, last_seen_at) ",
    );
    query.push_values(codes, |mut row, ((customer_id, attribute), code)| {
        row.push_bind(target).push_bind(*customer_id).push_bind(*attribute).push_bind(*code).push("1");
        row.push_bind(run).push_bind(run).push_bind(now).push_bind(now);
    });
    query.push(again!());
    query.build().execute(connection).await.map(drop)
}

async fn record_postgres(
    session: &mut Session,
    target: i64,
    run: i64,
    now: At,
    codes: &[((&str, &str), &str)],
) -> Result<(), sqlx::Error> {
    let (connection, line) = session.parts();
    let asked = sqlx::query(concat!(
        "-- rejections::record
         insert into rejections (target, customer_id, attribute, code, attempts, first_run, last_run,
           first_seen_at, last_seen_at)
         select $1, customer_id, attribute, code, 1, $2, $2, $3, $3
         from unnest($4::text[], $5::text[], $6::text[]) as refused (customer_id, attribute, code)",
        again!()
    ))
    .bind(target)
    .bind(run)
    .bind(now)
    .bind(codes.iter().map(|((customer_id, _), _)| Key(*customer_id)).collect::<Vec<_>>())
    .bind(codes.iter().map(|((_, attribute), _)| Key(*attribute)).collect::<Vec<_>>())
    .bind(codes.iter().map(|(_, code)| *code).collect::<Vec<_>>())
    .persistent(false)
    .execute(connection);
    answered(line, asked).await.map(drop)
}

const CLEAR: Text = text! {
    "-- rejections::clear
     update rejections set cleared_at = $2
     where target = $1 and cleared_at is null and customer_id in "
    [texts "$3"]
    " and (customer_id, attribute) not in "
    [pairs "$4"]
};

/// Settles these customers' refusals, except those `repeated` in the same group.
pub(super) async fn clear(
    tx: &mut Tx,
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
    execute!(tx, CLEAR, target, At(now), Json(customers), Json(repeated))
        .map(drop)
        .map_err(LedgerError::during("record rejections"))
}

/// Every run sees every bad key, but one of chosen customers alone: those this one did not see are settled.
pub(super) async fn settle_rejections(
    tx: &mut Tx,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    execute!(
        tx,
        "-- ledger::settle_rejections
         update rejections set cleared_at = $3
         where target in (select number from targets where sync = $1) and code = 'bad_key'
           and last_run < $2 and cleared_at is null and $4",
        &lease.run.sync,
        i64::from(lease.number),
        At(now),
        lease.run.mode != Mode::Force || lease.customers.is_none(),
    )
    .map(drop)
    .map_err(LedgerError::during("finish"))
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
        let rows: Vec<RejectionRow> = fetch_all!(
            self.read("list rejections").await?,
            query_as(
                "-- ledger::rejections
             select customer_id, attribute, code, attempts, first_seen_at, last_seen_at
             from rejections join runs on runs.id = $1
               join targets on targets.number = rejections.target and targets.sync = runs.sync
             where first_run <= runs.number and last_run >= runs.number
               and ($4 or (customer_id, attribute) > ($2, $3))
             order by customer_id, attribute limit $5",
                run.0,
                Key(&after_customer),
                Key(&after_attribute),
                cursor.is_none(),
                i64::from(limit) + 1
            )
        )
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
        let rows: Vec<RejectionRow> = fetch_all!(self.read("list rejections").await?, query_as("-- ledger::rejections_of
             select customer_id, attribute, code, attempts, first_seen_at, last_seen_at
             from rejections where target = $1 and customer_id = $2 and cleared_at is null order by attribute", target, Key(customer_id)))
        .map_err(LedgerError::during("list rejections"))?;
        Ok(rows.into_iter().map(RejectionRow::rejection).collect())
    }

    /// Outstanding rejections of the sync.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn outstanding_rejections(&self, sync: &str) -> Result<u64, LedgerError> {
        let count: i64 = fetch_one!(
            self.read("count rejections").await?,
            query_scalar(
                "-- ledger::outstanding_rejections
             select count(*) from rejections join targets on targets.number = target
             where sync = $1 and cleared_at is null",
                sync
            )
        )
        .map_err(LedgerError::during("count rejections"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

#[derive(sqlx::FromRow)]
struct RejectionRow {
    customer_id: Key<String>,
    attribute: Key<String>,
    code: String,
    attempts: i64,
    first_seen_at: At,
    last_seen_at: At,
}

impl RejectionRow {
    fn rejection(self) -> Rejection {
        Rejection {
            customer_id: self.customer_id.0,
            attribute: Some(self.attribute.0).filter(|attribute| !attribute.is_empty()),
            code: self.code,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            first_seen_at: self.first_seen_at.0,
            last_seen_at: self.last_seen_at.0,
        }
    }
}
