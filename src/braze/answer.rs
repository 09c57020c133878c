//! The body of an answer, read with suspicion: any field may be missing, or anything.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::customer::Code;

/// What could be read of a body.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// `message`, or `error`, which Braze uses for syntax errors.
    pub(super) message: Option<String>,
    /// `attributes_processed`.
    pub(super) processed: Processed,
    /// `errors`; none if one of them cannot be placed.
    pub(super) rejected: Option<Vec<(usize, Code)>>,
}

/// `attributes_processed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Processed {
    /// Not there: Braze's docs call it optional.
    #[default]
    Untold,
    Count(u64),
    Nonsense,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes_processed: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

/// One entry of `errors`. Source: measured against a live workspace; Braze's docs leave it open.
#[derive(Deserialize)]
struct Entry<'a> {
    /// Position in the array named, from 0.
    index: usize,
    #[serde(borrow)]
    input_array: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

/// Reads a body; none if it is not a JSON object. `sent` bounds the indexes.
pub(super) fn read(body: &[u8], sent: usize) -> Option<Answer> {
    let wire: Wire<'_> = serde_json::from_slice(body).ok()?;
    Some(Answer {
        message: [wire.message, wire.error].into_iter().flatten().find_map(string),
        processed: wire.attributes_processed.map_or(Processed::Untold, |raw| {
            serde_json::from_str(raw.get()).map_or(Processed::Nonsense, Processed::Count)
        }),
        rejected: wire.errors.map_or(Some(Vec::new()), |raw| rejections(raw, sent)),
    })
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Each rejected update once, in order; none unless every entry names one.
fn rejections(raw: &RawValue, sent: usize) -> Option<Vec<(usize, Code)>> {
    let entries: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    let mut rejected: Vec<(usize, Code)> = Vec::with_capacity(entries.len().min(sent));
    for entry in entries {
        let entry: Entry<'_> = serde_json::from_str(entry.get()).ok()?;
        if entry.input_array != "attributes" || entry.index >= sent {
            return None;
        }
        rejected
            .push((entry.index, entry.kind.and_then(string).map_or(Code::BrazeRefused, |kind| code(&kind))));
    }
    rejected.sort_by_key(|(index, _)| *index);
    rejected.dedup_by_key(|(index, _)| *index);
    Some(rejected)
}

/// Braze's docs list enum names, Braze itself writes sentences; both occur.
/// Source: Braze docs, Create and update users, Error messages; sentences from partners' public fixtures.
fn code(kind: &str) -> Code {
    let kind = kind.to_ascii_lowercase();
    let says = |part: &str| kind.contains(part);
    if says("external_user_id_too_large") || says("fewer than 988 bytes") {
        Code::BrazeIdTooLong
    } else if says("blacklisted") || says("blocklisted") {
        Code::BrazeBlocklisted
    } else if says("email_bad_format") || says("not a valid email") {
        Code::BrazeBadEmail
    } else if says("only one of 'external_id'") || (says("'external_id'") && says("is required")) {
        Code::BrazeIdentifier
    } else {
        Code::BrazeRefused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_reason_has_its_code() {
        let cases = [
            ("EXTERNAL_USER_ID_TOO_LARGE", Code::BrazeIdTooLong),
            ("'external_id' must be fewer than 988 bytes", Code::BrazeIdTooLong),
            ("BLACKLISTED_EXTERNAL_USER_ID", Code::BrazeBlocklisted),
            ("provided external_id is blacklisted and disallowed", Code::BrazeBlocklisted),
            ("EMAIL_BAD_FORMAT", Code::BrazeBadEmail),
            ("The value provided for the 'email' field is not a valid email.", Code::BrazeBadEmail),
            (
                "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required",
                Code::BrazeIdentifier,
            ),
            ("You must specify only one of 'external_id', 'user_alias' or 'braze_id'", Code::BrazeIdentifier),
            ("BAD_PUSH_SUBSCRIPTION_STATE", Code::BrazeRefused),
            ("", Code::BrazeRefused),
        ];
        for (kind, expected) in cases {
            assert_eq!(code(kind), expected, "{kind}");
        }
    }

    #[test]
    fn entries_without_a_place_spoil_the_list() {
        let read_rejected = |errors: &str| {
            read(format!("{{\"errors\":{errors}}}").as_bytes(), 3).expect("an object").rejected
        };
        assert_eq!(read_rejected("null"), Some(Vec::new()));
        assert_eq!(read_rejected("[]"), Some(Vec::new()));
        let two = r#"[{"index":2,"input_array":"attributes","type":5},{"index":0,"input_array":"attributes"},
                      {"index":2,"input_array":"attributes","type":"EMAIL_BAD_FORMAT"}]"#;
        assert_eq!(read_rejected(two), Some(vec![(0, Code::BrazeRefused), (2, Code::BrazeRefused)]));
        for spoilt in [
            r#"[{"type":"EMAIL_BAD_FORMAT","input_array":"attributes"}]"#,
            r#"[{"index":3,"input_array":"attributes","type":"x"}]"#,
            r#"[{"index":-1,"input_array":"attributes","type":"x"}]"#,
            r#"[{"index":0,"input_array":"events","type":"x"}]"#,
            r#"[{"index":0,"type":"x"}]"#,
            r#"["EMAIL_BAD_FORMAT"]"#,
            r#""EMAIL_BAD_FORMAT""#,
            "{}",
        ] {
            assert_eq!(read_rejected(spoilt), None, "{spoilt}");
        }
    }
}
