//! Every metric there is: name, kind, unit, labels, help, buckets. The one place; documents, alerts and the dashboard
//! are tested against it.
//!
//! Labels come from closed sets and the config, never from a request, a customer or Braze's words.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, and to zero with a new process.
    Counter,
    /// Up and down.
    Gauge,
    /// How often values fell into each of its buckets.
    Histogram,
}

impl Kind {
    /// The word in Prometheus' text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it counts in; empty where it counts things.
    pub unit: &'static str,
    /// The labels each of its series has.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

macro_rules! metrics {
    ($($name:ident = $kind:ident $word:literal ($unit:literal) [$($label:literal)*] $([$buckets:ident])? $help:literal;)+) => {
        $(#[doc = $help] pub const $name: &str = $word;)+

        /// Every metric.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $word,
            kind: Kind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
            buckets: metrics!(@ $($buckets)?),
        },)+];
    };
    (@) => { &[] };
    (@ $buckets:ident) => { $buckets };
}

/// A commit to disk takes milliseconds; at five seconds a ledger that cannot write is given up on (503).
const ANSWER_SECS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Both ways, for either clock may be ahead; 300 s is the tolerance of Standard Webhooks, and our default.
const SKEW_SECS: &[f64] =
    &[-300.0, -120.0, -30.0, -5.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// From a delta of a few rows to a day of being throttled, which is as long as a run puts up with by default.
const RUN_SECS: &[f64] = &[
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
];
/// Braze answers in some tens of milliseconds; 12 s is the default `request_timeout_secs`.
const REQUEST_SECS: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 8.0, 12.0, 30.0];

metrics! {
    CALLBACKS = Counter "peak_braze_callbacks_total" ("") ["sync" "outcome" "reason"]
        "Callbacks by sync, outcome (accepted, duplicate, ignored, conflict, refused, failed) and reason.";
    ACK_SECONDS = Histogram "peak_braze_callback_ack_seconds" ("seconds") [] [ANSWER_SECS]
        "From a callback's last byte to its answer, the commit included.";
    CLOCK_SKEW_SECONDS = Histogram "peak_braze_callback_clock_skew_seconds" ("seconds") [] [SKEW_SECS]
        "Our clock less the timestamp of a verified callback.";
    SECRETS = Counter "peak_braze_callback_secret_used_total" ("") ["sync" "secret"]
        "Verified callbacks by sync and index of the secret that matched.";
    HTTP_REQUESTS = Counter "peak_braze_http_requests_total" ("") ["route" "method" "status"]
        "HTTP requests by route, method and status.";
    HTTP_REQUEST_SECONDS = Histogram "peak_braze_http_request_seconds" ("seconds") ["route"] [ANSWER_SECS]
        "From a request's head to its answer's, by route.";
    CONNECTIONS = Gauge "peak_braze_http_connections" ("") [] "HTTP connections open.";
    CONNECTIONS_REFUSED = Counter "peak_braze_http_connections_refused_total" ("") []
        "HTTP connections turned away, the server or the address having enough.";

    RUNS = Counter "peak_braze_runs_total" ("") ["sync" "state"] "Finished runs, plans aside, by sync and state.";
    RUN_ERRORS = Counter "peak_braze_run_errors_total" ("") ["sync" "code"]
        "Failed and cancelled runs, plans aside, by sync and error code.";
    ATTEMPTS = Counter "peak_braze_run_attempts_total" ("") ["sync"] "Attempts of runs by sync, plans among them.";
    RUN_SECONDS = Histogram "peak_braze_run_seconds" ("seconds") ["sync"] [RUN_SECS]
        "A run's last attempt, from claim to outcome, by sync; plans aside.";
    CUSTOMERS = Counter "peak_braze_customers_total" ("") ["sync" "verdict"]
        "Customers of finished runs, plans aside, by sync and verdict (unchanged, accepted, rejected, unknown, invalid).";
    VALUES = Counter "peak_braze_values_total" ("") ["sync" "fate"]
        "Attribute values of finished runs, plans aside, by sync: sent, saved because Braze had them, or invalid.";
    OPEN_RUNS = Gauge "peak_braze_open_runs" ("") ["sync" "state"]
        "Runs not finished, plans aside, by sync and state (queued, running, waiting, held).";
    QUEUE_AGE = Gauge "peak_braze_queue_age_seconds" ("seconds") ["sync"]
        "Age of the sync's queued run; 0 where none is queued.";
    RUN_AGE = Gauge "peak_braze_run_age_seconds" ("seconds") ["sync"]
        "Since the sync's active run was first claimed; 0 where none is active.";

    WATERMARK_AGE = Gauge "peak_braze_sync_watermark_age_seconds" ("seconds") ["sync"]
        "Since the sync's watermark last moved; absent before it first did.";
    STALE_AFTER = Gauge "peak_braze_sync_stale_after_seconds" ("seconds") ["sync"]
        "How long its watermark may stand still, by its cadence; absent without a bound.";
    STALE = Gauge "peak_braze_sync_stale" ("") ["sync"]
        "1 where the watermark has stood still for longer than the cadence allows.";
    BLOCKED = Gauge "peak_braze_sync_blocked" ("") ["sync"] "1 where Braze lets nothing of the sync through.";
    PAUSED = Gauge "peak_braze_sync_paused" ("") ["sync"] "1 where a person paused the sync.";
    OUTSTANDING = Gauge "peak_braze_sync_outstanding_rejections" ("") ["sync"]
        "Refused customers and values that later runs try again.";

    REQUESTS = Counter "peak_braze_braze_requests_total" ("") ["sync"] "Requests to Braze of finished runs by sync.";
    RETRIES = Counter "peak_braze_braze_retries_total" ("") ["sync"]
        "Requests to Braze of finished runs that repeated an earlier one, by sync.";
    ANSWERS = Counter "peak_braze_braze_answers_total" ("") ["destination" "class"]
        "Requests to Braze by what their answer meant, as they are answered.";
    REQUEST_SECONDS = Histogram "peak_braze_braze_request_seconds" ("seconds") ["destination"] [REQUEST_SECS]
        "From a request's start to its answer, or to giving up on one.";
    THROTTLED = Counter "peak_braze_braze_throttled_seconds_total" ("seconds") ["destination" "reason"]
        "Time a request waited: for a hold (429, backoff, the hour's share) or for the pace of the budget.";
    IN_FLIGHT = Gauge "peak_braze_braze_requests_in_flight" ("") ["destination"] "Requests to Braze not yet answered.";
    CONCURRENCY = Gauge "peak_braze_braze_concurrency_limit" ("") ["destination"]
        "Requests that may be in flight now: adapts below max_in_flight.";
    BUDGET_LEFT = Gauge "peak_braze_braze_budget_left" ("") ["destination" "window"]
        "Requests that may still start: in 3s, in the hour, and as Braze last told.";
    HOLD = Gauge "peak_braze_braze_hold_seconds" ("seconds") ["destination"]
        "Until requests flow again; 0 while they do.";
    FAILING = Gauge "peak_braze_braze_failing_seconds" ("seconds") ["destination"]
        "Since when Braze has given nothing but failures; 0 while it answers.";

    NOTICES = Counter "peak_braze_notices_total" ("") ["event" "outcome"]
        "Deliveries of notices by event and outcome (delivered, retried, given_up, dropped).";
    NOTICES_PENDING = Gauge "peak_braze_notices_pending" ("") [] "Notices not yet delivered.";
    NOTICES_OLDEST = Gauge "peak_braze_notices_oldest_seconds" ("seconds") []
        "Age of the oldest notice not yet delivered.";

    LEDGER_UP = Gauge "peak_braze_ledger_up" ("") [] "1 where the ledger answered when these figures were last looked up.";
    LEDGER_BYTES = Gauge "peak_braze_ledger_bytes" ("bytes") ["part"]
        "Size of the ledger: tables with their indexes, and for SQLite the write-ahead log.";
    RELOADS = Counter "peak_braze_config_reloads_total" ("") ["outcome"]
        "Reloads of the config: done, or refused and the old one left in force.";
    SPANS = Counter "peak_braze_trace_spans_total" ("") ["outcome"]
        "Spans of traces: recorded, exported, or failed to be.";
    BUILD = Gauge "peak_braze_build_info" ("") ["version"] "1; the version that runs.";
}

/// Tells the recorder what each metric is.
pub(super) fn describe() {
    for metric in ALL {
        let (name, help) = (metric.name, metric.help);
        match (metric.kind, metric.unit) {
            (Kind::Counter, _) => describe_counter!(name, help),
            (Kind::Gauge, "bytes") => describe_gauge!(name, Unit::Bytes, help),
            (Kind::Gauge, "seconds") => describe_gauge!(name, Unit::Seconds, help),
            (Kind::Gauge, _) => describe_gauge!(name, help),
            (Kind::Histogram, _) => describe_histogram!(name, Unit::Seconds, help),
        }
    }
}

/// Gives each histogram its buckets.
pub(super) fn bucketed(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    let histograms = ALL.iter().filter(|metric| metric.kind == Kind::Histogram);
    histograms.into_iter().try_fold(builder, |builder, metric| {
        builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("peak_braze_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            let says = name.trim_end_matches("_total").rsplit('_').next().unwrap_or_default();
            assert_eq!(matches!(says, "seconds" | "bytes"), !metric.unit.is_empty(), "{name}");
            assert!(metric.unit.is_empty() || says == metric.unit, "{name}");
            assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{name}");
            assert!(metric.buckets.is_sorted(), "{name}");
            assert_eq!(ALL.iter().filter(|other| other.name == name).count(), 1, "{name} stands twice");
        }
    }
}
