//! What is to be told outside, written in the transaction of what it tells of: no outcome goes untold because the
//! process fell between the two, and none is told twice because a commit failed to say so.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::column::{At, Json};
use super::dialect::{Text, text};
use super::row::{RunRow, run_columns};
use super::statement::{execute, fetch_one, fetch_optional};
use super::store::Tx;
use super::{Lease, Ledger, LedgerError};
use crate::config::NotifyEvent;
use crate::run::{Occasion, RunState, RunSummary, Standstill};

/// Who is to be told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The receiver's name, the same in every process that has it configured.
    pub receiver: String,
    /// Of which events.
    pub on: Vec<NotifyEvent>,
    /// Of which syncs; none: of all.
    pub syncs: Option<Vec<String>>,
}

impl Subscriber {
    fn wants(&self, event: NotifyEvent, sync: &str) -> bool {
        self.on.contains(&event)
            && self.syncs.as_ref().is_none_or(|syncs| syncs.iter().any(|wanted| wanted == sync))
    }
}

/// How a sync stands, as far as notices tell of it.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub(super) struct Standing {
    blocked: bool,
    stale: bool,
    troubled: bool,
}

impl Ledger {
    /// Who is told from now on. What was written for others before stays theirs.
    pub fn subscribe(&self, subscribers: Vec<Subscriber>) {
        self.0.store.subscribe(subscribers);
    }

    /// Takes note of whether the sync's watermark has stood still for longer than `after`: told once, by whoever
    /// looks first, until the sync is fresh again.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn note_staleness(&self, sync: &str, after: Duration) -> Result<(), LedgerError> {
        let what = "note a staleness";
        let after = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
        let mut tx = self.read(what).await?;
        let now = tx.now(what).await?;
        let Some((is_stale, is_noted)) = seen(&mut tx, sync, now, after).await? else { return Ok(()) };
        drop(tx);
        if is_stale == is_noted {
            return Ok(());
        }
        let mut tx = self.begin(what).await?;
        let now = tx.now(what).await?;
        let Some(bound) = now.checked_sub_signed(after) else { return Ok(()) };
        match is_stale {
            true => tell_stale(&mut tx, sync, now, bound).await?,
            false => note_fresh(&mut tx, sync, bound).await?,
        }
        tx.commit(what).await
    }
}

/// Whether the sync is stale now, and whether that was told; none where its watermark never moved.
async fn seen(
    tx: &mut Tx,
    sync: &str,
    now: DateTime<Utc>,
    after: TimeDelta,
) -> Result<Option<(bool, bool)>, LedgerError> {
    let row: Option<(Option<At>, bool)> = fetch_optional!(
        tx,
        query_as(
            "-- ledger::seen
             select watermark_moved_at, stale_at is not null from syncs where sync = $1",
            sync
        )
    )
    .map_err(LedgerError::during("note a staleness"))?;
    let moved_at = row.and_then(|(moved_at, is_noted)| Some((moved_at?.0, is_noted)));
    Ok(moved_at.map(|(moved_at, is_noted)| (now - moved_at > after, is_noted)))
}

/// One conditional update: of two who see it at the same moment one tells.
async fn tell_stale(
    tx: &mut Tx,
    sync: &str,
    now: DateTime<Utc>,
    bound: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let row: Option<(Option<At>, At)> = fetch_optional!(
        tx,
        query_as(
            "-- ledger::tell_stale
             update syncs set stale_at = $2, troubled = $4
             where sync = $1 and stale_at is null and watermark_moved_at < $3
             returning watermark, watermark_moved_at",
            sync,
            At(now),
            At(bound),
            true
        )
    )
    .map_err(LedgerError::during("note a staleness"))?;
    let Some((watermark, moved_at)) = row else { return Ok(()) };
    let standstill = Standstill {
        sync: sync.to_owned(),
        watermark: watermark.map(|at| at.0),
        watermark_moved_at: moved_at.0,
        stale_after_secs: u64::try_from((now - bound).num_seconds()).unwrap_or(0),
    };
    let name = format!("stale:{sync}:{}", now.timestamp_micros());
    write(tx, NotifyEvent::Stale, &Occasion::Standstill(standstill), &name, now).await?;
    tx.ring();
    Ok(())
}

/// Only a longer `stale_after` makes a sync fresh here; a watermark that moves does so where it moves.
async fn note_fresh(tx: &mut Tx, sync: &str, bound: DateTime<Utc>) -> Result<(), LedgerError> {
    execute!(
        tx,
        "-- ledger::note_fresh
         update syncs set stale_at = null where sync = $1 and watermark_moved_at >= $2",
        sync,
        At(bound)
    )
    .map(drop)
    .map_err(LedgerError::during("note a staleness"))
}

/// How the sync stands; nobody else changes that until the transaction ends.
pub(super) async fn standing(tx: &mut Tx, sync: &str) -> Result<Standing, LedgerError> {
    const STANDING: Text = text! {
        "-- ledger::standing
         select blocked_code is not null as blocked, stale_at is not null as stale, troubled
         from syncs where sync = $1"
        [lock]
    };
    let standing: Option<Standing> =
        fetch_optional!(tx, query_as(STANDING, sync)).map_err(LedgerError::during("finish"))?;
    Ok(standing.unwrap_or_default())
}

/// Tells how the run of the lease ended. The run and its sync are written by now.
pub(super) async fn tell_outcome(
    tx: &mut Tx,
    lease: &Lease,
    state: RunState,
    before: Standing,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let sync = &lease.run.sync;
    let after = standing(tx, sync).await?;
    let events = events(state, before, after);
    let troubled = is_troubled(&events, before.troubled);
    if troubled != before.troubled {
        execute!(
            tx,
            "-- ledger::tell_outcome\n update syncs set troubled = $2 where sync = $1",
            sync,
            troubled
        )
        .map_err(LedgerError::during("finish"))?;
    }
    if events.is_empty() || tx.subscribers().is_empty() {
        return Ok(());
    }
    let id = lease.run.id;
    let row: RunRow = fetch_one!(
        tx,
        query_as(
            concat!("-- ledger::tell_outcome\n select ", run_columns!(), " from runs where id = $1"),
            id.0
        )
    )
    .map_err(LedgerError::during("finish"))?;
    let occasion = Occasion::Run(Box::new(RunSummary::from(&row.run(Vec::new())?)));
    for event in events {
        write(tx, event, &occasion, &format!("run:{id}:{}", event.as_str()), now).await?;
    }
    Ok(())
}

/// What an end comes to, the sync standing so before and so after.
fn events(state: RunState, before: Standing, after: Standing) -> Vec<NotifyEvent> {
    let outcome = match state {
        RunState::Succeeded => Some(NotifyEvent::Succeeded),
        RunState::Partial => Some(NotifyEvent::Partial),
        RunState::Failed => Some(NotifyEvent::Failed),
        RunState::Held => Some(NotifyEvent::Held),
        RunState::Queued | RunState::Running | RunState::Waiting | RunState::Cancelled => None,
    };
    let blocked = (after.blocked && !before.blocked).then_some(NotifyEvent::Blocked);
    let is_well = state == RunState::Succeeded && !after.blocked && !after.stale;
    let recovered = (is_well && before.troubled).then_some(NotifyEvent::Recovered);
    [outcome, blocked, recovered].into_iter().flatten().collect()
}

fn is_troubled(events: &[NotifyEvent], before: bool) -> bool {
    let is_trouble =
        |event| matches!(event, NotifyEvent::Failed | NotifyEvent::Partial | NotifyEvent::Blocked);
    match events.contains(&NotifyEvent::Recovered) {
        true => false,
        false => before || events.iter().copied().any(is_trouble),
    }
}

/// A row for everybody who wants to hear of it. `name` is the occasion's own: nobody is told of it twice.
async fn write(
    tx: &mut Tx,
    event: NotifyEvent,
    occasion: &Occasion,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let subscribers = tx.subscribers();
    for subscriber in subscribers.iter().filter(|one| one.wants(event, occasion.sync())) {
        execute!(
            tx,
            "-- ledger::write_notice
             insert into notices (id, receiver, event, sync, occasion, data, at, next_try_at)
             values ($1, $2, $3, $4, $5, $6, $7, $7) on conflict (receiver, occasion) do nothing",
            Uuid::new_v4(),
            &subscriber.receiver,
            event.as_str(),
            occasion.sync(),
            name,
            Json(occasion),
            At(now)
        )
        .map_err(LedgerError::during("write a notice"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::NotifyEvent::{Blocked, Failed, Partial, Recovered, Succeeded};
    use super::*;

    const WELL: Standing = Standing { blocked: false, stale: false, troubled: false };
    const TROUBLED: Standing = Standing { troubled: true, ..WELL };
    const BLOCKED: Standing = Standing { blocked: true, ..TROUBLED };
    const STALE: Standing = Standing { stale: true, ..TROUBLED };

    #[test]
    fn every_end_comes_to_its_events() {
        for (state, before, after, expected) in [
            (RunState::Succeeded, WELL, WELL, &[Succeeded][..]),
            (RunState::Succeeded, TROUBLED, TROUBLED, &[Succeeded, Recovered]),
            (RunState::Succeeded, BLOCKED, TROUBLED, &[Succeeded, Recovered]),
            // Nothing was sent, or nothing new was read: the trouble is still there.
            (RunState::Succeeded, BLOCKED, BLOCKED, &[Succeeded]),
            (RunState::Succeeded, STALE, STALE, &[Succeeded]),
            (RunState::Partial, TROUBLED, TROUBLED, &[Partial]),
            (RunState::Failed, WELL, BLOCKED, &[Failed, Blocked]),
            (RunState::Failed, BLOCKED, BLOCKED, &[Failed]),
            (RunState::Cancelled, TROUBLED, TROUBLED, &[]),
        ] {
            let events = events(state, before, after);
            assert_eq!(events, expected, "{state} {before:?} {after:?}");
            let ends_well = events.contains(&Recovered) || events == [Succeeded] && !before.troubled;
            assert_eq!(is_troubled(&events, before.troubled), !ends_well, "{state} {before:?}");
        }
    }
}
