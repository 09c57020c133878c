//! What Braze refuses before it takes an object in: each check of `/users/track`, object by object.

use serde_json::{Map, Value};

use super::identity::Identity;
use super::refusal::Refusal;
use super::settings::Settings;

/// Longest `external_id` in bytes. Braze docs, "Create and update users".
const EXTERNAL_ID_BYTES: usize = 987;

/// Keys that tell how an object is to be taken.
const CONTROL_KEYS: [&str; 3] = ["_update_existing_only", "_merge_objects", "push_token_import"];

/// Keys that only ever name the customer.
const IDENTIFIER_KEYS: [&str; 3] = ["external_id", "braze_id", "user_alias"];

type Object = Map<String, Value>;

/// Whether a key of an attributes object holds a value, rather than names the customer or the handling.
pub(super) fn is_value_key(key: &str) -> bool {
    !IDENTIFIER_KEYS.contains(&key) && !CONTROL_KEYS.contains(&key)
}

/// Checks one entry of the array number `array`. Gives the customer it is about: none for a push token import.
pub(super) fn check(settings: &Settings, array: usize, entry: &Value) -> Result<Option<Identity>, Refusal> {
    let object = entry.as_object().ok_or(Refusal::NotAnObject)?;
    let import = object.get("push_token_import") == Some(&Value::Bool(true));
    let identity = if import { token_import(object)? } else { Some(identifier(settings, object)?) };
    match array {
        0 => attributes(object)?,
        1 => demand(object, &["name", "time"], Refusal::EventWithoutName)?,
        _ => demand(object, &["product_id", "currency", "price", "time"], Refusal::PurchaseIncomplete)?,
    }
    Ok(identity)
}

fn token_import(object: &Object) -> Result<Option<Identity>, Refusal> {
    let named = object.contains_key("external_id") || object.contains_key("braze_id");
    let tokens = object.get("push_tokens").and_then(Value::as_array).is_some_and(|tokens| !tokens.is_empty());
    if named || !tokens { Err(Refusal::BadPushTokenImport) } else { Ok(None) }
}

fn identifier(settings: &Settings, object: &Object) -> Result<Identity, Refusal> {
    if IDENTIFIER_KEYS.iter().filter(|key| object.contains_key(**key)).count() > 1 {
        return Err(Refusal::SeveralIdentifiers);
    }
    if let Some(id) = object.get("external_id") {
        let id = id.as_str().filter(|id| !id.is_empty()).ok_or(Refusal::BadExternalId)?;
        if id.len() > EXTERNAL_ID_BYTES {
            return Err(Refusal::ExternalIdTooLarge);
        }
        if settings.blocked_ids.contains(id) {
            return Err(Refusal::BlockedId);
        }
    }
    Identity::of(object).ok_or(Refusal::NoIdentifier)
}

fn attributes(object: &Object) -> Result<(), Refusal> {
    if object.contains_key("email_subscription_info") {
        return Err(Refusal::EmailSubscriptionInfo);
    }
    hold(
        object,
        "email",
        |email| email.is_null() || email.as_str().is_some_and(is_email),
        Refusal::BadEmail,
    )?;
    hold(object, "email_subscribe", is_subscription, Refusal::BadEmailSubscribe)?;
    hold(object, "push_subscribe", is_subscription, Refusal::BadPushSubscribe)?;
    hold(object, "current_location", is_location, Refusal::BadLocation)?;
    object.get("subscription_groups").map_or(Ok(()), subscription_groups)?;
    object.get("push_tokens").map_or(Ok(()), push_tokens)
}

fn hold(object: &Object, key: &str, test: impl Fn(&Value) -> bool, refusal: Refusal) -> Result<(), Refusal> {
    if object.get(key).is_none_or(test) { Ok(()) } else { Err(refusal) }
}

fn demand(object: &Object, keys: &[&str], refusal: Refusal) -> Result<(), Refusal> {
    if keys.iter().all(|key| object.get(*key).is_some_and(|value| !value.is_null())) {
        Ok(())
    } else {
        Err(refusal)
    }
}

/// One `@` between two parts, a dot in the second, no white space: what Braze's own check is, no page tells.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let dotted = domain.split('.').count() > 1 && domain.split('.').all(|part| !part.is_empty());
    !local.is_empty() && dotted && !domain.contains('@') && !text.contains(char::is_whitespace)
}

fn is_subscription(state: &Value) -> bool {
    matches!(state.as_str(), Some("subscribed" | "unsubscribed" | "opted_in"))
}

fn is_location(place: &Value) -> bool {
    let within = |key: &str, most: f64| {
        place.get(key).and_then(Value::as_f64).is_some_and(|degrees| degrees.abs() <= most)
    };
    place.is_null() || (within("latitude", 90.0) && within("longitude", 180.0))
}

fn subscription_groups(groups: &Value) -> Result<(), Refusal> {
    for group in groups.as_array().ok_or(Refusal::BadGroups)? {
        let group = group.as_object().ok_or(Refusal::BadGroup)?;
        hold(group, "subscription_group_id", is_text, Refusal::BadGroupId)?;
        demand(group, &["subscription_group_id"], Refusal::BadGroupId)?;
        match group.get("subscription_state").and_then(Value::as_str) {
            Some("subscribed" | "unsubscribed") => {}
            _ => return Err(Refusal::BadGroupState),
        }
    }
    Ok(())
}

fn push_tokens(tokens: &Value) -> Result<(), Refusal> {
    for token in tokens.as_array().ok_or(Refusal::BadPushTokens)? {
        let token = token.as_object().ok_or(Refusal::BadPushTokens)?;
        if !token.get("app_id").is_some_and(is_text) {
            return Err(Refusal::BadPushTokenApp);
        }
        if !token.get("token").is_some_and(is_text) {
            return Err(Refusal::BadPushToken);
        }
    }
    Ok(())
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(object: Value) -> Refusal {
        check(&Settings::default(), 0, &object).expect_err("refused")
    }

    #[test]
    fn identifiers_must_be_one_and_usable() {
        assert_eq!(refused(json!("c-1")), Refusal::NotAnObject);
        assert_eq!(refused(json!({"score": 1})), Refusal::NoIdentifier);
        assert_eq!(refused(json!({"external_id": "c", "braze_id": "b"})), Refusal::SeveralIdentifiers);
        assert_eq!(refused(json!({"external_id": ""})), Refusal::BadExternalId);
        assert_eq!(refused(json!({"external_id": 7})), Refusal::BadExternalId);
        assert_eq!(refused(json!({"external_id": "x".repeat(988)})), Refusal::ExternalIdTooLarge);
        assert!(check(&Settings::default(), 0, &json!({"external_id": "x".repeat(987)})).is_ok());
    }

    #[test]
    fn blocked_profiles_are_refused() {
        let settings = Settings { blocked_ids: ["c-1".to_owned()].into(), ..Settings::default() };
        assert_eq!(check(&settings, 0, &json!({"external_id": "c-1"})), Err(Refusal::BlockedId));
    }

    #[test]
    fn bad_standard_attributes_are_refused() {
        let with = |key: &str, value: Value| refused(json!({"external_id": "c", key: value}));
        assert_eq!(with("email", json!("not an email")), Refusal::BadEmail);
        assert_eq!(with("email_subscribe", json!("yes")), Refusal::BadEmailSubscribe);
        assert_eq!(with("push_subscribe", json!(1)), Refusal::BadPushSubscribe);
        assert_eq!(with("current_location", json!({"latitude": 91, "longitude": 0})), Refusal::BadLocation);
        assert_eq!(with("subscription_groups", json!({})), Refusal::BadGroups);
        assert_eq!(
            with("subscription_groups", json!([{"subscription_group_id": "g"}])),
            Refusal::BadGroupState
        );
        assert_eq!(with("push_tokens", json!([{"app_id": "a"}])), Refusal::BadPushToken);
        assert_eq!(with("email_subscription_info", json!({})), Refusal::EmailSubscriptionInfo);
    }

    #[test]
    fn a_token_import_needs_tokens_and_no_identifier() {
        let tokens = json!([{"app_id": "a", "token": "t"}]);
        let import = json!({"push_token_import": true, "push_tokens": tokens});
        assert_eq!(check(&Settings::default(), 0, &import), Ok(None));
        assert_eq!(refused(json!({"push_token_import": true})), Refusal::BadPushTokenImport);
    }

    #[test]
    fn events_need_a_name() {
        let event = json!({"external_id": "c", "time": "2026-01-01T00:00:00Z"});
        assert_eq!(check(&Settings::default(), 1, &event), Err(Refusal::EventWithoutName));
    }
}
