//! The one gate every request to the workspace goes through, whichever run it is for.
//!
//! Requests queue in order; only the first waits on the hold, on concurrency and on the budget, so however many
//! wait, one timer runs. Leave is given without a pause between the last look at the hold and the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::announced::{Announced, Told};
use super::breaker::Breaker;
use super::budget::{Budget, Leave, Standing};
use super::chance::Chance;
use super::concurrency::{Concurrency, Felt, Slot};
use super::hold::{HoldReason, Holds};
use super::measure::{self, Wait, Waited};
use super::stake::{Line, Stake};
use super::verdict::Reply;
use crate::clock::{Clock, Moment};
use crate::config;
use crate::share::{Ask, Dealt};

/// Spread over which processes start again after an announced reset, so that they do not all start at once.
const SPREAD: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) holds: Holds,
    pub(super) breaker: Breaker,
    pub(super) chance: Chance,
    /// The destination's name, for logs.
    name: String,
    turnstile: tokio::sync::Mutex<()>,
    concurrency: Concurrency,
    budget: Budget,
    clock: Clock,
    waited: Waited,
    /// Where replicas have the budget together.
    line: Option<Line>,
    has_given_stake: AtomicBool,
}

/// How the gate stands, for whoever watches.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) in_flight: usize,
    pub(super) concurrency: f64,
    pub(super) hold: Duration,
    pub(super) failing: Duration,
    /// Requests that may still start, by window.
    pub(super) left: Vec<(&'static str, u64)>,
}

/// Leave to start one request.
pub(super) struct Entry<'g> {
    pub(super) slot: Slot<'g>,
    /// When the request may no longer be sent.
    pub(super) until: Option<Moment>,
}

impl Gate {
    pub(super) fn new(name: &str, settings: &config::Destination, clock: Clock, chance: Chance) -> Self {
        let now = Instant::now();
        let (base, cap) = backoff(settings);
        Self {
            holds: Holds::new(clock.clone()),
            breaker: Breaker::new(base, cap, now),
            chance,
            name: name.to_owned(),
            turnstile: tokio::sync::Mutex::new(()),
            concurrency: Concurrency::new(settings.max_in_flight, now),
            budget: Budget::new(settings.requests_per_3s, settings.requests_per_hour, now),
            clock,
            waited: Waited::default(),
            line: None,
            has_given_stake: AtomicBool::new(false),
        }
    }

    /// The same, for a budget that replicas have together.
    pub(super) fn shared(name: &str, settings: &config::Destination, clock: Clock, chance: Chance) -> Self {
        let budget = Budget::shared(settings.requests_per_3s, settings.requests_per_hour, Instant::now());
        Self { budget, line: Some(Line::default()), ..Self::new(name, settings, clock, chance) }
    }

    /// The stake in a budget that replicas have together: once, for whoever deals.
    pub(super) fn stake(self: &Arc<Self>, budget: impl FnOnce() -> String) -> Option<Stake> {
        let calls = self.line.as_ref()?.0.clone();
        let is_given = self.has_given_stake.swap(true, Ordering::Relaxed);
        (!is_given).then(|| Stake { gate: Arc::downgrade(self), calls, budget: budget() })
    }

    /// Keeps to other settings from now on; what was learned and counted stays.
    pub(super) fn keep_to(&self, settings: &config::Destination) {
        let (base, cap) = backoff(settings);
        self.breaker.keep_to(base, cap);
        self.concurrency.keep_to(settings.max_in_flight);
        self.budget.keep_to(settings.requests_per_3s, settings.requests_per_hour, Instant::now());
    }

    /// Waits until a request may start, and counts it. It must start at once.
    pub(super) async fn enter(&self) -> Entry<'_> {
        let _turn = self.turnstile.lock().await;
        loop {
            let is_held = self.holds.until(Instant::now()).is_some();
            let waiting = is_held.then(|| self.waited.during(&self.name, Wait::Hold));
            self.holds.passed().await;
            drop(waiting);
            self.concurrency.room().await;
            let now = Instant::now();
            if self.holds.until(now).is_some() {
                continue;
            }
            match self.budget.take(now, self.concurrency.in_flight()) {
                Leave::Granted => {
                    return Entry { slot: self.concurrency.slot(now), until: self.budget.until() };
                }
                Leave::NotBefore(at) => {
                    let _waiting = self.waited.during(&self.name, Wait::Pace);
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.another_share() => {}
                    }
                }
                Leave::NoShare => {
                    if let Some(Line(calls)) = &self.line {
                        calls.wanted.notify_one();
                    }
                    let _waiting = self.waited.during(&self.name, Wait::Pace);
                    self.another_share().await;
                }
                Leave::HourSpent(at) => self.holds.extend(at - now, HoldReason::BudgetHour),
                Leave::NothingRemains(at) => self.hold_all(at - now, HoldReason::AnnouncedReset),
                Leave::MayBeTaken(at) => {
                    // Either way, the next look decides.
                    let _ = tokio::time::timeout_at(at, self.concurrency.an_end()).await;
                }
            }
        }
    }

    /// Takes in how a request went.
    pub(super) fn heard(&self, slot: &Slot<'_>, reply: &Reply, told: Option<Told>) {
        let now = Instant::now();
        measure::answered(&self.name, reply, slot.started_at);
        match reply {
            Reply::RateLimited(announced) => self.limited(slot, *announced, now),
            Reply::Down => self.failed(slot, now),
            _ => {
                slot.felt(Felt::Well, now);
                self.breaker.answered();
                if let Some(told) = told {
                    self.budget.learn(&told, now, self.clock.now());
                }
            }
        }
    }

    /// How it stands now.
    pub(super) fn figures(&self) -> Figures {
        let now = Instant::now();
        let (in_flight, concurrency) = self.concurrency.standing();
        Figures {
            in_flight,
            concurrency,
            hold: self.holds.until(now).map_or(Duration::ZERO, |until| until - now),
            failing: self.breaker.failing_since().map_or(Duration::ZERO, |since| now - since),
            left: self.budget.left(now),
        }
    }

    fn limited(&self, slot: &Slot<'_>, announced: Option<Announced>, now: Instant) {
        slot.felt(Felt::Limited, now);
        self.breaker.unbroken_no_more();
        let (wait, why) = match announced.and_then(|announced| announced.wait(self.clock.now())) {
            Some(wait) => (Some(wait + self.chance.up_to(SPREAD)), HoldReason::AnnouncedReset),
            None => (self.breaker.limited(slot.started_at, now, &self.chance), HoldReason::Backoff),
        };
        if let Some(wait) = wait {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let is_announced = why == HoldReason::AnnouncedReset;
            tracing::info!(
                destination = self.name,
                status = 429,
                wait_ms,
                is_announced,
                "Braze's rate limit reached"
            );
            self.hold_all(wait, why);
        }
    }

    /// Nothing for `wait` from now, by any replica.
    fn hold_all(&self, wait: Duration, why: HoldReason) {
        // First: whoever sees the hold finds that it has to be told.
        if let Some(Line(calls)) = &self.line {
            calls.tell_hold(wait);
        }
        self.holds.extend(wait, why);
    }

    /// How long nothing may be sent, as this process heard itself and others may not know yet.
    pub(super) fn untold_hold(&self) -> Option<Duration> {
        let Line(calls) = self.line.as_ref()?;
        calls.untold().map(Moment::remaining).filter(|wait| !wait.is_zero())
    }

    async fn another_share(&self) {
        match &self.line {
            Some(Line(calls)) => calls.changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// What to ask for, of a budget that replicas have together.
    pub(super) fn ask(&self, hold: Option<Duration>) -> Option<Ask> {
        self.budget.ask(hold, Instant::now())
    }

    /// Takes in what was dealt to an ask that began at `asked`.
    pub(super) fn dealt(&self, dealt: &Dealt, asked: Moment) -> Standing {
        let now = Instant::now();
        if let Some(wait) = dealt.hold
            && self.holds.until(now).is_none_or(|until| until < now + wait)
        {
            // Another replica heard it: this one starts again with one request, too.
            self.concurrency.collapse(now);
            self.holds.extend(wait + self.chance.up_to(SPREAD), HoldReason::AnnouncedReset);
        }
        let standing = self.budget.dealt(dealt, asked, now);
        if let Some(Line(calls)) = &self.line {
            calls.changed.notify_one();
        }
        standing
    }

    /// Starts nothing any more.
    pub(super) fn give_back(&self) {
        self.budget.give_back();
    }

    fn failed(&self, slot: &Slot<'_>, now: Instant) {
        slot.felt(Felt::Failed, now);
        if let Some(pause) = self.breaker.failed(slot.started_at, now, &self.chance) {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                destination = self.name,
                pause_ms,
                "Braze fails again and again: one request at a time"
            );
            self.concurrency.collapse(now);
            self.holds.extend(pause, HoldReason::Backoff);
        }
    }

    /// Restores a hold from before this process.
    pub(super) fn hold_until(&self, until: chrono::DateTime<Utc>) {
        if let Some(wait) = (Announced::At { reset: until, date: None }).wait(self.clock.now()) {
            self.holds.extend(wait, HoldReason::AnnouncedReset);
        }
    }
}

fn backoff(settings: &config::Destination) -> (Duration, Duration) {
    (Duration::from_millis(settings.retry_base_ms), Duration::from_secs(settings.retry_cap_secs))
}
