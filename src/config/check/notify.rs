//! `[[notify]]`.

use super::url;
use crate::config::problem::Problems;
use crate::config::{Config, Notify, NotifyFormat};

/// Rows of notices are written per receiver with every outcome: a few are plenty, and more is a mistake.
const MOST_RECEIVERS: usize = 32;

pub(super) fn check(config: &Config, problems: &mut Problems) {
    if config.notify.len() > MOST_RECEIVERS {
        problems.add("notify", format!("holds more than {MOST_RECEIVERS} receivers"));
    }
    for (index, notify) in config.notify.iter().enumerate() {
        let key = format!("notify[{index}]");
        if !url::is_reference(&notify.url) {
            problems.note(&format!("{key}.url"), address(&notify.url));
        }
        if notify.on.is_empty() {
            problems.add(format!("{key}.on"), "is empty; name at least one event, such as \"failed\"");
        }
        proof(notify, &key, problems);
        for (nth, id) in notify.syncs.iter().flatten().enumerate() {
            if config.sync(id).is_none() {
                problems.add(format!("{key}.syncs[{nth}]"), "names no sync of this file");
            }
        }
        if notify.syncs.as_ref().is_some_and(Vec::is_empty) {
            problems.add(format!("{key}.syncs"), "is empty; leave it out for all syncs");
        }
    }
}

/// What proves to the receiver who tells it.
fn proof(notify: &Notify, key: &str, problems: &mut Problems) {
    match (notify.format, &notify.secret, &notify.authorization) {
        (NotifyFormat::Standard, None, None) => {
            problems.add(format!("{key}.secret"), "is missing: notices are signed; write env:NAME");
        }
        (NotifyFormat::Slack | NotifyFormat::Peak, Some(_), _) => {
            let says = format!(
                "signs nothing: a receiver of format {} looks at no signature",
                notify.format.as_str()
            );
            problems.add(format!("{key}.secret"), says);
        }
        (NotifyFormat::Peak, _, None) => {
            problems.add(format!("{key}.authorization"), "is missing: a Peak API key; write env:NAME");
        }
        _ => {}
    }
}

/// An address that may be posted to: https, or this very machine.
pub(in crate::config) fn address(text: &str) -> Result<(), &'static str> {
    url::http(text, url::Rest::Query)
}
