//! `/_sandbox/…`: what the sandbox holds, and the rules. No key is asked for; Braze has no such routes.

use serde_json::{Value, json};

use super::call::Call;
use super::identity::Identity;
use super::reply::Reply;
use super::rule::Rule;
use super::shared::Shared;

/// Answers a control request.
pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    let Some(path) = call.path.strip_prefix("/_sandbox/") else { return Reply::not_found() };
    match (call.method.as_str(), path) {
        ("GET", "stats") => Reply::json(200, json!(shared.read(|books| books.stats.clone()))),
        ("GET", "violations") => Reply::json(200, json!(shared.read(|books| books.violations.clone()))),
        ("GET", "requests") => requests(shared),
        ("GET", "rules") => Reply::json(200, shared.rules().list()),
        ("POST", "rules") => add_rules(shared, &call.bytes),
        ("DELETE", "rules") => {
            shared.clear_rules();
            Reply::message(200, "success")
        }
        ("POST", "release") => release(shared, &call.bytes),
        ("GET", path) => path.strip_prefix("users/").map_or_else(Reply::not_found, |id| user(shared, id)),
        _ => Reply::not_found(),
    }
}

fn requests(shared: &Shared) -> Reply {
    let (records, dropped) = shared.read(|books| (books.log.records(), books.log.dropped));
    Reply::json(
        200,
        json!({"requests": records, "dropped": dropped, "note": "the last 10,000 requests are kept"}),
    )
}

fn add_rules(shared: &Shared, bytes: &[u8]) -> Reply {
    let parsed = match serde_json::from_slice::<Value>(bytes) {
        Ok(rules @ Value::Array(_)) => serde_json::from_value::<Vec<Rule>>(rules),
        Ok(rule) => serde_json::from_value(rule).map(|rule| vec![rule]),
        Err(error) => Err(error),
    };
    match parsed {
        Ok(rules) => {
            let added = rules.len();
            rules.into_iter().for_each(|rule| shared.rule(rule));
            Reply::json(201, json!({"message": "success", "added": added}))
        }
        Err(error) => Reply::message(400, &format!("not a rule: {error}")),
    }
}

fn release(shared: &Shared, bytes: &[u8]) -> Reply {
    let body = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let Some(name) = body.get("name").and_then(Value::as_str) else {
        return Reply::message(400, r#"expected {"name": "…"}"#);
    };
    shared.holds.release(name);
    Reply::message(200, "success")
}

fn user(shared: &Shared, encoded: &str) -> Reply {
    let identity = Identity::External(percent_decoded(encoded));
    let store = shared.store();
    let Some(profile) = store.profile(&identity) else { return Reply::not_found() };
    let body = json!({
        "external_id": profile.external_id,
        "braze_id": store.braze_id(&identity),
        "custom_attributes": store.custom(profile),
        "standard_attributes": profile.standard,
        "last_request": profile.last_request,
    });
    Reply::json(200, body)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn encoded_ids_are_read() {
        assert_eq!(super::percent_decoded("c%2F1%C3%A9%"), "c/1é%");
    }
}
