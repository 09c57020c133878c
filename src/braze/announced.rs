//! What Braze's headers announce: when it takes requests again, and how many it still takes.
//!
//! Two definitions are in force at once (Braze docs, Rate limits; and Create and update users, MAU contracts):
//! `x-ratelimit-reset` is an epoch second or the seconds left, and a 429 may carry `x-ratelimit-retry-after` alone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

const RETRY_AFTER_SECS: &str = "x-ratelimit-retry-after";
const RESET: &str = "x-ratelimit-reset";
const REMAINING: &str = "x-ratelimit-remaining";
const LIMIT: &str = "x-ratelimit-limit";

/// A larger number is an epoch second (2001 on), a smaller one the seconds left (31 years at most).
const EPOCH_FROM: u64 = 1_000_000_000;
/// Longest single wait: Braze's longest window is the hour.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// When Braze takes requests again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// After this time.
    In(Duration),
    /// At an instant of Braze's clock, whose time of answering is known if it sent a `Date`.
    At { reset: DateTime<Utc>, date: Option<DateTime<Utc>> },
}

impl Announced {
    fn of(value: u64, date: Option<DateTime<Utc>>) -> Option<Self> {
        if value > EPOCH_FROM {
            let reset = DateTime::from_timestamp(i64::try_from(value).ok()?, 0)?;
            return Some(Self::At { reset, date });
        }
        (value > 0).then(|| Self::In(Duration::from_secs(value)))
    }

    /// How long nothing may be sent, at most an hour; none when the time is past. Measured by Braze's own clock
    /// where it tells, else by `now`.
    pub(super) fn wait(self, now: DateTime<Utc>) -> Option<Duration> {
        let wait = match self {
            Self::In(wait) => wait,
            Self::At { reset, date } => (reset - date.unwrap_or(now)).to_std().ok()?,
        };
        (!wait.is_zero()).then(|| wait.min(LONGEST_WAIT))
    }

    /// The same to the fraction of a second, for pauses nobody demanded: `Date` has whole seconds, so `now` is
    /// better where the two agree.
    pub(super) fn closest_wait(self, now: DateTime<Utc>) -> Option<Duration> {
        let wait = self.wait(now)?;
        match self {
            Self::At { reset, date: Some(_) } => {
                let ours = (reset - now).to_std().ok().filter(|ours| *ours <= wait && wait - *ours <= SECOND);
                Some(ours.unwrap_or(wait))
            }
            _ => Some(wait),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// What a 429 announces: the first usable of three headers.
pub(super) fn resumption(headers: &HeaderMap) -> Option<Announced> {
    let date = date(headers);
    [RETRY_AFTER_SECS, RETRY_AFTER.as_str(), RESET]
        .into_iter()
        .find_map(|name| longest(headers, name, date).filter(|announced| !is_past(*announced)))
}

/// Of a header sent twice, the later time.
fn longest(headers: &HeaderMap, name: &str, date: Option<DateTime<Utc>>) -> Option<Announced> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| match number(value) {
            Some(number) => Announced::of(number, date),
            None => http_date(value).map(|reset| Announced::At { reset, date }),
        })
        .max_by_key(|announced| match announced {
            Announced::In(wait) => (0, i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)),
            Announced::At { reset, .. } => (1, reset.timestamp()),
        })
}

fn is_past(announced: Announced) -> bool {
    matches!(announced, Announced::At { reset, date: Some(date) } if reset <= date)
}

/// What an answer tells of the window it was counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limit: Option<u32>,
    pub(super) remaining: u32,
    pub(super) reset: Announced,
}

/// Reads the window's headers; none unless it is known how many requests remain until when.
pub(super) fn told(headers: &HeaderMap) -> Option<Told> {
    let least = |name| headers.get_all(name).iter().filter_map(number).min();
    let reset = longest(headers, RESET, date(headers)).filter(|reset| !is_past(*reset))?;
    let remaining = u32::try_from(least(REMAINING)?).unwrap_or(u32::MAX);
    Some(Told { limit: least(LIMIT).and_then(|limit| u32::try_from(limit).ok()), remaining, reset })
}

/// A number without a sign; a fraction is rounded up.
fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_add(u64::from(fraction.bytes().any(|byte| byte != b'0')))
}

fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    headers.get(DATE).and_then(http_date)
}

fn http_date(value: &HeaderValue) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(value.to_str().ok()?).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-09-21T14:00:00Z.
    const NOW: i64 = 1_790_000_000;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).expect("in range")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    fn wait_secs(pairs: &[(&'static str, &str)]) -> Option<u64> {
        resumption(&headers(pairs)).and_then(|announced| announced.wait(now())).map(|wait| wait.as_secs())
    }

    #[test]
    fn every_form_of_announcement_is_understood() {
        let (in_7, date) = ((NOW + 7).to_string(), now().to_rfc2822().replace("+0000", "GMT"));
        let in_9_date = (now() + Duration::from_secs(9)).to_rfc2822().replace("+0000", "GMT");
        let a_day_old = (now() - Duration::from_secs(86_400)).to_rfc2822().replace("+0000", "GMT");
        type Case<'c> = (&'c [(&'static str, &'c str)], Option<u64>);
        let cases: &[Case<'_>] = &[
            (&[], None),
            (
                &[("x-ratelimit-retry-after", "17"), ("retry-after", "5"), ("x-ratelimit-reset", "3")],
                Some(17),
            ),
            (&[("retry-after", "5"), ("x-ratelimit-reset", "3")], Some(5)),
            (&[("retry-after", &in_9_date), ("date", &date)], Some(9)),
            (&[("x-ratelimit-reset", "3")], Some(3)),
            (&[("x-ratelimit-reset", &in_7)], Some(7)),
            (&[("x-ratelimit-reset", &in_7), ("date", &date)], Some(7)),
            // Braze's clock counts, not ours.
            (&[("x-ratelimit-reset", &(NOW - 86_393).to_string()), ("date", &a_day_old)], Some(7)),
            (&[("x-ratelimit-reset", "4070908800")], Some(3_600)),
            (&[("x-ratelimit-retry-after", "999999999")], Some(3_600)),
            (&[("x-ratelimit-reset", &(NOW - 60).to_string())], None),
            (&[("x-ratelimit-reset", &(NOW - 60).to_string()), ("date", &date)], None),
            (&[("x-ratelimit-retry-after", "0"), ("retry-after", "4")], Some(4)),
            (&[("x-ratelimit-retry-after", "1.2")], Some(2)),
            (&[("x-ratelimit-retry-after", "3"), ("x-ratelimit-retry-after", "8")], Some(8)),
            (&[("x-ratelimit-retry-after", "-5")], None),
            (&[("x-ratelimit-retry-after", "nan")], None),
            (&[("x-ratelimit-reset", "99999999999999999999999")], None),
            (&[("x-ratelimit-reset", "18446744073709551615")], None),
            (&[("x-ratelimit-reset", "9223372036854775807")], None),
            (&[("x-ratelimit-reset", "")], None),
            (&[("x-ratelimit-retry-after", "soon"), ("x-ratelimit-reset", "3")], Some(3)),
        ];
        for (pairs, expected) in cases {
            assert_eq!(wait_secs(pairs), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn window_is_told_only_when_whole() {
        let in_2 = (NOW + 2).to_string();
        let all =
            [("x-ratelimit-limit", "3000"), ("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", &*in_2)];
        let told_all = told(&headers(&all)).expect("all there");
        assert_eq!((told_all.limit, told_all.remaining), (Some(3_000), 12));
        assert_eq!(told(&headers(&all[..2])), None);
        assert_eq!(told(&headers(&all[2..])), None);
        assert_eq!(told(&headers(&[all[2], ("x-ratelimit-remaining", "-1")])), None);
    }

    #[test]
    fn pause_is_exact_where_the_clocks_agree() {
        let reset = now() + Duration::from_secs(2);
        let exact = now() + Duration::from_millis(400);
        let agreeing = Announced::At { reset, date: Some(now()) };
        assert_eq!(agreeing.closest_wait(exact), Some(Duration::from_millis(1_600)));
        assert_eq!(agreeing.wait(exact), Some(Duration::from_secs(2)));
        assert_eq!(agreeing.closest_wait(now() + Duration::from_secs(90)), Some(Duration::from_secs(2)));
    }
}
