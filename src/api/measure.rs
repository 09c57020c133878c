//! What the HTTP surface counts. Labels come from closed sets and the config, never from a request.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{Counter, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::telemetry::metric::{
    ACK_SECONDS, CALLBACKS, CLOCK_SKEW_SECONDS, CONNECTIONS, CONNECTIONS_REFUSED, HTTP_REQUEST_SECONDS,
    HTTP_REQUESTS, SECRETS,
};

/// A callback that becomes a run, as nearly all do.
const ACCEPTED: (&str, &str) = ("accepted", "");

/// What is counted of one sync's callbacks. Looked up by its labels each time, all of it together would cost as much
/// as a signature.
pub(super) struct Callbacks {
    sync: String,
    accepted: Counter,
    secrets: Vec<Counter>,
    ack_secs: Histogram,
    skew_secs: Histogram,
}

impl Callbacks {
    /// Of a sync whose callbacks are signed with one of so many secrets; what is counted of them shows from zero on. With
    /// none it accepts none.
    pub(super) fn of(sync: &str, secrets: usize) -> Self {
        let secret =
            |index: usize| counter!(SECRETS, "sync" => sync.to_owned(), "secret" => index.to_string());
        Self {
            accepted: if secrets == 0 { Counter::noop() } else { outcome(sync, ACCEPTED) },
            secrets: (0..secrets).map(secret).collect(),
            ack_secs: histogram!(ACK_SECONDS),
            skew_secs: histogram!(CLOCK_SKEW_SECONDS),
            sync: sync.to_owned(),
        }
    }

    pub(super) fn answered(&self, outcome_and_reason: (&'static str, &'static str), began: Instant) {
        match outcome_and_reason {
            ACCEPTED => self.accepted.increment(1),
            other => outcome(&self.sync, other).increment(1),
        }
        self.ack_secs.record(began.elapsed().as_secs_f64());
    }

    pub(super) fn verified(&self, secret: usize, signed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.secrets[secret].increment(1);
        if let Some(signed_at) = signed_at {
            #[expect(clippy::cast_precision_loss, reason = "a skew within the tolerance has few digits")]
            self.skew_secs.record((now - signed_at).num_milliseconds() as f64 / 1000.0);
        }
    }
}

fn outcome(sync: &str, (outcome, reason): (&'static str, &'static str)) -> Counter {
    counter!(CALLBACKS, "sync" => sync.to_owned(), "outcome" => outcome, "reason" => reason)
}

/// What is counted of requests, by route, and there by method and status: as many as there are of each, and no more.
#[derive(Default)]
pub(super) struct Requests(RwLock<HashMap<String, Route>>);

struct Route {
    secs: Histogram,
    answers: HashMap<(&'static str, u16), Counter>,
}

impl Requests {
    pub(super) fn answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        if let Some(route) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(route)
            && let Some(answers) = route.answers.get(&(method, status))
        {
            return count(answers, &route.secs, took);
        }
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let labels = || route.to_owned();
        let seen = routes.entry(labels()).or_insert_with(|| Route {
            secs: histogram!(HTTP_REQUEST_SECONDS, "route" => labels()),
            answers: HashMap::new(),
        });
        let answers = seen.answers.entry((method, status)).or_insert_with(
            || counter!(HTTP_REQUESTS, "route" => labels(), "method" => method, "status" => status.to_string()),
        );
        count(answers, &seen.secs, took);
    }
}

fn count(answers: &Counter, secs: &Histogram, took: Duration) {
    answers.increment(1);
    secs.record(took.as_secs_f64());
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
