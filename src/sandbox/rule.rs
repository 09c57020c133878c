//! Rules: which requests break, and how. The same as JSON for `POST /_sandbox/rules`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One fault: the requests it is for, and what they get. The first rule that fires decides; every rule counts the
/// requests it matches, whichever fires. Rules come after the checks of key, content type and rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The requests it is for; none named: all.
    #[serde(default, rename = "match")]
    pub when: When,
    /// What they get.
    pub answer: Answer,
    /// Wait before the answer, after the updates were taken in.
    #[serde(default)]
    pub delay_ms: u64,
    /// Keeps the answer until this name is released.
    #[serde(default)]
    pub hold: Option<String>,
    /// Holds before the updates are taken in, and takes them in after the release even if the client has gone: the
    /// request that timed out and is applied minutes later.
    #[serde(default)]
    pub hold_before_apply: bool,
    /// Whether the updates are taken in. Without it: with a 2xx yes, else no.
    #[serde(default)]
    pub apply: Option<bool>,
}

/// Which requests a rule fires for. All given conditions must hold. Counts are of matching requests, from 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The path, such as `/users/track`.
    pub path: Option<String>,
    /// Requests with an object of this customer.
    pub external_id: Option<String>,
    /// Requests with an object that has this attribute.
    pub attribute: Option<String>,
    /// Requests with an object in which an attribute has this value.
    pub value: Option<Value>,
    /// Requests with at least so many attribute objects.
    pub min_objects: Option<usize>,
    /// Passes over so many matching requests first; the counts below start after them.
    pub after_requests: u64,
    /// Only the nth.
    pub nth: Option<u64>,
    /// Every nth.
    pub every: Option<u64>,
    /// Each with this probability, drawn from `seed`.
    pub probability: Option<f64>,
    /// Seed of `probability`.
    pub seed: u64,
    /// At most so often.
    pub times: Option<u64>,
}

/// What a matching request gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// The usual answer; for rules that only delay or hold.
    Pass,
    /// Any answer at all.
    Reply {
        /// HTTP status.
        status: u16,
        /// Headers; the content type is JSON unless given.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Body text.
        #[serde(default)]
        body: String,
    },
    /// A status with its usual JSON body.
    Status {
        /// HTTP status, such as 401, 403, 404, 415, 500, 503 or 504.
        status: u16,
    },
    /// A status with a page, as from a proxy in between.
    Html {
        /// HTTP status, such as 502, or 201 from a captive portal.
        status: u16,
    },
    /// 429.
    RateLimited {
        /// How the wait is announced.
        announce: Announce,
    },
    /// 201 with another message than `success`.
    Message {
        /// The message.
        message: String,
    },
    /// 201 without a body.
    Empty,
    /// 201 with half of its JSON, as a complete body.
    Truncated,
    /// 201 whose connection is lost in the middle of the body.
    Cut,
    /// 201 with a valid body of about so many bytes, made while it is read.
    Huge {
        /// Bytes.
        bytes: u64,
        /// Milliseconds between pieces of 64 KiB.
        #[serde(default)]
        every_ms: u64,
    },
    /// 201 with a small gzip body that unpacks to about so many bytes.
    GzipBomb {
        /// Bytes unpacked.
        bytes: u64,
    },
    /// The usual answer in ten pieces.
    SlowBody {
        /// Milliseconds between pieces.
        every_ms: u64,
    },
    /// 202 `queued`, as during maintenance; taken in.
    Queued,
    /// Refuses the last object, and does not say which.
    Unindexed,
    /// Refuses the last object, and names one that was not sent.
    IndexOutOfRange,
    /// Refuses the last object, and names it in `events`.
    WrongArray,
    /// Refuses the last object, with a string where the error object should be.
    StringError,
    /// Leaves the last objects out without any error: processed + errors < sent.
    Unaccounted {
        /// How many.
        missing: usize,
    },
    /// The usual answer with fields nobody knows.
    ExtraFields,
    /// Repeats the key in body and header.
    EchoKey {
        /// HTTP status, such as 401.
        status: u16,
    },
    /// A redirect.
    Redirect {
        /// HTTP status, such as 307.
        status: u16,
        /// Where to.
        location: String,
    },
    /// The connection is reset, and nothing taken in.
    ResetBeforeApply,
    /// The connection is reset after everything was taken in.
    ResetAfterApply,
    /// Refuses the objects of these customers with an indexed error; the rest goes the usual way.
    Refuse {
        /// The customers.
        external_ids: Vec<String>,
        /// The `type` of the error.
        error: String,
    },
}

/// How a 429 tells when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Announce {
    /// `x-ratelimit-reset` in epoch seconds.
    Epoch {
        /// Seconds from now.
        secs: u64,
    },
    /// `x-ratelimit-reset` in seconds left.
    SecondsLeft {
        /// Seconds from now.
        secs: u64,
    },
    /// `x-ratelimit-retry-after` alone, as on contracts by monthly active users.
    RetryAfter {
        /// Seconds from now.
        secs: u64,
    },
    /// The standard `retry-after`, which Braze does not document.
    StandardRetryAfter {
        /// Seconds from now.
        secs: u64,
    },
    /// Not at all.
    Nothing,
    /// An epoch that has passed.
    Past,
    /// An epoch in the year 2099.
    Year2099,
}

impl Rule {
    /// A rule that gives every request `answer`.
    pub fn new(answer: Answer) -> Self {
        Self { when: When::default(), answer, delay_ms: 0, hold: None, hold_before_apply: false, apply: None }
    }

    /// Only requests of this path.
    pub fn path(mut self, path: &str) -> Self {
        self.when.path = Some(path.to_owned());
        self
    }

    /// Only requests with an object of this customer.
    pub fn external_id(mut self, id: &str) -> Self {
        self.when.external_id = Some(id.to_owned());
        self
    }

    /// Only requests with an object that has this attribute.
    pub fn attribute(mut self, name: &str) -> Self {
        self.when.attribute = Some(name.to_owned());
        self
    }

    /// Only requests with an object in which an attribute has this value.
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.when.value = Some(value.into());
        self
    }

    /// Only requests with at least so many attribute objects.
    pub fn min_objects(mut self, least: usize) -> Self {
        self.when.min_objects = Some(least);
        self
    }

    /// Only the nth matching request, from 1.
    pub fn nth(mut self, nth: u64) -> Self {
        self.when.nth = Some(nth);
        self
    }

    /// Passes over so many matching requests first.
    pub fn after(mut self, requests: u64) -> Self {
        self.when.after_requests = requests;
        self
    }

    /// Every nth matching request.
    pub fn every(mut self, nth: u64) -> Self {
        self.when.every = Some(nth);
        self
    }

    /// Each matching request with this probability.
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.when.probability = Some(probability);
        self.when.seed = seed;
        self
    }

    /// At most so often.
    pub fn times(mut self, times: u64) -> Self {
        self.when.times = Some(times);
        self
    }

    /// Waits before the answer, after the updates were taken in.
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }

    /// Keeps the answer until `name` is released; the updates are taken in at once.
    pub fn hold(mut self, name: &str) -> Self {
        self.hold = Some(name.to_owned());
        self
    }

    /// Keeps the whole request until `name` is released; then it is taken in, even if the client has gone.
    pub fn hold_before_apply(mut self, name: &str) -> Self {
        self.hold = Some(name.to_owned());
        self.hold_before_apply = true;
        self
    }

    /// Whether the updates are taken in, whatever the answer says.
    pub fn apply(mut self, apply: bool) -> Self {
        self.apply = Some(apply);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_back_as_written_and_refuse_typing_errors() {
        let rule = Rule::new(Answer::RateLimited { announce: Announce::RetryAfter { secs: 3 } }).nth(2);
        let text = serde_json::to_string(&rule).expect("plain data");
        assert_eq!(serde_json::from_str::<Rule>(&text).expect("own text"), rule);
        let short = r#"{"answer":{"kind":"status","status":503}}"#;
        assert_eq!(
            serde_json::from_str::<Rule>(short).expect("short form"),
            Rule::new(Answer::Status { status: 503 })
        );
        assert!(serde_json::from_str::<Rule>(r#"{"match":{"nht":1},"answer":{"kind":"pass"}}"#).is_err());
    }
}
