//! The mapped columns as the file has them, and the SQL that reads them.

use std::sync::Arc;

use rusqlite::Connection;

use super::declared::{Affinity, affinity, kind};
use super::file::{File, QUERY_VIEW, WANTS, failed, unprepared};
use crate::customer::Attribute;
use crate::source::identifier::quote;
use crate::source::mapping::{Mapping, Relation};
use crate::source::{Description, Role, SourceError};

/// Largest file whose rows are counted before they are read: about a second's work.
const COUNTED_BYTES: i64 = 1024 * 1024 * 1024;

/// The mapped columns as they stand now.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub description: Description,
    /// Those left as given now of the kind their column declares.
    pub attributes: Arc<[Attribute]>,
    /// The key as SQL, such that equal keys are adjacent when ordered by it.
    key: String,
}

/// Where a scan begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    First,
    /// At keys after `?1`.
    After,
    /// At keys `?1` and after.
    At,
}

impl Schema {
    pub(super) fn look(file: &File, mapping: &Mapping) -> Result<Self, SourceError> {
        let known = columns(&file.connection, mapping).map_err(|error| unprepared(error, mapping))?;
        if known.is_empty() {
            let tables = tables(&file.connection).map_err(failed)?;
            let description = Description::missing_table(mapping, &tables);
            return Ok(Self { description, attributes: Arc::default(), key: String::new() });
        }
        let find = |name: &str| known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let names: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
        let mut description = Description::of(mapping, &names, |name| {
            find(name).map(|(_, declared)| (declared.clone(), kind(declared)))
        });
        note_blobs(&mut description);
        let key_type = find(&mapping.key).map_or("", |(_, declared)| declared);
        Ok(Self {
            attributes: description.resolve(&mapping.attributes),
            description,
            key: key(&mapping.key, affinity(key_type)),
        })
    }

    /// Key, time, then the attributes, by key. Columns are named through the table, for SQLite reads a quoted name
    /// it does not know as a string.
    pub(super) fn select(&self, mapping: &Mapping, begin: Begin, is_filtered: bool) -> String {
        let key = &self.key;
        let begin = match begin {
            Begin::First => "TRUE".to_owned(),
            Begin::After => format!("{key} COLLATE BINARY > ?1"),
            Begin::At => format!("{key} COLLATE BINARY >= ?1"),
        };
        let wanted = match is_filtered {
            true => format!(" AND {WANTS}({key}, s.{})", quote(&mapping.updated_at)),
            false => String::new(),
        };
        format!("{} WHERE {begin}{wanted} ORDER BY {key} COLLATE BINARY", self.select_some(mapping))
    }

    /// The same columns, in no order.
    pub(super) fn select_some(&self, mapping: &Mapping) -> String {
        let values = mapping.attributes.iter().map(|attribute| &attribute.column);
        let columns = std::iter::once(&mapping.updated_at).chain(values);
        let columns: String = columns.map(|name| format!(", s.{}", quote(name))).collect();
        format!("SELECT {}{columns} FROM {} AS s", self.key, relation(mapping))
    }
}

/// In a TEXT or INTEGER column equal keys are stored alike, and its index gives the order. Elsewhere `1` and `'1'`
/// may both stand and are one customer: they are compared as text, and a float, which is no key, as NULL.
fn key(name: &str, affinity: Affinity) -> String {
    let name = format!("s.{}", quote(name));
    match affinity {
        Affinity::Integer | Affinity::Text => name,
        Affinity::Other => format!("CASE typeof({name}) WHEN 'real' THEN NULL ELSE CAST({name} AS TEXT) END"),
    }
}

fn relation(mapping: &Mapping) -> String {
    match &mapping.relation {
        Relation::Table(parts) => parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join("."),
        Relation::Query(_) => QUERY_VIEW.to_owned(),
    }
}

/// Names and declared types.
fn columns(connection: &Connection, mapping: &Mapping) -> rusqlite::Result<Vec<(String, String)>> {
    let (schema, table) = match &mapping.relation {
        Relation::Query(_) => ("temp", QUERY_VIEW),
        Relation::Table(parts) => match parts.as_slice() {
            [table] => ("main", table.as_str()),
            [schema, table] => (schema.as_str(), table.as_str()),
            _ => return Ok(Vec::new()),
        },
    };
    let known = connection.query_row(
        "SELECT count(*) FROM pragma_database_list WHERE name = ?1 COLLATE NOCASE",
        [schema],
        |row| row.get::<_, i64>(0),
    )?;
    if known == 0 {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_xinfo(?1, ?2)")?;
    statement.query_map([table, schema], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn note_blobs(description: &mut Description) {
    for column in description.columns.clone() {
        let is_attribute = matches!(column.role, Role::Attribute(_));
        if is_attribute && column.source_type.to_ascii_uppercase().contains("BLOB") {
            let why = "is declared BLOB: blobs have no form in Braze and are rejected";
            description.note(&column.name, why, false);
        }
    }
}

/// How many rows the table has, where counting is cheap.
pub(super) fn count(file: &File, mapping: &Mapping) -> Option<u64> {
    let Relation::Table(parts) = &mapping.relation else { return None };
    let connection = &file.connection;
    let is_table = connection
        .query_row(
            "SELECT type = 'table' FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')",
            [parts.last()?],
            |row| row.get::<_, bool>(0),
        )
        .ok()?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).ok();
    let bytes = pragma("page_count")?.checked_mul(pragma("page_size")?)?;
    if !is_table || bytes > COUNTED_BYTES {
        return None;
    }
    let count = format!("SELECT count(*) FROM {}", relation(mapping));
    connection
        .query_row(&count, [], |row| row.get::<_, i64>(0))
        .ok()
        .and_then(|count| u64::try_from(count).ok())
}
