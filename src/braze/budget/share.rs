//! This process's share of a budget that replicas have together.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::Leave;
use crate::clock::Moment;
use crate::share::{Ask, Dealt, HourAsk, MARGIN, WINDOW};

/// Below this, the starts since the last ask say little about the pace.
const TELLING: Duration = Duration::from_millis(250);

/// What this process may start, and what it has use for.
#[derive(Debug)]
pub(super) struct Share {
    holder: Uuid,
    /// Requests per window, until it runs out.
    requests: u32,
    until: Moment,
    per_hour: Option<u32>,
    /// Requests started, and that may be started, counted from the beginning.
    used: u64,
    up_to: u64,
    /// The hour has nothing left until then.
    hour_from: Option<Instant>,
    asked: Asked,
    is_given_back: bool,
}

/// What was said at the last ask, and what has happened since.
#[derive(Debug)]
struct Asked {
    at: Instant,
    wants: u32,
    keeping: u32,
    keeping_hour: u64,
    started: u32,
    waited: Duration,
    /// A request found no share at all.
    is_out: bool,
}

impl Asked {
    fn new(at: Instant, wants: u32, keeping: u32, keeping_hour: u64) -> Self {
        Self { at, wants, keeping, keeping_hour, started: 0, waited: Duration::ZERO, is_out: false }
    }
}

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The share became smaller: others wait to hear that this process keeps to it.
    Lowered,
    /// It has what it has use for.
    Served,
    /// Others have to give something up first.
    Short,
    /// Nothing is wanted and nothing held.
    Idle,
}

impl Share {
    pub(super) fn new(per_hour: Option<u32>, now: Instant) -> Self {
        let asked = Asked::new(now, 0, 0, 0);
        let until = Moment::now();
        Self {
            holder: Uuid::new_v4(),
            requests: 0,
            until,
            per_hour,
            used: 0,
            up_to: 0,
            hour_from: None,
            asked,
            is_given_back: false,
        }
    }

    pub(super) fn keep_to(&mut self, per_hour: Option<u32>) {
        self.per_hour = per_hour;
    }

    /// Requests per window.
    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    /// When it runs out.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    /// Requests that may still start of the hour's share; none where the hour has no bound.
    pub(super) fn left_of_hour(&self) -> Option<u64> {
        self.per_hour.map(|_| self.up_to.saturating_sub(self.used))
    }

    /// Why nothing may start, if nothing may.
    pub(super) fn bound(&mut self, now: Instant) -> Option<Leave> {
        let is_of_the_hour = self.per_hour.is_some() && self.used >= self.up_to;
        if let Some(at) = self.hour_from.filter(|at| is_of_the_hour && *at > now) {
            return Some(Leave::HourSpent(at));
        }
        if self.requests == 0 || is_of_the_hour || self.until.has_passed() {
            self.asked.is_out = true;
            return Some(Leave::NoShare);
        }
        None
    }

    pub(super) fn count(&mut self) {
        self.used += 1;
        self.asked.started += 1;
    }

    /// A request waits for so long because the share is no larger.
    pub(super) fn waits(&mut self, wait: Duration) {
        self.asked.waited += wait;
    }

    /// What to say to the table, `in_window` requests having started in the last window. From here on this process
    /// keeps to what it says.
    pub(super) fn ask(&mut self, limit: u32, in_window: usize, hold: Option<Duration>, now: Instant) -> Ask {
        if self.until.has_passed() {
            (self.requests, self.up_to) = (0, self.used);
        }
        let wants = self.wants(limit, in_window, now);
        let (keeping, keeping_hour) = (self.requests, self.up_to);
        self.asked = Asked::new(now, wants, keeping, keeping_hour);
        let hour = self.per_hour.map(|limit| HourAsk { limit, used: self.used, keeping: keeping_hour });
        Ask { holder: self.holder, keeping, wants, limit, hour, hold }
    }

    /// All there is, where requests mostly wait for the share; else a little more than they use.
    fn wants(&self, limit: u32, in_window: usize, now: Instant) -> u32 {
        if self.is_given_back {
            return 0;
        }
        let since = now - self.asked.at;
        if self.asked.is_out || (self.asked.waited * 2 >= since && !self.asked.waited.is_zero()) {
            return limit;
        }
        let in_window = u32::try_from(in_window).unwrap_or(u32::MAX);
        let pace = if since < TELLING { 0.0 } else { WINDOW.as_secs_f64() / since.as_secs_f64() };
        let used = in_window.max((f64::from(self.asked.started) * pace) as u32);
        if used == 0 {
            return 0;
        }
        // In steps, so that small changes move nothing: what is moved lies idle for a window.
        let step = limit / 50 + 1;
        used.saturating_add(used / 4).div_ceil(step).saturating_mul(step).saturating_add(step).min(limit)
    }

    /// Takes in what was dealt to an ask that began at `asked`.
    pub(super) fn dealt(&mut self, dealt: &Dealt, asked: Moment, now: Instant) -> Standing {
        let before = (self.asked.keeping, self.asked.keeping_hour);
        self.requests = dealt.share;
        self.until = asked + dealt.lasts.saturating_sub(MARGIN);
        self.up_to = dealt.hour.map_or(self.used, |hour| hour.up_to);
        self.hour_from = dealt.hour.and_then(|hour| hour.more_in).map(|wait| now + wait);
        let is_less_of_the_hour = self.per_hour.is_some() && self.up_to < before.1;
        match dealt {
            _ if dealt.share < before.0 || is_less_of_the_hour => Standing::Lowered,
            _ if self.asked.wants == 0 => Standing::Idle,
            // Of fewer requests than holders nothing is due, by turns.
            _ if dealt.share < dealt.due || dealt.share == 0 => Standing::Short,
            _ => Standing::Served,
        }
    }

    /// Gives all of it back: nothing starts any more, and nothing is asked for.
    pub(super) fn give_back(&mut self) {
        (self.requests, self.up_to) = (0, self.used);
        self.is_given_back = true;
    }
}
