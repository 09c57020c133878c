//! `[[syncs.attributes]]`: what may be written to Braze, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use super::name;
use crate::config::bound::{MAX_ATTRIBUTES, MAX_NAME_BYTES};
use crate::config::problem::Problems;
use crate::config::{Attribute, AttributeType, Config, Sync};

/// Standard attributes, lower case, exact spelling. Source: Braze docs, User attributes object.
const STANDARD: &[&str] = &[
    "first_name",
    "last_name",
    "email",
    "phone",
    "dob",
    "gender",
    "country",
    "home_city",
    "language",
    "time_zone",
    "current_location",
    "image_url",
    "email_subscribe",
    "push_subscribe",
    "subscription_groups",
    "email_open_tracking_disabled",
    "email_click_tracking_disabled",
    "marked_email_as_spam_at",
    "date_of_first_session",
    "date_of_last_session",
    "push_tokens",
    "push_token_import",
    "facebook",
    "twitter",
];

/// Say whom an update is for; a mapped value of that name would send it to someone else.
const IDENTIFIERS: &[&str] = &["external_id", "braze_id", "user_alias", "alias_name", "alias_label"];

/// No longer stored, and refused. Source: Braze docs, User attributes object.
const GONE: &[&str] = &["bio", "email_subscription_info"];

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (index, sync) in config.syncs.iter().enumerate() {
        let key = format!("syncs[{index}].attributes");
        count(sync, &key, problems);
        let mut names = BTreeSet::new();
        for (index, attribute) in sync.attributes.iter().enumerate() {
            let key = format!("{key}[{index}]");
            one(sync, attribute, &key, problems);
            if !names.insert(attribute.name()) {
                problems
                    .add(format!("{key}.name"), "is written by an attribute above; each needs its own name");
                continue;
            }
            let workspace = config.destinations.get(&sync.destination).map(|of| of.workspace.as_str());
            let Some(workspace) = workspace else { continue };
            let owner = owners.entry((workspace, attribute.name())).or_insert(&sync.id);
            if *owner != sync.id {
                let says =
                    format!("is written by sync {owner} too; one attribute of a workspace has one sync");
                problems.add(format!("{key}.name"), says);
            }
        }
    }
}

fn count(sync: &Sync, key: &str, problems: &mut Problems) {
    match sync.attributes.len() {
        0 => problems.add(key, "is empty; add [[syncs.attributes]] with a column"),
        1..=MAX_ATTRIBUTES => {}
        _ => problems.add(key, format!("holds more than {MAX_ATTRIBUTES}, the most Braze takes in one row")),
    }
}

fn one(sync: &Sync, attribute: &Attribute, key: &str, problems: &mut Problems) {
    problems.note(&format!("{key}.column"), name::column(&attribute.column));
    problems.note(&format!("{key}.name"), braze_name(attribute.name(), sync.allow_standard));
    let number = matches!(attribute.kind, None | Some(AttributeType::Number));
    if attribute.round.is_some() && !number {
        problems.add(format!("{key}.round"), "fits type = \"number\" only");
    }
}

/// Whether Braze has a field of its own by this name.
pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name)
}

fn braze_name(name: &str, allow_standard: bool) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err("must be 1 to 255 bytes long");
    }
    // Braze strips outer space, so " email" would be "email".
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err("must not begin or end with space, nor hold control characters");
    }
    if name.starts_with(['_', '$']) {
        return Err("begins with _ or $, which Braze keeps for itself; give another name");
    }
    if IDENTIFIERS.contains(&name) {
        return Err("says whom an update is for and cannot be written; give another name");
    }
    if GONE.contains(&name) {
        return Err("is no longer stored by Braze; give another name");
    }
    if is_standard(name) && !allow_standard {
        return Err(
            "is a standard attribute of Braze; give another name, or set allow_standard = true on the sync",
        );
    }
    Ok(())
}
