//! Why a callback was refused, for the operator. The sender is told none of it.

use std::fmt;

/// The first step of verifying that failed. Holds no header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header the scheme needs is not there.
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    /// A header stands more than once: which one the sender meant, nobody can tell.
    #[error("header {0} is there more than once")]
    RepeatedHeader(&'static str),
    /// A header is not plain ASCII, or longer than any honest one.
    #[error("header {0} is not plain ASCII or too long")]
    UnreadableHeader(&'static str),
    /// The id is empty, long, not printable, or holds a dot, which would make the signed text ambiguous.
    #[error("the id must be 1 to 256 printable ASCII characters (standard: without a dot)")]
    MalformedId,
    /// The timestamp is not whole Unix seconds in digits alone.
    #[error("the timestamp must be whole Unix seconds, digits alone")]
    MalformedTimestamp,
    /// Signed too long ago: a replay, a late retry signed once, or a clock that is off.
    #[error("the timestamp is {off_secs} s old; {tolerance_secs} s are allowed")]
    TooOld {
        /// Seconds before now.
        off_secs: u64,
        /// Seconds allowed.
        tolerance_secs: u64,
    },
    /// Signed in the future: one of the clocks is off.
    #[error("the timestamp lies {off_secs} s in the future; {tolerance_secs} s are allowed")]
    TooNew {
        /// Seconds after now.
        off_secs: u64,
        /// Seconds allowed.
        tolerance_secs: u64,
    },
    /// The signature header holds nothing of a known form.
    #[error("the signature header holds no signature of a known form")]
    NoUsableSignature,
    /// No secret made any of the signatures for this body.
    #[error("no signature matches: another secret, or the body was changed on its way")]
    NoSignatureMatched,
}

/// One step of verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The headers the scheme needs are there, once each, readable.
    Headers,
    /// The id has an id's form.
    Id,
    /// The timestamp has a timestamp's form.
    Timestamp,
    /// The timestamp is near enough to now.
    Window,
    /// At least one signature has a known form.
    Signatures,
    /// One of them was made with one of the secrets.
    Match,
}

impl Step {
    /// Every step, in order.
    pub(super) const ALL: [Self; 6] =
        [Self::Headers, Self::Id, Self::Timestamp, Self::Window, Self::Signatures, Self::Match];

    /// The step's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Id => "id",
            Self::Timestamp => "timestamp",
            Self::Window => "window",
            Self::Signatures => "signatures",
            Self::Match => "match",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Refusal {
    /// A stable word for metrics, logs and the list of deliveries.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingHeader(_) => "missing_header",
            Self::RepeatedHeader(_) => "repeated_header",
            Self::UnreadableHeader(_) => "unreadable_header",
            Self::MalformedId => "malformed_id",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::TooOld { .. } => "too_old",
            Self::TooNew { .. } => "too_new",
            Self::NoUsableSignature => "no_usable_signature",
            Self::NoSignatureMatched => "no_signature_matched",
        }
    }

    /// The step that failed.
    pub fn step(self) -> Step {
        match self {
            Self::MissingHeader(_) | Self::RepeatedHeader(_) | Self::UnreadableHeader(_) => Step::Headers,
            Self::MalformedId => Step::Id,
            Self::MalformedTimestamp => Step::Timestamp,
            Self::TooOld { .. } | Self::TooNew { .. } => Step::Window,
            Self::NoUsableSignature => Step::Signatures,
            Self::NoSignatureMatched => Step::Match,
        }
    }
}
