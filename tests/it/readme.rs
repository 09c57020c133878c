//! The README says what the binary does: every command, every setting, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use peak_braze::config;
use serde_json::Value;

const README: &str = include_str!("../../README.md");

/// A section of the README, without its heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) =
        README.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading} is missing"));
    rest.split("\n## ").next().expect("split gives one")
}

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_peak-braze")).args(args).arg("--help").output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Commands as clap lists them.
fn commands() -> BTreeSet<String> {
    let help = help(&[]);
    let (_, listed) = help.split_once("Commands:\n").expect("clap lists them");
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Commands with the text of their first cell, as the README's table has them.
fn table() -> Vec<(String, String)> {
    let rows = section("## Commands").lines().filter_map(|line| line.strip_prefix("| `peak-braze "));
    rows.map(|row| {
        let cell = row.split("` |").next().expect("split gives one").replace("\\|", "|");
        (cell.split_whitespace().next().expect("a command").to_owned(), cell)
    })
    .collect()
}

#[test]
fn every_command_is_in_the_table_and_the_other_way_round() {
    let told: BTreeSet<String> = table().into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, commands());
}

#[test]
fn every_flag_of_the_table_is_one_of_the_command() {
    for (name, cell) in table() {
        let help = help(&[&name]);
        for flag in cell.split(['[', ']', ' ', '(', ')']).filter(|word| word.starts_with("--")) {
            let is_there = help.split_whitespace().any(|word| word.trim_matches(',') == flag);
            assert!(is_there, "peak-braze {name} has no {flag}");
        }
    }
}

#[test]
fn the_settings_are_those_of_the_schema() {
    let (told, schema) = (section("## Settings"), config::schema());
    let mut expected = String::new();
    for (heading, path) in SECTIONS {
        let section = path.iter().fold(&schema, |at, step| step_into(at, step));
        write!(expected, "### `{heading}`\n\n{}\n\n", section["description"].as_str().expect("described"))
            .expect("a String takes every write");
        expected += &rows(section);
        expected.push('\n');
    }
    let expected = expected.trim_end();
    if !told.contains(expected) {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("settings.md");
        std::fs::write(&path, expected).expect("written");
        panic!("the README's settings differ from config-schema; they should be as in {}", path.display());
    }
}

#[test]
fn every_key_of_the_schema_is_in_a_section() {
    let mut keys = 0;
    count(&config::schema(), &mut keys);
    let rows = section("## Settings").lines().filter(|line| line.starts_with("| `")).count();
    // Tables and lists of tables have a section of their own instead of a row.
    assert_eq!(rows, keys);
}

/// Each section's heading, and where it is in the schema.
const SECTIONS: &[(&str, &[&str])] = &[
    ("[server]", &["server"]),
    ("[ledger]", &["ledger"]),
    ("[telemetry]", &["telemetry"]),
    ("[[tokens]]", &["tokens", "[]"]),
    ("[sources.NAME]", &["sources", "*"]),
    ("[sources.NAME.credentials.peak]", &["sources", "*", "credentials", "peak"]),
    ("[destinations.NAME]", &["destinations", "*"]),
    ("[[syncs]]", &["syncs", "[]"]),
    ("[syncs.callback]", &["syncs", "[]", "callback"]),
    ("[syncs.callback.verify_run]", &["syncs", "[]", "callback", "verify_run"]),
    ("[syncs.callback.verify_run.peak]", &["syncs", "[]", "callback", "verify_run", "peak"]),
    ("[syncs.cadence]", &["syncs", "[]", "cadence"]),
    ("[syncs.guards]", &["syncs", "[]", "guards"]),
    ("[[syncs.attributes]]", &["syncs", "[]", "attributes", "[]"]),
    ("[[notify]]", &["notify", "[]"]),
];

fn step_into<'s>(schema: &'s Value, step: &str) -> &'s Value {
    match step {
        "[]" => &schema["items"],
        "*" => &schema["additionalProperties"],
        name => &schema["properties"][name],
    }
}

/// Whether a key holds tables, which have a section of their own.
fn has_section(schema: &Value) -> bool {
    let holds_table = |schema: &Value| schema["properties"].is_object();
    holds_table(schema) || holds_table(&schema["items"]) || holds_table(&schema["additionalProperties"])
}

fn count(schema: &Value, keys: &mut usize) {
    for (_, key) in schema["properties"].as_object().into_iter().flatten() {
        *keys += usize::from(!has_section(key));
        count(key, keys);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            count(&schema[below], keys);
        }
    }
}

fn rows(section: &Value) -> String {
    let mut text = "| key | default | meaning | bound |\n|---|---|---|---|\n".to_owned();
    let required: Vec<&str> =
        section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, key) in section["properties"].as_object().expect("a table has keys") {
        if has_section(key) {
            continue;
        }
        let default = match &key["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            Value::Object(table) if table.is_empty() => "`{}`".to_owned(),
            value => format!("`{value}`").replace("\",\"", "\", \""),
        };
        let about = key["description"].as_str().expect("described").replace('|', "\\|");
        writeln!(text, "| `{name}` | {default} | {about} | {} |", bound(key))
            .expect("a String takes every write");
    }
    text.replace("|  |", "| |")
}

fn bound(key: &Value) -> String {
    let number = |name: &str| key[name].as_f64();
    let words = |key: &Value| {
        let words: Vec<String> = key["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect();
        words.join(", ")
    };
    match (key["$ref"].as_str().unwrap_or_default(), key["items"]["$ref"].as_str()) {
        ("#/$defs/secret", _) => return "a secret".to_owned(),
        ("#/$defs/duration", _) => return "a duration".to_owned(),
        ("#/$defs/duration_or_off", _) => return "a duration, or `off`".to_owned(),
        ("#/$defs/identifier", _) => return "`external_id`, `braze_id`, `email`, `alias:LABEL`".to_owned(),
        ("#/$defs/address", _) => return "an IP address and a port".to_owned(),
        (_, Some("#/$defs/secret")) => return "secrets".to_owned(),
        _ => {}
    }
    match (number("minimum"), number("exclusiveMinimum"), number("maximum")) {
        (Some(least), _, Some(most)) => format!("{least} to {most}"),
        (_, Some(least), Some(most)) => format!("over {least}, to {most}"),
        _ if key["enum"].is_array() => words(key),
        _ => words(&key["items"]),
    }
}
