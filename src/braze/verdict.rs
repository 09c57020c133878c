//! What an answer of Braze means: one exhaustive enum, and the one function that decides.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::announced::{Announced, resumption};
use super::answer::{self, Answer, Processed};
use super::stop::Fatal;
use crate::customer::Code;

/// What became of one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Braze accepted it. Not "stored": Braze applies asynchronously.
    Accepted,
    /// Braze refused it for good.
    Rejected(Code),
    /// Braze's answers did not say; it may or may not have been applied.
    Unknown,
}

/// What became of a batch, and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// One per update, in order.
    pub verdicts: Vec<Verdict>,
    /// Requests made.
    pub requests: u32,
    /// Those of them that sent a payload again because an earlier one got no usable answer.
    pub retries: u32,
    /// Body bytes of all of them.
    pub bytes_sent: u64,
    /// Whether Braze only queued some of it, as in its maintenance windows.
    pub queued_by_braze: bool,
}

/// What an answer means for the updates it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Every update has its verdict: accepted, but for those listed.
    Settled { rejected: Vec<(usize, Code)>, queued: bool },
    /// The listed ones are rejected, but the counts do not add up: which of the others were taken is not known.
    Unaccounted { rejected: Vec<(usize, Code)> },
    /// Some were rejected, and it does not say which.
    Unplaceable,
    /// A success nobody can read.
    Unreadable,
    /// More objects than the contract allows; nothing applied.
    TooMany,
    /// More bytes than allowed; nothing applied.
    TooLarge,
    /// Refused as a whole without saying why; nothing applied.
    Refused,
    /// Over the rate limit.
    RateLimited(Option<Announced>),
    /// Out of order for now.
    Down,
    /// Nothing heals it here.
    Fatal(Fatal),
}

impl Reply {
    /// Every [`Reply::class`].
    pub(super) const CLASSES: [&'static str; 11] = [
        "settled",
        "partly_rejected",
        "unaccounted",
        "unplaceable",
        "unreadable",
        "too_many",
        "too_large",
        "refused",
        "rate_limited",
        "down",
        "fatal",
    ];

    /// The word for what it means, in logs, metrics and traces.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Settled { rejected, .. } if rejected.is_empty() => "settled",
            Self::Settled { .. } => "partly_rejected",
            Self::Unaccounted { .. } => "unaccounted",
            Self::Unplaceable => "unplaceable",
            Self::Unreadable => "unreadable",
            Self::TooMany => "too_many",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::RateLimited(_) => "rate_limited",
            Self::Down => "down",
            Self::Fatal(_) => "fatal",
        }
    }

    /// Whether it says for sure that nothing of the request was applied.
    pub(super) fn is_clear_refusal(&self) -> bool {
        match self {
            Self::TooMany | Self::TooLarge | Self::Refused | Self::RateLimited(_) | Self::Fatal(_) => true,
            Self::Settled { .. }
            | Self::Unaccounted { .. }
            | Self::Unplaceable
            | Self::Unreadable
            | Self::Down => false,
        }
    }
}

/// Says what an answer means. `body` is none where it was cut off or longer than is read; `sent` is the number of
/// updates answered.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: Option<&[u8]>, sent: usize) -> Reply {
    let read = || body.and_then(|body| answer::read(body, sent));
    match status.as_u16() {
        200..=299 => read().map_or(Reply::Unreadable, |answer| success(answer, sent)),
        300..=399 => Reply::Fatal(Fatal::Redirected),
        // An old fixture answers "nothing valid" with 401: the body decides.
        401 => {
            read().and_then(|answer| nothing_valid(answer, sent)).unwrap_or(Reply::Fatal(Fatal::Unauthorized))
        }
        402 | 403 | 407 | 451 => Reply::Fatal(Fatal::Forbidden),
        404 | 405 | 410 => Reply::Fatal(Fatal::NotFound),
        415 => Reply::Fatal(Fatal::Unsupported),
        413 => Reply::TooLarge,
        429 => Reply::RateLimited(resumption(headers)),
        408 | 425 => Reply::Down,
        400..=499 => read().map_or(Reply::Refused, |answer| refusal(answer, sent)),
        _ => Reply::Down,
    }
}

fn success(answer: Answer, sent: usize) -> Reply {
    let queued = match answer.message.as_deref() {
        Some("success") => false,
        Some("queued") => true,
        _ => return Reply::Unreadable,
    };
    let Some(rejected) = answer.rejected else { return Reply::Unplaceable };
    let is_whole = match answer.processed {
        Processed::Untold => true,
        Processed::Count(count) => queued || usize::try_from(count) == Ok(sent - rejected.len()),
        Processed::Nonsense => queued,
    };
    if is_whole { Reply::Settled { rejected, queued } } else { Reply::Unaccounted { rejected } }
}

fn refusal(answer: Answer, sent: usize) -> Reply {
    if says(&answer, "max input length exceeded") {
        return Reply::TooMany;
    }
    nothing_valid(answer, sent).unwrap_or(Reply::Refused)
}

/// The answer to a request without one valid object: each is listed.
fn nothing_valid(answer: Answer, sent: usize) -> Option<Reply> {
    if !says(&answer, "valid data must be provided") {
        return None;
    }
    Some(match answer.rejected {
        Some(rejected) if rejected.len() == sent => Reply::Settled { rejected, queued: false },
        Some(_) | None => Reply::Refused,
    })
}

fn says(answer: &Answer, words: &str) -> bool {
    answer.message.as_deref().is_some_and(|message| message.to_ascii_lowercase().contains(words))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reply(status: u16, body: &str, sent: usize) -> Reply {
        let status = StatusCode::from_u16(status).expect("a status");
        classify(status, &HeaderMap::new(), Some(body.as_bytes()), sent)
    }

    fn settled(rejected: &[(usize, Code)]) -> Reply {
        Reply::Settled { rejected: rejected.to_vec(), queued: false }
    }

    const LIVE: &str = r#"{"attributes_processed":2,"errors":[
        {"index":1,"input_array":"attributes","type":"'email_subscribe' must be 'subscribed', 'unsubscribed', or 'opted_in'"},
        {"index":3,"input_array":"attributes","type":"provided external_id is blacklisted and disallowed"},
        {"index":4,"input_array":"attributes","type":"You must specify only one of 'external_id', 'user_alias' or 'braze_id'"}],
        "message":"success"}"#;
    const NOTHING: &str = r#"{"message":"Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.",
        "errors":[{"type":"'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required","input_array":"attributes","index":0}]}"#;

    #[test]
    fn successes_tell_accepted_from_rejected() {
        let queued = Reply::Settled { rejected: Vec::new(), queued: true };
        let cases = [
            (201, r#"{"attributes_processed":3,"message":"success"}"#, 3, settled(&[])),
            (
                200,
                r#"{"attributes_processed":3,"message":"success","errors":[],"more":{"x":[1]}}"#,
                3,
                settled(&[]),
            ),
            (201, r#"{"message":"success"}"#, 3, settled(&[])),
            (202, r#"{"message":"queued"}"#, 3, queued.clone()),
            (201, r#"{"message":"queued","attributes_processed":0}"#, 3, queued),
            (
                201,
                LIVE,
                5,
                settled(&[(1, Code::BrazeRefused), (3, Code::BrazeBlocklisted), (4, Code::BrazeIdentifier)]),
            ),
        ];
        for (status, body, sent, expected) in cases {
            assert_eq!(reply(status, body, sent), expected, "{status} {body}");
        }
    }

    #[test]
    fn doubtful_successes_are_never_taken_for_accepted() {
        let one = r#"{"attributes_processed":1,"message":"success","errors":"#;
        let cases = [
            (format!(r#"{one}[{{"type":"EMAIL_BAD_FORMAT","input_array":"attributes"}}]}}"#), Reply::Unplaceable),
            (format!(r#"{one}[{{"index":2,"type":"x","input_array":"attributes"}}]}}"#), Reply::Unplaceable),
            (format!(r#"{one}[{{"index":1,"type":"x","input_array":"events"}}]}}"#), Reply::Unplaceable),
            (format!(r#"{one}["EMAIL_BAD_FORMAT"]}}"#), Reply::Unplaceable),
            (format!(r#"{one}"EMAIL_BAD_FORMAT"}}"#), Reply::Unplaceable),
            (format!("{one}[]}}"), Reply::Unaccounted { rejected: Vec::new() }),
            (
                r#"{"attributes_processed":0,"message":"success","errors":[{"index":1,"type":"x","input_array":"attributes"}]}"#
                    .to_owned(),
                Reply::Unaccounted { rejected: vec![(1, Code::BrazeRefused)] },
            ),
            (r#"{"attributes_processed":"2","message":"success"}"#.to_owned(), Reply::Unaccounted { rejected: vec![] }),
            (r#"{"attributes_processed":-2,"message":"success"}"#.to_owned(), Reply::Unaccounted { rejected: vec![] }),
            (r#"{"attributes_processed":2,"message":"failure"}"#.to_owned(), Reply::Unreadable),
            (r#"{"attributes_processed":2}"#.to_owned(), Reply::Unreadable),
            (r#"{"attributes_processed":2,"mess"#.to_owned(), Reply::Unreadable),
            (r#"["success"]"#.to_owned(), Reply::Unreadable),
            ("<html>success</html>".to_owned(), Reply::Unreadable),
            (String::new(), Reply::Unreadable),
        ];
        for (body, expected) in cases {
            assert_eq!(reply(201, &body, 2), expected, "{body}");
        }
        assert_eq!(classify(StatusCode::CREATED, &HeaderMap::new(), None, 2), Reply::Unreadable);
        assert_eq!(reply(204, "", 2), Reply::Unreadable);
    }

    #[test]
    fn refusals_are_told_apart() {
        let syntax = r#"{"error":"Error while parsing request body. Please check your syntax."}"#;
        let nothing_without_errors =
            r#"{"message":"Valid data must be provided in the 'attributes' field."}"#;
        let cases = [
            (400, r#"{"message":"Max Input Length Exceeded","errors":[]}"#, 75, Reply::TooMany),
            (400, NOTHING, 1, settled(&[(0, Code::BrazeIdentifier)])),
            (401, NOTHING, 1, settled(&[(0, Code::BrazeIdentifier)])),
            (400, NOTHING, 2, Reply::Refused),
            (401, NOTHING, 2, Reply::Refused),
            (400, r#"{"message":"Valid data must be provided","errors":["x"]}"#, 1, Reply::Refused),
            (400, "", 75, Reply::Refused),
            (413, NOTHING, 1, Reply::TooLarge),
            (400, nothing_without_errors, 1, Reply::Refused),
            (400, syntax, 75, Reply::Refused),
            (400, "<html>", 75, Reply::Refused),
            (422, "{}", 75, Reply::Refused),
            (413, "", 75, Reply::TooLarge),
        ];
        for (status, body, sent, expected) in cases {
            assert_eq!(reply(status, body, sent), expected, "{status} {body}");
        }
    }

    #[test]
    fn only_a_clear_refusal_is_taken_for_one() {
        let settled = settled(&[(0, Code::BrazeRefused)]);
        let doubtful = [
            settled,
            Reply::Unaccounted { rejected: vec![] },
            Reply::Unplaceable,
            Reply::Unreadable,
            Reply::Down,
        ];
        assert!(doubtful.iter().all(|reply| !reply.is_clear_refusal()));
        let clear = [
            Reply::TooMany,
            Reply::TooLarge,
            Reply::Refused,
            Reply::RateLimited(None),
            Reply::Fatal(Fatal::Unauthorized),
        ];
        assert!(clear.iter().all(Reply::is_clear_refusal));
    }

    #[test]
    fn the_rest_goes_by_status() {
        let key_echo = r#"{"message":"Invalid API key: 0123-secret"}"#;
        let cases = [
            (401, Reply::Fatal(Fatal::Unauthorized)),
            (402, Reply::Fatal(Fatal::Forbidden)),
            (403, Reply::Fatal(Fatal::Forbidden)),
            (407, Reply::Fatal(Fatal::Forbidden)),
            (451, Reply::Fatal(Fatal::Forbidden)),
            (404, Reply::Fatal(Fatal::NotFound)),
            (405, Reply::Fatal(Fatal::NotFound)),
            (410, Reply::Fatal(Fatal::NotFound)),
            (415, Reply::Fatal(Fatal::Unsupported)),
            (300, Reply::Fatal(Fatal::Redirected)),
            (301, Reply::Fatal(Fatal::Redirected)),
            (304, Reply::Fatal(Fatal::Redirected)),
            (307, Reply::Fatal(Fatal::Redirected)),
            (429, Reply::RateLimited(None)),
            (408, Reply::Down),
            (425, Reply::Down),
            (409, Reply::Refused),
            (431, Reply::Refused),
            (500, Reply::Down),
            (502, Reply::Down),
            (503, Reply::Down),
            (504, Reply::Down),
            (599, Reply::Down),
        ];
        for (status, expected) in cases {
            assert_eq!(reply(status, key_echo, 75), expected, "{status}");
        }
        let headers = HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("x-ratelimit-retry-after"),
            reqwest::header::HeaderValue::from_static("17"),
        )]);
        assert_eq!(
            classify(StatusCode::TOO_MANY_REQUESTS, &headers, None, 1),
            Reply::RateLimited(Some(Announced::In(Duration::from_secs(17))))
        );
    }
}
