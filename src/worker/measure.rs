//! What runs come to, counted. Labels come from closed sets and the config, never from a customer.

use chrono::TimeDelta;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

use crate::config::NotifyEvent;
use crate::ledger::{Finish, Lease};

/// Finished runs by sync and state.
const RUNS: &str = "peak_braze_runs_total";
/// Attempts of runs by sync.
const ATTEMPTS: &str = "peak_braze_run_attempts_total";
/// Seconds of a run's last attempt, claim to outcome.
const RUN_SECONDS: &str = "peak_braze_run_seconds";
/// Customers of finished runs by sync and what became of them.
const CUSTOMERS: &str = "peak_braze_customers_total";
/// Values of finished runs by sync: sent, or saved because Braze already had them.
const VALUES: &str = "peak_braze_values_total";
/// Requests to Braze of finished runs by sync.
const REQUESTS: &str = "peak_braze_braze_requests_total";
/// Those of them that repeated an earlier one.
const RETRIES: &str = "peak_braze_braze_retries_total";
/// Deliveries of notices by event and outcome: delivered, retried, given_up; and those dropped undelivered.
const NOTICES: &str = "peak_braze_notices_total";
/// Notices not yet delivered.
const NOTICES_PENDING: &str = "peak_braze_notices_pending";
/// Age of the oldest of them.
const NOTICES_OLDEST: &str = "peak_braze_notices_oldest_seconds";

pub(super) fn describe() {
    describe_counter!(RUNS, "Finished runs by sync and state.");
    describe_counter!(ATTEMPTS, "Attempts of runs by sync.");
    describe_histogram!(RUN_SECONDS, Unit::Seconds, "A run's last attempt, from claim to outcome.");
    describe_counter!(CUSTOMERS, "Customers of finished runs by sync and verdict.");
    describe_counter!(VALUES, "Attribute values of finished runs by sync, sent or saved.");
    describe_counter!(REQUESTS, "Requests to Braze of finished runs by sync.");
    describe_counter!(RETRIES, "Requests to Braze that repeated an earlier one, by sync.");
    describe_counter!(NOTICES, "Deliveries of notices by event and outcome.");
    describe_gauge!(NOTICES_PENDING, "Notices not yet delivered.");
    describe_gauge!(NOTICES_OLDEST, Unit::Seconds, "Age of the oldest notice not yet delivered.");
}

/// A run was claimed.
pub(super) fn claimed(lease: &Lease) {
    counter!(ATTEMPTS, "sync" => lease.run.sync.clone()).increment(1);
}

/// A run ended.
pub(super) fn finished(lease: &Lease, finish: &Finish, claimed_at: Instant) {
    let sync = || lease.run.sync.clone();
    counter!(RUNS, "sync" => sync(), "state" => finish.state.as_str()).increment(1);
    histogram!(RUN_SECONDS, "sync" => sync()).record(claimed_at.elapsed().as_secs_f64());
    let Some(checkpoint) = &finish.checkpoint else { return };
    let tally = &checkpoint.tally;
    for (verdict, count) in [
        ("unchanged", tally.unchanged),
        ("accepted", tally.accepted),
        ("rejected", tally.rejected),
        ("unknown", tally.unknown),
        ("invalid", tally.invalid),
    ] {
        counter!(CUSTOMERS, "sync" => sync(), "verdict" => verdict).increment(count);
    }
    counter!(VALUES, "sync" => sync(), "fate" => "sent").increment(checkpoint.data_points.sent);
    counter!(VALUES, "sync" => sync(), "fate" => "saved").increment(checkpoint.data_points.saved);
    counter!(REQUESTS, "sync" => sync()).increment(tally.requests);
    counter!(RETRIES, "sync" => sync()).increment(tally.retries);
}

/// What became of a notice.
pub(super) fn notice(event: NotifyEvent, outcome: &'static str) {
    counter!(NOTICES, "event" => event.as_str(), "outcome" => outcome).increment(1);
}

/// What waits to be delivered.
pub(super) fn backlog(pending: u64, oldest: TimeDelta) {
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand a receiver at most")]
    gauge!(NOTICES_PENDING).set(pending as f64);
    gauge!(NOTICES_OLDEST).set(oldest.as_seconds_f64().max(0.0));
}
