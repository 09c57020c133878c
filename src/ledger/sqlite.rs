//! What is particular to the embedded ledger: the file, its lock, its pragmas, its library.

use std::fs::{self, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, SqlitePool};

use super::file_system::check_local;
use super::lookup::Lookups;
use super::{LedgerError, version};

/// Older libraries may lose committed transactions in WAL mode ("WAL-reset bug").
/// Source: SQLite release notes, 3.51.3.
const OLDEST_LIBRARY: (u32, u32, u32) = (3, 51, 3);
/// How long a write waits for a foreign process that holds the file: under the senders' shortest patience.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a caller waits for its turn to write.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections for reading: the API's lists beside the worker's look-ups, on a small machine.
const READERS: u32 = 4;
/// The file is checked at start up to this size, which a slow disk reads in half a second; a larger one would keep
/// callbacks waiting.
const CHECKED_BYTES: u64 = 32 * 1024 * 1024;
/// What the write-ahead log is cut back to once it has been longer.
const LOG_BYTES: &str = "67108864";

/// What a statement may have to take back is kept in memory: SQLite makes a file of it otherwise, for every statement of
/// many rows anew. What is as large as the ledger, a copy of it or the sort for an index, goes to disk.
/// Source: SQLite docs, Temporary Files Used By SQLite; PRAGMA temp_store.
const SMALL_TEMPORARIES: &str = "pragma temp_store = memory";
const LARGE_TEMPORARIES: &str = "pragma temp_store = file";
/// Pages given back to the file system after each pruning.
const PAGES_FREED: &str = "pragma incremental_vacuum(4000)";

/// An opened ledger file.
pub(super) struct File {
    pub path: PathBuf,
    pub writer: SqlitePool,
    pub readers: SqlitePool,
    pub lookups: Lookups,
    lock: fs::File,
}

impl File {
    /// Takes the file for this process and brings its schema up to date.
    pub(super) async fn open(url: &str) -> Result<Self, LedgerError> {
        let path = url.strip_prefix("sqlite://").map(PathBuf::from).ok_or_else(|| {
            LedgerError::Unusable("ledger.url: must be sqlite://FILE or postgres://…".to_owned())
        })?;
        check_local(&path)?;
        let lock = lock(&path)?;
        let is_new = create_private(&path)?;
        check_kind(&path)?;
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(TURN_TIMEOUT)
            // A file does not go away between two statements, as a server may.
            .test_before_acquire(false)
            // Where the disk is full SQLite rolls back by itself. The driver believes the transaction open for good
            // and begins no other on this connection: the next one is a new one.
            .before_acquire(|writer, _| Box::pin(async move { Ok(!writer.is_in_transaction()) }))
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options(&path, is_new))
            .await
            .map_err(|error| of_file(error, &path))?;
        check_library(&writer).await?;
        check_file(&writer, &path).await?;
        migrate(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(TURN_TIMEOUT)
            // As above.
            .test_before_acquire(false)
            .connect_with(reading(&path))
            .await
            .map_err(LedgerError::during("open"))?;
        Ok(Self { lookups: Lookups::new(path.clone()), path, writer, readers, lock })
    }

    /// Lets the file go.
    pub(super) async fn close(&self) {
        self.lookups.let_go();
        self.readers.close().await;
        self.writer.close().await;
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ledger's lock stays until the end");
        }
    }

    /// Leaves nothing of what was deleted in the file or its log. `secure_delete` overwrites what is removed, but
    /// not what a page keeps in its gaps after rows moved to another page: only rewriting the file does that.
    /// Source: SQLite docs, PRAGMA secure_delete, VACUUM.
    pub(super) async fn erase(&self) -> Result<(), LedgerError> {
        let during = LedgerError::during("erase what was deleted");
        self.lookups.let_go();
        let mut writer = self.writer.acquire().await.map_err(&during)?;
        sqlx::query(LARGE_TEMPORARIES).execute(&mut *writer).await.map_err(&during)?;
        let vacuumed = sqlx::query("vacuum").execute(&mut *writer).await;
        sqlx::query(SMALL_TEMPORARIES).execute(&mut *writer).await.map_err(&during)?;
        vacuumed.map_err(&during)?;
        let (is_busy, _, _): (bool, i64, i64) = sqlx::query_as("pragma wal_checkpoint(truncate)")
            .fetch_one(&mut *writer)
            .await
            .map_err(&during)?;
        if is_busy { Err(during(sqlx::Error::PoolTimedOut)) } else { Ok(()) }
    }

    /// The process that held these leases is gone: its runs may be claimed at once.
    pub(super) async fn void_leases(&self) -> Result<(), LedgerError> {
        let voided = sqlx::query(
            "-- sqlite::void_leases
             update runs set lease_expires_at = 0
             where state in ('queued', 'running', 'waiting', 'held') and lease_expires_at is not null",
        );
        voided.execute(&self.writer).await.map(drop).map_err(LedgerError::during("void leases"))
    }

    /// Gives free pages back to the file system.
    pub(super) async fn shrink(&self) -> Result<(), LedgerError> {
        let freed = sqlx::query(PAGES_FREED).execute(&self.writer).await;
        freed.map(drop).map_err(LedgerError::during("prune"))
    }
}

fn options(path: &Path, is_new: bool) -> SqliteConnectOptions {
    // Pages, and how often the log is copied back, as SQLite has them: with larger ones callbacks are slower by a quarter,
    // and where it is copied less often, so are the slowest of them (benches/RESULTS.md).
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL may roll an acknowledged commit back at power loss. Source: SQLite docs, PRAGMA synchronous.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "on")
        .pragma("journal_size_limit", LOG_BYTES)
        .pragma("temp_store", "memory");
    // Set once more it would be written once more, even to a file that is then refused.
    if is_new { options.auto_vacuum(SqliteAutoVacuum::Incremental) } else { options }
}

/// Sets nothing of the file's: a read-only connection is refused some pragmas, `auto_vacuum` among them.
fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT)
}

/// One process at a time: two would void each other's leases.
fn lock(path: &Path) -> Result<fs::File, LedgerError> {
    let beside = beside(path, ".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
    let file = file.map_err(|error| unusable(&beside, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(unusable(&beside, &error)),
    }
}

/// The file holds customer ids: for its owner only. Whether nothing is in it yet.
fn create_private(path: &Path) -> Result<bool, LedgerError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let length = file.and_then(|file| file.metadata()).map_err(|error| unusable(path, &error))?.len();
    Ok(length == 0)
}

/// A file of the same name with another ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> LedgerError {
    LedgerError::Unusable(format!("ledger.url: {} cannot be used: {error}", path.display()))
}

async fn check_library(writer: &SqlitePool) -> Result<(), LedgerError> {
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(writer)
        .await
        .map_err(LedgerError::during("open"))?;
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < OLDEST_LIBRARY {
        return Err(LedgerError::Unusable(format!(
            "SQLite {version} may lose committed transactions; 3.51.3 or newer is needed"
        )));
    }
    Ok(())
}

/// Looks, before anything is set or written, whether the file is a ledger or empty: a warehouse named by mistake is
/// left as it was.
fn check_kind(path: &Path) -> Result<(), LedgerError> {
    let is_other = || {
        let file = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        file.busy_timeout(BUSY_TIMEOUT)?;
        let sql = "select exists (select 1 from sqlite_schema)
                     and not exists (select 1 from sqlite_schema where name = '_sqlx_migrations')";
        file.query_row(sql, [], |row| row.get::<_, bool>(0))
    };
    // What cannot even be read is told by who opens it for good.
    if is_other().unwrap_or(false) {
        let path = path.display();
        return Err(LedgerError::Unusable(format!(
            "ledger.url: {path} is a database, but not a ledger; nothing was changed. Name a file of its own"
        )));
    }
    Ok(())
}

async fn check_file(writer: &SqlitePool, path: &Path) -> Result<(), LedgerError> {
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    if bytes > CHECKED_BYTES {
        tracing::info!(bytes, "the ledger is large; its file is not checked at start");
        return Ok(());
    }
    let found: String = sqlx::query_scalar("pragma quick_check(1)")
        .fetch_one(writer)
        .await
        .map_err(|error| of_file(error, path))?;
    if found == "ok" { Ok(()) } else { Err(damaged(path)) }
}

/// SQLITE_CORRUPT and SQLITE_NOTADB say that the file is damaged; anything else may pass.
fn of_file(error: sqlx::Error, path: &Path) -> LedgerError {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    // The primary code is in the low byte. Source: SQLite docs, Result and Error Codes.
    match code.map(|code| code & 0xff) {
        Some(11 | 26) => damaged(path),
        _ => LedgerError::during("open")(error),
    }
}

fn damaged(path: &Path) -> LedgerError {
    let path = path.display();
    LedgerError::Unusable(format!(
        "ledger.url: {path} is damaged, or not SQLite; nothing was changed. Restore a backup"
    ))
}

async fn migrate(writer: &SqlitePool) -> Result<(), LedgerError> {
    use sqlx::migrate::MigrateError;
    let mut migrations = sqlx::migrate!("src/ledger/migrations/sqlite");
    let newest = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    version::check(newest, applied(writer).await?.into_iter())?;
    let during = LedgerError::during("migrate");
    sqlx::query(LARGE_TEMPORARIES).execute(writer).await.map_err(&during)?;
    migrations.set_ignore_missing(true).run(writer).await.map_err(|error| match error {
        MigrateError::Execute(source) => LedgerError::Unavailable { what: "migrate", source },
        other => {
            LedgerError::Unusable(format!("ledger.url: the schema cannot be brought up to date: {other}"))
        }
    })?;
    sqlx::query(SMALL_TEMPORARIES).execute(writer).await.map(drop).map_err(during)
}

/// Versions of the migrations applied.
async fn applied(writer: &SqlitePool) -> Result<Vec<i64>, LedgerError> {
    let during = LedgerError::during("migrate");
    let is_new = "-- sqlite::applied
         select not exists (select 1 from sqlite_schema where name = '_sqlx_migrations')";
    if sqlx::query_scalar(is_new).fetch_one(writer).await.map_err(&during)? {
        return Ok(Vec::new());
    }
    let versions = sqlx::query_scalar("-- sqlite::applied\n select version from _sqlx_migrations");
    versions.fetch_all(writer).await.map_err(during)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_keeps_a_page_cache_for_each_connection_and_loads_nothing() {
        let memory = rusqlite::Connection::open_in_memory().expect("memory");
        for option in ["ENABLE_MEMORY_MANAGEMENT", "ENABLE_LOAD_EXTENSION", "ENABLE_API_ARMOR"] {
            let asked = "select sqlite_compileoption_used(?1)";
            let is_used: bool = memory.query_row(asked, [option], |row| row.get(0)).expect("asked");
            assert!(!is_used, "{option}: see LIBSQLITE3_FLAGS in .cargo/config.toml");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_statement_may_take_back_is_no_file() {
        let folder = tempfile::tempdir().expect("a temp dir");
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let file = File::open(&url).await.expect("a ledger");
        let place = sqlx::query_scalar::<_, i64>("pragma temp_store");
        assert_eq!(place.fetch_one(&file.writer).await.expect("asked"), 2, "in memory");
        file.erase().await.expect("erased");
        let place = sqlx::query_scalar::<_, i64>("pragma temp_store");
        assert_eq!(place.fetch_one(&file.writer).await.expect("asked"), 2, "again in memory");
        file.close().await;
    }
}
