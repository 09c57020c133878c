//! Whether the warehouse is there and holds what is mapped.

use std::collections::BTreeMap;

use super::finding::Report;
use super::sample;
use crate::cli::receipt::bare;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::customer::Kind;
use crate::source::{Column, Description, Problem, Role, Source, SourceError};

/// Customers shown as they would be sent.
const SAMPLES: usize = 3;

/// The kind each Braze attribute's values have, as far as the columns are there.
pub(super) type Kinds = BTreeMap<String, Kind>;

/// Looks at table, columns and a few customers.
pub(super) async fn check(
    config: &Config,
    sync: &config::Sync,
    show_values: bool,
    clock: &Clock,
    report: &mut Report,
) -> Kinds {
    let what = format!("source {}", sync.source);
    match look(config, sync, clock).await {
        Ok((source, description)) => {
            found(&what, sync, &description, report);
            if description.require_sound().is_ok() {
                samples(&what, &source, show_values, report).await;
            }
            kinds(&description)
        }
        Err(error) => {
            report.failed(&what, with_cure(&error));
            Kinds::new()
        }
    }
}

async fn look(
    config: &Config,
    sync: &config::Sync,
    clock: &Clock,
) -> Result<(Source, Description), SourceError> {
    let settings = config.sources.get(&sync.source).expect("the config's rules checked the name");
    let source = Source::open(settings, sync, clock.clone())?;
    let description = source.describe().await?;
    Ok((source, description))
}

fn with_cure(error: &SourceError) -> String {
    let cure = match error {
        SourceError::Unreachable(_) => {
            "; check the url, and that the warehouse runs and is reachable from here"
        }
        SourceError::Busy(_) => "; try again when whoever holds it is done",
        SourceError::Refused(_) => "; check user, password and grants, or the file's rights",
        SourceError::Unusable(_) | SourceError::SchemaMismatch { .. } | SourceError::Config { .. } => "",
    };
    format!("{error}{cure}")
}

fn found(what: &str, sync: &config::Sync, description: &Description, report: &mut Report) {
    let (table, columns) = (&description.table, description.columns.len());
    if description.require_sound().is_ok() {
        report.ok(what, format!("{table} of sync {} has all {columns} mapped columns", sync.id));
        types(&description.columns, report);
    }
    for problem in &description.problems {
        match problem.is_fatal {
            true => report.failed(what, says(table, problem)),
            false => report.warning(what, says(table, problem)),
        }
    }
}

fn says(table: &str, problem: &Problem) -> String {
    let column = problem.column.as_ref().map_or(String::new(), |column| format!(", column {column}"));
    let nearest = problem.nearest.as_ref().map_or(String::new(), |near| format!("; did you mean {near}?"));
    format!("{table}{column}: {}{nearest}", problem.why)
}

fn types(columns: &[Column], report: &mut Report) {
    let mut table = bare();
    for column in columns {
        let becomes = match &column.role {
            Role::Key => "the customer's key".to_owned(),
            Role::UpdatedAt => "when a row last changed".to_owned(),
            Role::Attribute(name) => format!("{name}, {}", word(column.kind)),
        };
        table.add_row([column.name.as_str(), declared(column), "->", &becomes]);
    }
    table.trim_fmt().lines().for_each(|line| report.detail(line));
}

fn declared(column: &Column) -> &str {
    if column.source_type.is_empty() { "(no type)" } else { &column.source_type }
}

/// A kind as the config spells it.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::AsGiven => "each value as given",
        Kind::String => "string",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp => "timestamp",
        Kind::Json => "json",
    }
}

fn kinds(description: &Description) -> Kinds {
    let attributes = description.columns.iter().filter_map(|column| match &column.role {
        Role::Attribute(name) => Some((name.clone(), column.kind)),
        Role::Key | Role::UpdatedAt => None,
    });
    attributes.collect()
}

async fn samples(what: &str, source: &Source, show_values: bool, report: &mut Report) {
    match source.sample(SAMPLES).await {
        Ok(chunk) if chunk.is_empty() => report.warning(what, "has no rows: a run would send nothing"),
        Ok(chunk) => {
            let masked = if show_values { "" } else { ", masked; --show-values shows them" };
            report.ok(what, format!("{} sample updates{masked}", chunk.len()));
            sample::lines(&chunk, source.attributes(), show_values).for_each(|line| report.detail(line));
        }
        Err(error) => report.failed(what, with_cure(&error)),
    }
}
