use std::path::Path;

use super::*;
use crate::config::Config;
use crate::config::load::parse;

const FULL: &str = include_str!("../load/full.toml");

fn full() -> Value {
    let table: toml::Table = toml::from_str(FULL).expect("the full example is TOML");
    serde_json::to_value(table).expect("TOML fits JSON")
}

/// Calls `visit` with every table of `doc`, its path, and its schema.
fn tables(
    doc: &Value,
    schema: &Value,
    path: &mut Vec<String>,
    visit: &mut impl FnMut(&[String], &Value, &Value),
) {
    if let Some(keys) = doc.as_object() {
        visit(path, doc, schema);
        for (key, value) in keys {
            let of = schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]);
            path.push(key.clone());
            tables(value, of, path, visit);
            path.pop();
        }
    }
    for (index, value) in doc.as_array().into_iter().flatten().enumerate() {
        path.push(index.to_string());
        tables(value, &schema["items"], path, visit);
        path.pop();
    }
}

#[test]
fn the_full_example_uses_every_key_of_the_schema() {
    let (mut seen, mut known) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    tables(&full(), &schema(), &mut Vec::new(), &mut |_, doc, schema| {
        let about = schema["description"].as_str().expect("every table is described");
        let keys = |of: &Value| {
            of.as_object().into_iter().flatten().map(|(key, _)| format!("{about} {key}")).collect::<Vec<_>>()
        };
        known.extend(keys(&schema["properties"]));
        if schema["properties"].is_object() {
            seen.extend(keys(doc));
        }
    });
    assert!(known.len() > 70, "{}", known.len());
    assert_eq!(seen, known);
}

/// serde lists the keys a struct knows when it meets one it does not.
#[test]
fn every_struct_knows_exactly_the_keys_of_its_schema() {
    let mut compared = 0;
    tables(&full(), &schema(), &mut Vec::new(), &mut |path, _, schema| {
        let Some(known) = schema["properties"].as_object() else { return };
        let mut doc = full();
        let at = path.iter().fold(&mut doc, |at, key| match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        });
        at["no_such_key"] = json!(1);
        let error = serde_json::from_value::<Config>(doc).expect_err("unknown keys are refused").to_string();
        let listed = error.split_once("expected ").expect("serde lists the known keys").1;
        let mut listed: Vec<_> = listed.split('`').skip(1).step_by(2).collect();
        listed.sort_unstable();
        let mut known: Vec<_> = known.keys().map(String::as_str).collect();
        known.sort_unstable();
        assert_eq!(listed, known, "{path:?}");
        compared += 1;
    });
    assert!(compared >= 15, "{compared}");
}

/// A file that spells out every default means the same as one that leaves them out.
#[test]
fn defaults_of_the_schema_are_those_of_the_structs() {
    let required = [
        ("server", json!({})),
        ("ledger", json!({})),
        ("tokens", json!([])),
        ("sources", json!({"w": {"kind": "sqlite", "url": "sqlite:///w.db"}})),
        ("destinations", json!({"b": {"endpoint": "https://b.example", "api_key": "env:B"}})),
        (
            "syncs",
            json!([{
                "id": "s", "source": "w", "destination": "b", "table": "t", "key": "k", "updated_at": "u",
                "callback": {"secrets": ["env:C"]}, "cadence": {"cron": "0 6 * * *"}, "guards": {},
                "attributes": [{"column": "c"}]
            }]),
        ),
    ];
    let short: Value =
        required.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into();
    let mut long = short.clone();
    let mut added = 0;
    tables(&short, &schema(), &mut Vec::new(), &mut |path, doc, schema| {
        let at = path.iter().fold(&mut long, |at, key| match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        });
        for (key, of) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(default) = of.get("default").filter(|_| doc.get(key).is_none()) {
                at[key] = default.clone();
                added += 1;
            }
        }
    });
    assert!(added >= 30, "{added}");
    let read = |doc: &Value| {
        let text = toml::to_string(doc).expect("JSON without null fits TOML");
        let mut config = parse(&text, Path::new("/x.toml")).expect("both forms are valid");
        config.origin = crate::config::Origin::default();
        format!("{config:#?}")
    };
    assert_eq!(read(&short), read(&long));
}

#[test]
fn everything_is_described() {
    fn walk(schema: &Value, path: &str) {
        assert!(
            schema["description"].as_str().is_some_and(|text| text.len() > 5) || path.ends_with('*'),
            "{path}"
        );
        for (key, of) in schema["properties"].as_object().into_iter().flatten() {
            walk(of, &format!("{path}.{key}"));
        }
        if schema["additionalProperties"].is_object() {
            walk(&schema["additionalProperties"], &format!("{path}.*"));
        }
    }
    walk(&schema(), "");
}
