//! What runs come to, counted. Labels come from closed sets and the config, never from a customer.

use chrono::TimeDelta;
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use crate::config::NotifyEvent;
use crate::ledger::{Finish, Lease};
use crate::run::{Mode, RunState};
use crate::telemetry::metric::{
    ATTEMPTS, CUSTOMERS, NOTICES, NOTICES_OLDEST, NOTICES_PENDING, REQUESTS, RETRIES, RUN_ERRORS,
    RUN_SECONDS, RUNS, VALUES,
};

/// What becomes of a customer.
const VERDICTS: [&str; 5] = ["unchanged", "accepted", "rejected", "unknown", "invalid"];
/// What becomes of a value.
const FATES: [&str; 3] = ["sent", "saved", "invalid"];

/// Shows what is counted of these syncs from zero on: the first of a series that was not there is no increase to
/// whoever watches, and the first failure is the one to hear of.
pub(super) fn begin(syncs: &[String]) {
    let zero = |name: &'static str, sync: &String, label: &'static str, value: &'static str| {
        counter!(name, "sync" => sync.clone(), label => value).increment(0);
    };
    for sync in syncs {
        counter!(ATTEMPTS, "sync" => sync.clone()).increment(0);
        for state in RunState::ALL.iter().filter(|state| state.is_final()) {
            zero(RUNS, sync, "state", state.as_str());
        }
        VERDICTS.into_iter().for_each(|verdict| zero(CUSTOMERS, sync, "verdict", verdict));
        FATES.into_iter().for_each(|fate| zero(VALUES, sync, "fate", fate));
    }
    for event in NotifyEvent::ALL {
        for outcome in ["given_up", "dropped"] {
            counter!(NOTICES, "event" => event.as_str(), "outcome" => outcome).increment(0);
        }
    }
}

/// A run was claimed.
pub(super) fn claimed(lease: &Lease) {
    counter!(ATTEMPTS, "sync" => lease.run.sync.clone()).increment(1);
}

/// A run ended, as recorded. A plan sent nothing, and counts nowhere.
pub(super) fn finished(lease: &Lease, finish: &Finish, claimed_at: Instant) {
    if lease.run.mode == Mode::Plan {
        return;
    }
    let sync = || lease.run.sync.clone();
    counter!(RUNS, "sync" => sync(), "state" => finish.state.as_str()).increment(1);
    histogram!(RUN_SECONDS, "sync" => sync()).record(claimed_at.elapsed().as_secs_f64());
    if let Some(error) = &finish.error {
        counter!(RUN_ERRORS, "sync" => sync(), "code" => error.code.clone()).increment(1);
    }
    let Some(checkpoint) = &finish.checkpoint else { return };
    let tally = &checkpoint.tally;
    for (verdict, count) in VERDICTS.into_iter().zip([
        tally.unchanged,
        tally.accepted,
        tally.rejected,
        tally.unknown,
        tally.invalid,
    ]) {
        counter!(CUSTOMERS, "sync" => sync(), "verdict" => verdict).increment(count);
    }
    let points = &checkpoint.data_points;
    for (fate, count) in FATES.into_iter().zip([points.sent, points.saved, tally.invalid_values]) {
        counter!(VALUES, "sync" => sync(), "fate" => fate).increment(count);
    }
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
