//! A read-only connection to the file, and what its errors mean to us.

use std::path::Path;
use std::time::Duration;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::source::SourceError;
use crate::source::filter::Filter;
use crate::source::mapping::{Mapping, Relation};

use super::cell::{raw_key, value};

/// KiB of page cache, which bounds the memory of a sort too; what does not fit is sorted in a temporary file. Each page
/// is read once, and the operating system keeps its own copy: more was measured to bring nothing.
const CACHE_KIB: i64 = 4 * 1024;
/// The name of the temporary view that stands for a `query`.
pub(super) const QUERY_VIEW: &str = "peak_braze_query";

/// The name of the SQL function that says whether a row is asked for.
pub(super) const WANTS: &str = "peak_braze_wants";

/// An open file.
pub(super) struct File {
    pub connection: Connection,
}

impl File {
    pub(super) fn open(path: &Path, mapping: &Mapping, lock_wait: Duration) -> Result<Self, SourceError> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(SourceError::Unusable(format!("{} is not a file", path.display()))),
            Err(error) => return Err(missing(path, &error)),
        }
        let connect = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(lock_wait)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            // The first look into the file: says at once if it is no database, or locked.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        };
        let file = Self { connection: connect().map_err(failed)? };
        file.name_query(mapping)?;
        file.connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(file)
    }

    /// Begins the one transaction everything is read in.
    pub(super) fn begin(&self) -> Result<(), SourceError> {
        self.connection.execute_batch("BEGIN").map_err(failed)
    }

    /// Whether SQLite sorts to give the statement's order, rather than follow an index.
    pub(super) fn sorts(&self, select: &str) -> rusqlite::Result<bool> {
        let mut plan = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {select}"))?;
        let mut steps = plan.raw_query();
        while let Some(step) = steps.next()? {
            // Source: SQLite docs, EXPLAIN QUERY PLAN, temporary sorting B-trees.
            if step.get_ref("detail")?.as_bytes()?.starts_with(b"USE TEMP B-TREE") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets SQL ask the filter: what a delta leaves out is then not sorted. Where nothing is sorted, a row that is
    /// looked at here costs no more.
    pub(super) fn provide(&self, filter: Filter) -> Result<(), SourceError> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        let wants = move |row: &Context<'_>| {
            let (key, updated_at) = (raw_key(row.get_raw(0)), value(row.get_raw(1)));
            Ok(filter.passes(key.value(), updated_at))
        };
        self.connection.create_scalar_function(WANTS, 2, flags, wants).map_err(failed)
    }

    /// A query becomes a temporary view: SQLite takes nothing but a SELECT there, and tells its columns' types.
    fn name_query(&self, mapping: &Mapping) -> Result<(), SourceError> {
        let Relation::Query(query) = &mapping.relation else { return Ok(()) };
        let is_readonly =
            self.connection.prepare(query).map_err(|error| unprepared(error, mapping))?.readonly();
        if !is_readonly {
            return Err(SourceError::config("query", "writes; only a SELECT may be given"));
        }
        let view = format!("CREATE TEMP VIEW {QUERY_VIEW} AS {query}");
        self.connection.execute(&view, []).map_err(|error| unprepared(error, mapping))?;
        Ok(())
    }
}

fn missing(path: &Path, error: &std::io::Error) -> SourceError {
    let path = path.display();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => SourceError::Refused(format!("{path} may not be read")),
        std::io::ErrorKind::NotFound => SourceError::Unreachable(format!("{path} does not exist")),
        kind => SourceError::Unreachable(format!("{path} cannot be looked at: {kind}")),
    }
}

/// What a failure to prepare a statement means. SQLite speaks here of the config's own words; they may be shown.
pub(super) fn unprepared(error: rusqlite::Error, mapping: &Mapping) -> SourceError {
    match error {
        rusqlite::Error::MultipleStatement => SourceError::config("query", "is more than one statement"),
        rusqlite::Error::SqliteFailure(code, Some(why)) if code.code == ErrorCode::Unknown => {
            SourceError::SchemaMismatch { table: mapping.table(), column: None, why, nearest: None }
        }
        error => failed(error),
    }
}

/// What a failure while opening or reading means. SQLite's text is left out: it may quote what was read.
pub(super) fn failed(error: rusqlite::Error) -> SourceError {
    use ErrorCode as Code;
    let unreachable = |what: &str| SourceError::Unreachable(what.to_owned());
    let unusable = |what: &str| SourceError::Unusable(what.to_owned());
    match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            SourceError::Busy("the SQLite file stayed locked: somebody else is writing it".to_owned())
        }
        Some(Code::CannotOpen) => {
            unreachable("the SQLite file cannot be opened: it is gone, or it or its -wal may not be read")
        }
        Some(Code::PermissionDenied | Code::AuthorizationForStatementDenied) => {
            SourceError::Refused("the SQLite file may not be read".to_owned())
        }
        Some(Code::NotADatabase) => unusable("the file is not a SQLite database"),
        // Also what a file looks like that is being copied over.
        Some(Code::DatabaseCorrupt) => unreachable("the SQLite file is damaged, or being replaced"),
        Some(Code::SystemIoFailure) => unreachable("the SQLite file could not be read: input/output error"),
        Some(Code::DiskFull) => unreachable("there is no room for the temporary file of a sort"),
        Some(Code::OutOfMemory) => unreachable("there is no memory left to read the SQLite file"),
        Some(Code::SchemaChanged) => unreachable("the SQLite file's schema is changing"),
        Some(Code::OperationInterrupted) => unreachable("reading the SQLite file was interrupted"),
        Some(Code::TooBig) => unusable("a row of the SQLite file is over a billion bytes"),
        Some(_) | None => unusable("the table, view or query fails on a row of the SQLite file"),
    }
}
