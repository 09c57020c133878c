//! What Braze accepted, as packed digests per customer, and what is in flight or in doubt.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Sqlite, Transaction};
use utoipa::ToSchema;

use super::row::{micros, time};
use super::{Checkpoint, Lease, Ledger, LedgerError, NewRejection, Rejection, commit, rejections};
use crate::customer::Digests;
use crate::run::{Model, Progress, RunId};

/// What digests are about: one sync and one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The number its rows are kept under.
    pub number: i64,
    /// For each attribute asked for, the slot its digest has in the packed blob. A slot is never given to
    /// another attribute.
    pub slots: Vec<usize>,
}

/// What stands out about a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag {
    /// Its last send has no verdict: all its values go again, whatever the digests say.
    pub in_doubt: bool,
    /// It has outstanding rejections.
    pub rejected: bool,
}

/// What the ledger remembers of one customer.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Packed digests of the values last accepted.
    pub digests: Digests<'a>,
    /// What stands out.
    pub flag: Flag,
}

/// What the ledger remembers of a chunk's customers.
#[derive(Debug, Default)]
pub struct Remembered {
    pub(super) bytes: Vec<u8>,
    pub(super) customers: Vec<Option<(u32, u32, Flag)>>,
}

impl Remembered {
    /// What is remembered of the chunk's customer `index`.
    pub fn get(&self, index: usize) -> Option<Sent<'_>> {
        let (start, len, flag) = self.customers[index]?;
        Some(Sent { digests: Digests(&self.bytes[start as usize..(start + len) as usize]), flag })
    }
}

/// One customer's new row.
#[derive(Clone, Copy, Debug)]
pub struct SentRow<'a> {
    /// The customer.
    pub customer_id: &'a str,
    /// Packed digests: what was remembered, with what was accepted laid over it.
    pub digests: &'a [u8],
    /// What stands out about it now.
    pub flag: Flag,
}

/// A group of batches whose verdicts are in.
#[derive(Debug)]
pub struct Group<'a> {
    /// The in-flight mark it was announced with; none if nothing of it was sent.
    pub in_flight: Option<u64>,
    /// The customers whose rows change.
    pub sent: Vec<SentRow<'a>>,
    /// Values and customers refused, by us or by Braze.
    pub rejections: Vec<NewRejection<'a>>,
    /// Customers whose earlier rejections, unless repeated above, are settled.
    pub cleared: Vec<&'a str>,
    /// How far the run has come with it.
    pub checkpoint: &'a Checkpoint,
    /// The same for people.
    pub progress: Progress,
    /// When the last request of the group was answered; none if nothing was sent.
    pub sent_at: Option<DateTime<Utc>>,
}

/// What is known of one customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KnownCustomer {
    /// The customer.
    pub customer_id: String,
    /// Whether its last send has no verdict.
    pub in_doubt: bool,
    /// What was accepted, by attribute.
    pub attributes: Vec<KnownAttribute>,
    /// Its outstanding rejections.
    pub rejections: Vec<Rejection>,
}

/// What is known of one attribute of one customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KnownAttribute {
    /// Braze attribute.
    pub attribute: String,
    /// When the run that sent it started; null once that run is past retention.
    pub last_sent_at: Option<DateTime<Utc>>,
    /// The run that sent it.
    pub run_id: Option<RunId>,
    /// The model that run answered for.
    pub model: Option<Model>,
}

/// Marks of run number `$2`, to whatever workspace its earlier attempts sent, and of this target those that no other
/// claim stands behind: a plan may begin beside an active run.
macro_rules! left_behind {
    () => {
        "where in_flight.run = $2
           or in_flight.target = $1 and not exists (select 1 from runs where runs.number = in_flight.run
             and runs.state in ('running', 'waiting') and runs.lease_expires_at is not null)"
    };
}

/// Rows of one statement: five values each, under SQLite's 32,766 of a statement.
const ROWS_TOGETHER: usize = 6_000;

impl Ledger {
    /// Customers in doubt or with outstanding rejections, `limit` at most.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn flagged(&self, target: i64, limit: usize) -> Result<Vec<String>, LedgerError> {
        sqlx::query_scalar(
            "-- ledger::flagged
             select customer_id from sent where target = $1 and in_doubt = 1
             union all
             select customer_id from sent where target = $1 and in_doubt = 0 and rejected = 1 limit $2",
        )
        .bind(target)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.0.readers)
        .await
        .map_err(LedgerError::during("list outstanding customers"))
    }

    /// Commits that these customers' updates are about to be sent, and numbers the mark.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`]; then nothing may be sent.
    pub async fn mark_in_flight(
        &self,
        lease: &Lease,
        target: i64,
        customers: &[&str],
    ) -> Result<u64, LedgerError> {
        let packed = serde_json::to_vec(customers).expect("a list of strings is JSON");
        let mut tx = self.begin("mark in flight").await?;
        let number: Option<i64> = sqlx::query_scalar(
            "-- ledger::mark_in_flight
             insert into in_flight (target, run, marked_at, customers)
             select $3, number, $4, $5 from runs
             where id = $1 and epoch = $2 and state in ('running', 'waiting')
             returning number",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(target)
        .bind(micros(self.0.clock.now()))
        .bind(packed)
        .fetch_optional(&mut *tx)
        .await
        .map_err(LedgerError::during("mark in flight"))?;
        let number = number.ok_or(LedgerError::LeaseLost(lease.run.id))?;
        commit(tx, "mark in flight").await?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    /// Turns what a dead or stopped attempt left in flight into customers in doubt, each where it was sent to. When
    /// that was last committed, if anything was. Leaves alone what another run, whose claim still stands, has in
    /// flight.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn doubt_in_flight(
        &self,
        lease: &Lease,
        target: i64,
    ) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let during = LedgerError::during("doubt what was in flight");
        let left: Option<i64> = sqlx::query_scalar(concat!(
            "-- ledger::doubt_in_flight\n select max(marked_at) from in_flight ",
            left_behind!()
        ))
        .bind(target)
        .bind(i64::from(lease.number))
        .fetch_one(&self.0.readers)
        .await
        .map_err(&during)?;
        let Some(marked_at) = left else { return Ok(None) };
        let mut tx = self.begin("doubt what was in flight").await?;
        fence(&mut tx, lease).await?;
        sqlx::query(concat!(
            "-- ledger::doubt_in_flight
             insert into sent (target, customer_id, digests, in_doubt)
             select in_flight.target, key.value, x'', 1
             from in_flight, json_each(cast(in_flight.customers as text)) as key ",
            left_behind!(),
            " on conflict (target, customer_id) do update set in_doubt = 1",
        ))
        .bind(target)
        .bind(i64::from(lease.number))
        .execute(&mut *tx)
        .await
        .map_err(&during)?;
        sqlx::query(concat!("-- ledger::doubt_in_flight\n delete from in_flight ", left_behind!()))
            .bind(target)
            .bind(i64::from(lease.number))
            .execute(&mut *tx)
            .await
            .map_err(&during)?;
        commit(tx, "doubt what was in flight").await?;
        Ok(Some(time(marked_at)))
    }

    /// Commits a group: rows, rejections, the run's counts and position, and the in-flight mark gone.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`]; then nothing of it is recorded.
    pub async fn record_group(
        &self,
        lease: &Lease,
        target: i64,
        group: Group<'_>,
    ) -> Result<(), LedgerError> {
        let during = LedgerError::during("record a group");
        let now = self.0.clock.now();
        let mut tx = self.begin("record a group").await?;
        let changed = sqlx::query(
            "-- ledger::record_group
             update runs set tally = $3, data_points = $4, progress = $5, checkpoint = $6
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
        )
        .bind(lease.run.id.0)
        .bind(lease.epoch)
        .bind(Json(group.checkpoint.tally))
        .bind(Json(&group.checkpoint.data_points))
        .bind(Json(group.progress))
        .bind(Json(group.checkpoint))
        .execute(&mut *tx)
        .await
        .map_err(&during)?;
        if changed.rows_affected() != 1 {
            return Err(LedgerError::LeaseLost(lease.run.id));
        }
        write_rows(&mut tx, target, &group.sent).await?;
        rejections::record(&mut tx, target, lease.number, now, &group.rejections).await?;
        rejections::clear(&mut tx, target, now, &group.cleared, &group.rejections).await?;
        if let Some(number) = group.in_flight {
            sqlx::query("-- ledger::record_group\n delete from in_flight where number = $1")
                .bind(i64::try_from(number).unwrap_or(i64::MAX))
                .execute(&mut *tx)
                .await
                .map_err(&during)?;
        }
        if let Some(sent_at) = group.sent_at {
            sqlx::query(
                "-- ledger::record_group
                 insert into syncs (sync, last_sent_at, last_sent_run) values ($1, $2, $3)
                 on conflict (sync) do update set last_sent_at = excluded.last_sent_at,
                   last_sent_run = excluded.last_sent_run",
            )
            .bind(&lease.run.sync)
            .bind(micros(sent_at))
            .bind(i64::from(lease.number))
            .execute(&mut *tx)
            .await
            .map_err(&during)?;
        }
        commit(tx, "record a group").await?;
        self.tell(lease.run.id);
        Ok(())
    }

    /// What is known of one customer.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn customer(
        &self,
        target: i64,
        customer_id: &str,
    ) -> Result<Option<KnownCustomer>, LedgerError> {
        let row: Option<(Vec<u8>, bool)> = sqlx::query_as(
            "-- ledger::customer
             select digests, in_doubt from sent where target = $1 and customer_id = $2",
        )
        .bind(target)
        .bind(customer_id)
        .fetch_optional(&self.0.readers)
        .await
        .map_err(LedgerError::during("read a customer"))?;
        let rejections = self.rejections_of(target, customer_id).await?;
        if row.is_none() && rejections.is_empty() {
            return Ok(None);
        }
        let (digests, in_doubt) = row.unwrap_or_default();
        let mut slots: Vec<(String, usize)> = self.slots(target).await?.into_iter().collect();
        slots.sort();
        let mut attributes = Vec::new();
        for (attribute, slot) in slots {
            if let Some(stamp) = Digests(&digests).get(slot) {
                attributes.push(self.known_attribute(attribute, stamp.run).await?);
            }
        }
        Ok(Some(KnownCustomer { customer_id: customer_id.to_owned(), in_doubt, attributes, rejections }))
    }

    async fn known_attribute(&self, attribute: String, run: u32) -> Result<KnownAttribute, LedgerError> {
        let row: Option<(uuid::Uuid, Option<i64>, Json<Model>)> = sqlx::query_as(
            "-- ledger::known_attribute
             select id, started_at, model from runs where number = $1",
        )
        .bind(i64::from(run))
        .fetch_optional(&self.0.readers)
        .await
        .map_err(LedgerError::during("read a customer"))?;
        Ok(match row {
            None => KnownAttribute { attribute, last_sent_at: None, run_id: None, model: None },
            Some((id, started_at, model)) => KnownAttribute {
                attribute,
                last_sent_at: started_at.map(time),
                run_id: Some(RunId(id)),
                model: Some(model.0),
            },
        })
    }
}

/// Whether the lease still holds, as seen inside the transaction.
async fn fence(tx: &mut Transaction<'static, Sqlite>, lease: &Lease) -> Result<(), LedgerError> {
    let holds: Option<i64> = sqlx::query_scalar(
        "-- ledger::fence
         select 1 from runs where id = $1 and epoch = $2 and state in ('running', 'waiting')",
    )
    .bind(lease.run.id.0)
    .bind(lease.epoch)
    .fetch_optional(&mut **tx)
    .await
    .map_err(LedgerError::during("check the lease"))?;
    holds.map(drop).ok_or(LedgerError::LeaseLost(lease.run.id))
}

async fn write_rows(
    tx: &mut Transaction<'static, Sqlite>,
    target: i64,
    rows: &[SentRow<'_>],
) -> Result<(), LedgerError> {
    for some in rows.chunks(ROWS_TOGETHER) {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new(
            "-- ledger::write_rows
             insert into sent (target, customer_id, digests, in_doubt, rejected) ",
        );
        query.push_values(some, |mut values, row| {
            values
                .push_bind(target)
                .push_bind(row.customer_id)
                .push_bind(row.digests)
                .push_bind(row.flag.in_doubt)
                .push_bind(row.flag.rejected);
        });
        query.push(
            " on conflict (target, customer_id) do update set digests = excluded.digests,
                in_doubt = excluded.in_doubt, rejected = excluded.rejected",
        );
        query
            .build()
            .persistent(some.len() == ROWS_TOGETHER)
            .execute(&mut **tx)
            .await
            .map_err(LedgerError::during("record a group"))?;
    }
    Ok(())
}
