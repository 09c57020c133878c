//! `[destinations.NAME]`.

use std::collections::BTreeMap;

use super::{name, url};
use crate::config::bound::{BATCH_SIZE_TRACK, GIVE_UP_AFTER_SECS};
use crate::config::problem::Problems;
use crate::config::{Config, Destination, TrackPath};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let mut workspaces: BTreeMap<&str, &str> = BTreeMap::new();
    for (label, destination) in &config.destinations {
        let key = format!("destinations.{label}");
        problems.note(&key, name::id(label));
        problems.note(&format!("{key}.endpoint"), url::http(&destination.endpoint, url::Rest::Bare));
        problems.note(&format!("{key}.workspace"), name::id(&destination.workspace));
        pace(config, destination, &key, problems);
        let first = workspaces.entry(&destination.workspace).or_insert(&destination.endpoint);
        if *first != destination.endpoint {
            problems.add(
                format!("{key}.workspace"),
                "is the label of another endpoint's workspace; give it its own",
            );
        }
    }
}

fn pace(config: &Config, destination: &Destination, key: &str, problems: &mut Problems) {
    if destination.path == TrackPath::Track {
        problems.note(&format!("{key}.batch_size"), BATCH_SIZE_TRACK.check(destination.batch_size as u64));
    }
    let give_up = GIVE_UP_AFTER_SECS.check_duration(destination.give_up_after_secs);
    problems.note(&format!("{key}.give_up_after"), give_up);
    // A request that outlives its lease could land after another worker took the run over.
    let most = config.ledger.lease_secs * 6 / 10;
    if destination.request_timeout_secs > most {
        let says = format!(
            "must be at most 60 % of ledger.lease_secs, here {most}; lengthen the lease or lower this"
        );
        problems.add(format!("{key}.request_timeout_secs"), says);
    }
    if destination.retry_base_ms > destination.retry_cap_secs * 1_000 {
        problems.add(format!("{key}.retry_base_ms"), "must not exceed retry_cap_secs");
    }
}
