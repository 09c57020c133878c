//! Claims: who may see a run through now, for how long, and how far it has come.
//!
//! A claim is a value: every write of its holder carries the epoch and changes one row, or the lease is lost. Wall
//! clocks only say when a claim may be taken over; whether it still holds is told by a local clock that never jumps
//! and goes on while the machine is suspended.

use std::time::Duration;

use super::column::{At, Json};
use super::dialect::{Text, text};
use super::row::{RunRow, run_columns};
use super::runs::deliveries_of;
use super::statement::{execute, fetch_one, fetch_optional};
use super::store::Tx;
use super::{Finish, Ledger, LedgerError};
use crate::clock::Moment;
use crate::customer::Position;
use crate::run::{DataPoints, Phase, Progress, Run, RunError, RunId, RunState, Tally, Window};
use crate::telemetry::metric;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How often a run may crash its process before it is given up. Source: contract, run error `crashed`.
const MOST_CRASHES: i64 = 5;
/// Waits before a run that somebody had locked is looked at again: the first, doubled to the longest; half a second
/// in all, and the worker's next look comes a second later.
const TAKE_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(256));
/// A time-bound claim on a run. After `expires` any worker may claim it anew; whoever still holds the old claim
/// changes nothing, for its epoch no longer matches.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The run as it was when claimed.
    pub run: Run,
    /// The run's number: ascending, and what digests are stamped with.
    pub number: u32,
    /// Which claim of the run this is: ascending, and never given twice.
    pub epoch: i64,
    /// Until when it holds, as of the claim or the last heartbeat.
    pub expires: Moment,
    /// With [`Mode::Force`] these alone, else these on top: customers all of whose values are sent.
    pub customers: Option<Vec<String>>,
    /// How far an earlier attempt came.
    pub checkpoint: Option<Checkpoint>,
    /// Whether somebody asked for it to be cancelled.
    pub cancel_requested: bool,
    /// Where the run stands in the trace of what asked for it; none where none was recorded.
    pub traceparent: Option<String>,
}

/// How far a run has come, for good: everything up to `position` is counted and recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What mapping, table and workspace the attempt worked with; another one starts over.
    pub fingerprint: String,
    /// The last customer recorded; none: nothing yet.
    pub position: Option<Position>,
    /// The furthest the watermark may go, fixed at the run's first snapshot.
    pub ceiling: DateTime<Utc>,
    /// The greatest `updated_at` read so far, not past the ceiling.
    pub newest: Option<DateTime<Utc>>,
    /// Counts so far.
    pub tally: Tally,
    /// Data points so far.
    pub data_points: DataPoints,
    /// Whether everything was read and recorded, so that only the outcome is missing.
    #[serde(default)]
    pub complete: bool,
}

impl Ledger {
    /// Claims the oldest claimable run of these syncs, if any: a queued one of a sync that is neither paused nor
    /// has an active run, or an active one whose lease has run out and whose wait is over. Counts the attempt.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn claim(&self, syncs: &[String]) -> Result<Option<Lease>, LedgerError> {
        self.claim_beside(syncs, &[]).await
    }

    /// As [`Ledger::claim`], but never one of the runs of these numbers, which this very process has: a wall clock
    /// that jumps must not make it rob itself.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn claim_beside(&self, syncs: &[String], own: &[u32]) -> Result<Option<Lease>, LedgerError> {
        self.claim_of(&Wanted { syncs, own, plans_only: false }).await
    }

    /// As [`Ledger::claim_beside`], but only plans: for who must send nothing.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn claim_plan(&self, syncs: &[String], own: &[u32]) -> Result<Option<Lease>, LedgerError> {
        self.claim_of(&Wanted { syncs, own, plans_only: true }).await
    }

    async fn claim_of(&self, wanted: &Wanted<'_>) -> Result<Option<Lease>, LedgerError> {
        let mut wait = TAKE_AGAIN.0;
        loop {
            if self.claimable(wanted).await?.is_none() {
                return Ok(None);
            }
            // Read before the write: the lease counts from when it was asked for.
            let asked = Moment::now();
            let Some(Taken { row, deliveries, crashes }) = self.take(wanted).await? else {
                // Another replica claims it, or somebody joins it: who of the two shows in a moment.
                if wait > TAKE_AGAIN.1 {
                    return Ok(None);
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
                continue;
            };
            let run = row.run(deliveries)?;
            let lease = Lease {
                number: u32::try_from(row.number).unwrap_or(u32::MAX),
                epoch: row.epoch,
                expires: asked + self.0.lease,
                customers: row.customers.map(|customers| customers.0),
                checkpoint: row.checkpoint.map(|checkpoint| checkpoint.0),
                cancel_requested: row.cancel_requested,
                traceparent: row.traceparent,
                run,
            };
            if !self.give_up_on_crashes(&lease, crashes).await? {
                return Ok(Some(lease));
            }
        }
    }

    /// Looks without writing, so that an idle worker costs the disk nothing.
    async fn claimable(&self, wanted: &Wanted<'_>) -> Result<Option<i64>, LedgerError> {
        let mut tx = self.read("claim").await?;
        let now = tx.now("claim").await?;
        fetch_optional!(
            tx,
            query_scalar(CLAIMABLE, Json(wanted.syncs), At(now), Json(wanted.own), wanted.plans_only)
        )
        .map_err(LedgerError::during("claim"))
    }

    /// Everything that is needed is read before the commit: a claim whose holder could not read on would be nobody's
    /// until it runs out.
    async fn take(&self, wanted: &Wanted<'_>) -> Result<Option<Taken>, LedgerError> {
        let mut tx = self.begin("claim").await?;
        let now = tx.now("claim").await?;
        let number: Option<i64> = fetch_optional!(
            tx,
            query_scalar(TAKEN, Json(wanted.syncs), At(now), Json(wanted.own), wanted.plans_only)
        )
        .map_err(LedgerError::during("claim"))?;
        let Some(number) = number else { return Ok(None) };
        let row: Option<RunRow> =
            fetch_optional!(tx, query_as(TAKE, number, At(self.lease_from(now)), At(now)))
                .map_err(LedgerError::during("claim"))?;
        let Some(row) = row else { return Ok(None) };
        let id = RunId(row.id);
        let deliveries = deliveries_of(&mut tx, id).await?;
        let crashes: Result<i64, sqlx::Error> =
            fetch_one!(tx, query_scalar("-- ledger::take\n select crashes from runs where id = $1", id.0));
        let crashes = crashes.map_err(LedgerError::during("claim"))?;
        tx.tell(id);
        tx.commit("claim").await?;
        Ok(Some(Taken { row, deliveries, crashes }))
    }

    /// A run that crashed its process too often is not handed out again.
    async fn give_up_on_crashes(&self, lease: &Lease, crashes: i64) -> Result<bool, LedgerError> {
        if crashes < MOST_CRASHES {
            return Ok(false);
        }
        let message = format!("the run was cut short {crashes} times without being put down; see the log");
        let error = RunError { code: "crashed".to_owned(), message, retryable: false };
        let finish = Finish {
            state: RunState::Failed,
            checkpoint: lease.checkpoint.clone(),
            error: Some(error),
            watermark: None,
            was_full: false,
            blocks: false,
        };
        let sync = lease.run.sync.clone();
        self.finish(lease.clone(), finish).await?;
        // No worker sees it end.
        metrics::counter!(metric::RUNS, "sync" => sync.clone(), "state" => "failed").increment(1);
        metrics::counter!(metric::RUN_ERRORS, "sync" => sync, "code" => "crashed").increment(1);
        Ok(true)
    }

    /// Renews the lease; tells whether somebody asked for the run to be cancelled.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn heartbeat(&self, lease: &mut Lease) -> Result<(), LedgerError> {
        // Read before the write: the lease counts from when it was asked for.
        let asked = Moment::now();
        let mut tx = self.begin("heartbeat").await?;
        let now = tx.now("heartbeat").await?;
        let cancel_requested: Option<bool> = fetch_optional!(
            tx,
            query_scalar(
                "-- ledger::heartbeat
             update runs set lease_expires_at = $3
             where id = $1 and epoch = $2 and state in ('running', 'waiting') and lease_expires_at is not null
             returning cancel_requested",
                lease.run.id.0,
                lease.epoch,
                At(self.lease_from(now))
            )
        )
        .map_err(LedgerError::during("heartbeat"))?;
        lease.cancel_requested = cancel_requested.ok_or(LedgerError::LeaseLost(lease.run.id))?;
        tx.commit("heartbeat").await?;
        lease.expires = asked + self.0.lease;
        Ok(())
    }

    /// Shows how far the run has come. `window` is set as soon as known.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn show_progress(
        &self,
        lease: &Lease,
        progress: Progress,
        window: Option<Window>,
        promoted: Option<&str>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("show progress").await?;
        let changed = execute!(
            tx,
            "-- ledger::show_progress
             update runs set progress = $3, promoted = coalesce($6, promoted),
               mode = case when $6 is not null and mode = 'delta' then 'full' else mode end,
               window_after = case when $7 then $4 else window_after end,
               window_up_to = case when $7 then $5 else window_up_to end
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
            lease.run.id.0,
            lease.epoch,
            Json(progress),
            window.and_then(|window| window.after).map(At),
            window.and_then(|window| window.up_to).map(At),
            promoted,
            window.is_some()
        )
        .map_err(LedgerError::during("show progress"))?;
        held(tx, lease, changed, "show progress").await
    }

    /// Shows the run waiting until `until` for `phase` (`Some`), or running again (`None`).
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn show_waiting(
        &self,
        lease: &Lease,
        phase: Phase,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("show waiting").await?;
        let changed = execute!(
            tx,
            SHOW_WAITING,
            lease.run.id.0,
            lease.epoch,
            until.map(At),
            phase.as_str(),
            Json(Progress::default())
        )
        .map_err(LedgerError::during("show waiting"))?;
        held(tx, lease, changed, "show waiting").await
    }

    /// Gives the claim back: the run goes on not before `not_before`, in another attempt. `crashed` counts towards
    /// the five crashes a run may have; waits and clean stops do not. Keeps what is given of the error with the run.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or [`LedgerError::Unavailable`].
    pub async fn release(
        &self,
        lease: Lease,
        not_before: Option<DateTime<Utc>>,
        crashed: bool,
        error: Option<RunError>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin("release").await?;
        // What the caller's clock means by it, by the clock that will be looked at; ours first, so never earlier.
        let ours = self.0.clock.now();
        let now = tx.now("release").await?;
        let not_before = not_before.map(|at| now + (at - ours));
        let changed = execute!(
            tx,
            "-- ledger::release
             update runs set state = 'waiting', lease_expires_at = null, throttled_until = $3,
               crashes = crashes + $4, error = coalesce($5, error), epoch = epoch + 1
             where id = $1 and epoch = $2 and state in ('running', 'waiting')",
            lease.run.id.0,
            lease.epoch,
            not_before.map(At),
            i64::from(crashed),
            error.map(Json)
        )
        .map_err(LedgerError::during("release"))?;
        tx.ring();
        held(tx, &lease, changed, "release").await
    }

    /// When a lease ends that begins now.
    fn lease_from(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + chrono::TimeDelta::from_std(self.0.lease).unwrap_or_default()
    }
}

/// Commits a write of the lease's holder, or finds that it is the holder no longer.
pub(super) async fn held(
    mut tx: Tx,
    lease: &Lease,
    rows: u64,
    what: &'static str,
) -> Result<(), LedgerError> {
    if rows != 1 {
        return Err(LedgerError::LeaseLost(lease.run.id));
    }
    tx.tell(lease.run.id);
    tx.commit(what).await
}

const SHOW_WAITING: Text = text! {
    "-- ledger::show_waiting
     update runs set throttled_until = $3,
       state = case when $3 is null then 'running' else 'waiting' end,
       progress = "
    [progress_phase "$4"]
    " where id = $1 and epoch = $2 and state in ('running', 'waiting')"
};

const TAKE: Text = text! {
    "-- ledger::take
     update runs set state = 'running', attempt = attempt + 1, epoch = "
    [next_epoch]
    ", crashes = crashes + case when lease_expires_at is null then 0 else 1 end, lease_expires_at = $2,
       throttled_until = null, started_at = coalesce(started_at, $3)
     where number = $1 returning "
    {run_columns}
};

/// A run that was claimed.
struct Taken {
    row: RunRow,
    deliveries: Vec<String>,
    crashes: i64,
}

/// Which runs may be claimed.
struct Wanted<'a> {
    syncs: &'a [String],
    /// Numbers of runs this process has.
    own: &'a [u32],
    plans_only: bool,
}

/// The oldest run that may be claimed: of an active one the lease is over (null: given back) and so is the wait; a
/// queued one has no active one beside it, and its sync is not paused.
macro_rules! claimable {
    ($($end:tt)*) => {
        text! {
            "-- ledger::claimable
             select number from runs as run
             where state in ('queued', 'running', 'waiting', 'held')
               and sync in "
            [texts "$1"]
            " and (mode = 'plan' or not $4)
              and case
                when state in ('running', 'waiting') then
                  (lease_expires_at is not null and lease_expires_at < $2
                    and number not in "
            [numbers "$3"]
            ") or (lease_expires_at is null and (throttled_until is null or throttled_until <= $2))
                when state = 'queued' then
                  mode = 'plan'
                  or (not exists (select 1 from runs as active where active.sync = run.sync
                        and active.state in ('running', 'waiting', 'held') and active.mode <> 'plan')
                      and not exists (select 1 from syncs where syncs.sync = run.sync and syncs.paused))
                else false
              end
            order by number limit 1"
            $($end)*
        }
    };
}
const CLAIMABLE: Text = claimable!();
/// The same, for who claims it: of two who look at the same moment, one finds it.
const TAKEN: Text = claimable!([take]);
