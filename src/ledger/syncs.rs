//! How far each sync came, and whether it may run.

use chrono::{DateTime, TimeDelta, Utc};

use super::column::At;
use super::queue::join_or_queue;
use super::statement::{execute, fetch_optional};
use super::{Ledger, LedgerError, NewRun};
use crate::run::RunId;

/// What the ledger knows of one sync.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncState {
    /// Whether a person paused it.
    pub paused: bool,
    /// Why Braze lets nothing of it through.
    pub blocked: Option<Blocked>,
    /// How far its source was synced.
    pub watermark: Option<DateTime<Utc>>,
    /// When the watermark last moved.
    pub watermark_moved_at: Option<DateTime<Utc>>,
    /// What mapping, table and workspace the watermark is about.
    pub fingerprint: Option<String>,
    /// When a run last compared every row.
    pub last_full_at: Option<DateTime<Utc>>,
    /// When a request of this sync was last answered, by this process's clock, and by which run's number.
    pub last_sent: Option<(DateTime<Utc>, u32)>,
}

/// Why Braze lets nothing of a sync through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The error's code, such as `braze_unauthorized`.
    pub code: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct SyncRow {
    paused: bool,
    blocked_code: Option<String>,
    blocked_since: Option<At>,
    watermark: Option<At>,
    watermark_moved_at: Option<At>,
    fingerprint: Option<String>,
    last_full_at: Option<At>,
    last_sent_at: Option<At>,
    last_sent_run: Option<i64>,
}

impl SyncRow {
    /// `ahead`: how far this process's clock is ahead of the one that replicas share.
    fn state(self, ahead: TimeDelta) -> SyncState {
        let sent_run = self.last_sent_run.and_then(|number| u32::try_from(number).ok());
        SyncState {
            paused: self.paused,
            blocked: self
                .blocked_code
                .zip(self.blocked_since)
                .map(|(code, since)| Blocked { code, since: since.0 }),
            watermark: self.watermark.map(|at| at.0),
            watermark_moved_at: self.watermark_moved_at.map(|at| at.0),
            fingerprint: self.fingerprint,
            last_full_at: self.last_full_at.map(|at| at.0),
            last_sent: self.last_sent_at.map(|at| at.0 + ahead).zip(sent_run),
        }
    }
}

impl Ledger {
    /// What is known of one sync; all empty for one never seen.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sync_state(&self, sync: &str) -> Result<SyncState, LedgerError> {
        let mut tx = self.read("read a sync").await?;
        let now = tx.now("read a sync").await?;
        let ahead = self.0.clock.now() - now;
        let row: Option<SyncRow> = fetch_optional!(tx, query_as("-- ledger::sync_state
             select paused, blocked_code, blocked_since, watermark, watermark_moved_at, fingerprint, last_full_at,
               last_sent_at, last_sent_run
             from syncs where sync = $1", sync))
        .map_err(LedgerError::during("read a sync"))?;
        Ok(row.map_or_else(SyncState::default, |row| row.state(ahead)))
    }

    /// Pauses or resumes a sync: while paused it queues runs and starts none.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn set_paused(&self, sync: &str, paused: bool) -> Result<(), LedgerError> {
        let mut tx = self.begin("pause").await?;
        execute!(tx, "-- ledger::set_paused
             insert into syncs (sync, paused) values ($1, $2) on conflict (sync) do update set paused = excluded.paused", sync, paused)
        .map_err(LedgerError::during("pause"))?;
        tx.ring();
        tx.commit("pause").await
    }

    /// Lets a blocked sync run again. Whether it was blocked.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn unblock(&self, sync: &str) -> Result<bool, LedgerError> {
        let mut tx = self.begin("unblock").await?;
        let changed = execute!(tx, "-- ledger::unblock
             update syncs set blocked_code = null, blocked_since = null where sync = $1 and blocked_code is not null", sync)
        .map_err(LedgerError::during("unblock"))?;
        tx.commit("unblock").await?;
        Ok(changed == 1)
    }

    /// When a run's last request was answered. Only known of the last run of its sync that sent anything.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn last_answer_of(&self, run: RunId) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let at: Option<Option<At>> = fetch_optional!(
            self.read("read a run").await?,
            query_scalar(
                "-- ledger::last_answer_of
             select last_sent_at from syncs join runs on runs.sync = syncs.sync and runs.number = last_sent_run
             where runs.id = $1",
                run.0
            )
        )
        .map_err(LedgerError::during("read a run"))?;
        Ok(at.flatten().map(|at| at.0))
    }

    /// The last slot of the sync's cadence that was answered for.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn last_slot(&self, sync: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let slot: Option<Option<At>> = fetch_optional!(
            self.read("read a sync").await?,
            query_scalar("-- ledger::last_slot\n select last_slot_at from syncs where sync = $1", sync)
        )
        .map_err(LedgerError::during("read a sync"))?;
        Ok(slot.flatten().map(|at| at.0))
    }

    /// Answers for a slot of the cadence, with a run where there is one to start: both or neither, and only where
    /// nobody has answered for it or a later one. Whether it was answered for now.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn take_slot(
        &self,
        sync: &str,
        slot: DateTime<Utc>,
        run: Option<NewRun>,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin("take a slot").await?;
        let taken = execute!(
            tx,
            "-- ledger::take_slot
             insert into syncs (sync, last_slot_at) values ($1, $2)
             on conflict (sync) do update set last_slot_at = excluded.last_slot_at
               where syncs.last_slot_at is null or syncs.last_slot_at < excluded.last_slot_at",
            sync,
            At(slot)
        )
        .map_err(LedgerError::during("take a slot"))?;
        if taken == 0 {
            return Ok(false);
        }
        if let Some(run) = run {
            let now = tx.now("take a slot").await?;
            join_or_queue(&mut tx, &run, None, None, now).await?;
        }
        tx.commit("take a slot").await?;
        Ok(true)
    }

    /// Puts a slot back that a clock running ahead had answered for: those before it come anew. Nothing where
    /// somebody did so already.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn put_back_slot(
        &self,
        sync: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("put back a slot").await?;
        execute!(
            tx,
            "-- ledger::put_back_slot
             update syncs set last_slot_at = $3 where sync = $1 and last_slot_at = $2",
            sync,
            At(from),
            At(to)
        )
        .map_err(LedgerError::during("put back a slot"))?;
        tx.commit("put back a slot").await
    }
}
