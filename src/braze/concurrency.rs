//! How many requests are in flight: as many as Braze answers without growing slower, never more than configured.
//!
//! It grows by two with every answer, so it up to triples with every round trip, until answers slow down or fail; from
//! then on by one a round trip. Failures halve it; a 429 takes it back to one.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Where a process starts: what other clients of Braze use all the time.
const FIRST: f64 = 8.0;
/// Growth with every answer, until answers slow down or fail. Where they take 100 ms and Braze's whole rate needs 100 in
/// flight, doubling would lose a quarter of a second. The budget holds meanwhile as ever.
const RAMP: f64 = 2.0;
/// Answers this much slower than the fastest, plus [`SLACK`], stop growth…
const SLOW: f64 = 2.0;
/// …and this much slower take some of it back.
const TOO_SLOW: f64 = 4.0;
/// Differences below this are noise of a busy machine, not of Braze.
const SLACK: Duration = Duration::from_millis(25);
/// What is kept when answers are too slow.
const EASE: f64 = 0.8;
/// Weight of the latest answer in the mean.
const LATEST: f64 = 0.1;
/// The fastest answer is forgotten after this long, for routes change, and learned anew from a few requests: at 50 ms
/// a third of a percent of the time.
const FLOOR_LIFE: Duration = Duration::from_secs(60);

/// How a request went, as far as concurrency cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Felt {
    /// Answered.
    Well,
    /// 5xx, timeout, broken connection.
    Failed,
    /// 429.
    Limited,
}

#[derive(Debug)]
pub(super) struct Concurrency {
    state: Mutex<State>,
    /// Wakes the one waiter when a request ends.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    /// As configured.
    most: f64,
    in_flight: usize,
    limit: f64,
    is_ramping: bool,
    /// Requests started before this say nothing new.
    cut_at: Instant,
    /// Fastest answer, seconds, and when that was.
    floor: Option<(f64, Instant)>,
    mean: f64,
}

/// One request in flight. Ends with the request, however that ends.
#[derive(Debug)]
pub(super) struct Slot<'c> {
    concurrency: &'c Concurrency,
    pub(super) started_at: Instant,
}

impl Concurrency {
    pub(super) fn new(most: usize, now: Instant) -> Self {
        let most = at_least_one(most);
        let limit = FIRST.min(most);
        let state =
            State { most, in_flight: 0, limit, is_ramping: true, cut_at: now, floor: None, mean: 0.0 };
        Self { state: Mutex::new(state), ended: Notify::new() }
    }

    /// Allows at most so many from now on.
    pub(super) fn keep_to(&self, most: usize) {
        let mut state = self.state();
        state.most = at_least_one(most);
        state.limit = state.limit.min(state.most);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the concurrency panics")
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// Requests in flight, and how many may be.
    pub(super) fn standing(&self) -> (usize, f64) {
        let state = self.state();
        (state.in_flight, state.limit.floor())
    }

    /// Waits until one more may be in flight. For one waiter at a time.
    pub(super) async fn room(&self) {
        loop {
            {
                let state = self.state();
                #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
                if state.in_flight == 0 || (state.in_flight + 1) as f64 <= state.limit {
                    return;
                }
            }
            self.ended.notified().await;
        }
    }

    /// Waits until a request in flight ends. For one waiter at a time.
    pub(super) async fn an_end(&self) {
        self.ended.notified().await;
    }

    /// Counts a request in.
    pub(super) fn slot(&self, now: Instant) -> Slot<'_> {
        self.state().in_flight += 1;
        Slot { concurrency: self, started_at: now }
    }

    /// Back to one request at a time.
    pub(super) fn collapse(&self, now: Instant) {
        let mut state = self.state();
        (state.limit, state.is_ramping, state.cut_at) = (1.0, true, now);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of connections")]
fn at_least_one(most: usize) -> f64 {
    most.max(1) as f64
}

impl Slot<'_> {
    /// Learns from how the request went.
    pub(super) fn felt(&self, felt: Felt, now: Instant) {
        let mut state = self.concurrency.state();
        match felt {
            Felt::Well => state.answered((now - self.started_at).as_secs_f64(), now),
            Felt::Failed if self.started_at >= state.cut_at => state.cut(0.5, now),
            Felt::Limited => (state.limit, state.is_ramping, state.cut_at) = (1.0, true, now),
            Felt::Failed => {}
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.concurrency.state().in_flight -= 1;
        self.concurrency.ended.notify_one();
    }
}

impl State {
    fn cut(&mut self, keep: f64, now: Instant) {
        self.limit = (self.limit * keep).max(1.0);
        (self.is_ramping, self.cut_at) = (false, now);
    }

    fn answered(&mut self, secs: f64, now: Instant) {
        if self.floor.is_some_and(|(_, at)| now - at >= FLOOR_LIFE) {
            // Under full load the fastest answer would only show the load: a look at Braze nearly alone.
            self.floor = None;
            (self.limit, self.is_ramping, self.cut_at) = (self.limit.min(FIRST), true, now);
        }
        if (now - self.cut_at).as_secs_f64() < secs {
            // Started before the cut: it does not show how Braze takes what comes since.
            return;
        }
        let (floor, at) = self.floor.map_or((secs, now), |(floor, at)| (floor.min(secs), at));
        let is_first = self.floor.replace((floor, at)).is_none();
        self.mean = if is_first { secs } else { self.mean + (secs - self.mean) * LATEST };
        let slack = SLACK.as_secs_f64();
        if self.mean > floor * TOO_SLOW + slack {
            if (now - self.cut_at).as_secs_f64() >= self.mean * 0.9 {
                self.cut(EASE, now);
            }
        } else if self.mean > floor * SLOW + slack {
            self.is_ramping = false;
        } else if self.is_used() {
            let step = if self.is_ramping { RAMP } else { 1.0 / self.limit };
            self.limit = (self.limit + step).min(self.most);
        }
    }

    /// A limit nobody needs does not grow.
    #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
    fn is_used(&self) -> bool {
        self.in_flight as f64 * 2.0 >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps as many requests in flight as it may for `rounds` round trips of `latency` and returns the most seen.
    async fn drive(
        concurrency: &Concurrency,
        rounds: u32,
        latency: impl Fn(usize) -> Duration,
        felt: Felt,
    ) -> usize {
        let mut most = 0;
        for _ in 0..rounds {
            let mut slots = Vec::new();
            while tokio::time::timeout(Duration::ZERO, concurrency.room()).await.is_ok() {
                slots.push(concurrency.slot(Instant::now()));
            }
            most = slots.len();
            tokio::time::sleep(latency(most)).await;
            // All of a round trip answer before the next begins: none has left while another is felt.
            for slot in &slots {
                slot.felt(felt, Instant::now());
            }
        }
        most
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_are_in_flight_within_two_seconds() {
        let concurrency = Concurrency::new(128, Instant::now());
        let began = Instant::now();
        let most = drive(&concurrency, 10, |_| Duration::from_millis(50), Felt::Well).await;
        assert!(most >= 50 && began.elapsed() < Duration::from_secs(2), "{most} after {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_than_configured() {
        let concurrency = Concurrency::new(20, Instant::now());
        assert_eq!(drive(&concurrency, 50, |_| Duration::from_millis(50), Felt::Well).await, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_braze_that_slows_down_gets_fewer() {
        let concurrency = Concurrency::new(128, Instant::now());
        // Serves sixteen at a time; more only wait.
        let latency = |in_flight: usize| Duration::from_millis(50 * in_flight.div_ceil(16) as u64);
        let most = drive(&concurrency, 400, latency, Felt::Well).await;
        assert!((8..=80).contains(&most), "{most}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_of_failures_halves_once() {
        let concurrency = Concurrency::new(128, Instant::now());
        assert_eq!(drive(&concurrency, 5, |_| Duration::from_millis(50), Felt::Well).await, 128);
        drive(&concurrency, 1, |_| Duration::from_millis(50), Felt::Failed).await;
        assert_eq!(drive(&concurrency, 1, |_| Duration::from_millis(50), Felt::Well).await, 64);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_to_what_started_before_a_429_do_not_undo_it() {
        let concurrency = Concurrency::new(128, Instant::now());
        drive(&concurrency, 3, |_| Duration::from_millis(50), Felt::Well).await;
        let slots: Vec<_> = (0..64).map(|_| concurrency.slot(Instant::now())).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        slots[0].felt(Felt::Limited, Instant::now());
        for slot in &slots[1..] {
            slot.felt(Felt::Well, Instant::now());
        }
        drop(slots);
        assert_eq!(drive(&concurrency, 1, |_| Duration::from_millis(50), Felt::Well).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_starts_anew_from_one() {
        let concurrency = Concurrency::new(128, Instant::now());
        drive(&concurrency, 5, |_| Duration::from_millis(50), Felt::Well).await;
        drive(&concurrency, 1, |_| Duration::from_millis(50), Felt::Limited).await;
        assert_eq!(drive(&concurrency, 1, |_| Duration::from_millis(50), Felt::Well).await, 1);
        assert_eq!(drive(&concurrency, 2, |_| Duration::from_millis(50), Felt::Well).await, 7);
    }
}
