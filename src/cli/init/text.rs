//! The config as text: every line says why it is there, and none holds a secret.

use std::fmt::Write;

use super::answers::{Answers, URL_VARIABLE};
use super::look::Look;
use super::proposal::{Choice, Left, Proposal, key_why};
use crate::config::SourceKind;
use crate::figures::counted;

/// Columns as they are looked at, before anything is proposed.
#[derive(Debug)]
pub(super) struct Mapped {
    pub key: String,
    pub updated_at: String,
    pub columns: Vec<String>,
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The least that can be looked at with.
pub(super) fn draft(answers: &Answers, mapped: &Mapped) -> String {
    let mut text = format!("{}\n{}\n[[syncs]]\n", source(answers), destination(answers));
    for (key, value) in [
        ("id", &answers.sync),
        ("table", &answers.table),
        ("identifier", &answers.identifier),
        ("key", &mapped.key),
        ("updated_at", &mapped.updated_at),
    ] {
        push(&mut text, format_args!("{key} = {}\n", quoted(value)));
    }
    text += "source = \"warehouse\"\ndestination = \"braze\"\n";
    let none = [mapped.key.clone()];
    let columns = if mapped.columns.is_empty() { &none[..] } else { &mapped.columns };
    for (index, column) in columns.iter().enumerate() {
        push(
            &mut text,
            format_args!("[[syncs.attributes]]\ncolumn = {}\nname = \"column_{index}\"\n", quoted(column)),
        );
    }
    text
}

/// The whole file.
pub(super) fn config(answers: &Answers, look: &Look, proposal: &Proposal) -> String {
    let mut text = HEAD.to_owned();
    push(&mut text, format_args!("\n{}\n{}", source(answers), destination(answers)));
    push(&mut text, format_args!("\n{}", sync(answers, look, proposal)));
    for choice in &proposal.attributes {
        push(&mut text, format_args!("\n{}", attribute(choice)));
    }
    if proposal.attributes.is_empty() {
        text += "\n# No column looked like a prediction. Add the ones to send:\n";
    }
    if !proposal.left_out.is_empty() {
        text += "\n# Left out; add what should go all the same:\n";
    }
    for Left { column, why } in &proposal.left_out {
        // A name is anybody's text: it stays on its line.
        push(&mut text, format_args!("#   {}: {why}\n", column.replace(char::is_control, " ")));
    }
    text + TAIL
}

const HEAD: &str = r#"# peak-braze.toml, written by `peak-braze init`. Every secret is a reference, env:NAME or file:PATH.
# `peak-braze check` says whether all of it works; `peak-braze config-schema` prints every setting there is.

[server]
listen = "127.0.0.1:8080"       # Peak calls public https: put a TLS proxy in front, or set tls_cert and tls_key

[ledger]
url = "sqlite://peak-braze.db"  # what Braze has accepted, and the receipts; relative to this file

[[tokens]]                      # who may use the API and the pages
name = "ops"
token = "env:PEAK_BRAZE_TOKEN"
scopes = ["read", "trigger", "admin"]
"#;

const TAIL: &str = r#"
# By itself too, not only when Peak calls; and when it is overdue:
#   [syncs.cadence]
#   cron = "0 6 * * *"
#   timezone = "Europe/London"
#   stale_after = "26h"

# Who is told what happens:
# [[notify]]
# url = "env:SLACK_WEBHOOK_URL"
# format = "slack"
# on = ["failed", "blocked", "recovered"]
"#;

fn source(answers: &Answers) -> String {
    let mut text = "[sources.warehouse]\n".to_owned();
    push(&mut text, format_args!("kind = \"{}\"\n", word(answers.kind)));
    match &answers.url {
        Some(_) if answers.hides_url() => {
            push(
                &mut text,
                format_args!("url = \"env:{URL_VARIABLE}\"  # holds the password: not in this file\n"),
            );
        }
        Some(url) => push(&mut text, format_args!("url = {}  # only ever read\n", quoted(url))),
        None => {}
    }
    for (key, value) in &answers.source {
        push(&mut text, format_args!("{key} = {}\n", quoted(value)));
    }
    if !answers.peak.is_empty() {
        let keys: Vec<String> =
            answers.peak.iter().map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
        push(
            &mut text,
            format_args!(
                "credentials = {{ peak = {{ {} }} }}  # asked of Peak at every run\n",
                keys.join(", ")
            ),
        );
    }
    text + "timezone = \"UTC\"                # of timestamps that carry no zone\n"
}

fn destination(answers: &Answers) -> String {
    let settle = match is_local(&answers.endpoint) {
        true => "settle_secs = 0                 # a stand-in on this machine keeps the order of requests\n",
        false => {
            "settle_secs = 60                # Braze keeps no order between requests: two runs keep apart\n"
        }
    };
    format!(
        "[destinations.braze]\nendpoint = {}\napi_key = \"env:BRAZE_API_KEY\"   # a REST key with users.track\n{settle}",
        quoted(&answers.endpoint)
    )
}

fn is_local(endpoint: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| endpoint.starts_with(start))
}

fn sync(answers: &Answers, look: &Look, proposal: &Proposal) -> String {
    let declared = |declared: &str| match declared {
        "" => String::new(),
        declared => format!(" ({})", declared.replace(char::is_control, " ")),
    };
    let lines = [
        ("id", &answers.sync, format!("the callback's address is /v1/callbacks/{}", answers.sync)),
        ("source", &"warehouse".to_owned(), String::new()),
        ("destination", &"braze".to_owned(), String::new()),
        ("table", &proposal.table, format!("{} of it looked at", counted(look.rows as u64, "customer"))),
        ("key", &proposal.key, format!("{}{}", key_why(look), declared(&look.key.declared))),
        ("identifier", &answers.identifier, "what the key is in Braze".to_owned()),
        (
            "updated_at",
            &proposal.updated_at,
            format!("tells when a row last changed{}", declared(&look.updated_at.declared)),
        ),
    ];
    let mut text = "[[syncs]]\n".to_owned();
    for (key, value, why) in lines {
        let why = if why.is_empty() { why } else { format!("  # {why}") };
        push(&mut text, format_args!("{key} = {}{why}\n", quoted(value)));
    }
    text + "update_existing_only = true     # never creates a profile\n\n  \
            [syncs.callback]\n  secrets = [\"env:PEAK_CALLBACK_SECRET\"]\n"
}

fn attribute(choice: &Choice) -> String {
    let Choice { column, name, kind, round, why } = choice;
    let mut text = format!(
        "  [[syncs.attributes]]\n  column = {}\n  name = {}\n  type = \"{kind}\"  # {why}\n",
        quoted(column),
        quoted(name)
    );
    if let Some(round) = round {
        push(&mut text, format_args!("  round = {round}\n"));
    }
    text
}

fn word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Sqlite => "sqlite",
        SourceKind::Postgres => "postgres",
        SourceKind::Redshift => "redshift",
        SourceKind::Snowflake => "snowflake",
        SourceKind::Files => "files",
    }
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a String takes everything");
}
