//! Jitter from a small generator that tests can seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The step of SplitMix64: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64: spreads retries; nothing secret depends on it.
#[derive(Debug)]
pub(super) struct Chance(AtomicU64);

impl Chance {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeded by the system's random source.
    pub(super) fn fresh() -> Self {
        Self::seeded(uuid::Uuid::new_v4().as_u64_pair().1)
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration from zero up to `most`, to the microsecond.
    pub(super) fn up_to(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.next() % (most + 1))
    }

    /// Full jitter: anything up to `base` doubled `times` times, but no more than `cap`.
    pub(super) fn backoff(&self, base: Duration, cap: Duration, times: u32) -> Duration {
        let most = base.checked_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).unwrap_or(cap).min(cap);
        self.up_to(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_cap_and_fills_its_range() {
        let chance = Chance::seeded(7);
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(60));
        for (times, most) in [(0, 500), (1, 1_000), (3, 4_000), (7, 60_000), (40, 60_000)] {
            let drawn: Vec<_> = (0..1_000).map(|_| chance.backoff(base, cap, times)).collect();
            let most = Duration::from_millis(most);
            assert!(drawn.iter().all(|wait| *wait <= most));
            assert!(
                drawn.iter().any(|wait| *wait > most * 9 / 10) && drawn.iter().any(|wait| *wait < most / 10)
            );
        }
    }
}
