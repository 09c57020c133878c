//! Moves a ledger from a SQLite file to PostgreSQL, whole or not at all.
//!
//! The file is taken as a service takes it, so nobody writes it meanwhile. Everything is copied in one transaction
//! into a ledger that is empty, counted there, and committed last: a move that is cut short leaves nothing, and may
//! begin again. Rows go by in parts of a bounded size, in the order of their keys and in the server's binary form.
//! Tables, columns and their types are read from both databases, so what a later migration adds goes along.

mod binary;
mod catalog;
mod reader;

use std::path::PathBuf;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc;

use super::LedgerError;
use super::postgres::{self, Server};
use super::sqlite::File;
use catalog::Table;

/// How long the server may take for a part, or to count a table of a hundred million rows, before it counts as lost.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// Parts read ahead of the server.
const READ_AHEAD: usize = 2;

/// A table that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    /// Its name.
    pub name: String,
    /// Its rows, the same on both sides.
    pub rows: u64,
}

/// How far a move has come, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveProgress {
    /// Rows the server has.
    pub done: u64,
    /// All of them.
    pub total: u64,
}

/// Moves the ledger at `from` (`sqlite://FILE`) to the empty one at `to` (`postgres://…`), and says what it holds.
/// The file stays as it is, but for its schema, which is brought up to date first.
///
/// # Errors
/// [`LedgerError::InUse`] while a process has the file; [`LedgerError::Unusable`] where there is no such file, or the
/// other ledger is not empty, or one of them has another schema; [`LedgerError::Unavailable`]. Then nothing is moved,
/// unless the text says that nobody knows.
pub async fn transfer(
    from: &str,
    to: &str,
    progress: impl Fn(MoveProgress),
) -> Result<Vec<MovedTable>, LedgerError> {
    if !postgres::is_address(to) {
        return Err(LedgerError::Unusable("--to: must be postgres://…".to_owned()));
    }
    check_is_there(from)?;
    let file = File::open(from).await.map_err(named("--from"))?;
    let moved = async {
        let server = Server::open(to).map_err(named("--to"))?;
        let moved = Box::pin(copy_all(&file, &server, progress)).await;
        server.close().await;
        moved
    };
    let moved = moved.await;
    file.close().await;
    moved
}

/// What is said of the ledger's setting is meant of this flag.
fn named(flag: &'static str) -> impl Fn(LedgerError) -> LedgerError {
    move |error| match error {
        LedgerError::Unusable(text) => LedgerError::Unusable(text.replacen("ledger.url", flag, 1)),
        other => other,
    }
}

fn check_is_there(from: &str) -> Result<(), LedgerError> {
    let path = from.strip_prefix("sqlite://").map(PathBuf::from);
    let path = path.ok_or_else(|| LedgerError::Unusable("--from: must be sqlite://FILE".to_owned()))?;
    match path.metadata() {
        Ok(file) if file.len() > 0 => Ok(()),
        Ok(_) => Err(LedgerError::Unusable(format!("--from: {} is empty", path.display()))),
        Err(error) => Err(LedgerError::Unusable(format!("--from: {}: {error}", path.display()))),
    }
}

async fn copy_all(
    file: &File,
    server: &Server,
    progress: impl Fn(MoveProgress),
) -> Result<Vec<MovedTable>, LedgerError> {
    server.migrate().await.map_err(named("--to"))?;
    // Counted before anything is begun: that takes minutes of a large file, in which a server hears nothing.
    let tables = catalog::tables(&file.path, &catalog::known(server).await?)?;
    let mut session = server.write().await.map_err(unavailable)?;
    let (connection, line) = session.parts();
    line.is_asking = true;
    prepare(connection, &tables).await?;
    check_is_empty(connection, &tables, &reader::fingerprint(&file.path)?).await?;
    let total = tables.iter().map(|table| table.rows).sum();
    let (mut done, mut moved) = (0, Vec::new());
    for table in &tables {
        copy(file, connection, table, |rows| progress(MoveProgress { done: done + rows, total })).await?;
        check_count(connection, table).await?;
        done += table.rows;
        moved.push(MovedTable { name: table.name.clone(), rows: table.rows });
    }
    line.is_asking = false;
    session.commit_within(STEP_TIMEOUT).await.map_err(uncommitted)?;
    Ok(moved)
}

/// A server that says no has kept nothing; of one that says nothing nobody knows.
fn uncommitted(error: sqlx::Error) -> LedgerError {
    if error.as_database_error().is_some() {
        return unavailable(error);
    }
    LedgerError::Unusable(format!(
        "--to: everything was copied, but the server did not say whether it keeps it ({error}): look before you \
         repeat. Where peak_braze.runs there has rows, all of it was moved"
    ))
}

/// Nobody else writes the tables until the end: a service that was started too early is held up, and refused.
async fn prepare(connection: &mut PgConnection, tables: &[Table]) -> Result<(), LedgerError> {
    let names: Vec<String> = tables.iter().map(|table| format!("peak_braze.{}", table.name)).collect();
    let lock = format!(
        "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = '60s'; \
         lock table {} in exclusive mode",
        names.join(", ")
    );
    in_time(sqlx::raw_sql(AssertSqlSafe(lock)).execute(connection)).await.map(drop)
}

/// A ledger that was only opened holds its digest key's fingerprint, and the probe of a service that was ready.
async fn check_is_empty(
    connection: &mut PgConnection,
    tables: &[Table],
    fingerprint: &str,
) -> Result<(), LedgerError> {
    let gone = sqlx::query(
        "-- transfer::check_is_empty
         delete from peak_braze.facts where name = 'probe' or name = 'digest_key' and value = $1",
    );
    in_time(gone.bind(fingerprint).persistent(false).execute(&mut *connection)).await?;
    for table in tables {
        let sql = format!("select exists (select 1 from peak_braze.{})", table.name);
        let holds = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *connection);
        if in_time(holds).await? {
            let why = match table.name.as_str() {
                "facts" => "was opened with another digest key",
                _ => "is not empty",
            };
            return Err(LedgerError::Unusable(format!(
                "--to: the ledger there {why} (table {}); nothing was moved. Name another database, or, if it \
                 holds nothing you need: drop schema peak_braze cascade",
                table.name
            )));
        }
    }
    Ok(())
}

/// Rows go by a part at a time, read ahead on a thread of their own.
async fn copy(
    file: &File,
    connection: &mut PgConnection,
    table: &Table,
    progress: impl Fn(u64),
) -> Result<(), LedgerError> {
    let (sender, mut parts) = mpsc::channel(READ_AHEAD);
    let reading = {
        let (path, table) = (file.path.clone(), table.clone());
        tokio::task::spawn_blocking(move || reader::read(&path, &table, &sender))
    };
    let mut copying = in_time(connection.copy_in_raw(&table.copy_statement())).await?;
    let mut rows = 0;
    while let Some(part) = parts.recv().await {
        in_time(copying.send(part.bytes)).await?;
        rows += part.rows;
        progress(rows);
    }
    let read = reading.await.map_err(|error| unavailable(sqlx::Error::Io(std::io::Error::other(error))))?;
    read?;
    in_time(copying.finish()).await?;
    if let Some((column, last)) = &table.numbered {
        let advanced = sqlx::query("-- transfer::copy\n select setval(pg_get_serial_sequence($1, $2), $3)");
        let name = format!("peak_braze.{}", table.name);
        let advanced = advanced.bind(name).bind(column).bind(last).persistent(false);
        in_time(advanced.execute(connection)).await?;
    }
    Ok(())
}

async fn check_count(connection: &mut PgConnection, table: &Table) -> Result<(), LedgerError> {
    let sql = format!("select count(*) from peak_braze.{}", table.name);
    let counted = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection);
    let counted: i64 = in_time(counted).await?;
    if u64::try_from(counted) == Ok(table.rows) {
        return Ok(());
    }
    Err(LedgerError::Unusable(format!(
        "table {} has {} rows, but {counted} arrived; nothing was moved",
        table.name, table.rows
    )))
}

async fn in_time<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, LedgerError> {
    let answer = tokio::time::timeout(STEP_TIMEOUT, asked).await;
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    answer.map_err(late).flatten().map_err(unavailable)
}

fn unavailable(source: sqlx::Error) -> LedgerError {
    LedgerError::Unavailable { what: "move the ledger", source }
}
