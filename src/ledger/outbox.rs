//! Notices on their way out. Whoever delivers one claims it by moving its next try ahead, in one conditional update:
//! replicas share the work without a leader, and what a fallen process had claimed comes round again.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::column::{At, Json};
use super::dialect::{Text, text};
use super::statement::{execute, fetch_all, fetch_one};
use super::store::Tx;
use super::{Ledger, LedgerError};
use crate::config::NotifyEvent;
use crate::run::Occasion;

/// How long a claim on a notice lasts: well over what one delivery may take.
const CLAIM_LASTS: TimeDelta = TimeDelta::seconds(60);
/// Most notices kept for one receiver: months of trouble. Beyond, the oldest go.
const MOST_PENDING: i64 = 10_000;
/// How long a receiver may be missing from every process's config before its notices go: longer than replicas take
/// to be given a new one.
const MISSING_FOR: TimeDelta = TimeDelta::hours(1);
/// How often a receiver is noted to be configured.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(5);
/// Longer than any wait between two tries: a day, and a tenth more.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(27);
/// Rows dropped in one transaction at most.
const ROWS_A_STEP: i64 = 1_000;
const SWEEP: &str = "sweep notices";

/// A notice, claimed for one delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Its number in this ledger.
    pub number: i64,
    /// Its id, the same at every try.
    pub id: Uuid,
    /// The receiver's name.
    pub receiver: String,
    /// What it tells of.
    pub event: NotifyEvent,
    /// What happened.
    pub occasion: Occasion,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Which try this is, from 1.
    pub tries: u32,
}

/// Notices not yet delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub pending: u64,
    /// When what the oldest tells of happened.
    pub oldest_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct NoticeRow {
    number: i64,
    id: Uuid,
    receiver: String,
    event: String,
    data: Json<serde_json::Value>,
    at: At,
    tries: i64,
}

impl NoticeRow {
    /// None where only a newer binary knows what it tells of: it is left to that one.
    fn notice(self) -> Option<Notice> {
        let known = NotifyEvent::of(&self.event).zip(serde_json::from_value(self.data.0).ok());
        if known.is_none() {
            tracing::warn!(event = %self.event, "a notice that this version cannot read waits for one that can");
        }
        let (event, occasion) = known?;
        Some(Notice {
            number: self.number,
            id: self.id,
            receiver: self.receiver,
            event,
            occasion,
            at: self.at.0,
            tries: u32::try_from(self.tries).unwrap_or(u32::MAX),
        })
    }
}

impl Ledger {
    /// Which of these receivers have something to be told now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn due_receivers(&self, receivers: &[String]) -> Result<Vec<String>, LedgerError> {
        const DUE: Text = text! {
            "-- ledger::due_receivers\n select distinct receiver from notices where next_try_at <= $2 and receiver in "
            [texts "$1"]
        };
        let what = "look for notices";
        let mut tx = self.read(what).await?;
        let now = tx.now(what).await?;
        fetch_all!(tx, query_scalar(DUE, Json(receivers), At(now))).map_err(LedgerError::during(what))
    }

    /// Claims notices for one receiver, the longest due first, at most so many; never one of these numbers, which this
    /// very process has under way: a wall clock that jumps must not make it tell twice.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn claim_notices(
        &self,
        receiver: &str,
        most: usize,
        own: &[i64],
    ) -> Result<Vec<Notice>, LedgerError> {
        const CLAIM: Text = text! {
            "-- ledger::claim_notices
             with due as (select number as due_number from notices where receiver = $1 and next_try_at <= $2
               and number not in "
            [numbers "$5"]
            " order by next_try_at, number limit $4"
            [skip]
            ") update notices set tries = tries + 1, next_try_at = $3 from due where number = due_number
             returning number, id, receiver, event, data, at, tries"
        };
        let what = "claim notices";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut tx = self.begin(what).await?;
        let now = tx.now(what).await?;
        let rows: Vec<NoticeRow> =
            fetch_all!(tx, query_as(CLAIM, receiver, At(now), At(now + CLAIM_LASTS), most, Json(own)))
                .map_err(LedgerError::during(what))?;
        tx.commit(what).await?;
        let mut notices: Vec<Notice> = rows.into_iter().filter_map(NoticeRow::notice).collect();
        notices.sort_by_key(|notice| notice.number);
        Ok(notices)
    }

    /// The notice is done with: delivered, or given up.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn settle_notice(&self, notice: &Notice) -> Result<(), LedgerError> {
        let what = "settle a notice";
        let mut tx = self.begin(what).await?;
        execute!(tx, "-- ledger::settle_notice\n delete from notices where number = $1", notice.number)
            .map_err(LedgerError::during(what))?;
        tx.commit(what).await
    }

    /// The notice is tried again after `wait`, unless somebody else has claimed it meanwhile.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn postpone_notice(&self, notice: &Notice, wait: TimeDelta) -> Result<(), LedgerError> {
        let what = "postpone a notice";
        let mut tx = self.begin(what).await?;
        let now = tx.now(what).await?;
        execute!(
            tx,
            "-- ledger::postpone_notice
             update notices set next_try_at = $3 where number = $1 and tries = $2",
            notice.number,
            i64::from(notice.tries),
            At(now + wait)
        )
        .map_err(LedgerError::during(what))?;
        tx.commit(what).await
    }

    /// How much is waiting.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn backlog(&self) -> Result<Backlog, LedgerError> {
        let row: (i64, Option<At>) = fetch_one!(
            self.read("count notices").await?,
            query_as("-- ledger::backlog\n select count(*), min(at) from notices")
        )
        .map_err(LedgerError::during("count notices"))?;
        Ok(Backlog { pending: u64::try_from(row.0).unwrap_or(0), oldest_at: row.1.map(|at| at.0) })
    }

    /// Drops notices past retention, beyond what is kept for one receiver, and for receivers that no process has had
    /// configured for an hour; `receivers` are those of this one. Returns what they would have told of.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; then nothing was dropped.
    pub async fn sweep_notices(&self, receivers: &[String]) -> Result<Vec<NotifyEvent>, LedgerError> {
        let mut tx = self.begin(SWEEP).await?;
        let now = tx.now(SWEEP).await?;
        note_seen(&mut tx, receivers, now).await?;
        heal_waits(&mut tx, now).await?;
        let mut dropped = Vec::new();
        for receiver in receivers {
            dropped.extend(drop_excess(&mut tx, receiver).await?);
        }
        let kept = now - TimeDelta::days(i64::from(self.0.retention_days));
        dropped.extend(drop_old(&mut tx, kept, now - MISSING_FOR).await?);
        tx.commit(SWEEP).await?;
        Ok(dropped.iter().filter_map(|event| NotifyEvent::of(event)).collect())
    }
}

/// Notes that these receivers are configured, and forgets those that nobody has had for long.
async fn note_seen(tx: &mut Tx, receivers: &[String], now: DateTime<Utc>) -> Result<(), LedgerError> {
    for receiver in receivers {
        execute!(
            tx,
            "-- ledger::note_seen
             insert into notice_receivers (receiver, seen_at) values ($1, $2)
             on conflict (receiver) do update set seen_at = excluded.seen_at where notice_receivers.seen_at < $3",
            receiver,
            At(now),
            At(now - SEEN_EVERY)
        )
        .map_err(LedgerError::during(SWEEP))?;
    }
    execute!(
        tx,
        "-- ledger::note_seen\n delete from notice_receivers where seen_at < $1",
        At(now - MISSING_FOR)
    )
    .map(drop)
    .map_err(LedgerError::during(SWEEP))
}

/// A wait that no schedule gives was written by a clock that ran ahead.
async fn heal_waits(tx: &mut Tx, now: DateTime<Utc>) -> Result<(), LedgerError> {
    execute!(
        tx,
        "-- ledger::heal_waits\n update notices set next_try_at = $1 where next_try_at > $2",
        At(now),
        At(now + LONGEST_WAIT)
    )
    .map(drop)
    .map_err(LedgerError::during(SWEEP))
}

async fn drop_excess(tx: &mut Tx, receiver: &str) -> Result<Vec<String>, LedgerError> {
    fetch_all!(
        tx,
        query_scalar(
            "-- ledger::drop_excess
             delete from notices where number in
               (select number from notices where receiver = $1 order by number desc limit $2 offset $3)
             returning event",
            receiver,
            ROWS_A_STEP,
            MOST_PENDING
        )
    )
    .map_err(LedgerError::during(SWEEP))
}

/// Drops what happened before `kept`, and before `missing` for a receiver that nobody has. A younger one may be for a
/// receiver that another process was given just now, and has not noted yet.
async fn drop_old(
    tx: &mut Tx,
    kept: DateTime<Utc>,
    missing: DateTime<Utc>,
) -> Result<Vec<String>, LedgerError> {
    fetch_all!(
        tx,
        query_scalar(
            "-- ledger::drop_old
             delete from notices where number in
               (select number from notices where at < $1
                  or at < $3 and receiver not in (select receiver from notice_receivers) order by number limit $2)
             returning event",
            At(kept),
            ROWS_A_STEP,
            At(missing)
        )
    )
    .map_err(LedgerError::during(SWEEP))
}
