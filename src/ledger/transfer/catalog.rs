//! What both databases say of the ledger's tables.

use std::collections::BTreeMap;
use std::path::Path;

use super::binary::Form;
use super::{LedgerError, reader, unavailable};
use crate::ledger::postgres::{Server, answered};

/// A table, its columns in the file's order.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<(String, Form)>,
    /// Its rows in the file.
    pub rows: u64,
    /// The column that is numbered, and the last number given, if one was.
    pub numbered: Option<(String, i64)>,
}

impl Table {
    pub(super) fn copy_statement(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        format!("copy peak_braze.{} ({}) from stdin with (format binary)", self.name, columns.join(", "))
    }
}

/// By table and column: its type, and whether a sequence numbers it.
pub(super) type Known = BTreeMap<String, BTreeMap<String, (String, bool)>>;

/// The file's tables, every column with its form on the server.
pub(super) fn tables(file: &Path, known: &Known) -> Result<Vec<Table>, LedgerError> {
    let mut tables = Vec::new();
    for name in reader::tables(file)? {
        let place = known.get(&name).ok_or_else(|| no_place(&name, None))?;
        let mut columns = Vec::new();
        for column in reader::columns(file, &name)? {
            let form = place.get(&column).and_then(|(kind, _)| Form::of(kind));
            columns.push((column.clone(), form.ok_or_else(|| no_place(&name, Some(&column)))?));
        }
        let last = reader::last_number(file, &name)?;
        let numbered = place.iter().find(|(_, (_, is_numbered))| *is_numbered);
        let numbered = numbered.zip(last).map(|((column, _), last)| (column.clone(), last));
        tables.push(Table { rows: reader::count(file, &name)?, name, columns, numbered });
    }
    Ok(tables)
}

/// The server's tables.
pub(super) async fn known(server: &Server) -> Result<Known, LedgerError> {
    let mut session = server.read().await.map_err(unavailable)?;
    let (connection, line) = session.parts();
    let asked = sqlx::query_as(
        "-- transfer::known
         select relname::text, attname::text, format_type(atttypid, null), attidentity <> ''
         from pg_class join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
         where relnamespace = 'peak_braze'::regnamespace and relkind = 'r'",
    );
    let rows: Vec<(String, String, String, bool)> =
        answered(line, asked.persistent(false).fetch_all(connection)).await.map_err(unavailable)?;
    let mut known = Known::new();
    for (table, column, kind, is_numbered) in rows {
        known.entry(table).or_default().insert(column, (kind, is_numbered));
    }
    Ok(known)
}

fn no_place(table: &str, column: Option<&str>) -> LedgerError {
    let column = column.map_or(String::new(), |column| format!(", column {column},"));
    LedgerError::Unusable(format!(
        "table {table}{column} has no place in the ledger at --to, whose schema is another; nothing was moved"
    ))
}
