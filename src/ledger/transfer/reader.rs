//! The file's side of a move: what is in it, read in the order of its keys, a part at a time.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::mpsc;

use super::LedgerError;
use super::binary::{HEADER, TRAILER};
use super::catalog::Table;

/// Bytes of a part: enough that the wait for the server between two is nothing, and nothing of a machine's memory.
const PART_BYTES: usize = 256 * 1024;

/// Some rows, in the server's form.
pub(super) struct Part {
    pub bytes: Vec<u8>,
    pub rows: u64,
}

fn open(file: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).map_err(unreadable)
}

fn unreadable(error: rusqlite::Error) -> LedgerError {
    LedgerError::Unavailable { what: "read the file", source: sqlx::Error::Io(std::io::Error::other(error)) }
}

/// The ledger's tables.
pub(super) fn tables(file: &Path) -> Result<Vec<String>, LedgerError> {
    texts(
        file,
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'
           and name <> '_sqlx_migrations' and ?1 = ?1 order by name",
        "",
    )
}

/// A table's columns.
pub(super) fn columns(file: &Path, table: &str) -> Result<Vec<String>, LedgerError> {
    texts(file, "select name from pragma_table_info(?1) order by cid", table)
}

/// The last number a table's rows were given, those that are gone included.
pub(super) fn last_number(file: &Path, table: &str) -> Result<Option<i64>, LedgerError> {
    let sql = "select seq from sqlite_sequence where name = ?1 and seq > 0";
    open(file)?.query_row(sql, [table], |row| row.get(0)).optional().map_err(unreadable)
}

pub(super) fn count(file: &Path, table: &str) -> Result<u64, LedgerError> {
    let sql = format!("select count(*) from {table}");
    let rows: i64 = open(file)?.query_row(&sql, [], |row| row.get(0)).map_err(unreadable)?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// What the file's digest key is known by; empty where it never had one.
pub(super) fn fingerprint(file: &Path) -> Result<String, LedgerError> {
    let known = texts(file, "select value from facts where name = ?1", "digest_key")?;
    Ok(known.into_iter().next().unwrap_or_default())
}

fn texts(file: &Path, sql: &str, parameter: &str) -> Result<Vec<String>, LedgerError> {
    let connection = open(file)?;
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let rows = statement.query_map([parameter], |row| row.get(0)).map_err(unreadable)?;
    rows.collect::<Result<_, _>>().map_err(unreadable)
}

/// Hands a table over, part by part. Ends early, without a word, where nobody takes them any more.
pub(super) fn read(file: &Path, table: &Table, parts: &mpsc::Sender<Part>) -> Result<(), LedgerError> {
    let connection = open(file)?;
    let columns: Vec<String> = table.columns.iter().map(|(name, _)| column(&table.name, name)).collect();
    let sql = format!("select {} from {}", columns.join(", "), table.name);
    let mut statement = connection.prepare(&sql).map_err(unreadable)?;
    let mut rows = statement.query([]).map_err(unreadable)?;
    let mut part = Part { bytes: HEADER.to_vec(), rows: 0 };
    let width = i16::try_from(columns.len()).expect("a table has a few dozen columns").to_be_bytes();
    while let Some(row) = rows.next().map_err(unreadable)? {
        part.bytes.extend_from_slice(&width);
        for (index, (name, form)) in table.columns.iter().enumerate() {
            let value = row.get_ref(index).map_err(unreadable)?;
            form.append(value, &mut part.bytes).map_err(|_| odd(&table.name, name))?;
        }
        part.rows += 1;
        if part.bytes.len() >= PART_BYTES {
            let full = std::mem::replace(&mut part, Part { bytes: Vec::with_capacity(PART_BYTES), rows: 0 });
            if parts.blocking_send(full).is_err() {
                return Ok(());
            }
        }
    }
    part.bytes.extend_from_slice(TRAILER);
    // Nobody takes it: whoever copies has failed, and says so.
    let _ = parts.blocking_send(part);
    Ok(())
}

/// The process that held these leases is gone: their runs may be claimed at once.
fn column(table: &str, column: &str) -> String {
    match (table, column) {
        ("runs", "lease_expires_at") => "case when lease_expires_at is not null then 0 end".to_owned(),
        _ => column.to_owned(),
    }
}

fn odd(table: &str, column: &str) -> LedgerError {
    LedgerError::Unusable(format!(
        "table {table}: a value in column {column} does not fit; nothing was moved"
    ))
}
