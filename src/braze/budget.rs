//! How many requests a workspace may still take, and when the next may start.
//!
//! Three bounds hold at once. Requests are *paced* at the even rate of the limit, with a small burst, so no window
//! ever starts or ends with a rush. A *ring* of the last starts makes the sliding bound exact: the start that would
//! be one too many in any window waits until the oldest has left it. And what Braze tells of its own window is
//! believed: where nothing remains, nothing starts, before a 429 has to say so.
//!
//! A process that has the budget to itself starts as if the window were spent evenly, which is how its predecessor
//! spent it. Where replicas have it together, each keeps to its share, and starts nothing without one.

mod hour;
mod share;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::announced::Told;
use crate::clock::Moment;
use crate::share::{Ask, Dealt};
use hour::Hour;
use share::Share;

pub use share::Standing;

/// The window of the burst limit. Source: Braze docs, Rate limits: requests per 3 seconds. A little longer here,
/// so that requests which catch up with each other on the way are not one too many there.
const WINDOW: Duration = Duration::from_millis(3_006);
/// How far starts may lag behind the even pace and still catch up: a busy machine's scheduling delay.
const BURST: Duration = Duration::from_millis(25);
/// A window told to end later than this is not the burst window.
const TOLD_BURST: Duration = Duration::from_secs(4);
/// Ends of windows told this close to each other are the same end, rounded.
const SAME_END: Duration = Duration::from_millis(1_500);

/// Whether a request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It may, and is counted.
    Granted,
    /// Not before this instant.
    NotBefore(Instant),
    /// Not before this process is dealt a share.
    NoShare,
    /// Not before this instant: the hour's budget is spent.
    HourSpent(Instant),
    /// Not before this instant: Braze says nothing remains.
    NothingRemains(Instant),
    /// Not before a request in flight is answered, or this instant: those in flight may take what remains.
    MayBeTaken(Instant),
}

#[derive(Debug)]
pub(super) struct Budget {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    configured: u32,
    /// Requests per window now: as configured, or as Braze tells if that is less.
    limit: u32,
    /// What the limit counts in.
    window: Duration,
    /// Starts in the last window, oldest first.
    ring: VecDeque<Instant>,
    /// When the even pace has the next start.
    due: Instant,
    hour: Option<Hour>,
    /// Of a budget that replicas have together; it knows of the hour too.
    share: Option<Share>,
    remaining: Option<Remaining>,
}

#[derive(Clone, Copy, Debug)]
struct Remaining {
    requests: u32,
    until: Instant,
}

impl Budget {
    pub(super) fn new(per_3s: u32, per_hour: Option<u32>, now: Instant) -> Self {
        let limit = per_3s.max(1);
        let spacing = WINDOW / limit;
        let spent = (0..limit).rev().filter_map(|ago| now.checked_sub(spacing * ago)).collect();
        let hour = per_hour.map(|limit| Hour::new(limit, now));
        let state = State {
            configured: limit,
            limit,
            window: WINDOW,
            ring: spent,
            due: now + spacing,
            hour,
            share: None,
            remaining: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// One that replicas have together: nothing starts before a share is dealt.
    pub(super) fn shared(per_3s: u32, per_hour: Option<u32>, now: Instant) -> Self {
        let (limit, share) = (per_3s.max(1), Some(Share::new(per_hour.map(|limit| limit.max(1)), now)));
        let (ring, window) = (VecDeque::new(), crate::share::WINDOW);
        let state =
            State { configured: limit, limit, window, ring, due: now, hour: None, share, remaining: None };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the budget panics")
    }

    /// Keeps to other limits from now on. What was started counts towards them.
    pub(super) fn keep_to(&self, per_3s: u32, per_hour: Option<u32>, now: Instant) {
        let mut state = self.state();
        let (before, after) = (state.configured, per_3s.max(1));
        state.configured = after;
        // A lower limit that Braze told stays.
        state.limit = if state.limit == before { after } else { state.limit.min(after) };
        if let Some(share) = &mut state.share {
            share.keep_to(per_hour.map(|limit| limit.max(1)));
            return;
        }
        let hour = state.hour.take();
        state.hour = per_hour.map(|limit| hour.unwrap_or_else(|| Hour::new(limit, now)).under(limit));
    }

    /// When what was just granted may no longer be sent.
    pub(super) fn until(&self) -> Option<Moment> {
        self.state().share.as_ref().map(Share::until)
    }

    /// What to ask for, of a budget that replicas have together. `hold` is what the others must hear of.
    pub(super) fn ask(&self, hold: Option<Duration>, now: Instant) -> Option<Ask> {
        let mut state = self.state();
        let (limit, in_window) = (state.limit, state.in_window(now));
        state.share.as_mut().map(|share| share.ask(limit, in_window, hold, now))
    }

    /// Takes in what was dealt to an ask that began at `asked`.
    pub(super) fn dealt(&self, dealt: &Dealt, asked: Moment, now: Instant) -> Standing {
        let mut state = self.state();
        let Some(share) = &mut state.share else { return Standing::Idle };
        let standing = share.dealt(dealt, asked, now);
        if let Some(spacing) = state.window.checked_div(dealt.share) {
            // A larger share does not wait for the pace of a smaller one.
            state.due = state.due.min(now + spacing);
        }
        standing
    }

    /// Starts nothing any more.
    pub(super) fn give_back(&self) {
        if let Some(share) = &mut self.state().share {
            share.give_back();
        }
    }

    /// Asks for a start at `now`, with `in_flight` requests not yet answered.
    pub(super) fn take(&self, now: Instant, in_flight: usize) -> Leave {
        self.state().take(now, in_flight)
    }

    /// Requests that may still start now, by window: `3s`, `hour` where it has a share, and what Braze `told` remains.
    pub(super) fn left(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let state = self.state();
        let in_window = state.ring.iter().rev().take_while(|start| **start + state.window > now).count();
        let most = state.share.as_ref().map_or(state.limit, Share::requests);
        let mut left = vec![("3s", u64::from(most).saturating_sub(in_window as u64))];
        let of_hour = state.hour.as_ref().map(|hour| u64::from(hour.left(now)));
        left.extend(
            of_hour.or_else(|| state.share.as_ref()?.left_of_hour()).map(|of_hour| ("hour", of_hour)),
        );
        let told = state.remaining.filter(|known| known.until > now);
        left.extend(told.map(|known| ("told", u64::from(known.requests))));
        left
    }

    /// Takes in what an answer tells of Braze's window.
    pub(super) fn learn(&self, told: &Told, now: Instant, wall: DateTime<Utc>) {
        let Some(wait) = told.reset.closest_wait(wall) else { return };
        let mut state = self.state();
        if wait <= TOLD_BURST
            && let Some(limit) = told.limit
        {
            state.limit = limit.clamp(1, state.configured);
        }
        let until = now + wait;
        let requests = match state.remaining {
            // Answers overtake each other: within a window the least is the truth.
            Some(known) if distance(known.until, until) <= SAME_END => known.requests.min(told.remaining),
            _ => told.remaining,
        };
        state.remaining = Some(Remaining { requests, until });
    }
}

fn distance(a: Instant, b: Instant) -> Duration {
    a.max(b) - a.min(b)
}

impl State {
    fn take(&mut self, now: Instant, in_flight: usize) -> Leave {
        if let Some(leave) = self.remaining_bound(now, in_flight) {
            return leave;
        }
        if let Some(leave) = self.share.as_mut().and_then(|share| share.bound(now)) {
            return leave;
        }
        if let Some(at) = self.hour.as_mut().and_then(|hour| hour.free_at(now)) {
            return Leave::HourSpent(at);
        }
        let at = self.window_free_at(now).max(self.due - BURST.min(self.due - now.min(self.due)));
        if at > now {
            if let Some(share) = &mut self.share {
                share.waits(at - now);
            }
            return Leave::NotBefore(at);
        }
        self.count(now);
        Leave::Granted
    }

    fn remaining_bound(&mut self, now: Instant, in_flight: usize) -> Option<Leave> {
        let Remaining { requests, until } = self.remaining.filter(|known| known.until > now)?;
        if requests == 0 {
            return Some(Leave::NothingRemains(until));
        }
        (in_flight >= requests as usize).then_some(Leave::MayBeTaken(until))
    }

    /// Requests per window of this process.
    fn rate(&self) -> u32 {
        self.share.as_ref().map_or(self.limit, |share| share.requests().clamp(1, self.limit))
    }

    /// How many starts the last window holds.
    fn in_window(&mut self, now: Instant) -> usize {
        while self.ring.front().is_some_and(|start| *start + self.window <= now) {
            self.ring.pop_front();
        }
        self.ring.len()
    }

    /// When the window holds fewer starts than the limit.
    fn window_free_at(&mut self, now: Instant) -> Instant {
        match self.in_window(now).checked_sub(self.rate() as usize) {
            Some(beyond) => self.ring[beyond] + self.window,
            None => now,
        }
    }

    fn count(&mut self, now: Instant) {
        self.ring.push_back(now);
        self.due = self.due.max(now) + self.window / self.rate();
        if let Some(share) = &mut self.share {
            share.count();
        }
        if let Some(hour) = &mut self.hour {
            hour.count(now);
        }
    }
}

#[cfg(test)]
mod many;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together;
