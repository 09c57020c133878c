//! What Braze accepted, as packed digests per customer, and what is in flight or in doubt.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::column::{At, Json, Key};
use super::dialect::{Text, text};
use super::postgres::answered;
use super::rows::left_behind;
use super::statement::{execute, fetch_all, fetch_one, fetch_optional};
use super::store::{Side, Tx};
use super::{Checkpoint, Lease, Ledger, LedgerError, NewRejection, Rejection, rejections, rows};
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
    /// Takes in what is remembered of the chunk's customer `index`.
    pub(super) fn put(&mut self, index: u32, digests: &[u8], flag: Flag) {
        let start = u32::try_from(self.bytes.len()).expect("a chunk's digests stay far under 4 GiB");
        let len = u32::try_from(digests.len()).expect("a chunk's digests stay far under 4 GiB");
        self.bytes.extend_from_slice(digests);
        self.customers[index as usize] = Some((start, len, flag));
    }

    /// What is remembered of the chunk's customer `index`.
    pub fn get(&self, index: usize) -> Option<Sent<'_>> {
        let (start, len, flag) = self.customers[index]?;
        Some(Sent { digests: Digests::of(&self.bytes[start as usize..(start + len) as usize]), flag })
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
    /// Customers whose updates are about to be sent, announced in the same commit; it saves one of their own.
    pub next: Vec<&'a str>,
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

const FLAGGED: Text = text! {
    "-- ledger::flagged
     select customer_id from sent where target = $1 and "
    [flag "in_doubt"]
    " union all
     select customer_id from sent where target = $1 and not in_doubt and "
    [flag "rejected"]
    " limit $2"
};

const MARK: Text = text! {
    "-- ledger::mark_in_flight
     insert into in_flight (target, run, marked_at, customers)
     select $3, number, $4, $5 from runs
     where id = $1 and epoch = $2 and state in ('running', 'waiting')"
    [lock]
    " returning number"
};

const FENCE: Text = text! {
    "-- ledger::fence
     select number from runs where id = $1 and epoch = $2 and state in ('running', 'waiting')"
    [lock]
};

impl Ledger {
    /// Customers in doubt or with outstanding rejections, `limit` at most.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn flagged(&self, target: i64, limit: usize) -> Result<Vec<String>, LedgerError> {
        let mut tx = self.read("list outstanding customers").await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let flagged: Vec<Key<String>> = fetch_all!(tx, query_scalar(FLAGGED, target, limit))
            .map_err(LedgerError::during("list outstanding customers"))?;
        Ok(flagged.into_iter().map(|key| key.0).collect())
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
        let mut tx = self.begin("mark in flight").await?;
        let mark = mark(&mut tx, lease, target, customers).await?;
        tx.commit("mark in flight").await?;
        Ok(mark)
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
        let run = i64::from(lease.number);
        let mut tx = self.read("doubt what was in flight").await?;
        let left: Option<At> = fetch_one!(
            tx,
            query_scalar(
                concat!("-- ledger::doubt_in_flight\n select max(marked_at) from in_flight ", left_behind!()),
                target,
                run,
            )
        )
        .map_err(&during)?;
        drop(tx);
        let Some(marked_at) = left else { return Ok(None) };
        let mut tx = self.begin("doubt what was in flight").await?;
        let holds: Option<i64> =
            fetch_optional!(tx, query_scalar(FENCE, lease.run.id.0, lease.epoch)).map_err(&during)?;
        holds.ok_or(LedgerError::LeaseLost(lease.run.id))?;
        rows::doubt(&mut tx, target, run).await.map_err(&during)?;
        tx.commit("doubt what was in flight").await?;
        Ok(Some(marked_at.0))
    }

    /// Commits a group: rows, rejections, the run's counts and position, and the in-flight mark gone. Numbers the
    /// mark of what is sent next, where anything is.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`]; then nothing of it is recorded, and nothing may
    /// be sent.
    pub async fn record_group(
        &self,
        lease: &Lease,
        target: i64,
        group: Group<'_>,
    ) -> Result<Option<u64>, LedgerError> {
        let during = LedgerError::during("record a group");
        let mut tx = self.begin("record a group").await?;
        // Ours first: what was sent may seem later than it was, never earlier.
        let ours = self.0.clock.now();
        let now = tx.now("record a group").await?;
        let changed = execute!(
            tx,
            "-- ledger::record_group
             update runs set tally = $3, data_points = $4, progress = $5, checkpoint = $6
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
            lease.run.id.0,
            lease.epoch,
            Json(group.checkpoint.tally),
            Json(&group.checkpoint.data_points),
            Json(group.progress),
            Json(group.checkpoint)
        )
        .map_err(&during)?;
        if changed != 1 {
            return Err(LedgerError::LeaseLost(lease.run.id));
        }
        rows::write(&mut tx, target, &group.sent).await.map_err(&during)?;
        rejections::record(&mut tx, target, lease.number, now, &group.rejections).await?;
        rejections::clear(&mut tx, target, now, &group.cleared, &group.rejections).await?;
        if let Some(number) = group.in_flight {
            execute!(
                tx,
                "-- ledger::record_group\n delete from in_flight where number = $1",
                i64::try_from(number).unwrap_or(i64::MAX)
            )
            .map_err(&during)?;
        }
        if let Some(sent_at) = group.sent_at {
            // How long ago that was by the caller's clock, by the clock that replicas share.
            let sent_at = now - (ours - sent_at);
            execute!(
                tx,
                "-- ledger::record_group
                 insert into syncs (sync, last_sent_at, last_sent_run) values ($1, $2, $3)
                 on conflict (sync) do update set last_sent_at = excluded.last_sent_at,
                   last_sent_run = excluded.last_sent_run",
                &lease.run.sync,
                At(sent_at),
                i64::from(lease.number)
            )
            .map_err(&during)?;
        }
        let next = match group.next.is_empty() {
            true => None,
            false => Some(mark(&mut tx, lease, target, &group.next).await?),
        };
        tx.tell(lease.run.id);
        tx.commit("record a group").await?;
        Ok(next)
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
        let row: Option<(Vec<u8>, bool)> = fetch_optional!(
            self.read("read a customer").await?,
            query_as(
                "-- ledger::customer
             select packed, in_doubt from sent where target = $1 and customer_id = $2",
                target,
                Key(customer_id)
            )
        )
        .map_err(LedgerError::during("read a customer"))?;
        let rejections = self.rejections_of(target, customer_id).await?;
        if row.is_none() && rejections.is_empty() {
            return Ok(None);
        }
        let (digests, in_doubt) = row.unwrap_or_default();
        let digests = Digests::of(&digests);
        let mut slots: Vec<(String, usize)> = self.slots(target).await?.into_iter().collect();
        slots.sort();
        let mut attributes = Vec::new();
        for (attribute, slot) in slots {
            if let Some(stamp) = digests.get(slot) {
                attributes.push(self.known_attribute(attribute, stamp.run).await?);
            }
        }
        Ok(Some(KnownCustomer { customer_id: customer_id.to_owned(), in_doubt, attributes, rejections }))
    }

    async fn known_attribute(&self, attribute: String, run: u32) -> Result<KnownAttribute, LedgerError> {
        let row: Option<(uuid::Uuid, Option<At>, Json<Model>)> = fetch_optional!(
            self.read("read a customer").await?,
            query_as(
                "-- ledger::known_attribute
             select id, started_at, model from runs where number = $1",
                i64::from(run)
            )
        )
        .map_err(LedgerError::during("read a customer"))?;
        Ok(match row {
            None => KnownAttribute { attribute, last_sent_at: None, run_id: None, model: None },
            Some((id, started_at, model)) => KnownAttribute {
                attribute,
                last_sent_at: started_at.map(|at| at.0),
                run_id: Some(RunId(id)),
                model: Some(model.0),
            },
        })
    }
}

/// Marks these customers as in flight with the transaction, and numbers the mark.
async fn mark(tx: &mut Tx, lease: &Lease, target: i64, customers: &[&str]) -> Result<u64, LedgerError> {
    let now = At(tx.now("mark in flight").await?);
    let (id, epoch) = (lease.run.id.0, lease.epoch);
    let number: Result<Option<i64>, sqlx::Error> = match tx.side() {
        Side::Sqlite(connection) => {
            let packed = serde_json::to_vec(customers).expect("a list of strings is JSON");
            let mark = sqlx::query_scalar(MARK.sqlite).bind(id).bind(epoch).bind(target).bind(now);
            mark.bind(packed).fetch_optional(connection).await
        }
        Side::Postgres(session) => {
            let (connection, line) = session.parts();
            let keys: Vec<Key<&str>> = customers.iter().map(|customer| Key(*customer)).collect();
            let mark = sqlx::query_scalar(MARK.postgres).bind(id).bind(epoch).bind(target).bind(now);
            answered(line, mark.bind(keys).persistent(false).fetch_optional(connection)).await
        }
    };
    let number = number.map_err(LedgerError::during("mark in flight"))?;
    let number = number.ok_or(LedgerError::LeaseLost(lease.run.id))?;
    Ok(u64::try_from(number).unwrap_or(0))
}
