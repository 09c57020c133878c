//! `[[syncs]]` less its attributes.

use std::collections::BTreeSet;

use chrono::DateTime;
use croner::parser::{CronParser, Seconds, Year};

use super::{name, url};
use crate::config::bound::{FULL_EVERY_SECS, MAX_SECRETS, RESEND_EVERY_SECS, STALE_AFTER_SECS};
use crate::config::problem::Problems;
use crate::config::{Cadence, Callback, Config, Identifier, Sync, VerifyRun};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let mut ids = BTreeSet::new();
    for (index, sync) in config.syncs.iter().enumerate() {
        let key = format!("syncs[{index}]");
        problems.note(&format!("{key}.id"), name::id(&sync.id));
        if !ids.insert(&sync.id) {
            problems.add(format!("{key}.id"), "is taken by a sync above; each needs its own");
        }
        ends(config, sync, &key, problems);
        selection(sync, &key, problems);
        every(sync, &key, problems);
        if let Some(callback) = &sync.callback {
            check_callback(callback, &format!("{key}.callback"), problems);
        }
        if let Some(cadence) = &sync.cadence {
            check_cadence(cadence, &format!("{key}.cadence"), problems);
        }
    }
}

fn ends(config: &Config, sync: &Sync, key: &str, problems: &mut Problems) {
    if !config.sources.contains_key(&sync.source) {
        problems.add(format!("{key}.source"), "names no [sources.…] of this file");
    }
    if !config.destinations.contains_key(&sync.destination) {
        problems.add(format!("{key}.destination"), "names no [destinations.…] of this file");
    }
}

fn selection(sync: &Sync, key: &str, problems: &mut Problems) {
    match (&sync.table, &sync.query) {
        (Some(table), None) => {
            problems.note(&format!("{key}.table"), name::table(table));
        }
        (None, Some(query)) => {
            problems.note(&format!("{key}.query"), check_query(query));
        }
        (Some(_), Some(_)) => problems.add(format!("{key}.query"), "stands beside table; keep one of them"),
        (None, None) => problems.add(format!("{key}.table"), "is missing: write table or query"),
    }
    problems.note(&format!("{key}.key"), name::column(&sync.key));
    problems.note(&format!("{key}.updated_at"), name::column(&sync.updated_at));
    if let Identifier::Alias(label) = &sync.identifier
        && (label.trim() != label || label.chars().any(char::is_control))
    {
        problems.add(format!("{key}.identifier"), "must not hold space around the alias label");
    }
}

/// The query is read as a table in brackets, so it must be one statement that selects.
fn check_query(query: &str) -> Result<(), &'static str> {
    let first = query.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if first != "select" && first != "with" {
        return Err("must begin with select or with");
    }
    if query.trim_end().ends_with(';') {
        return Err("must not end with a semicolon: it is read as a table in brackets");
    }
    Ok(())
}

fn every(sync: &Sync, key: &str, problems: &mut Problems) {
    if let Some(secs) = sync.full_every_secs {
        problems.note(&format!("{key}.full_every"), FULL_EVERY_SECS.check_duration(secs));
    }
    if let Some(secs) = sync.resend_every_secs {
        problems.note(&format!("{key}.resend_every"), RESEND_EVERY_SECS.check_duration(secs));
    }
}

fn check_callback(callback: &Callback, key: &str, problems: &mut Problems) {
    let secrets = format!("{key}.secrets");
    match callback.secrets.len() {
        0 => problems.add(secrets, "is empty; write [\"env:NAME\"]"),
        1..=MAX_SECRETS => {}
        _ => problems
            .add(secrets, format!("holds more than {MAX_SECRETS}; drop those no sender uses any more")),
    }
    if let Some(verify) = &callback.verify_run {
        verify_run(verify, &format!("{key}.verify_run"), problems);
    }
    if callback.events.is_empty() || callback.events.iter().any(String::is_empty) {
        problems.add(format!("{key}.events"), "must name at least one event type, and no empty one");
    }
}

fn verify_run(verify: &VerifyRun, key: &str, problems: &mut Problems) {
    // It becomes part of an address.
    problems.note(&format!("{key}.workflow_id"), name::id(&verify.workflow_id));
    if verify.step.trim().is_empty() {
        problems.add(format!("{key}.step"), "is empty; write the step's name, such as score-customers");
    }
    if let Some(base) = &verify.peak.base_url {
        problems.note(&format!("{key}.peak.base_url"), url::http(base, url::Rest::Path));
    }
}

fn check_cadence(cadence: &Cadence, key: &str, problems: &mut Problems) {
    problems.note(&format!("{key}.timezone"), name::zone(&cadence.timezone));
    if let Some(secs) = cadence.stale_after_secs {
        problems.note(&format!("{key}.stale_after"), STALE_AFTER_SECS.check_duration(secs));
    }
    if let Some(cron) = &cadence.cron {
        problems.note(&format!("{key}.cron"), check_cron(cron));
    }
}

fn check_cron(text: &str) -> Result<(), &'static str> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser
        .parse(text)
        .map_err(|_| "must be five fields: minute hour day month weekday, such as \"0 6 * * *\"")?;
    // Any instant will do: what never fires after it never fires.
    match cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false) {
        Ok(_) => Ok(()),
        Err(_) => Err("names a day that never comes"),
    }
}
