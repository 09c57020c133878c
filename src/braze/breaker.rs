//! What unbroken failure leads to: fewer retries, then one request at a time with growing pauses.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;

/// Failures in a row after which the workspace counts as down: more than a broken connection or two.
const TRIPS_AFTER: u32 = 5;
/// What each answered request earns towards retries, so that they stay a tenth of the traffic.
const EARNED: f64 = 0.1;
/// Retries that may be saved up.
const SAVED: f64 = 10.0;
/// Retries a second that need not be earned, so that the last failures of a run do not wait for traffic that never
/// comes: a hundredth of the default rate.
const TRICKLE_PER_SEC: f64 = 10.0;
/// First and longest wait after a 429 that announces nothing.
const UNANNOUNCED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    base: Duration,
    cap: Duration,
    in_a_row: u32,
    failing_since: Option<Instant>,
    /// Pauses since the last answer.
    trips: u32,
    /// 429s without an announcement since the last answer.
    limits: u32,
    /// Requests started before this say nothing new.
    paused_at: Instant,
    retries: f64,
    retries_at: Instant,
}

impl Breaker {
    pub(super) fn new(base: Duration, cap: Duration, now: Instant) -> Self {
        let state = State {
            base,
            cap,
            in_a_row: 0,
            failing_since: None,
            trips: 0,
            limits: 0,
            paused_at: now,
            retries: SAVED,
            retries_at: now,
        };
        Self { state: Mutex::new(state) }
    }

    /// Waits as other settings say from now on.
    pub(super) fn keep_to(&self, base: Duration, cap: Duration) {
        let mut state = self.state();
        (state.base, state.cap) = (base, cap);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the breaker panics")
    }

    /// Braze answered, whatever it said.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        (state.in_a_row, state.failing_since, state.trips, state.limits) = (0, None, 0, 0);
        state.retries = (state.retries + EARNED).min(SAVED);
    }

    /// Braze said 429 without saying until when: how long to wait, if that is new.
    pub(super) fn limited(&self, started_at: Instant, now: Instant, chance: &Chance) -> Option<Duration> {
        let mut state = self.state();
        if started_at < state.paused_at {
            return None;
        }
        state.limits += 1;
        state.paused_at = now;
        Some(chance.backoff(UNANNOUNCED.0, UNANNOUNCED.1, state.limits).max(UNANNOUNCED.0))
    }

    /// A 429 is an answer: the failure is not unbroken.
    pub(super) fn unbroken_no_more(&self) {
        let mut state = self.state();
        (state.in_a_row, state.failing_since, state.trips) = (0, None, 0);
    }

    /// A request failed: how long to pause, if that is due.
    pub(super) fn failed(&self, started_at: Instant, now: Instant, chance: &Chance) -> Option<Duration> {
        let mut state = self.state();
        state.in_a_row += 1;
        state.failing_since.get_or_insert(now);
        if state.in_a_row < TRIPS_AFTER || started_at < state.paused_at {
            return None;
        }
        let pause = chance.backoff(state.base, state.cap, state.trips);
        state.trips += 1;
        state.paused_at = now;
        Some(pause)
    }

    /// Since when there was nothing but failure.
    pub(super) fn failing_since(&self) -> Option<Instant> {
        self.state().failing_since
    }

    /// How long to wait before the `attempt`th retry of one payload.
    pub(super) fn backoff(&self, attempt: u32, chance: &Chance) -> Duration {
        let state = self.state();
        chance.backoff(state.base, state.cap, attempt)
    }

    /// Takes leave for one retry, or says when to ask again.
    pub(super) fn retry(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let trickled = (now - state.retries_at).as_secs_f64() * TRICKLE_PER_SEC;
        // Only up to the next one: the trickle is not saved up.
        state.retries = state.retries.max((state.retries + trickled).min(1.0));
        state.retries_at = now;
        if state.retries >= 1.0 {
            state.retries -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - state.retries) / TRICKLE_PER_SEC);
        // Timers tick in milliseconds: asking a fraction too early would ask twice.
        Err(wait + Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Duration::from_millis(500), Duration::from_secs(60), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_pause_and_an_answer_forgets_them() {
        let (breaker, chance) = (breaker(), Chance::seeded(1));
        let now = Instant::now();
        for _ in 0..4 {
            assert_eq!(breaker.failed(now, now, &chance), None);
        }
        breaker.answered();
        for _ in 0..4 {
            assert_eq!(breaker.failed(now, now, &chance), None);
        }
        assert!(breaker.failed(now, now, &chance).is_some());
        assert_eq!(breaker.failing_since(), Some(now));
        breaker.answered();
        assert_eq!(breaker.failing_since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_together_pause_once() {
        let (breaker, chance) = (breaker(), Chance::seeded(1));
        let started_at = Instant::now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let pauses = (0..128).filter_map(|_| breaker.failed(started_at, Instant::now(), &chance)).count();
        assert_eq!(pauses, 1);
        let limited = (0..128).filter_map(|_| breaker.limited(started_at, Instant::now(), &chance)).count();
        assert_eq!(limited, 0);
        let wait = breaker.limited(Instant::now(), Instant::now(), &chance).expect("new");
        assert!((UNANNOUNCED.0..=UNANNOUNCED.1).contains(&wait));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_stay_a_tenth_of_the_traffic_and_a_trickle() {
        let breaker = breaker();
        while breaker.retry(Instant::now()).is_ok() {}
        (0..50).for_each(|_| breaker.answered());
        let granted = (0..50).filter(|_| breaker.retry(Instant::now()).is_ok()).count();
        assert!((4..=5).contains(&granted), "{granted}");
        let wait = breaker.retry(Instant::now()).expect_err("spent");
        tokio::time::sleep(wait).await;
        assert_eq!(breaker.retry(Instant::now()), Ok(()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(breaker.retry(Instant::now()), Ok(()));
        assert!(breaker.retry(Instant::now()).is_err());
    }
}
