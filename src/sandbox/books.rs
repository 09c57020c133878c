//! What the sandbox writes down: statistics, the request log, and its client's violations.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::call::{Body, Call};
use super::identity::Identity;
use super::log::{Log, RequestRecord};
use super::route::Route;
use super::store::Applied;

/// Most violations kept; a client that breaks a rule breaks it often.
const VIOLATIONS_KEPT: usize = 1_000;
/// The window of `max_requests_in_any_3s`.
const BURST: Duration = Duration::from_secs(3);
/// A reset further away than this binds only so long: nobody need wait for the year 2099.
const LONGEST_WAIT_SECS: f64 = 3_600.0;

/// Counts since the start. "Track" means `/users/track` with `/bulk` and `/sync`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Track requests that arrived.
    pub requests: u64,
    /// Requests to all other routes and paths.
    pub other_requests: u64,
    /// Track requests answered or lost.
    pub finished: u64,
    /// Track answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Track requests whose connection the client gave up, or a rule reset.
    pub lost: u64,
    /// Attribute objects that arrived.
    pub objects: u64,
    /// Attribute objects taken in.
    pub objects_accepted: u64,
    /// Attribute objects refused with an error.
    pub objects_refused: u64,
    /// Attribute values taken in.
    pub values_sent: u64,
    /// Of these, values equal to the stored one when they were applied. Settle before reading.
    pub values_unchanged: u64,
    /// Values and objects dropped in silence, by reason.
    pub silent_drops: BTreeMap<String, u64>,
    /// Data points consumed.
    pub data_points: u64,
    /// Bytes of track bodies.
    pub body_bytes: u64,
    /// Track requests being answered now.
    pub in_flight: u64,
    /// The most there ever were.
    pub max_in_flight: u64,
    /// The most track requests that arrived within any 3 seconds.
    pub max_requests_in_any_3s: u64,
    /// Requests that came before a reset announced to them.
    pub requests_before_reset: u64,
    /// Requests held by a rule now.
    pub held: u64,
    /// Requests a rule fired for.
    pub faults: u64,
    /// Requests whose updates are accepted and not yet applied.
    pub pending_applies: u64,
    /// Violations noted.
    pub violations: u64,
    /// Requests the log no longer holds; it keeps the last 10,000.
    pub log_dropped: u64,
    /// Connections accepted.
    pub connections: u64,
    /// TLS handshakes that failed.
    pub tls_failures: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Answered(u16),
    /// The connection was lost first, from either side.
    Lost,
}

/// When a route refused, and until when (epoch seconds).
#[derive(Clone, Copy, Debug)]
struct Announced {
    at: f64,
    until: f64,
}

/// The books.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) stats: Stats,
    pub(super) log: Log,
    pub(super) violations: Vec<String>,
    numbers: u64,
    /// The latest request in flight of each customer.
    flights: HashMap<Identity, u64>,
    /// Pairs of requests in flight at once. They count only if the earlier is answered: a client that has given it
    /// up may send again before the sandbox learns that it is gone.
    overlaps: Vec<(u64, u64, Identity)>,
    versions: HashMap<String, HashMap<Identity, f64>>,
    arrivals: VecDeque<Instant>,
    announced: HashMap<Route, Announced>,
    reset_grace_secs: f64,
}

impl Books {
    pub(super) fn new(bodies_kept: usize, reset_grace: Duration) -> Self {
        let log = Log::new(bodies_kept);
        Self { log, reset_grace_secs: reset_grace.as_secs_f64(), ..Self::default() }
    }

    /// Notes an arrival and gives it its number.
    pub(super) fn arrive(&mut self, call: &Call, epoch: f64) -> u64 {
        self.numbers += 1;
        let number = self.numbers;
        self.log.push(RequestRecord::of(call, number, epoch), call.bytes.clone());
        self.stats.log_dropped = self.log.dropped;
        self.mind_reset(call.route, number, epoch);
        if call.route.is_some_and(Route::is_track) {
            self.arrive_track(call, number);
        } else {
            self.stats.other_requests += 1;
        }
        number
    }

    fn arrive_track(&mut self, call: &Call, number: u64) {
        let stats = &mut self.stats;
        stats.requests += 1;
        stats.objects += call.body.count().objects as u64;
        stats.body_bytes += call.bytes.len() as u64;
        stats.in_flight += 1;
        stats.max_in_flight = stats.max_in_flight.max(stats.in_flight);
        self.count_burst(Instant::now());
        match &call.body {
            Body::Broken => {
                self.violate(format!("bad_json: request {number} is not JSON (NaN and the like included)"))
            }
            Body::Track(body) => {
                body.customers.iter().flatten().for_each(|customer| self.take_off(customer, number));
                self.mind_versions(body, number);
            }
            _ => {}
        }
    }

    fn count_burst(&mut self, now: Instant) {
        while self.arrivals.front().is_some_and(|at| now - *at >= BURST) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
        self.stats.max_requests_in_any_3s = self.stats.max_requests_in_any_3s.max(self.arrivals.len() as u64);
    }

    fn take_off(&mut self, customer: &Identity, number: u64) {
        match self.flights.insert(customer.clone(), number) {
            Some(earlier) if earlier == number => {
                self.violate(format!("twice_in_one_request: {customer} in request {number}"));
            }
            Some(earlier) => self.overlaps.push((earlier, number, customer.clone())),
            None => {}
        }
    }

    fn mind_versions(&mut self, body: &super::call::TrackBody, number: u64) {
        let mut backwards = Vec::new();
        for (name, versions) in &mut self.versions {
            for (customer, object) in body.objects() {
                let Some(version) = object.get(name).and_then(serde_json::Value::as_f64) else { continue };
                let last = versions.entry(customer.clone()).or_insert(version);
                if version < *last {
                    backwards.push(format!(
                        "went_backwards: {name} of {customer}, {last} to {version}, request {number}"
                    ));
                }
                *last = version;
            }
        }
        backwards.into_iter().for_each(|violation| self.violate(violation));
    }

    fn mind_reset(&mut self, route: Option<Route>, number: u64, epoch: f64) {
        let Some(announced) = route.and_then(|route| self.announced.get(&route).copied()) else { return };
        if epoch < announced.until && epoch > announced.at + self.reset_grace_secs {
            self.stats.requests_before_reset += 1;
            let early = announced.until - epoch;
            self.violate(format!(
                "before_reset: request {number} came {early:.3} s before the announced reset"
            ));
        }
    }

    /// Notes that a 429 of `route` told its client to wait until `until`.
    pub(super) fn announce(&mut self, route: Route, at: f64, until: f64) {
        let until = until.min(at + LONGEST_WAIT_SECS);
        let announced = self.announced.entry(route).or_insert(Announced { at, until });
        if until > announced.until {
            *announced = Announced { at, until };
        }
    }

    /// Notes how request `number` ended; `customers` are those it took off with.
    pub(super) fn finish(
        &mut self,
        call_route: Option<Route>,
        number: u64,
        customers: &[Identity],
        ending: Ending,
        epoch: f64,
    ) {
        if let Some(record) = self.log.get_mut(number) {
            record.finished_at = Some(epoch);
            if let Ending::Answered(status) = ending {
                record.status = Some(status);
            }
        }
        if !call_route.is_some_and(Route::is_track) {
            return;
        }
        self.stats.in_flight -= 1;
        self.stats.finished += 1;
        match ending {
            Ending::Answered(status) => *self.stats.by_status.entry(status).or_default() += 1,
            Ending::Lost => self.stats.lost += 1,
        }
        for customer in customers {
            if self.flights.get(customer) == Some(&number) {
                self.flights.remove(customer);
            }
        }
        self.land(number, ending);
    }

    fn land(&mut self, number: u64, ending: Ending) {
        if self.overlaps.is_empty() {
            return;
        }
        let (over, open) =
            std::mem::take(&mut self.overlaps).into_iter().partition(|(first, ..)| *first == number);
        self.overlaps = open;
        let over: Vec<(u64, u64, Identity)> = over;
        if ending != Ending::Lost {
            for (first, second, customer) in over {
                self.violate(format!("two_requests_at_once: {customer} in requests {first} and {second}"));
            }
        }
    }

    /// Notes what an update did to the store.
    pub(super) fn applied(&mut self, applied: &Applied) {
        self.stats.values_unchanged += applied.unchanged;
        for (reason, count) in &applied.drops {
            *self.stats.silent_drops.entry((*reason).to_owned()).or_default() += count;
        }
    }

    /// From now on the numeric value of `attribute` must never go down for one customer.
    pub(super) fn watch_version(&mut self, attribute: &str) {
        self.versions.entry(attribute.to_owned()).or_default();
    }

    pub(super) fn violate(&mut self, violation: String) {
        self.stats.violations += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(violation);
        }
    }
}
