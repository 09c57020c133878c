//! `POST /users/export/ids` and `POST /users/delete`.

use serde_json::{Map, Value, json};

use super::identity::Identity;
use super::reply::Reply;
use super::shared::Shared;
use super::store::Store;

/// Most customers per request. Braze docs, "Export user profile by identifier", "Delete users".
const IDS_PER_REQUEST: usize = 50;

/// Shows profiles. Custom attributes and standard ones come only as `fields_to_export` asks, or all without it.
pub(super) fn export_ids(shared: &Shared, fields: &Map<String, Value>) -> Reply {
    let ids = identities(fields);
    if ids.is_empty() {
        return Reply::message(
            400,
            "'external_ids', 'user_aliases', 'braze_id' or 'email_address' is required",
        );
    }
    if ids.len() > IDS_PER_REQUEST {
        return Reply::message(400, "Max Input Length Exceeded");
    }
    let asked = fields.get("fields_to_export").and_then(Value::as_array);
    let wanted = |name: &str| asked.is_none_or(|asked| asked.iter().any(|field| field == name));
    let store = shared.store();
    let (mut users, mut invalid) = (Vec::new(), Vec::new());
    for (identity, told) in ids {
        match user(&store, &identity, &wanted) {
            Some(user) => users.push(user),
            None => invalid.push(told),
        }
    }
    let mut body = json!({"users": users, "message": "success"});
    if !invalid.is_empty() {
        body["invalid_user_ids"] = invalid.into();
    }
    Reply::json(201, body)
}

/// Deletes profiles; one kind of identifier per request.
pub(super) fn delete(shared: &Shared, fields: &Map<String, Value>) -> Reply {
    let kinds = ["external_ids", "user_aliases", "braze_ids", "email_addresses", "phone_numbers"];
    if kinds.iter().filter(|kind| fields.contains_key(**kind)).count() != 1 {
        return Reply::message(400, "exactly one kind of identifier is required");
    }
    let ids = identities(fields);
    if ids.len() > IDS_PER_REQUEST {
        return Reply::message(400, "Max Input Length Exceeded");
    }
    let mut store = shared.store();
    let deleted = ids.iter().filter(|(identity, _)| store.delete(identity)).count();
    Reply::json(201, json!({"deleted": deleted, "message": "success"}))
}

/// The customers a body names, each with the text it is named by.
fn identities(fields: &Map<String, Value>) -> Vec<(Identity, String)> {
    let mut found = Vec::new();
    for (key, value) in fields {
        let one = std::slice::from_ref(value);
        for item in value.as_array().map_or(one, Vec::as_slice) {
            found.extend(identity(key, item));
        }
    }
    found
}

fn identity(key: &str, item: &Value) -> Option<(Identity, String)> {
    let text = item.as_str().unwrap_or_default().to_owned();
    let identity = match key {
        "external_ids" => Identity::External(text.clone()),
        "braze_id" | "braze_ids" => Identity::BrazeId(text.clone()),
        "email_address" | "email_addresses" => Identity::Email(text.clone()),
        "phone" | "phone_numbers" => Identity::Phone(text.clone()),
        "user_aliases" => {
            let part = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
            let (label, name) = (part("alias_label")?, part("alias_name")?);
            let told = name.clone();
            return Some((Identity::Alias { label, name }, told));
        }
        _ => return None,
    };
    Some((identity, text))
}

fn user(store: &Store, identity: &Identity, wanted: &impl Fn(&str) -> bool) -> Option<Value> {
    let profile = store.profile(identity)?;
    let mut user = Map::new();
    if let Some(id) = profile.external_id.as_ref().filter(|_| wanted("external_id")) {
        user.insert("external_id".into(), id.clone().into());
    }
    if let Some(id) = store.braze_id(identity).filter(|_| wanted("braze_id")) {
        user.insert("braze_id".into(), id.into());
    }
    if let Some((label, name)) = profile.alias().filter(|_| wanted("user_aliases")) {
        user.insert("user_aliases".into(), json!([{ "alias_name": name, "alias_label": label }]));
    }
    let custom = store.custom(profile);
    if wanted("custom_attributes") && !custom.is_empty() {
        user.insert("custom_attributes".into(), custom.into());
    }
    let standard = profile.standard.iter().filter(|(name, _)| wanted(name));
    user.extend(standard.map(|(name, value)| (name.clone(), value.clone())));
    Some(Value::Object(user))
}
