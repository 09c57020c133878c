//! Reads profiles back, so that what Braze has can be held against what it said it accepted.
//!
//! Source: Braze docs, Export user profile by identifier; Rate limits.

use std::collections::HashMap;
use std::time::Duration;

use hyper::body::Bytes;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::announced::resumption;
use super::client::Trouble;
use super::destination::Braze;
use super::stop::{Fatal, Stop};
use super::verdict::{Reply, classify};
use crate::clock::Clock;
use crate::config::Identifier;

/// Most external ids or aliases of one request; braze ids and addresses go one by one.
const IDS_PER_REQUEST: usize = 50;
/// 250 requests a minute are every workspace's at least.
const PACE: Duration = Duration::from_millis(240);
/// How often one request is tried: over two minutes of somebody else's requests, or a restart.
const TRIES: usize = 4;
/// A wait where nothing is announced: the windows are minutes.
const WAIT: Duration = Duration::from_secs(15);
/// The longest wait for a window of a minute, and a little for clocks that differ.
const LONGEST_WAIT: Duration = Duration::from_secs(65);

/// A customer's attributes as Braze has them. An address may be that of several profiles.
pub type Profiles = HashMap<String, Vec<Map<String, Value>>>;

impl Braze {
    /// The profiles of these keys, custom attributes and the standard ones named. Keys that Braze does not know are not
    /// among them. Needs the permission `users.export.ids`; takes a second for 200 external ids.
    ///
    /// # Errors
    /// [`Stop::Fatal`] where Braze refuses the key or the address; [`Stop::GaveUp`] where it gives no answer that tells.
    pub async fn profiles(
        &self,
        identifier: &Identifier,
        keys: &[&str],
        standard: &[&str],
        clock: &Clock,
    ) -> Result<Profiles, Stop> {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut profiles = Profiles::new();
        let mut parts: Vec<&[&str]> = keys.chunks(per_request(identifier)).rev().collect();
        while let Some(part) = parts.pop() {
            match self.part(identifier, part, standard, &mut pace, clock).await? {
                Some(users) => place(users, identifier, part, &mut profiles),
                // The answer was longer than is read: profiles of hundreds of attributes.
                None if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                None => return Err(Stop::GaveUp),
            }
        }
        Ok(profiles)
    }

    async fn part(
        &self,
        identifier: &Identifier,
        keys: &[&str],
        standard: &[&str],
        pace: &mut tokio::time::Interval,
        clock: &Clock,
    ) -> Result<Option<Vec<Map<String, Value>>>, Stop> {
        let body = Bytes::from(question(identifier, keys, standard).to_string());
        for _ in 0..TRIES {
            pace.tick().await;
            let heard = {
                let _slot = self.gate.enter().await;
                self.http.export(self.endpoint.export_ids(), body.clone()).await
            };
            let wait = match heard {
                Ok(heard) if heard.status.is_success() => {
                    let Some(body) = heard.body else { return Ok(None) };
                    return users(&body).map(Some).ok_or(Stop::GaveUp);
                }
                Ok(heard) if heard.status == StatusCode::TOO_MANY_REQUESTS => {
                    let announced = resumption(&heard.headers);
                    announced.and_then(|announced| announced.wait(clock.now())).unwrap_or(WAIT)
                }
                Ok(heard) => match classify(heard.status, &heard.headers, heard.body.as_deref(), 0) {
                    Reply::Fatal(fatal) => return Err(Stop::Fatal(fatal)),
                    Reply::Down => WAIT,
                    _ => return Err(Stop::GaveUp),
                },
                Err(Trouble::Tls) => return Err(Stop::Fatal(Fatal::Tls)),
                Err(Trouble::Unreached | Trouble::Timeout | Trouble::Connection | Trouble::Fenced) => WAIT,
            };
            tokio::time::sleep_until(Instant::now() + wait.min(LONGEST_WAIT)).await;
        }
        Err(Stop::GaveUp)
    }
}

fn per_request(identifier: &Identifier) -> usize {
    match identifier {
        Identifier::ExternalId | Identifier::Alias(_) => IDS_PER_REQUEST,
        Identifier::BrazeId | Identifier::Email => 1,
    }
}

fn question(identifier: &Identifier, keys: &[&str], standard: &[&str]) -> Value {
    let (by, ids) = match identifier {
        Identifier::ExternalId => ("external_ids", json!(keys)),
        Identifier::BrazeId => ("braze_id", json!(keys[0])),
        Identifier::Email => ("email_address", json!(keys[0])),
        Identifier::Alias(label) => {
            let alias = |name: &&str| json!({ "alias_name": name, "alias_label": label });
            ("user_aliases", keys.iter().map(alias).collect())
        }
    };
    let mut fields = vec!["external_id", "braze_id", "user_aliases", "email", "custom_attributes"];
    fields.extend(standard.iter().filter(|name| **name != "email"));
    json!({ by: ids, "fields_to_export": fields })
}

fn users(body: &[u8]) -> Option<Vec<Map<String, Value>>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    serde_json::from_value(answer.get_mut("users")?.take()).ok()
}

/// Puts each profile under the key it was asked for by.
fn place(users: Vec<Map<String, Value>>, identifier: &Identifier, keys: &[&str], profiles: &mut Profiles) {
    for user in users {
        let key = match identifier {
            Identifier::ExternalId => user.get("external_id").and_then(Value::as_str).map(str::to_owned),
            // What was asked for alone was answered alone, however it is spelled there.
            Identifier::BrazeId | Identifier::Email => keys.first().map(|key| (*key).to_owned()),
            Identifier::Alias(label) => alias(&user, label),
        };
        if let Some(key) = key {
            profiles.entry(key).or_default().push(flat(user));
        }
    }
}

fn alias(user: &Map<String, Value>, label: &str) -> Option<String> {
    let aliases = user.get("user_aliases")?.as_array()?;
    let same = aliases.iter().find(|alias| alias["alias_label"] == label)?;
    same["alias_name"].as_str().map(str::to_owned)
}

/// Custom attributes beside the standard ones; of one name the custom one counts, for that is what is sent.
fn flat(mut user: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(custom)) = user.remove("custom_attributes") {
        user.extend(custom);
    }
    user
}
