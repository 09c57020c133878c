//! The config file's JSON Schema: editors read it, and [`load`](super::load::load) checks files against it.
//!
//! Custom refusals hang on the names under `$defs`; `$comment` carries the reason of a bound.

mod destination;
mod notify;
mod server;
mod source;
mod sync;
mod telemetry;

use serde_json::{Map, Value, json};

use super::bound::Bound;

/// JSON Schema (2020-12) of the config file, with descriptions and defaults.
pub fn schema() -> Value {
    let mut root = table(
        "Config file of peak-braze",
        vec![
            ("server", server::server()),
            ("ledger", server::ledger()),
            ("tokens", list("API and page access.", server::token())),
            ("sources", named("Warehouses by name.", source::source())),
            ("destinations", named("Braze workspaces by name.", destination::destination())),
            ("syncs", list("What is sent from where to where.", sync::sync())),
            ("notify", list("Receivers of outgoing notices, signed as Standard Webhooks.", notify::notify())),
            ("telemetry", telemetry::telemetry()),
        ],
        &[],
    );
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("peak-braze");
    root["$defs"] = definitions();
    root
}

fn definitions() -> Value {
    json!({
        "secret": {
            "type": "string",
            "pattern": "^(env|file):.+$",
            "description": "A secret: env:NAME or file:PATH (relative to the config file)."
        },
        "duration": {
            "type": "string",
            "pattern": "^[0-9]+[smhd]$",
            "description": "A whole number and s, m, h or d."
        },
        "duration_or_off": {
            "type": "string",
            "pattern": "^([0-9]+[smhd]|off)$",
            "description": "A whole number and s, m, h or d; or off."
        },
        "identifier": {
            "type": "string",
            "pattern": "^(external_id|braze_id|email|alias:.+)$",
            "description": "external_id, braze_id, email or alias:LABEL."
        },
        "address": { "type": "string", "description": "IP address and port, such as 127.0.0.1:8080." }
    })
}

fn table(description: &str, keys: Vec<(&str, Value)>, required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Tables under names of the user's choice.
fn named(description: &str, of: Value) -> Value {
    json!({ "type": "object", "description": description, "additionalProperties": of })
}

fn list(description: &str, of: Value) -> Value {
    json!({ "type": "array", "description": description, "items": of })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn flag(description: &str, default: bool) -> Value {
    json!({ "type": "boolean", "description": description, "default": default })
}

fn word(description: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "description": description, "enum": words })
}

fn whole(description: &str, bound: Bound) -> Value {
    json!({
        "type": "integer",
        "description": description,
        "minimum": bound.min,
        "maximum": bound.max,
        "$comment": bound.why,
    })
}

/// A number above zero.
fn real(description: &str, bound: Bound) -> Value {
    json!({
        "type": "number",
        "description": description,
        "exclusiveMinimum": 0,
        "maximum": bound.max,
        "$comment": bound.why,
    })
}

/// A value checked by the rule of this name under `$defs`.
fn checked(rule: &str, description: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{rule}"), "description": description })
}

fn secret(description: &str) -> Value {
    checked("secret", description)
}

fn or(mut schema: Value, default: impl Into<Value>) -> Value {
    schema["default"] = default.into();
    schema
}

#[cfg(test)]
mod tests;
