//! What the document says of every route alike, and what its builder has no words for: headers that are always there,
//! links from one answer to the next question, examples, and a body of either of two forms.

use serde_json::{Map, Value, json};

/// Examples of what is sent and answered: by operation, then `request` or the status.
const EXAMPLES: &str = include_str!("examples.json");

/// Headers that an answer of theirs is never without; lower-case, as they are compared.
const ALWAYS: [&str; 4] = ["etag", "retry-after", "www-authenticate", "connection"];

/// Adds it all.
pub(super) fn complete(document: &mut Value) {
    document["components"]["schemas"]["TriggerRequest"] = trigger_request();
    let examples: Value = serde_json::from_str(EXAMPLES).expect("the examples are JSON");
    for operation in operations(document) {
        let name = operation["operationId"].as_str().expect("every operation has a name").to_owned();
        require_body_form(operation);
        for (status, response) in object(&mut operation["responses"]) {
            headers(&name, status, response);
            links(&name, status, response);
            if let Some(example) = examples[&name].get(status) {
                show(response, example);
            }
        }
        if let Some(example) = examples[&name].get("request") {
            show(&mut operation["requestBody"], example);
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    object(&mut document["paths"]).flat_map(|(_, item)| object(item).map(|(_, operation)| operation))
}

fn object(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flat_map(Map::iter_mut)
}

/// A body that may be left out is no `null` for that.
fn require_body_form(operation: &mut Value) {
    if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema")
        && let Some(form) = schema.pointer("/oneOf/0").cloned()
    {
        *schema = form;
    }
}

/// The request's id is on every answer. Others are always there where they are told of at all, but a `Location` of a
/// callback that is ignored, the wait of a conflict that no waiting helps, and what names a sheet's file.
fn headers(name: &str, status: &str, response: &mut Value) {
    for (header, about) in object(&mut response["headers"]) {
        let is_location = header == "Location" && name != "receiveCallback";
        let is_always = ALWAYS.contains(&header.to_ascii_lowercase().as_str()) && status != "409";
        about["required"] = (is_location || is_always).into();
    }
    response["headers"]["x-request-id"] = json!({
        "description": "The request's id: the caller's where it is plain, else one of ours",
        "required": true,
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    });
}

/// Where the run leads that an answer tells of.
fn links(name: &str, status: &str, response: &mut Value) {
    let id = match (name, status) {
        ("triggerRun" | "retriggerRun" | "receiveCallback", "202") => "$response.body#/run_id",
        ("listRuns", "200") => "$response.body#/runs/0/id",
        _ => return,
    };
    for operation in ["getRun", "watchRun", "listRejections", "cancelRun", "retriggerRun"] {
        response["links"][operation] = json!({ "operationId": operation, "parameters": { "id": id } });
    }
}

/// Puts an example beside each JSON form of a body.
fn show(body: &mut Value, example: &Value) {
    for (media, content) in object(&mut body["content"]) {
        let fits = media.ends_with("json") != example.is_string();
        if fits {
            content["example"] = example.clone();
        }
    }
}

/// Keys choose customers with `force` alone.
fn trigger_request() -> Value {
    let reason = json!({
        "type": ["string", "null"], "maxLength": 500, "description": "Why, for people; 500 characters at most.",
    });
    json!({
        "description": "How a run is asked for. Every field may be left out; `customers` is for `force` alone.",
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "mode": {
                        "description": "How much to select and send; `delta` unless given. `force` needs the scope `admin`.",
                        "oneOf": [{ "$ref": "#/components/schemas/Mode" }, { "type": "null" }],
                    },
                    "reason": reason,
                    "customers": { "type": "null" },
                },
            },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["mode", "customers"],
                "properties": {
                    "mode": { "type": "string", "enum": ["force"] },
                    "reason": reason,
                    "customers": {
                        "description": "Only these customers.",
                        "type": "array", "minItems": 1, "maxItems": 1000,
                        "items": {
                            "description": "A key as the source has it: 1 to 987 bytes, not blank.",
                            "type": "string", "minLength": 1, "maxLength": 987, "pattern": "\\S",
                        },
                    },
                },
            },
        ],
    })
}
