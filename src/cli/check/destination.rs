//! Whether Braze takes the key, and what the workspace does with the mapped attributes.
//!
//! Blocklisted attributes and values of another type than the attribute's are dropped in silence (Braze docs,
//! Managing custom data): only looking here tells.

use std::collections::BTreeMap;

use super::alike::is_alike;
use super::finding::{Report, causes};
use super::source::{Kinds, word};
use crate::braze::{Braze, CustomAttribute, Stop};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::customer::Kind;

/// Looks at each destination the syncs send to, once.
pub(super) async fn check_all(
    config: &Config,
    mapped: &[(&config::Sync, Kinds)],
    clock: &Clock,
    report: &mut Report,
) {
    let mut of_destination: BTreeMap<&str, Vec<&(&config::Sync, Kinds)>> = BTreeMap::new();
    for one in mapped {
        of_destination.entry(&one.0.destination).or_default().push(one);
    }
    for (name, syncs) in of_destination {
        let what = format!("destination {name}");
        let Some(braze) = open(config, name, clock, &what, report) else { continue };
        if let Err(stop) = braze.probe().await {
            report.failed(&what, with_cure(stop));
            continue;
        }
        report.ok(&what, "Braze takes the key");
        let Some(known) = attributes(&braze, &what, report).await else { continue };
        for (sync, kinds) in syncs {
            check_mapping(sync, kinds, &known, report);
        }
    }
}

fn open(config: &Config, name: &str, clock: &Clock, what: &str, report: &mut Report) -> Option<Braze> {
    let settings = config.destinations.get(name).expect("the config's rules checked the name");
    // A key that is not there is already told of, with the other secrets.
    let key = settings.api_key.resolve().ok()?;
    match Braze::new(name, settings, key, clock.clone()) {
        Ok(braze) => Some(braze),
        Err(error) => {
            report.failed(what, causes(&error));
            None
        }
    }
}

fn with_cure(stop: Stop) -> String {
    match stop {
        Stop::Fatal(fatal) => fatal.to_string(),
        Stop::GaveUp | Stop::Fenced => {
            "Braze gave no answer that tells; check the endpoint, and that it can be reached from here"
                .to_owned()
        }
    }
}

async fn attributes(braze: &Braze, what: &str, report: &mut Report) -> Option<Vec<CustomAttribute>> {
    let unread = match braze.custom_attributes().await {
        Ok(known) => return Some(known),
        Err(Stop::Fatal(_)) => {
            "the key may not read custom attributes, so blocklist and types are not checked; \
                                give it the permission custom_attributes.get"
        }
        Err(Stop::GaveUp | Stop::Fenced) => {
            "custom attributes cannot be read now, so blocklist and types are not checked; \
                                             try again later"
        }
    };
    report.warning(what, unread);
    None
}

fn check_mapping(sync: &config::Sync, kinds: &Kinds, known: &[CustomAttribute], report: &mut Report) {
    let what = format!("attributes {}", sync.id);
    let (mut is_well, mut new) = (true, 0);
    for name in sync.attributes.iter().map(config::Attribute::name) {
        let same = known.iter().find(|attribute| attribute.name == name);
        new += usize::from(same.is_none());
        let findings = match same {
            Some(attribute) => [blocklisted(attribute), conflict(attribute, kinds.get(name).copied())],
            None => [near_miss(name, known), None],
        };
        for finding in findings.into_iter().flatten() {
            is_well = false;
            match finding {
                Finding::Warning(says) => report.warning(&what, says),
                Finding::Failed(says) => report.failed(&what, says),
            }
        }
    }
    if is_well {
        let all = sync.attributes.len();
        report.ok(
            &what,
            format!("nothing in the workspace stands against the {all} mapped, {new} of them new"),
        );
    }
}

enum Finding {
    Warning(String),
    Failed(String),
}

fn blocklisted(attribute: &CustomAttribute) -> Option<Finding> {
    let is_blocklisted =
        attribute.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("blocklisted"));
    is_blocklisted.then(|| {
        Finding::Failed(format!(
            "{} is blocklisted: Braze drops its values in silence; unblock it under Data Settings, Custom Attributes, \
             or map another name",
            attribute.name
        ))
    })
}

fn conflict(attribute: &CustomAttribute, kind: Option<Kind>) -> Option<Finding> {
    let (data_type, kind) = (attribute.data_type.as_deref()?, kind?);
    let cure = type_of(data_type)?;
    let takes = match kind {
        Kind::AsGiven => return None,
        Kind::String => &["string"][..],
        Kind::Number => &["number"],
        Kind::Boolean => &["boolean"],
        Kind::Date | Kind::Timestamp => &["time", "date"],
        Kind::Json => &["array", "object", "object array"],
    };
    let plain = plain(data_type);
    (!takes.contains(&plain.as_str())).then(|| {
        Finding::Warning(format!(
            "{} is {data_type} in Braze and mapped as {}: forced types drop other values in silence; {cure}, or change \
             the type in Braze",
            attribute.name,
            word(kind)
        ))
    })
}

/// `String (Automatically Detected)` as `string`.
fn plain(data_type: &str) -> String {
    data_type.split('(').next().unwrap_or_default().trim().replace('_', " ").to_lowercase()
}

/// What to write in the mapping for a type of Braze's; none for types that are not known here.
fn type_of(data_type: &str) -> Option<&'static str> {
    Some(match plain(data_type).as_str() {
        "string" => "write type = \"string\"",
        "number" => "write type = \"number\"",
        "boolean" => "write type = \"boolean\"",
        "time" | "date" => "write type = \"timestamp\"",
        "array" | "object" | "object array" => "write type = \"json\"",
        _ => return None,
    })
}

fn near_miss(name: &str, known: &[CustomAttribute]) -> Option<Finding> {
    let near = known.iter().find(|attribute| is_alike(name, &attribute.name))?;
    Some(Finding::Warning(format!(
        "{name} is new to the workspace, which has {:?}: correct the name if that one is meant",
        near.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(data_type: &str) -> CustomAttribute {
        CustomAttribute { name: "a".to_owned(), data_type: Some(data_type.to_owned()), status: None }
    }

    #[test]
    fn types_conflict_where_values_would_be_dropped() {
        let is_conflict = |data_type, kind| conflict(&attribute(data_type), Some(kind)).is_some();
        assert!(is_conflict("String", Kind::Number));
        assert!(is_conflict("Number (Automatically Detected)", Kind::String));
        assert!(is_conflict("Boolean", Kind::Json));
        assert!(!is_conflict("Number (Automatically Detected)", Kind::Number));
        assert!(!is_conflict("Time", Kind::Date) && !is_conflict("Date", Kind::Timestamp));
        assert!(!is_conflict("Object Array", Kind::Json) && !is_conflict("object_array", Kind::Json));
        assert!(!is_conflict("Something else", Kind::Number), "types Braze may add are not judged");
        assert!(!is_conflict("String", Kind::AsGiven));
        assert!(conflict(&attribute("String"), None).is_none());
    }
}
