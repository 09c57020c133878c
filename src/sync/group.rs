//! Groups of portions: in flight before they are sent, recorded in order once answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::extract::{Portions, Seen};
use super::gather::Gathered;
use super::portion::Portion;
use super::push::{Effort, Fate, push};
use super::receipt::Receipt;
use super::records::Records;
use super::speed::Speed;
use super::verdicts::Verdicts;
use super::window::Plan;
use super::{Claim, Rooms, Stopped, shown, wait_until};
use crate::braze::{Batch, Pushed, Pusher, Stop};
use crate::config;
use crate::ledger::{Group, Lease, LedgerError};
use crate::run::{Phase, Progress};
use crate::telemetry::trace;

/// Groups sent at a time: while one is recorded and one waits for its last answers, two keep the connections busy. With
/// three, a Braze whose answers take 100 ms is kept a hundredth less busy.
const GROUPS_IN_FLIGHT: usize = 4;
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// First wait before the ledger is tried again; it doubles to the longest.
const LEDGER_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Sends every portion and records what became of it.
pub(super) async fn push_all(
    rooms: &Rooms,
    lease: &Lease,
    claim: &Claim,
    plan: &Plan,
    portions: Portions,
    receipt: &mut Receipt,
) -> Result<(), Stopped> {
    let mut groups = Groups::new(rooms, lease, claim, plan, portions.seen, receipt);
    match groups.all(Gathered::from(portions.queue)).await {
        Ok(()) => Ok(()),
        Err(stopped) => groups.wind_down(stopped).await,
    }
}

struct Groups<'r> {
    rooms: &'r Rooms,
    lease: &'r Lease,
    claim: &'r Claim,
    plan: &'r Plan,
    receipt: &'r mut Receipt,
    names: Vec<String>,
    seen: Arc<Seen>,
    pusher: Arc<Pusher>,
    halt: CancellationToken,
    flying: VecDeque<AbortOnDropHandle<Answered>>,
    /// Changed customers handed on and not yet recorded.
    under_way: u64,
    is_settled: bool,
    /// Whether a group was written down without its counts: none after it may be counted either.
    is_broken: bool,
    speed: Speed,
}

/// A group whose portions all have their fate.
struct Answered {
    in_flight: Option<u64>,
    portions: Vec<(Portion, Fate)>,
    verdicts: Verdicts,
}

impl<'r> Groups<'r> {
    fn new(
        rooms: &'r Rooms,
        lease: &'r Lease,
        claim: &'r Claim,
        plan: &'r Plan,
        seen: Arc<Seen>,
        receipt: &'r mut Receipt,
    ) -> Self {
        let halt = CancellationToken::new();
        let request_timeout = Duration::from_secs(rooms.destination.request_timeout_secs);
        let (fence_claim, fence_halt) = (claim.clone(), halt.clone());
        let fence = move || !fence_halt.is_cancelled() && fence_claim.lets_start(request_timeout);
        let pusher = rooms.braze.pusher(Arc::new(fence), halt.clone());
        Self {
            rooms,
            lease,
            claim,
            plan,
            names: rooms.sync.attributes.iter().map(config::Attribute::name).map(str::to_owned).collect(),
            speed: Speed::start(receipt.checkpoint().tally.customers),
            pusher: Arc::new(pusher.after_acceptance(receipt.checkpoint().tally.accepted > 0)),
            receipt,
            seen,
            halt,
            flying: VecDeque::new(),
            under_way: 0,
            is_settled: false,
            is_broken: false,
        }
    }

    async fn all(&mut self, mut gathered: Gathered) -> Result<(), Stopped> {
        let mut hold = self.rooms.braze.hold();
        if hold.borrow().is_some() {
            // In force since before this run: shown like one that begins now.
            hold.mark_changed();
        }
        let mut show = tokio::time::interval(SHOW_EVERY);
        show.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut is_open = true;
        while is_open || !self.flying.is_empty() {
            tokio::select! {
                biased;
                stopped = self.claim.stopping() => return Err(stopped),
                answered = first_answered(&mut self.flying) => {
                    // What goes next is announced in the same commit.
                    let next = if self.is_settled { gathered.waiting() } else { None };
                    self.record(answered?, next).await?;
                }
                group = gathered.next(), if is_open && self.flying.len() < GROUPS_IN_FLIGHT => match group {
                    Some(group) => self.send(group).await?,
                    None => is_open = false,
                },
                changed = hold.changed() => if changed.is_ok() {
                    let until = hold.borrow_and_update().as_ref().map(|hold| hold.until);
                    self.show_hold(until).await?;
                },
                _ = show.tick() => self.show_progress().await?,
            }
        }
        Ok(())
    }

    /// Commits the group's customers as in flight, then sends its portions.
    async fn send(&mut self, portions: Vec<Portion>) -> Result<(), Stopped> {
        let mut in_flight = None;
        if portions.iter().any(|portion| portion.updates() > 0) {
            self.settle().await?;
            let keys: Vec<&str> = portions.iter().flat_map(Portion::keys).collect();
            let (ledger, target) = (&self.rooms.ledger, self.plan.target.number);
            let mark = persist(self.claim, || ledger.mark_in_flight(self.lease, target, &keys)).await?;
            in_flight = Some(mark);
        }
        self.fly(portions, in_flight);
        Ok(())
    }

    /// Sends the portions of a group, whose customers are marked as in flight, on a task of their own.
    fn fly(&mut self, portions: Vec<Portion>, in_flight: Option<u64>) {
        self.under_way += portions.iter().map(|portion| portion.updates() as u64).sum::<u64>();
        let (pusher, claim, halt) = (self.pusher.clone(), self.claim.clone(), self.halt.clone());
        let attributes = self.names.len();
        let task = tokio::spawn(trace::carried(async move {
            let fates = portions.into_iter().map(async |mut portion| {
                let fate = push(pusher.clone(), &portion, claim.clone(), halt.clone()).await;
                // What was sent is not needed for the record; others of the group may be waited for.
                portion.batch = Batch::default();
                (portion, fate)
            });
            let portions = join_all(fates).await;
            // Added up here: whoever records has a group before this one to record meanwhile.
            Answered { in_flight, verdicts: Verdicts::on(&portions, attributes), portions }
        }));
        self.flying.push_back(AbortOnDropHandle::new(task));
    }

    /// Waits, once, until the sends of the run before are settled in Braze.
    async fn settle(&mut self) -> Result<(), Stopped> {
        if !std::mem::replace(&mut self.is_settled, true)
            && let Some(until) = self.plan.settled_at
        {
            wait_until(self.rooms, self.lease, self.claim, Phase::Settling, until).await?;
        }
        Ok(())
    }

    /// Records a group whose portions are all answered, and sends the next; one that is not ends the run.
    async fn record(&mut self, answered: Answered, next: Option<Vec<Portion>>) -> Result<(), Stopped> {
        let ended = answered.portions.iter().find_map(|(_, fate)| match fate {
            Fate::Answered(_) | Fate::Unsent(_) | Fate::InDoubt(_) => None,
            Fate::Ended(stop, _) => Some(self.failure(stop)),
        });
        match ended {
            None if answered.is_whole() => {
                let mark = self.write_down(answered, true, next.as_deref().unwrap_or_default()).await?;
                if let Some(next) = next {
                    self.fly(next, mark);
                }
                Ok(())
            }
            ended => {
                self.halt.cancel();
                let stopped = ended.unwrap_or(Stopped::Draining);
                self.write_down(answered, stopped.is_final(), &[]).await?;
                Err(stopped)
            }
        }
    }

    fn failure(&self, stop: &Stop) -> Stopped {
        let destination = &self.rooms.sync.destination;
        match stop {
            Stop::Fatal(fatal) => Stopped::Failed {
                error: crate::run::RunError {
                    code: fatal.code().to_owned(),
                    message: format!("destination {destination}: {fatal}"),
                    retryable: false,
                },
                blocks: fatal.blocks(),
            },
            Stop::GaveUp => Stopped::failed(
                "gave_up",
                format!("destination {destination}: nothing but failures for longer than give_up_after"),
                true,
            ),
            Stop::Fenced => Stopped::Draining,
        }
    }

    /// Writes down what is known of a group. Its counts are taken over where `counts`: where it is answered in
    /// full, or nothing will be read again. Else another attempt finds what was accepted by the run's number. Marks
    /// the customers of `next` as in flight with it.
    async fn write_down(
        &mut self,
        answered: Answered,
        counts: bool,
        next: &[Portion],
    ) -> Result<Option<u64>, Stopped> {
        self.is_broken |= !counts;
        let Answered { in_flight, mut portions, verdicts } = answered;
        let updates = portions.iter().map(|(portion, _)| portion.updates() as u64).sum::<u64>();
        self.under_way -= updates;
        portions.iter().for_each(|(_, fate)| add_effort(self.receipt, fate));
        if counts {
            self.receipt.add_verdicts(&verdicts);
            for counted in portions.iter_mut().filter_map(|(portion, _)| portion.counted.take()) {
                self.receipt.count(counted);
            }
        }
        self.receipt.sum_up(&self.names);
        let progress = self.progress();
        let records = Records::of(&portions, &self.names);
        let (ledger, target) = (&self.rooms.ledger, self.plan.target.number);
        let span = trace::part("record");
        span.set("updates", i64::try_from(updates).unwrap_or(i64::MAX));
        let recording = persist(self.claim, || {
            let group = Group {
                in_flight,
                sent: records.sent.clone(),
                rejections: records.rejections.clone(),
                cleared: records.cleared.clone(),
                next: next.iter().flat_map(Portion::keys).collect(),
                checkpoint: self.receipt.checkpoint(),
                progress,
                sent_at: in_flight.map(|_| self.rooms.clock.now()),
            };
            ledger.record_group(self.lease, target, group)
        });
        span.around(recording).await
    }

    /// Waits for what is under way, records it, and returns why the run stopped.
    async fn wind_down(&mut self, stopped: Stopped) -> Result<(), Stopped> {
        self.halt.cancel();
        if matches!(stopped, Stopped::LeaseLost) {
            return Err(stopped);
        }
        while !self.flying.is_empty() {
            let answered = first_answered(&mut self.flying).await?;
            let counts = stopped.is_final() || (answered.is_whole() && !self.is_broken);
            self.write_down(answered, counts, &[]).await?;
        }
        Err(stopped)
    }

    async fn show_hold(&self, until: Option<chrono::DateTime<chrono::Utc>>) -> Result<(), Stopped> {
        let ledger = &self.rooms.ledger;
        if let Some(until) = until {
            // Whoever comes after a restart must know of it.
            persist(self.claim, || ledger.save_hold(&self.rooms.sync.destination, until)).await?;
        }
        // Whoever takes over must know of it, even if this process dies before its shares are dealt anew.
        persist(self.claim, async || match self.rooms.braze.untold_hold() {
            Some((budget, wait)) => ledger.tell_hold(&budget, wait).await,
            None => Ok(()),
        })
        .await?;
        persist(self.claim, || ledger.show_waiting(self.lease, Phase::Pushing, until)).await
    }

    async fn show_progress(&mut self) -> Result<(), Stopped> {
        let progress = self.progress();
        if self.rooms.braze.hold().borrow().is_some() {
            return Ok(());
        }
        shown(self.rooms.ledger.show_progress(self.lease, progress, None, None).await)
    }

    fn progress(&mut self) -> Progress {
        let done = self.seen.customers().saturating_sub(self.under_way);
        let phase = if self.under_way > 0 { Phase::Pushing } else { Phase::Extracting };
        Progress { phase, ..self.speed.progress(done, self.seen.total()) }
    }
}

impl Answered {
    fn is_whole(&self) -> bool {
        self.portions.iter().all(|(_, fate)| matches!(fate, Fate::Answered(_)))
    }
}

/// The first group's answers, once all of its portions have their fate. Never resolves where none is under way.
async fn first_answered(flying: &mut VecDeque<AbortOnDropHandle<Answered>>) -> Result<Answered, Stopped> {
    let Some(first) = flying.front_mut() else { return std::future::pending().await };
    let joined = first.await;
    flying.pop_front();
    joined.map_err(|joined| match joined.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Stopped::Draining,
    })
}

/// Tries a write of the ledger again while it is out of reach, for as long as the lease lasts.
pub(super) async fn persist<T, F>(claim: &Claim, mut write: impl FnMut() -> F) -> Result<T, Stopped>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let mut wait = LEDGER_RETRY.0;
    loop {
        match write().await {
            Err(error) if error.is_retryable() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "ledger out of reach");
                tokio::select! {
                    () = claim.lost.cancelled() => return Err(Stopped::LeaseLost),
                    () = tokio::time::sleep(wait) => wait = (wait * 2).min(LEDGER_RETRY.1),
                }
            }
            other => return Ok(other?),
        }
    }
}

fn add_effort(receipt: &mut Receipt, fate: &Fate) {
    match fate {
        Fate::Answered(Pushed { requests, retries, bytes_sent, .. })
        | Fate::Unsent(Effort { requests, retries, bytes_sent, .. })
        | Fate::InDoubt(Effort { requests, retries, bytes_sent, .. })
        | Fate::Ended(_, Effort { requests, retries, bytes_sent, .. }) => {
            receipt.add_effort(*requests, *retries, *bytes_sent);
        }
    }
}
