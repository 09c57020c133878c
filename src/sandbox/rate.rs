//! Rate limits: fixed windows aligned to the clock, as Braze resets them, and the headers that tell of them.

use std::collections::HashMap;

use super::route::Route;
use super::settings::Rate;

/// Length of the burst window in seconds. Braze docs, "Rate limits": per 3 seconds.
const BURST_SECS: f64 = 3.0;
/// Length of the hourly window in seconds.
const HOUR_SECS: f64 = 3_600.0;

/// What the limiter says of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Admission {
    pub(super) headers: Vec<(&'static str, String)>,
    /// Set when refused: the epoch second announced as the reset.
    pub(super) refused_until: Option<f64>,
}

/// One window of requests; it empties when the clock passes a multiple of its length.
#[derive(Debug, Default)]
struct Window {
    index: i64,
    used: u32,
}

impl Window {
    fn roll(&mut self, now: f64, length: f64) -> f64 {
        let index = (now / length).floor() as i64;
        if index != self.index {
            *self = Self { index, used: 0 };
        }
        (index + 1) as f64 * length
    }
}

/// The windows of every route.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    bursts: HashMap<Route, Window>,
    hour: Window,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, bursts: HashMap::new(), hour: Window::default() }
    }

    /// Takes one request of `route` at `now` (epoch seconds) into account, or refuses it.
    pub(super) fn admit(&mut self, route: Route, now: f64) -> Admission {
        let hourly = match (self.rate, route) {
            (Rate::Off, _) => return Admission::default(),
            (Rate::Mau { hourly, .. }, Route::Track) => Some(hourly),
            _ => None,
        };
        let (limit, length) = route.fixed_limit().unwrap_or((self.burst(), BURST_SECS));
        let window = self.bursts.entry(route).or_default();
        let burst_reset = window.roll(now, length);
        let hour_reset = self.hour.roll(now, HOUR_SECS);
        let hour_spent = hourly.is_some_and(|most| self.hour.used >= most);
        if hour_spent || window.used >= limit {
            return self.refusal(limit, if hour_spent { hour_reset } else { burst_reset }, now);
        }
        window.used += 1;
        if let Some(most) = hourly {
            self.hour.used += 1;
            return self.told(most, most - self.hour.used, hour_reset, now);
        }
        let left = limit - window.used;
        self.told(limit, left, burst_reset, now)
    }

    fn burst(&self) -> u32 {
        match self.rate {
            Rate::Off => u32::MAX,
            Rate::Classic { per_3s } => per_3s,
            Rate::Mau { burst_per_3s, .. } => burst_per_3s,
        }
    }

    fn told(&self, limit: u32, left: u32, reset: f64, now: f64) -> Admission {
        let reset = if matches!(self.rate, Rate::Mau { .. }) { (reset - now).ceil() } else { reset };
        let headers = vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", left.to_string()),
            ("x-ratelimit-reset", format!("{reset:.0}")),
        ];
        Admission { headers, refused_until: None }
    }

    fn refusal(&self, limit: u32, reset: f64, now: f64) -> Admission {
        if matches!(self.rate, Rate::Mau { .. }) {
            let wait = (reset - now).ceil().max(1.0);
            let headers = vec![("x-ratelimit-retry-after", format!("{wait:.0}"))];
            return Admission { headers, refused_until: Some(now + wait) };
        }
        Admission { refused_until: Some(reset), ..self.told(limit, 0, reset, now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(admission: &'a Admission, name: &str) -> Option<&'a str> {
        admission.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn classic_announces_the_reset_in_epoch_seconds_on_every_answer() {
        let mut limiter = Limiter::new(Rate::Classic { per_3s: 2 });
        let first = limiter.admit(Route::Track, 3_000.5);
        assert_eq!(header(&first, "x-ratelimit-remaining"), Some("1"));
        assert_eq!(header(&first, "x-ratelimit-reset"), Some("3003"));
        limiter.admit(Route::Track, 3_001.0);
        let third = limiter.admit(Route::Track, 3_002.0);
        assert_eq!(third.refused_until, Some(3_003.0));
        assert_eq!(header(&third, "x-ratelimit-reset"), Some("3003"));
        assert!(limiter.admit(Route::Track, 3_003.0).refused_until.is_none());
    }

    #[test]
    fn mau_counts_by_the_clock_hour_and_tells_only_the_wait_on_a_refusal() {
        let mut limiter = Limiter::new(Rate::Mau { hourly: 1, burst_per_3s: 10 });
        let first = limiter.admit(Route::Track, 7_190.0);
        assert_eq!(header(&first, "x-ratelimit-reset"), Some("10"));
        let second = limiter.admit(Route::Track, 7_190.4);
        assert_eq!(second.headers, [("x-ratelimit-retry-after", "10".to_owned())]);
        assert!(limiter.admit(Route::Track, 7_200.0).refused_until.is_none());
    }

    #[test]
    fn routes_have_limits_of_their_own() {
        let mut limiter = Limiter::new(Rate::Classic { per_3s: 1 });
        assert!(limiter.admit(Route::Track, 0.0).refused_until.is_none());
        assert!((0..250).all(|_| limiter.admit(Route::Export, 0.0).refused_until.is_none()));
        assert_eq!(limiter.admit(Route::Export, 0.0).refused_until, Some(60.0));
    }

    #[test]
    fn off_limits_nothing_and_says_nothing() {
        let mut limiter = Limiter::new(Rate::Off);
        assert!((0..10_000).all(|_| limiter.admit(Route::Track, 0.0).headers.is_empty()));
    }
}
