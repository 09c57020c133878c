//! The table of a budget that replicas have together, and what is dealt from it, one holder at a time.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use uuid::Uuid;

use super::column::{At, Json};
use super::statement::{execute, fetch_all, fetch_optional};
use super::store::{Database, Tx};
use super::{Ledger, LedgerError};
use crate::share::{Ask, Before, Dealt, Holder, Minute, Table, WINDOW};

/// Of a lease, so much does a share last: a dead replica's share is free again before its run is.
const OF_THE_LEASE: f64 = 0.3;
/// Shortest and longest: a few renewals may fail before it runs out; and what a dead replica had is not missed for long.
const LASTS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(6));
const WHAT: &str = "deal a share";

/// A row of `budget_shares`.
type Row = (Uuid, i64, i64, i64, Option<i64>, At, Json<Vec<Before>>, i64, i64);

impl Ledger {
    /// Whether other processes may send to the same destinations.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.store.database, Database::Postgres(_))
    }

    /// Rings when another replica waits for a share, or has heard a hold. A hint: whoever holds a share asks again
    /// before it runs out.
    pub fn share_calls(&self) -> Arc<Notify> {
        self.0.store.herald.shares.clone()
    }

    /// Deals a share of a budget, by the database's clock. What is said is known to all who ask from then on.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn deal(&self, budget: &str, ask: &Ask) -> Result<Dealt, LedgerError> {
        let mut tx = self.begin(WHAT).await?;
        let held_until = lock(&mut tx, budget).await?;
        let now = tx.now(WHAT).await?;
        let mut table =
            Table { holders: holders(&mut tx, budget).await?, minutes: minutes(&mut tx, budget).await? };
        let wanted =
            table.holders.iter().find(|holder| holder.id == ask.holder).map_or(0, |holder| holder.wants);
        let minutes = table.minutes.clone();
        let mut dealt = table.deal(ask, self.share_lasts(), now);
        if let Some(holder) = table.holders.iter().find(|holder| holder.id == ask.holder) {
            keep(&mut tx, budget, holder).await?;
        }
        forget(&mut tx, budget, now).await?;
        for minute in table.minutes.iter().filter(|minute| !minutes.contains(minute)) {
            keep_minute(&mut tx, budget, minute).await?;
        }
        dealt.hold = hold(&mut tx, budget, held_until, ask, now).await?;
        // Told once: whoever holds a share asks again within a second in any case.
        let waits_anew = dealt.share < dealt.due && wanted < ask.wants;
        if ask.hold.is_some() || waits_anew {
            tx.call();
        }
        tx.commit(WHAT).await?;
        Ok(dealt)
    }

    /// Tells all who ask for a share of a budget from now on that nothing may be sent for so long. A longer hold stays.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn tell_hold(&self, budget: &str, wait: Duration) -> Result<(), LedgerError> {
        const WHAT: &str = "tell a hold";
        let mut tx = self.begin(WHAT).await?;
        let until = tx.now(WHAT).await? + TimeDelta::from_std(wait).unwrap_or_default();
        execute!(
            tx,
            "-- shares::tell_hold
             update budgets set held_until = greatest(held_until, $2) where budget = $1",
            budget,
            At(until)
        )
        .map_err(LedgerError::during(WHAT))?;
        tx.call();
        tx.commit(WHAT).await
    }

    fn share_lasts(&self) -> Duration {
        self.0.lease.mul_f64(OF_THE_LEASE).clamp(LASTS.0, LASTS.1)
    }
}

/// One deals at a time. Until when nothing may be sent.
async fn lock(tx: &mut Tx, budget: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
    loop {
        let row: Option<(Option<At>,)> = fetch_optional!(
            tx,
            query_as("-- shares::lock\n select held_until from budgets where budget = $1 for update", budget)
        )
        .map_err(LedgerError::during(WHAT))?;
        if let Some((held_until,)) = row {
            return Ok(held_until.map(|at| at.0));
        }
        execute!(
            tx,
            "-- shares::lock\n insert into budgets (budget) values ($1) on conflict (budget) do nothing",
            budget
        )
        .map_err(LedgerError::during(WHAT))?;
    }
}

async fn holders(tx: &mut Tx, budget: &str) -> Result<Vec<Holder>, LedgerError> {
    let rows: Vec<Row> = fetch_all!(
        tx,
        query_as(
            "-- shares::holders
             select holder, share, wants, per_window, per_hour, expires_at, before, hour_used, hour_granted
             from budget_shares where budget = $1 order by holder",
            budget
        )
    )
    .map_err(LedgerError::during(WHAT))?;
    Ok(rows.into_iter().map(holder).collect())
}

fn holder((id, share, wants, limit, per_hour, expires_at, before, used, granted): Row) -> Holder {
    let count = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    Holder {
        id,
        share: count(share),
        wants: count(wants),
        limit: count(limit),
        expires_at: expires_at.0,
        before: before.0,
        per_hour: per_hour.map(count),
        hour_used: used.unsigned_abs(),
        hour_granted: granted.unsigned_abs(),
    }
}

async fn minutes(tx: &mut Tx, budget: &str) -> Result<Vec<Minute>, LedgerError> {
    let rows: Vec<(At, i64)> = fetch_all!(
        tx,
        query_as(
            "-- shares::minutes\n select began_at, used from budget_minutes where budget = $1 order by began_at",
            budget
        )
    )
    .map_err(LedgerError::during(WHAT))?;
    Ok(rows
        .into_iter()
        .map(|(began_at, used)| Minute { began_at: began_at.0, used: used.unsigned_abs() })
        .collect())
}

async fn keep(tx: &mut Tx, budget: &str, holder: &Holder) -> Result<(), LedgerError> {
    execute!(
        tx,
        "-- shares::keep
         insert into budget_shares (budget, holder, share, wants, per_window, per_hour, expires_at, before, hour_used,
           hour_granted)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (budget, holder) do update set share = excluded.share, wants = excluded.wants,
           per_window = excluded.per_window, per_hour = excluded.per_hour, expires_at = excluded.expires_at,
           before = excluded.before, hour_used = excluded.hour_used, hour_granted = excluded.hour_granted",
        budget,
        holder.id,
        i64::from(holder.share),
        i64::from(holder.wants),
        i64::from(holder.limit),
        holder.per_hour.map(i64::from),
        At(holder.expires_at),
        Json(&holder.before),
        number(holder.hour_used),
        number(holder.hour_granted)
    )
    .map(drop)
    .map_err(LedgerError::during(WHAT))
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Those who have been gone for a window, and minutes that no longer count: the table has forgotten them.
async fn forget(tx: &mut Tx, budget: &str, now: DateTime<Utc>) -> Result<(), LedgerError> {
    let gone = now - TimeDelta::from_std(WINDOW).unwrap_or_default();
    execute!(
        tx,
        "-- shares::forget\n delete from budget_shares where budget = $1 and expires_at <= $2",
        budget,
        At(gone)
    )
    .map_err(LedgerError::during(WHAT))?;
    execute!(
        tx,
        "-- shares::forget\n delete from budget_minutes where budget = $1 and began_at <= $2",
        budget,
        At(now - Minute::COUNTS)
    )
    .map(drop)
    .map_err(LedgerError::during(WHAT))
}

async fn keep_minute(tx: &mut Tx, budget: &str, minute: &Minute) -> Result<(), LedgerError> {
    execute!(
        tx,
        "-- shares::keep_minute
         insert into budget_minutes (budget, began_at, used) values ($1, $2, $3)
         on conflict (budget, began_at) do update set used = excluded.used",
        budget,
        At(minute.began_at),
        number(minute.used)
    )
    .map(drop)
    .map_err(LedgerError::during(WHAT))
}

/// Keeps what the asker was told by Braze; for how long nobody may send.
async fn hold(
    tx: &mut Tx,
    budget: &str,
    held_until: Option<DateTime<Utc>>,
    ask: &Ask,
    now: DateTime<Utc>,
) -> Result<Option<Duration>, LedgerError> {
    let left = |until: DateTime<Utc>| (until - now).to_std().ok().filter(|left| !left.is_zero());
    let known = held_until.and_then(left);
    let Some(wait) = ask.hold.filter(|wait| known.is_none_or(|known| known < *wait)) else {
        return Ok(known);
    };
    execute!(
        tx,
        "-- shares::hold\n update budgets set held_until = $2 where budget = $1",
        budget,
        At(now + TimeDelta::from_std(wait).unwrap_or_default())
    )
    .map_err(LedgerError::during(WHAT))?;
    Ok(Some(wait))
}
