//! Whether what Braze has is what it accepted: by digest, and by meaning where a value comes back in another spelling.

use serde_json::{Map, Value as Json};

use super::report::{Found, Report};
use crate::customer::{Attribute, Cell, Digests, Hasher, Kind, UpdatedAt, Value, Zone};
use crate::ledger::{Accepted, Target};

/// What everything is compared with.
pub(super) struct Comparison<'a> {
    pub hasher: &'a Hasher,
    pub target: &'a Target,
    /// Mapped attributes, of the kinds their columns have.
    pub attributes: &'a [Attribute],
}

impl Comparison<'_> {
    /// Looks at every attribute of which the ledger says that Braze accepted a value.
    pub(super) fn customer(
        &self,
        accepted: &Accepted,
        profiles: Option<&Vec<Map<String, Json>>>,
        current: Option<&Vec<Option<Vec<u8>>>>,
        report: &mut Report,
    ) {
        report.customer(profiles.is_some());
        let digests = Digests::of(&accepted.digests);
        let hasher = self.hasher.customer(accepted.customer_id.as_bytes());
        for (at, attribute) in self.attributes.iter().enumerate() {
            let slot = self.target.slots[at];
            let Some(known) = digests.get(slot) else { continue };
            let is_accepted = |json: &[u8]| hasher.digest(slot, json) == known.digest;
            // What was accepted is known only where the source has not moved on since.
            let sent = current.and_then(|values| values[at].as_deref()).filter(|json| is_accepted(json));
            let sent: Option<Json> = sent.and_then(|json| serde_json::from_slice(json).ok());
            let sent = sent.as_ref();
            let of = |profile: &Map<String, Json>| {
                let has = profile.get(&attribute.name).filter(|value| !value.is_null()).cloned();
                (found(attribute, has.as_ref(), sent, &is_accepted), has)
            };
            // Of several profiles of one address Braze updates one: the best speaks for them.
            let best = profiles.into_iter().flatten().map(of).min_by_key(|(found, _)| *found);
            let (found, has) = best.unwrap_or((Found::Missing, None));
            report.value(&accepted.customer_id, at, found, sent, has.as_ref());
        }
    }
}

fn found(
    attribute: &Attribute,
    has: Option<&Json>,
    sent: Option<&Json>,
    is_accepted: &impl Fn(&[u8]) -> bool,
) -> Found {
    let Some(has) = has else {
        // A null that was accepted made Braze forget the value.
        return if is_accepted(b"null") { Found::Confirmed } else { Found::Missing };
    };
    let is_same = spellings(attribute, has).iter().any(|json| is_accepted(json))
        || sent.is_some_and(|sent| means_the_same(has, sent));
    match is_same {
        true => Found::Confirmed,
        // A document may come back in another order, and what was sent is not known any more.
        false if sent.is_none() && (has.is_array() || has.is_object()) => Found::Unclear,
        false => Found::Different,
    }
}

/// The ways in which the value may have been sent: in the attribute's own form, and as it stands.
fn spellings(attribute: &Attribute, has: &Json) -> Vec<Vec<u8>> {
    let text = has.to_string();
    let plain = Attribute { kind: Kind::AsGiven, ..attribute.clone() };
    let value = match has {
        Json::String(text) => Value::Text(text.as_bytes()),
        Json::Bool(yes) => Value::Boolean(*yes),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Array(_) | Json::Object(_) | Json::Null => Value::Json(&text),
    };
    let mut spellings = vec![text.clone().into_bytes()];
    for attribute in [attribute, &plain] {
        let mut out = Vec::new();
        if let Cell::Json { .. } = attribute.encode(value, &mut out) {
            spellings.push(out);
        }
    }
    spellings
}

/// Numbers by their size, texts that are times by the instant, the rest as it stands.
fn means_the_same(has: &Json, sent: &Json) -> bool {
    match (has, sent) {
        (Json::Number(has), Json::Number(sent)) => has.as_f64() == sent.as_f64(),
        (Json::String(has), Json::String(sent)) => {
            has == sent || instant(has).is_some_and(|at| instant(sent) == Some(at))
        }
        (Json::Array(has), Json::Array(sent)) => {
            has.len() == sent.len() && has.iter().zip(sent).all(|(has, sent)| means_the_same(has, sent))
        }
        (has, sent) => has == sent,
    }
}

fn instant(text: &str) -> Option<i64> {
    let looks_like_one = text.len() >= 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    match looks_like_one.then(|| Zone::utc().instant(Value::Text(text.as_bytes())))? {
        UpdatedAt::At(micros) => Some(micros),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::customer::{OnLong, OnNull};

    fn attribute(kind: Kind, round: Option<u8>) -> Attribute {
        Attribute {
            column: "a".to_owned(),
            name: "a".to_owned(),
            kind,
            round,
            on_null: OnNull::Remove,
            on_long: OnLong::Reject,
            zone: Zone::utc(),
        }
    }

    fn of(attribute: &Attribute, has: Option<Json>, accepted: &str, sent: Option<Json>) -> Found {
        found(attribute, has.as_ref(), sent.as_ref(), &|json| json == accepted.as_bytes())
    }

    #[test]
    fn a_value_is_confirmed_in_whichever_spelling_it_comes_back() {
        let number = attribute(Kind::Number, Some(3));
        assert_eq!(of(&number, Some(json!(0.25)), "0.25", None), Found::Confirmed);
        assert_eq!(of(&number, Some(json!(1.0)), "1", None), Found::Confirmed);
        let time = attribute(Kind::Timestamp, None);
        let sent = json!("2026-05-01T10:00:00Z");
        let has = json!("2026-05-01T10:00:00.000Z");
        assert_eq!(of(&time, Some(has), &sent.to_string(), Some(sent.clone())), Found::Confirmed);
        let date = attribute(Kind::Date, None);
        let has = json!("2026-05-01T00:00:00.000Z");
        assert_eq!(of(&date, Some(has), "\"2026-05-01\"", Some(json!("2026-05-01"))), Found::Confirmed);
        let document = attribute(Kind::Json, None);
        let (has, sent) = (json!({"a": 1, "b": 2.0}), json!({"b": 2.0, "a": 1}));
        assert_eq!(of(&document, Some(has), "other order", Some(sent)), Found::Confirmed);
    }

    #[test]
    fn what_is_another_value_or_none_is_told_apart() {
        let number = attribute(Kind::Number, Some(3));
        assert_eq!(of(&number, Some(json!(0.5)), "0.25", Some(json!(0.25))), Found::Different);
        assert_eq!(of(&number, Some(json!("0.25")), "0.2", None), Found::Different);
        assert_eq!(of(&number, None, "0.25", None), Found::Missing);
        assert_eq!(of(&number, None, "null", None), Found::Confirmed);
        assert_eq!(of(&number, Some(json!(1)), "null", None), Found::Different);
        assert_eq!(of(&attribute(Kind::Json, None), Some(json!([1])), "?", None), Found::Unclear);
    }
}
