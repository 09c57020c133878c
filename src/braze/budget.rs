//! How many requests a workspace may still take, and when the next may start.
//!
//! Three bounds hold at once. Requests are *paced* at the even rate of the limit, with a small burst, so no window
//! ever starts or ends with a rush. A *ring* of the last starts makes the sliding bound exact: the start that would
//! be one too many in any window waits until the oldest has left it. And what Braze tells of its own window is
//! believed: where nothing remains, nothing starts, before a 429 has to say so.
//!
//! A process starts as if the window were spent evenly, which is how its predecessor spent it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::announced::Told;

/// The window of the burst limit. Source: Braze docs, Rate limits: requests per 3 seconds. A little longer here,
/// so that requests which catch up with each other on the way are not one too many there.
const WINDOW: Duration = Duration::from_millis(3_006);
/// How far starts may lag behind the even pace and still catch up: a busy machine's scheduling delay.
const BURST: Duration = Duration::from_millis(25);
/// A window told to end later than this is not the burst window.
const TOLD_BURST: Duration = Duration::from_secs(4);
/// Ends of windows told this close to each other are the same end, rounded.
const SAME_END: Duration = Duration::from_millis(1_500);
/// The hour's bound slides too, and so holds for every clock hour, by which Braze counts. In whole seconds: a
/// second leaves when all of it is an hour old.
const HOUR_SECS: u64 = 3_600;

/// Whether a request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It may, and is counted.
    Granted,
    /// Not before this instant.
    NotBefore(Instant),
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
    /// Starts in the last window, oldest first.
    ring: VecDeque<Instant>,
    /// When the even pace has the next start.
    due: Instant,
    hour: Option<Hour>,
    remaining: Option<Remaining>,
}

#[derive(Debug)]
struct Hour {
    limit: u32,
    from: Instant,
    used: u32,
    /// Starts by second since `from`, oldest first.
    seconds: VecDeque<(u64, u32)>,
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
        let state =
            State { configured: limit, limit, ring: spent, due: now + spacing, hour, remaining: None };
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
        let hour = state.hour.take();
        state.hour = per_hour
            .map(|limit| Hour { limit: limit.max(1), ..hour.unwrap_or_else(|| Hour::new(limit, now)) });
    }

    /// Asks for a start at `now`, with `in_flight` requests not yet answered.
    pub(super) fn take(&self, now: Instant, in_flight: usize) -> Leave {
        self.state().take(now, in_flight)
    }

    /// Requests that may still start now, by window: `3s`, `hour` where it has a share, and what Braze `told` remains.
    pub(super) fn left(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let state = self.state();
        let in_window = state.ring.iter().rev().take_while(|start| **start + WINDOW > now).count();
        let mut left = vec![("3s", u64::from(state.limit).saturating_sub(in_window as u64))];
        if let Some(hour) = &state.hour {
            left.push(("hour", u64::from(hour.limit.saturating_sub(hour.used_at(now)))));
        }
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
        if let Some(at) = self.hour.as_mut().and_then(|hour| hour.free_at(now)) {
            return Leave::HourSpent(at);
        }
        let at = self.window_free_at(now).max(self.due - BURST.min(self.due - now.min(self.due)));
        if at > now {
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

    /// When the window holds fewer starts than the limit.
    fn window_free_at(&mut self, now: Instant) -> Instant {
        while self.ring.front().is_some_and(|start| *start + WINDOW <= now) {
            self.ring.pop_front();
        }
        match self.ring.len().checked_sub(self.limit as usize) {
            Some(beyond) => self.ring[beyond] + WINDOW,
            None => now,
        }
    }

    fn count(&mut self, now: Instant) {
        self.ring.push_back(now);
        self.due = self.due.max(now) + WINDOW / self.limit;
        if let Some(hour) = &mut self.hour {
            hour.count(now);
        }
    }
}

impl Hour {
    fn new(limit: u32, now: Instant) -> Self {
        Self { limit: limit.max(1), from: now, used: 0, seconds: VecDeque::new() }
    }

    fn second(&self, now: Instant) -> u64 {
        (now - self.from).as_secs()
    }

    /// Starts in the hour before `now`.
    fn used_at(&self, now: Instant) -> u32 {
        let second = self.second(now);
        let over = self.seconds.iter().take_while(|(oldest, _)| oldest + HOUR_SECS < second);
        self.used - over.map(|(_, count)| count).sum::<u32>()
    }

    fn free_at(&mut self, now: Instant) -> Option<Instant> {
        let second = self.second(now);
        while let Some((oldest, count)) = self.seconds.front().copied()
            && oldest + HOUR_SECS < second
        {
            self.used -= count;
            self.seconds.pop_front();
        }
        let (oldest, _) = self.seconds.front().filter(|_| self.used >= self.limit)?;
        Some(self.from + Duration::from_secs(oldest + HOUR_SECS + 1))
    }

    fn count(&mut self, now: Instant) {
        let second = self.second(now);
        self.used += 1;
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::braze::announced::Announced;

    const EXACT_WINDOW: Duration = Duration::from_secs(3);

    /// Starts as many requests as it may for `secs`; the timer fires every `tick`.
    async fn starts(budget: &Budget, secs: u64, tick: Duration) -> Vec<Instant> {
        let (mut starts, end) = (Vec::new(), Instant::now() + Duration::from_secs(secs));
        while Instant::now() < end {
            while budget.take(Instant::now(), 0) == Leave::Granted {
                starts.push(Instant::now());
            }
            tokio::time::sleep(tick).await;
        }
        starts
    }

    fn most_in(starts: &[Instant], window: Duration) -> usize {
        let from = |first: usize| {
            starts[first..].iter().take_while(|start| **start - starts[first] < window).count()
        };
        (0..starts.len()).map(from).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_ever_holds_more_than_the_limit() {
        for (limit, tick) in [(1, 1), (7, 1), (30, 3), (3_000, 1), (3_000, 20)] {
            let budget = Budget::new(limit, None, Instant::now());
            let starts = starts(&budget, 12, Duration::from_millis(tick)).await;
            assert!(most_in(&starts, EXACT_WINDOW) <= limit as usize, "{limit} {tick}");
            assert!(!starts.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_a_second_flow_evenly() {
        let budget = Budget::new(3_000, None, Instant::now());
        let starts = starts(&budget, 10, Duration::from_millis(1)).await;
        assert!(starts.len() >= 9_900, "{}", starts.len());
        assert!(most_in(&starts, Duration::from_millis(100)) <= 130);
    }

    #[tokio::test(start_paused = true)]
    async fn after_rest_there_is_no_rush() {
        let budget = Budget::new(3_000, None, Instant::now());
        tokio::time::sleep(Duration::from_secs(60)).await;
        let starts = starts(&budget, 4, Duration::from_millis(1)).await;
        assert!(most_in(&starts, Duration::from_millis(5)) <= 32);
        assert!(most_in(&starts, EXACT_WINDOW) <= 3_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_process_keeps_its_predecessors_window() {
        for limit in [3, 30, 3_000] {
            let before = Budget::new(limit, None, Instant::now());
            let mut all = starts(&before, 10, Duration::from_millis(1)).await;
            let after = Budget::new(limit, None, Instant::now());
            all.extend(starts(&after, 10, Duration::from_millis(1)).await);
            let burst = (limit / 100) as usize + 1;
            assert!(most_in(&all, EXACT_WINDOW) <= limit as usize + burst, "{limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_hour_holds_more_than_its_share() {
        let budget = Budget::new(3_000, Some(500), Instant::now());
        let starts = starts(&budget, 3 * 3_600, Duration::from_millis(250)).await;
        assert_eq!(most_in(&starts, Duration::from_secs(HOUR_SECS)), 500);
        assert_eq!(starts.len(), 1_500);
        assert!(matches!(budget.take(Instant::now(), 0), Leave::Granted | Leave::HourSpent(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn other_limits_count_what_was_started_before() {
        let budget = Budget::new(3_000, Some(100), Instant::now());
        let mut all = starts(&budget, 1, Duration::from_millis(1)).await;
        assert_eq!(all.len(), 100);
        budget.keep_to(30, Some(400), Instant::now());
        all = starts(&budget, 9, Duration::from_millis(1)).await;
        assert!((60..=90).contains(&all.len()) && most_in(&all, EXACT_WINDOW) <= 30, "{}", all.len());
        budget.keep_to(3_000, Some(400), Instant::now());
        let more = starts(&budget, 10, Duration::from_millis(1)).await;
        assert_eq!(100 + all.len() + more.len(), 400);
    }

    fn told(limit: u32, remaining: u32, reset_secs: u64) -> Told {
        Told { limit: Some(limit), remaining, reset: Announced::In(Duration::from_secs(reset_secs)) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_what_may_still_start() {
        let budget = Budget::new(30, Some(100), Instant::now());
        assert_eq!(budget.left(Instant::now()), [("3s", 0), ("hour", 100)]);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(budget.left(Instant::now()), [("3s", 30), ("hour", 100)]);
        assert_eq!(budget.take(Instant::now(), 0), Leave::Granted);
        budget.learn(&told(30, 7, 3), Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
        assert_eq!(budget.left(Instant::now()), [("3s", 29), ("hour", 99), ("told", 7)]);
        tokio::time::sleep(Duration::from_secs(HOUR_SECS + 1)).await;
        assert_eq!(budget.left(Instant::now()), [("3s", 30), ("hour", 100)]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_when_nothing_remains() {
        let budget = Budget::new(3_000, None, Instant::now());
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (now, wall) = (Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
        budget.learn(&told(100_000, 5, 600), now, wall);
        assert_eq!(budget.take(now, 4), Leave::Granted);
        let reset = now + Duration::from_secs(600);
        assert_eq!(budget.take(now, 5), Leave::MayBeTaken(reset));
        budget.learn(&told(100_000, 0, 600), now, wall);
        budget.learn(&told(100_000, 3, 600), now, wall);
        assert_eq!(budget.take(now, 0), Leave::NothingRemains(reset));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(budget.take(Instant::now(), 0), Leave::Granted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_limit_told_is_kept_to() {
        let budget = Budget::new(3_000, None, Instant::now());
        budget.learn(&told(300, 299, 3), Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let starts = starts(&budget, 9, Duration::from_millis(1)).await;
        assert!(most_in(&starts, EXACT_WINDOW) <= 300);
        assert!(starts.len() >= 880, "{}", starts.len());
    }
}
