//! Moments by this machine's own clocks, which never jump: what leases and shares run out by.

use std::ops::Add;
use std::time::Duration;

use tokio::time::Instant;

/// A moment, by two clocks at once: tokio's, which tests pause, and one that goes on while the machine is suspended.
/// What either of them says has passed has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    by_tokio: Instant,
    since_boot: Duration,
}

impl Moment {
    /// The present one.
    pub fn now() -> Self {
        Self { by_tokio: Instant::now(), since_boot: since_boot() }
    }

    /// How long until then; nothing once it has passed.
    pub fn remaining(self) -> Duration {
        self.remaining_at(Self::now())
    }

    /// Whether it has come.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    fn remaining_at(self, now: Self) -> Duration {
        let by_tokio = self.by_tokio.saturating_duration_since(now.by_tokio);
        by_tokio.min(self.since_boot.saturating_sub(now.since_boot))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self { by_tokio: self.by_tokio + time, since_boot: self.since_boot + time }
    }
}

/// Time since the machine started, suspended or not. Source: clock_gettime(2), `CLOCK_BOOTTIME`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> Duration {
    read(rustix::time::ClockId::Boottime)
}

/// The nearest: on macOS this clock counts sleep too, on others it may stand still.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn since_boot() -> Duration {
    read(rustix::time::ClockId::Monotonic)
}

#[cfg(unix)]
fn read(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(secs.unwrap_or(0), nanos.unwrap_or(0))
}

/// The nearest: the performance counter goes on during sleep.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_moment_passes_by_the_clock_that_tests_turn() {
        let then = Moment::now() + 20 * SECOND;
        assert!(then.remaining() > 19 * SECOND && !then.has_passed());
        tokio::time::advance(20 * SECOND).await;
        assert!(then.has_passed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_passes_while_the_machine_is_suspended() {
        let now = Moment::now();
        let then = now + 20 * SECOND;
        let woken = Moment { by_tokio: now.by_tokio + SECOND, since_boot: now.since_boot + 20 * SECOND };
        assert_eq!(then.remaining_at(woken), Duration::ZERO);
        let not_suspended = now + SECOND;
        assert_eq!(then.remaining_at(not_suspended), 19 * SECOND);
    }

    #[test]
    fn the_machine_s_clock_goes_on() {
        let earlier = since_boot();
        assert!(!earlier.is_zero());
        while since_boot() == earlier {}
        assert!(since_boot() > earlier);
    }
}
