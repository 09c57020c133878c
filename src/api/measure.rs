//! What the HTTP surface counts. Labels come from closed sets and the config, never from a request.

use chrono::{DateTime, Utc};
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

use crate::telemetry::metric::{
    ACK_SECONDS, CALLBACKS, CLOCK_SKEW_SECONDS, CONNECTIONS, CONNECTIONS_REFUSED, HTTP_REQUEST_SECONDS,
    HTTP_REQUESTS, SECRETS,
};

pub(super) fn callback(sync: &str, outcome: &'static str, reason: &'static str, began: Instant) {
    counter!(CALLBACKS, "sync" => sync.to_owned(), "outcome" => outcome, "reason" => reason).increment(1);
    histogram!(ACK_SECONDS).record(began.elapsed().as_secs_f64());
}

pub(super) fn verified(sync: &str, secret: usize, signed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) {
    counter!(SECRETS, "sync" => sync.to_owned(), "secret" => secret.to_string()).increment(1);
    if let Some(signed_at) = signed_at {
        #[expect(clippy::cast_precision_loss, reason = "a skew within the tolerance has few digits")]
        histogram!(CLOCK_SKEW_SECONDS).record((now - signed_at).num_milliseconds() as f64 / 1000.0);
    }
}

pub(super) fn request(route: String, method: &'static str, status: u16, began: Instant) {
    counter!(HTTP_REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(HTTP_REQUEST_SECONDS, "route" => route).record(began.elapsed().as_secs_f64());
}

pub(super) fn connections(open: usize) {
    #[expect(clippy::cast_precision_loss, reason = "at most the connection cap")]
    gauge!(CONNECTIONS).set(open as f64);
}

/// Shows from zero on what is seldom counted.
pub(super) fn begin() {
    counter!(CONNECTIONS_REFUSED).increment(0);
    connections(0);
}

pub(super) fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}
