//! The private table that files are copied into.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql};

use crate::source::SourceError;
use crate::source::identifier::quote;

/// Most columns a table may have. Source: SQLite docs, Limits In SQLite.
const COLUMNS: usize = 2_000;

/// One column of a file: its name, and the type its copy declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    pub declared: &'static str,
}

/// The copy, being written by nobody but us.
pub(super) struct Table {
    connection: Connection,
    name: String,
    /// Those that rows are copied of.
    filled: Vec<Column>,
}

/// Which of a file's columns go into which of the table's.
pub(super) struct Fit(Vec<usize>);

impl Table {
    /// Makes the file and the empty table, with every column of the first file, so that what is mapped can be told from
    /// what is not there. Nothing in it must outlive a crash, so nothing is synced or journaled.
    pub(super) fn create(
        path: &Path,
        name: &str,
        columns: &[Column],
        filled: Vec<Column>,
    ) -> Result<Self, SourceError> {
        let connection = Connection::open(path).map_err(failed)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; \
                 PRAGMA cache_size = -2048; BEGIN",
            )
            .map_err(failed)?;
        let mut names = HashSet::new();
        let list: Vec<String> = columns
            .iter()
            .filter(|column| names.insert(column.name.to_ascii_lowercase()))
            .map(|column| format!("{} {}", quote(&column.name), column.declared))
            .collect();
        let create = format!("CREATE TABLE {} ({})", quote(name), list.join(", "));
        connection.execute(&create, []).map_err(failed)?;
        Ok(Self { connection, name: name.to_owned(), filled })
    }

    /// Where a file's columns, which may stand in another order, go.
    pub(super) fn fit(&self, columns: &[Column], file: &str) -> Result<Fit, SourceError> {
        let place = |filled: &Column| {
            columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(&filled.name))
                .ok_or_else(|| mismatch(file, Some(&filled.name), "is missing, though the first file has it"))
        };
        self.filled.iter().map(place).collect::<Result<_, _>>().map(Fit)
    }

    pub(super) fn insert(&self) -> Result<Insert<'_>, SourceError> {
        let names: Vec<String> = self.filled.iter().map(|column| quote(&column.name)).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let table = quote(&self.name);
        let insert = match names.is_empty() {
            // None of what is mapped is there, which the description will tell.
            true => format!("INSERT INTO {table} DEFAULT VALUES"),
            false => format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", ")),
        };
        self.connection.prepare(&insert).map(Insert).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<(), SourceError> {
        self.connection.execute_batch("COMMIT").map_err(failed)
    }
}

/// A row at a time.
pub(super) struct Insert<'t>(Statement<'t>);

impl Insert<'_> {
    /// Adds a row; `value` tells what stands in a column of the file.
    pub(super) fn row<'v>(
        &mut self,
        fit: &Fit,
        value: impl Fn(usize) -> ValueRef<'v>,
    ) -> Result<(), SourceError> {
        for (index, from) in fit.0.iter().enumerate() {
            self.0.raw_bind_parameter(index + 1, Bound(value(*from))).map_err(failed)?;
        }
        self.0.raw_execute().map(|_| ()).map_err(failed)
    }
}

struct Bound<'v>(ValueRef<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// Those of a file's columns that are `wanted`, or all.
///
/// # Errors
/// When one of them is given twice, or there are more columns than a table can have.
pub(super) fn filled(
    columns: &[Column],
    wanted: Option<&[String]>,
    file: &str,
) -> Result<Vec<Column>, SourceError> {
    if columns.len() > COLUMNS {
        return Err(mismatch(file, None, "has more than 2000 columns"));
    }
    let is_wanted = |column: &&Column| {
        wanted.is_none_or(|wanted| wanted.iter().any(|name| name.eq_ignore_ascii_case(&column.name)))
    };
    let filled: Vec<Column> = columns.iter().filter(is_wanted).cloned().collect();
    let mut names = HashSet::new();
    match filled.iter().find(|column| !names.insert(column.name.to_ascii_lowercase())) {
        Some(twice) => Err(mismatch(file, Some(&twice.name), "is given twice")),
        None => Ok(filled),
    }
}

fn mismatch(file: &str, column: Option<&str>, why: &str) -> SourceError {
    SourceError::SchemaMismatch {
        table: file.to_owned(),
        column: column.map(str::to_owned),
        why: why.to_owned(),
        nearest: None,
    }
}

fn failed(error: rusqlite::Error) -> SourceError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => {
            SourceError::Unreachable("there is no room to copy the files (see TMPDIR)".to_owned())
        }
        Some(rusqlite::ErrorCode::TooBig) => {
            SourceError::Unusable("a value is over a billion bytes".to_owned())
        }
        _ => SourceError::Unreachable("the copy of the files cannot be written (see TMPDIR)".to_owned()),
    }
}
