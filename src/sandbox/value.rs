//! What one incoming value does to the stored one, limits and silent drops included.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value};

use super::settings::DataType;

/// Longest string in characters. Braze docs, "Data types": 255; a longer one is not stored.
const STRING_CHARS: usize = 255;
/// Most items of an array. Braze docs, "User attributes object": 500; the oldest go.
const ARRAY_ITEMS: usize = 500;
/// Largest array of objects in bytes. Braze docs, "Data types": 100 KB.
const OBJECT_ARRAY_BYTES: usize = 100_000;
/// Largest nested object in bytes. Braze docs, "Nested custom attributes": 50 KB.
const NESTED_BYTES: usize = 50_000;

/// What becomes of the stored value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    Set(Value),
    Remove,
    /// Nothing, and nobody is told. The word says why, for the statistics.
    Dropped(&'static str),
}

/// The type Braze would detect in `value`.
pub(super) fn detect(value: &Value) -> Option<DataType> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some(DataType::Boolean),
        Value::Number(_) => Some(DataType::Number),
        Value::String(text) if is_time(text) => Some(DataType::Time),
        Value::String(_) => Some(DataType::String),
        Value::Array(items) if items.first().is_some_and(Value::is_object) => Some(DataType::ObjectArray),
        Value::Array(_) => Some(DataType::Array),
        Value::Object(_) => Some(DataType::Object),
    }
}

/// What `incoming` does where `stored` stands now. `forced` is the type fixed in the dashboard.
pub(super) fn effect(
    stored: Option<&Value>,
    incoming: Value,
    merge: bool,
    forced: Option<DataType>,
) -> Effect {
    let resolved = match incoming {
        Value::Null => return Effect::Remove,
        Value::String(text) if text.chars().count() > STRING_CHARS => {
            return Effect::Dropped("string_too_long");
        }
        Value::Array(items) => array(items),
        Value::Object(fields) => object(stored, fields, merge),
        scalar => Effect::Set(scalar),
    };
    match (resolved, forced) {
        (Effect::Set(value), Some(forced)) => coerce(value, forced),
        (resolved, _) => resolved,
    }
}

/// Data points of one value. Braze docs, "Data points": 1 each, nested objects by key, increments by item.
pub(super) fn data_points(value: &Value) -> u64 {
    let Value::Object(fields) = value else { return 1 };
    let operation =
        ["add", "remove", "$add", "$remove", "$update"].into_iter().find_map(|key| fields.get(key));
    match operation.and_then(Value::as_array) {
        Some(items) if fields.len() <= 2 => items.len() as u64,
        _ if fields.contains_key("$time") => 1,
        _ => fields.values().map(data_points).sum(),
    }
}

fn coerce(value: Value, forced: DataType) -> Effect {
    let fits = match (&value, forced) {
        (Value::String(_), DataType::String) => true,
        (Value::String(text), DataType::Boolean) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" => return Effect::Set(Value::Bool(true)),
            "0" | "false" | "f" => return Effect::Set(Value::Bool(false)),
            _ => false,
        },
        (Value::Number(number), DataType::Boolean) => match number.as_f64() {
            Some(1.0) => return Effect::Set(Value::Bool(true)),
            Some(0.0) => return Effect::Set(Value::Bool(false)),
            _ => false,
        },
        (Value::Array(items), DataType::Array | DataType::ObjectArray) if items.is_empty() => true,
        _ => detect(&value) == Some(forced),
    };
    if fits { Effect::Set(value) } else { Effect::Dropped("forced_type") }
}

fn array(items: Vec<Value>) -> Effect {
    if items.iter().all(Value::is_object) {
        return objects(items);
    }
    if items.iter().any(|item| item.is_object() || item.is_array() || item.is_null()) {
        return Effect::Dropped("bad_array");
    }
    Effect::Set(Value::Array(newest(items)))
}

fn objects(items: Vec<Value>) -> Effect {
    let items = Value::Array(items);
    if items.to_string().len() > OBJECT_ARRAY_BYTES {
        return Effect::Dropped("object_array_too_large");
    }
    if bad_nested(&items) { Effect::Dropped("bad_nested") } else { Effect::Set(items) }
}

/// An array is a set in order of the last addition, at most [`ARRAY_ITEMS`] long.
fn newest(items: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Value> =
        items.into_iter().rev().filter(|item| seen.insert(item.to_string())).take(ARRAY_ITEMS).collect();
    kept.reverse();
    kept
}

fn object(stored: Option<&Value>, fields: Map<String, Value>, merge: bool) -> Effect {
    if let Some(step) = fields.get("inc").filter(|_| fields.len() == 1) {
        return increment(stored, step);
    }
    if fields.keys().all(|key| key == "add" || key == "remove") && !fields.is_empty() {
        return change_array(stored, &fields);
    }
    if fields.keys().all(|key| key.starts_with('$') && key != "$time") && !fields.is_empty() {
        return change_objects(stored, &fields);
    }
    let nested = Value::Object(fields);
    if bad_nested(&nested) || nested.to_string().len() > NESTED_BYTES {
        return Effect::Dropped("bad_nested");
    }
    match (merge, stored) {
        (true, Some(stored @ Value::Object(_))) => {
            let mut merged = stored.clone();
            deep_merge(&mut merged, nested);
            Effect::Set(merged)
        }
        _ => Effect::Set(nested),
    }
}

fn increment(stored: Option<&Value>, step: &Value) -> Effect {
    let now = stored.map_or(Some(0), Value::as_i64);
    match now.zip(step.as_i64()).and_then(|(now, step)| now.checked_add(step)) {
        Some(sum) => Effect::Set(sum.into()),
        None => Effect::Dropped("bad_increment"),
    }
}

fn change_array(stored: Option<&Value>, fields: &Map<String, Value>) -> Effect {
    let mut items = stored.and_then(Value::as_array).cloned().unwrap_or_default();
    for (key, change) in fields {
        let Some(change) = change.as_array() else { return Effect::Dropped("bad_array") };
        match key.as_str() {
            "add" => items.extend(change.iter().cloned()),
            _ => items.retain(|item| !change.contains(item)),
        }
    }
    array(items)
}

fn change_objects(stored: Option<&Value>, fields: &Map<String, Value>) -> Effect {
    let mut items = stored.and_then(Value::as_array).cloned().unwrap_or_default();
    for (key, changes) in fields {
        let Some(changes) = changes.as_array() else { return Effect::Dropped("bad_array") };
        for change in changes {
            let found = |item: &Value| {
                let name = change.get("$identifier_key").and_then(Value::as_str);
                name.is_some_and(|name| item.get(name) == change.get("$identifier_value"))
            };
            match (key.as_str(), change.get("$new_object")) {
                ("$add", _) => items.push(change.clone()),
                ("$remove", _) => items.retain(|item| !found(item)),
                ("$update", Some(new)) => {
                    items
                        .iter_mut()
                        .filter(|item| found(item))
                        .for_each(|item| deep_merge(item, new.clone()));
                }
                _ => return Effect::Dropped("bad_array"),
            }
        }
    }
    objects(items)
}

fn deep_merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                deep_merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// One bad value anywhere drops the whole attribute. Braze docs, "Nested custom attributes".
fn bad_nested(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(bad_nested),
        Value::Object(fields) => fields.iter().any(|(key, value)| match key.as_str() {
            "$time" => !value.as_str().is_some_and(is_time),
            key => key.contains(' ') || key.chars().count() > STRING_CHARS || bad_nested(value),
        }),
        Value::String(text) => text.chars().count() > STRING_CHARS,
        _ => false,
    }
}

/// Whether Braze would take `text` for an instant. Braze docs, "User attributes object": the formats listed there,
/// less the one with the weekday.
fn is_time(text: &str) -> bool {
    // Cheap refusal first: this runs for every string of every object.
    if text.len() < 8 || text.len() > 40 || !text.as_bytes()[0].is_ascii_digit() {
        return false;
    }
    DateTime::parse_from_rfc3339(text).is_ok()
        || ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S:%3fZ", "%Y-%m-%d %H:%M:%S"]
            .iter()
            .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok())
        || ["%Y-%m-%d", "%m/%d/%Y", "%m-%d-%Y"]
            .iter()
            .any(|format| NaiveDate::parse_from_str(text, format).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(stored: Value, incoming: Value) -> Effect {
        effect(Some(&stored), incoming, false, None)
    }

    #[test]
    fn null_removes_and_scalars_replace() {
        assert_eq!(plain(json!(1), Value::Null), Effect::Remove);
        assert_eq!(plain(json!(1), json!("a")), Effect::Set(json!("a")));
    }

    #[test]
    fn strings_over_255_characters_are_dropped() {
        assert_eq!(plain(Value::Null, json!("é".repeat(255))), Effect::Set(json!("é".repeat(255))));
        assert_eq!(plain(Value::Null, json!("x".repeat(256))), Effect::Dropped("string_too_long"));
    }

    #[test]
    fn arrays_are_sets_of_the_newest_500() {
        assert_eq!(plain(Value::Null, json!(["a", "b", "a"])), Effect::Set(json!(["b", "a"])));
        let long: Vec<u32> = (0..501).collect();
        assert_eq!(plain(Value::Null, json!(long)), Effect::Set(json!(long[1..])));
        assert_eq!(plain(json!([1, 2]), json!({"add": [3], "remove": [1]})), Effect::Set(json!([2, 3])));
    }

    #[test]
    fn increments_need_integers() {
        assert_eq!(plain(json!(2), json!({"inc": -3})), Effect::Set(json!(-1)));
        assert_eq!(plain(json!("x"), json!({"inc": 1})), Effect::Dropped("bad_increment"));
        assert_eq!(effect(None, json!({"inc": 4}), false, None), Effect::Set(json!(4)));
    }

    #[test]
    fn nested_objects_overwrite_unless_merged() {
        let stored = json!({"a": {"x": 1}, "b": 2});
        assert_eq!(plain(stored.clone(), json!({"a": {"y": 2}})), Effect::Set(json!({"a": {"y": 2}})));
        let merged = effect(Some(&stored), json!({"a": {"y": 2}}), true, None);
        assert_eq!(merged, Effect::Set(json!({"a": {"x": 1, "y": 2}, "b": 2})));
    }

    #[test]
    fn one_bad_nested_value_drops_the_attribute() {
        assert_eq!(plain(Value::Null, json!({"a": {"b": null}, "c": 1})), Effect::Dropped("bad_nested"));
        assert_eq!(plain(Value::Null, json!({"at": {"$time": "soon"}})), Effect::Dropped("bad_nested"));
        assert_eq!(plain(Value::Null, json!({"a b": 1})), Effect::Dropped("bad_nested"));
        let dated = json!({"at": {"$time": "2026-11-30"}});
        assert_eq!(plain(Value::Null, dated.clone()), Effect::Set(dated));
    }

    #[test]
    fn object_arrays_change_by_identifier_and_have_a_size() {
        let stored = json!([{"id": 1, "n": "a"}, {"id": 2}]);
        let remove = json!({"$remove": [{"$identifier_key": "id", "$identifier_value": 2}]});
        assert_eq!(plain(stored.clone(), remove), Effect::Set(json!([{"id": 1, "n": "a"}])));
        let update = json!({"$update": [{"$identifier_key": "id", "$identifier_value": 1, "$new_object": {"n": "b"}}]});
        assert_eq!(plain(stored.clone(), update), Effect::Set(json!([{"id": 1, "n": "b"}, {"id": 2}])));
        assert_eq!(
            plain(json!([{"id": 1}]), json!({"$add": [{"id": 3}]})),
            Effect::Set(json!([{"id": 1}, {"id": 3}]))
        );
        let large: Vec<Value> = (0..1_000).map(|id| json!({"id": id, "text": "x".repeat(100)})).collect();
        assert_eq!(plain(Value::Null, json!(large)), Effect::Dropped("object_array_too_large"));
    }

    #[test]
    fn forced_types_drop_what_does_not_fit() {
        let forced = |value, forced| effect(None, value, false, Some(forced));
        assert_eq!(forced(json!("0.5"), DataType::Number), Effect::Dropped("forced_type"));
        assert_eq!(forced(json!(0.5), DataType::Number), Effect::Set(json!(0.5)));
        assert_eq!(forced(json!("t"), DataType::Boolean), Effect::Set(json!(true)));
        assert_eq!(forced(json!(0), DataType::Boolean), Effect::Set(json!(false)));
        assert_eq!(forced(json!("2026-11-30"), DataType::Time), Effect::Set(json!("2026-11-30")));
        assert_eq!(forced(Value::Null, DataType::Number), Effect::Remove);
    }

    #[test]
    fn date_like_strings_are_detected_as_times() {
        assert_eq!(detect(&json!("12-1-2021")), Some(DataType::Time));
        assert_eq!(detect(&json!("2026-11-30T00:00:00Z")), Some(DataType::Time));
        assert_eq!(detect(&json!("high")), Some(DataType::String));
    }

    #[test]
    fn data_points_go_by_leaf_key() {
        assert_eq!(data_points(&json!(null)), 1);
        assert_eq!(data_points(&json!([1, 2, 3])), 1);
        assert_eq!(data_points(&json!({"a": 1, "b": {"c": 2, "d": null}})), 3);
        assert_eq!(data_points(&json!({"add": ["x", "y"]})), 2);
    }
}
