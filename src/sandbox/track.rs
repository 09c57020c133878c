//! `/users/track` and its two variants, from the size of the body to the answer.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::call::{ARRAYS, Body, Call, TrackBody};
use super::check::check;
use super::counting::Counted;
use super::identity::Identity;
use super::queue;
use super::refusal::Refusal;
use super::reply::Reply;
use super::route::Route;
use super::settings::Cap;
use super::shared::Shared;
use super::store::{Update, meter};

const NOTHING_VALID: &str =
    "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.";
const BAD_JSON: &str = "Error while parsing request body. Please check your syntax.";
const TOO_MANY: &str = "Max Input Length Exceeded";

/// What a rule changes about the handling of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Tamper {
    /// Customers whose objects are refused.
    pub(super) refuse: Vec<String>,
    /// The error they are refused with.
    pub(super) error: String,
    /// Leaves out so many of the last accepted attribute objects without saying so.
    pub(super) leave_out: usize,
}

/// The result of the checks.
#[derive(Debug, Default)]
struct Sifted {
    updates: Vec<Update>,
    /// Accepted objects by array.
    accepted: [usize; 3],
    errors: Vec<Value>,
    values: u64,
    data_points: u64,
}

/// Takes in one request and answers it. The order of checks is the sandbox's own choice; no page tells Braze's.
pub(super) fn take_in(shared: &Shared, route: Route, call: Call, number: u64, tamper: &Tamper) -> Reply {
    if call.bytes.len() > route.body_limit_bytes() {
        let status = if route == Route::Bulk { 400 } else { shared.settings.track_size_status };
        return Reply::message(status, "Payload Too Large");
    }
    match call.body {
        Body::Track(body) => take_in_track(shared, route, body, number, tamper),
        Body::Counted(counted) => take_in_counted(shared, route, &counted, number),
        _ => bad_json(),
    }
}

/// The answer to a body that is not a JSON object.
pub(super) fn bad_json() -> Reply {
    Reply::json(400, json!({ "error": BAD_JSON }))
}

fn take_in_track(shared: &Shared, route: Route, body: TrackBody, number: u64, tamper: &Tamper) -> Reply {
    let lengths = body.lengths();
    if !within_cap(shared, route, lengths) || (route == Route::Bulk && too_many_of_one(shared, &body)) {
        return too_many(shared, number, lengths);
    }
    if lengths == [0; 3] {
        return Reply::message(400, NOTHING_VALID);
    }
    let present = [0, 1, 2].map(|array| body.arrays[array].is_some());
    let mut sifted = sift(shared, body, tamper);
    count(shared, &sifted);
    if sifted.accepted == [0; 3] {
        return Reply::json(400, json!({"message": NOTHING_VALID, "errors": sifted.errors}));
    }
    let left_out = tamper.leave_out.min(sifted.updates.len());
    sifted.updates.truncate(sifted.updates.len() - left_out);
    sifted.accepted[0] -= left_out.min(sifted.accepted[0]);
    if route == Route::Sync {
        return synchronous(shared, number, sifted.updates);
    }
    queue::accept(shared, number, std::mem::take(&mut sifted.updates));
    accepted(shared, present, sifted.accepted, sifted.errors)
}

fn take_in_counted(shared: &Shared, route: Route, counted: &Counted, number: u64) -> Reply {
    let arrays = [counted.attributes, counted.events, counted.purchases];
    let lengths = arrays.map(|array| array.map_or(0, |count| count.objects));
    if !within_cap(shared, route, lengths) {
        return too_many(shared, number, lengths);
    }
    if lengths == [0; 3] {
        return Reply::message(400, NOTHING_VALID);
    }
    let values = counted.attributes.unwrap_or_default().values;
    count(shared, &Sifted { accepted: lengths, values, data_points: values, ..Sifted::default() });
    accepted(shared, arrays.map(|array| array.is_some()), lengths, Vec::new())
}

fn within_cap(shared: &Shared, route: Route, lengths: [usize; 3]) -> bool {
    match route {
        Route::Bulk => Cap::Combined(shared.settings.bulk_cap).allows(lengths),
        // Braze docs, "Create and update users (synchronous)": one object per request.
        Route::Sync => Cap::Combined(1).allows(lengths),
        _ => shared.settings.cap.allows(lengths),
    }
}

fn too_many_of_one(shared: &Shared, body: &TrackBody) -> bool {
    let mut counts: HashMap<&Identity, usize> = HashMap::new();
    body.customers.iter().flatten().any(|customer| {
        let count = counts.entry(customer).or_default();
        *count += 1;
        *count > shared.settings.bulk_per_user
    })
}

fn too_many(shared: &Shared, number: u64, lengths: [usize; 3]) -> Reply {
    let sum: usize = lengths.iter().sum();
    shared.books(|books| books.violate(format!("over_cap: request {number} carried {sum} objects")));
    Reply::json(400, json!({"message": TOO_MANY, "errors": []}))
}

fn sift(shared: &Shared, body: TrackBody, tamper: &Tamper) -> Sifted {
    let mut sifted = Sifted::default();
    for (array, entries) in body.arrays.into_iter().enumerate() {
        for (index, entry) in entries.into_iter().flatten().enumerate() {
            let verdict = check(&shared.settings, array, &entry).and_then(|identity| tamper.judge(identity));
            match verdict {
                Ok(identity) => sifted.accept(shared, array, identity, entry),
                Err(refusal) => {
                    sifted.errors.push(refusal.entry(shared.settings.style, ARRAYS[array], index))
                }
            }
        }
    }
    sifted
}

impl Tamper {
    fn judge(&self, identity: Option<Identity>) -> Result<Option<Identity>, Refusal> {
        let refused = identity.as_ref().and_then(Identity::external);
        if refused.is_some_and(|id| self.refuse.iter().any(|refuse| refuse == id)) {
            return Err(Refusal::Dictated(self.error.clone()));
        }
        Ok(identity)
    }
}

impl Sifted {
    fn accept(&mut self, shared: &Shared, array: usize, identity: Option<Identity>, entry: Value) {
        self.accepted[array] += 1;
        let Value::Object(object) = entry else { return };
        if array > 0 {
            // An event or a purchase is one data point and makes sure of its profile; nothing else of it is kept.
            self.data_points += 1;
            let only_profile =
                Map::from_iter(object.into_iter().filter(|(key, _)| key == "_update_existing_only"));
            self.updates.extend(identity.map(|identity| Update { identity, object: only_profile }));
            return;
        }
        let (values, data_points) = meter(&shared.settings, identity.as_ref(), &object);
        self.values += values;
        self.data_points += data_points;
        self.updates.extend(identity.map(|identity| Update { identity, object }));
    }
}

fn count(shared: &Shared, sifted: &Sifted) {
    shared.books(|books| {
        let refused = sifted.errors.iter().filter(|error| error["input_array"] == ARRAYS[0]).count();
        books.stats.objects_accepted += sifted.accepted[0] as u64;
        books.stats.objects_refused += refused as u64;
        books.stats.values_sent += sifted.values;
        books.stats.data_points += sifted.data_points;
    });
}

fn accepted(shared: &Shared, present: [bool; 3], counts: [usize; 3], errors: Vec<Value>) -> Reply {
    let mut body = Map::new();
    for array in (0..3).filter(|array| present[*array]) {
        body.insert(format!("{}_processed", ARRAYS[array]), counts[array].into());
    }
    if !errors.is_empty() || shared.settings.empty_errors_array {
        body.insert("errors".into(), errors.into());
    }
    body.insert("message".into(), "success".into());
    Reply::json(201, Value::Object(body))
}

/// Braze docs, "Create and update users (synchronous)": the answer shows what the sent attributes are now.
fn synchronous(shared: &Shared, number: u64, updates: Vec<Update>) -> Reply {
    let asked: Vec<(Identity, Vec<String>)> = updates
        .iter()
        .map(|update| {
            (update.identity.clone(), update.object.keys().map(|key| key.trim().to_owned()).collect())
        })
        .collect();
    shared.apply(number, updates);
    let store = shared.store();
    let users = asked.iter().filter_map(|(identity, names)| {
        let profile = store.profile(identity)?;
        let mut custom = store.custom(profile);
        custom.retain(|name, _| names.contains(name));
        Some(json!({"external_id": profile.external_id, "custom_attributes": custom}))
    });
    Reply::json(201, json!({"users": users.collect::<Vec<_>>(), "message": "success"}))
}
