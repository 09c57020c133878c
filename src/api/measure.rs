//! What the HTTP surface counts. Labels come from closed sets and the config, never from a request.

use chrono::{DateTime, Utc};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;

/// Callbacks by sync, outcome (accepted, duplicate, ignored, conflict, refused, failed) and reason.
const CALLBACKS: &str = "peak_braze_callbacks_total";
/// Seconds from a callback's last byte to its answer.
pub const ACK_SECONDS: &str = "peak_braze_callback_ack_seconds";
/// Our clock less the sender's timestamp, in seconds: shows drift before it bites.
pub const CLOCK_SKEW_SECONDS: &str = "peak_braze_callback_clock_skew_seconds";
/// Which secret matched, so that an operator sees when an old one is no longer used.
const SECRETS: &str = "peak_braze_callback_secret_used_total";
/// Requests by route, method and status.
const REQUESTS: &str = "peak_braze_http_requests_total";
/// Seconds from a request's head to its answer's.
pub const REQUEST_SECONDS: &str = "peak_braze_http_request_seconds";
/// Connections open now.
const CONNECTIONS: &str = "peak_braze_http_connections";
/// Connections turned away.
const CONNECTIONS_REFUSED: &str = "peak_braze_http_connections_refused_total";

pub(super) fn describe() {
    describe_counter!(CALLBACKS, "Callbacks by sync, outcome and reason.");
    describe_histogram!(ACK_SECONDS, Unit::Seconds, "From a callback's last byte to its answer.");
    describe_histogram!(CLOCK_SKEW_SECONDS, Unit::Seconds, "Our clock less the callback's timestamp.");
    describe_counter!(SECRETS, "Verified callbacks by sync and index of the secret that matched.");
    describe_counter!(REQUESTS, "HTTP requests by route, method and status.");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "From a request's head to its answer's.");
    describe_gauge!(CONNECTIONS, "HTTP connections open.");
    describe_counter!(
        CONNECTIONS_REFUSED,
        "HTTP connections turned away, the server or the address having enough."
    );
}

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
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(began.elapsed().as_secs_f64());
}

pub(super) fn connections(open: usize) {
    #[expect(clippy::cast_precision_loss, reason = "at most the connection cap")]
    gauge!(CONNECTIONS).set(open as f64);
}

pub(super) fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}
