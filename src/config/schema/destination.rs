//! `[destinations.NAME]`.

use serde_json::Value;

use super::{checked, flag, or, secret, table, text, whole, word};
use crate::config::bound::{
    BATCH_SIZE, MAX_IN_FLIGHT, REQUEST_TIMEOUT_SECS, REQUESTS_PER_3S, REQUESTS_PER_HOUR, RETRY_BASE_MS,
    RETRY_CAP_SECS, SETTLE_SECS,
};

pub(super) fn destination() -> Value {
    let mut keys = workspace();
    keys.extend(pace());
    keys.extend(retries());
    table("One Braze workspace.", keys, &["endpoint", "api_key"])
}

fn workspace() -> Vec<(&'static str, Value)> {
    let label = "Names what the ledger's digests are about; default the table's name. \
                 Under another label nothing counts as already sent.";
    vec![
        ("endpoint", text("REST endpoint of the instance, such as https://rest.iad-01.braze.com.")),
        ("api_key", secret("REST API key with users.track.")),
        ("workspace", text(label)),
        ("path", or(word("Which endpoint takes the updates.", &["track", "track_bulk"]), "track")),
        ("bulk_header", flag("Whether X-Braze-Bulk: true is sent.", true)),
    ]
}

fn pace() -> Vec<(&'static str, Value)> {
    let per_hour = "Requests in any hour, so that others on the workspace keep their share.";
    let in_flight = "Most requests in flight; concurrency adapts below it.";
    let settle = "Seconds between the last send of one run and the first of the next; 0 is off.";
    vec![
        ("batch_size", or(whole("Customers per request.", BATCH_SIZE), 75)),
        ("requests_per_3s", or(whole("Requests in any three seconds.", REQUESTS_PER_3S), 3_000)),
        ("requests_per_hour", whole(per_hour, REQUESTS_PER_HOUR)),
        ("max_in_flight", or(whole(in_flight, MAX_IN_FLIGHT), 128)),
        ("settle_secs", or(whole(settle, SETTLE_SECS), 60)),
    ]
}

fn retries() -> Vec<(&'static str, Value)> {
    let timeout = "Seconds one request may take; at most 60 % of ledger.lease_secs.";
    let give_up = "How long a run puts up with unbroken 5xx or network failure; 429 waits don't count.";
    vec![
        ("request_timeout_secs", or(whole(timeout, REQUEST_TIMEOUT_SECS), 12)),
        ("retry_base_ms", or(whole("First step of the backoff, milliseconds.", RETRY_BASE_MS), 500)),
        ("retry_cap_secs", or(whole("Longest step of the backoff, seconds.", RETRY_CAP_SECS), 60)),
        ("give_up_after", or(checked("duration", give_up), "24h")),
    ]
}
