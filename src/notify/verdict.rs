//! What an answer means. The status is all that is looked at: bodies are not read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx.
    Delivered,
    /// 410: nothing more is wanted here.
    Gone,
    /// Anything else: tried again. Redirections are not followed.
    Failed {
        /// One phrase on why.
        why: String,
        /// What the receiver asked to be given time for, with 429 or 503.
        asked: Option<Duration>,
    },
}

impl Verdict {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        match status {
            status if status.is_success() => Self::Delivered,
            StatusCode::GONE => Self::Gone,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Self::Failed { why: status.to_string(), asked: asked(headers, now) }
            }
            _ => Self::Failed { why: status.to_string(), asked: None },
        }
    }

    /// No answer came.
    pub(super) fn unanswered(error: &reqwest::Error) -> Self {
        // The error's own text may quote the address, which may be a secret.
        let why = match error {
            error if error.is_timeout() => "no answer in time",
            error if error.is_connect() => "no connection",
            _ => "the connection was lost",
        };
        Self::Failed { why: why.to_owned(), asked: None }
    }
}

/// Seconds or a date. Source: RFC 9110, 10.2.3.
fn asked(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry_after: &str) -> Verdict {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, retry_after.parse().expect("a value"))]);
        let now = "2026-11-01T00:00:00Z".parse().expect("a time");
        Verdict::of(StatusCode::from_u16(status).expect("a status"), &headers, now)
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in [200, 202, 204] {
            assert_eq!(of(status, "9"), Verdict::Delivered);
        }
        assert_eq!(of(410, "9"), Verdict::Gone);
        for status in [301, 308, 400, 401, 404, 429, 500, 502, 503] {
            assert!(matches!(of(status, ""), Verdict::Failed { asked: None, .. }), "{status}");
        }
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date() {
        for (status, text, secs) in [
            (429, "120", Some(120)),
            (503, " 7 ", Some(7)),
            (503, "Sun, 01 Nov 2026 00:01:00 GMT", Some(60)),
            (503, "Sat, 31 Oct 2026 00:01:00 GMT", None),
            (503, "soon", None),
            (500, "120", None),
        ] {
            let Verdict::Failed { asked, .. } = of(status, text) else { panic!("{status} {text}") };
            assert_eq!(asked.map(|wait| wait.as_secs()), secs, "{status} {text}");
        }
    }
}
