//! What is there: the table's columns, and what a sample of its rows looks like.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

use super::super::Usage;
use super::answers::{Answers, Asker};
use super::column::Looks;
use super::text::{self, Mapped};
use crate::clock::Clock;
use crate::config::{self, Config, MAX_ATTRIBUTES, SourceKind};
use crate::customer::{Kind, UpdatedAt};
use crate::source::{Description, Problem, Role, Source};

/// Rows looked at: enough to tell a probability from a price, few enough for a view that works for each.
const SAMPLE_ROWS: usize = 1_000;
/// Table names that are told of where the one asked for is not there.
const TABLES_TOLD: usize = 12;
/// Names of keys, the likeliest first.
const KEYS: [&str; 12] = [
    "external_id",
    "braze_external_id",
    "customer_id",
    "customerid",
    "user_id",
    "userid",
    "customer_key",
    "client_id",
    "contact_id",
    "member_id",
    "account_id",
    "id",
];
/// Names of columns that tell when a row changed, the likeliest first.
const TIMES: [&str; 14] = [
    "updated_at",
    "last_updated_at",
    "last_updated",
    "modified_at",
    "last_modified_at",
    "last_modified",
    "scored_at",
    "computed_at",
    "predicted_at",
    "refreshed_at",
    "loaded_at",
    "run_at",
    "timestamp",
    "created_at",
];

/// One column as it stands.
#[derive(Debug)]
pub(super) struct Seen {
    pub name: String,
    /// Its type in the warehouse's words.
    pub declared: String,
    pub kind: Kind,
    pub looks: Looks,
    /// Whether all of the table is text, as a CSV file's: what a value is, it alone tells.
    pub is_bare: bool,
}

/// The table.
#[derive(Debug)]
pub(super) struct Look {
    pub key: Seen,
    pub updated_at: Seen,
    /// The others, in the table's order.
    pub columns: Vec<Seen>,
    /// Columns whose names cannot be mapped.
    pub odd_names: Vec<String>,
    /// Customers in the sample.
    pub rows: usize,
    /// Whether one of them has several rows.
    pub has_several_rows: bool,
}

impl Look {
    /// Finds the table and its columns, and looks at a sample.
    ///
    /// # Errors
    /// When the warehouse cannot be read, or has no such table or column; then with what comes closest.
    pub(super) async fn at(
        answers: &mut Answers,
        asker: &Asker,
        out: &Path,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let known = find_table(answers, asker, out, clock).await?.known;
        let (plain, odd_names): (Vec<String>, Vec<String>) =
            known.iter().cloned().partition(|name| is_plain(name));
        let key = chosen("--key", answers.key.as_deref(), &plain, &KEYS, "_id")?;
        let updated_at = chosen("--updated-at", answers.updated_at.as_deref(), &plain, &TIMES, "_at")?;
        let columns: Vec<String> =
            plain.into_iter().filter(|name| *name != key && *name != updated_at).collect();
        // What a config may map, and so a draft, is less than a table may hold.
        let (first, rest) = columns.split_at(columns.len().min(MAX_ATTRIBUTES));
        let mapped = |columns: &[String]| Mapped {
            key: key.clone(),
            updated_at: updated_at.clone(),
            columns: columns.to_vec(),
        };
        let mut look = Self::part(answers, mapped(first), out, clock).await?;
        for columns in rest.chunks(MAX_ATTRIBUTES) {
            look.columns.extend(Self::part(answers, mapped(columns), out, clock).await?.columns);
        }
        Ok(Self { odd_names, ..look })
    }

    async fn part(answers: &Answers, mapped: Mapped, out: &Path, clock: &Clock) -> anyhow::Result<Self> {
        let (source, description) = described(answers, &mapped, out, clock).await?;
        if let Some(problem) = description.problems.iter().find(|problem| problem.is_fatal) {
            bail!(Usage(says(&description.table, problem)));
        }
        let is_bare = answers.kind == SourceKind::Files;
        Self::sampled(&source, &description, mapped, is_bare).await
    }

    async fn sampled(
        source: &Source,
        description: &Description,
        mapped: Mapped,
        is_bare: bool,
    ) -> anyhow::Result<Self> {
        let chunk = source.sample(SAMPLE_ROWS).await.context("a sample of the table cannot be read")?;
        let mut looks: Vec<Looks> = mapped.columns.iter().map(|_| Looks::default()).collect();
        let (mut keys, mut times) = (Looks::default(), Looks::default());
        for (index, customer) in chunk.customers().iter().enumerate() {
            keys.note_key(chunk.key(index), customer.bad);
            times.note_time(customer.updated_at);
            for (looks, cell) in looks.iter_mut().zip(chunk.cells(index)) {
                looks.note(*cell, chunk.json(*cell));
            }
        }
        if times.rows > 0 && times.readable == 0 {
            let why = "holds nothing that reads as an instant; name another with --updated-at";
            bail!(Usage(format!("{}, column {}: {why}", description.table, mapped.updated_at)));
        }
        let has_several_rows =
            keys.distinct() < keys.rows || chunk.customers().iter().any(|one| one.rows > 1);
        let seen = |name: &str, is_it: &dyn Fn(&Role) -> bool, looks: Looks| {
            let column = description.columns.iter().find(|column| column.name == name && is_it(&column.role));
            let (declared, kind) =
                column.map_or((String::new(), Kind::AsGiven), |one| (one.source_type.clone(), one.kind));
            Seen { name: name.to_owned(), declared, kind, looks, is_bare }
        };
        let columns = mapped.columns.iter().zip(looks);
        Ok(Self {
            key: seen(&mapped.key, &|role| *role == Role::Key, keys),
            updated_at: seen(&mapped.updated_at, &|role| *role == Role::UpdatedAt, times),
            columns: columns
                .map(|(name, looks)| seen(name, &|role| matches!(role, Role::Attribute(_)), looks))
                .collect(),
            odd_names: Vec::new(),
            rows: chunk.len(),
            has_several_rows,
        })
    }

    /// That a run could begin with the config as it will be written.
    ///
    /// # Errors
    /// With what stands against it.
    pub(super) async fn confirm(
        &self,
        answers: &Answers,
        written: &Config,
        clock: &Clock,
    ) -> anyhow::Result<()> {
        let description = open(answers, written, clock)?.describe().await?;
        description.require_sound().map_err(|error| Usage(error.to_string()).into())
    }
}

/// The table's columns; another table where the one looked for by default is not there.
async fn find_table(
    answers: &mut Answers,
    asker: &Asker,
    out: &Path,
    clock: &Clock,
) -> anyhow::Result<Description> {
    // Any names will do to learn which there are.
    let any = Mapped { key: "id".to_owned(), updated_at: "updated_at".to_owned(), columns: Vec::new() };
    let (_, description) = described(answers, &any, out, clock).await?;
    if !description.known.is_empty() {
        return Ok(description);
    }
    let table = match (answers.is_table_given, description.tables.as_slice()) {
        (false, [only]) => only.clone(),
        (_, tables) => match asker.choose("Which table holds the predictions?", tables)? {
            Some(chosen) => chosen,
            None => bail!(Usage(no_table(&description))),
        },
    };
    answers.take_table(table);
    let (_, description) = described(answers, &any, out, clock).await?;
    match description.known.is_empty() {
        true => bail!(Usage(no_table(&description))),
        false => Ok(description),
    }
}

fn no_table(description: &Description) -> String {
    let why = description.problems.first().map(|problem| says(&description.table, problem));
    let tables = &description.tables;
    let told = match tables.len() {
        0 => String::new(),
        all => {
            let more = if all > TABLES_TOLD { ", …" } else { "" };
            format!("; there are {}{more}", tables[..all.min(TABLES_TOLD)].join(", "))
        }
    };
    format!("--table {}{told}", why.unwrap_or_else(|| format!("{}: has no columns", description.table)))
}

fn says(table: &str, problem: &Problem) -> String {
    let column = problem.column.as_ref().map_or(String::new(), |column| format!(", column {column}"));
    let nearest = problem.nearest.as_ref().map_or(String::new(), |near| format!("; did you mean {near}?"));
    format!("{table}{column}: {}{nearest}", problem.why)
}

/// A given name, by any case; else the likeliest of those that are there.
fn chosen(
    flag: &str,
    given: Option<&str>,
    known: &[String],
    likely: &[&str],
    ending: &str,
) -> anyhow::Result<String> {
    if let Some(given) = given {
        let same = known.iter().find(|name| name.eq_ignore_ascii_case(given));
        // One that is not there is told of with its nearest by the description.
        return Ok(same.cloned().unwrap_or_else(|| given.to_owned()));
    }
    let exact = likely.iter().find_map(|likely| known.iter().find(|name| name.eq_ignore_ascii_case(likely)));
    let by_ending = || known.iter().find(|name| name.to_ascii_lowercase().ends_with(ending));
    exact.or_else(by_ending).cloned().ok_or_else(|| {
        Usage(format!("{flag}: no column's name tells; name one of {}", known.join(", "))).into()
    })
}

async fn described(
    answers: &Answers,
    mapped: &Mapped,
    out: &Path,
    clock: &Clock,
) -> anyhow::Result<(Source, Description)> {
    let draft = text::draft(answers, mapped);
    let config = config::load::parse(&draft, out).map_err(in_flags)?;
    let source = open(answers, &config, clock)?;
    let description = source.describe().await?;
    Ok((source, description))
}

fn open(answers: &Answers, config: &Config, clock: &Clock) -> anyhow::Result<Source> {
    let mut settings = config.sources.get("warehouse").expect("the text has it").clone();
    if answers.hides_url() {
        settings.url.clone_from(&answers.url);
    }
    Ok(Source::open(&settings, &config.syncs[0], clock.clone())?)
}

/// A problem of the draft is one of the flags it was made from: no file or line is meant.
fn in_flags(error: config::ConfigError) -> anyhow::Error {
    let config::ConfigError::Invalid(problems) = error else { return error.into() };
    let keys: BTreeMap<&str, &str> = [
        ("sources.warehouse.url", "--source-url"),
        ("destinations.braze.endpoint", "--braze-endpoint"),
        ("syncs[0].table", "--table"),
        ("syncs[0].key", "--key"),
        ("syncs[0].updated_at", "--updated-at"),
        ("syncs[0].identifier", "--identifier"),
        ("syncs[0].id", "--sync"),
    ]
    .into();
    let lines = problems.iter().map(|problem| {
        let flag = keys.get(problem.key.as_str()).copied().unwrap_or(&problem.key);
        format!("{flag} {}", problem.message)
    });
    Usage(lines.collect::<Vec<_>>().join("\n")).into()
}

/// As the config takes a column's name.
fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Looks {
    fn note_time(&mut self, at: UpdatedAt) {
        self.rows += 1;
        self.readable += usize::from(matches!(at, UpdatedAt::At(_) | UpdatedAt::Endless));
    }
}
