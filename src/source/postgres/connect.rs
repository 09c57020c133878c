//! A read-only session whose every wait is bounded.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::dialect::Dialect;
use super::error::unreachable;
use super::login::{Access, Login};
use crate::source::SourceError;
use crate::source::identifier::quote;

/// Reaching a server and logging in: a fail-over answers sooner or not at all.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// One statement at most: a sort of hundreds of millions of rows before the first comes out.
pub(super) const STATEMENT_WAIT: Duration = Duration::from_secs(30 * 60);
/// Looking at the columns and declaring a cursor: no row is read yet, and a lock is waited for far less long.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Connects and binds the session. A login that Peak gave and the server refuses is asked for anew, once.
pub(super) async fn connect(dialect: Dialect, login: &Login) -> Result<PgConnection, SourceError> {
    let refused = match open(dialect, &login.access().await?).await {
        Err(refused @ SourceError::Refused(_)) => refused,
        opened => return opened,
    };
    match login.access_anew().await? {
        Some(access) => open(dialect, &access).await,
        None => Err(refused),
    }
}

async fn open(dialect: Dialect, access: &Access) -> Result<PgConnection, SourceError> {
    let path = access.schema.as_ref().map(|schema| format!("SET search_path = {}, public", quote(schema)));
    let connecting = async {
        let mut connection = access.options.connect().await?;
        for statement in dialect.session(STATEMENT_WAIT).into_iter().chain(path) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        Ok(connection)
    };
    match tokio::time::timeout(CONNECT_WAIT, connecting).await {
        Ok(connected) => connected.map_err(|error: sqlx::Error| dialect.failed(&error)),
        Err(_) => Err(silent(dialect)),
    }
}

fn silent(dialect: Dialect) -> SourceError {
    unreachable(&format!("{} did not answer in time", dialect.name()))
}

/// What `work` comes to, if the server answers in time.
pub(super) async fn answered<T>(
    dialect: Dialect,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    tokio::time::timeout(ANSWER_WAIT, work).await.map_err(|_| silent(dialect))?
}

/// Begins the one transaction everything is read in.
pub(super) async fn begin(dialect: Dialect, connection: &mut PgConnection) -> Result<(), SourceError> {
    sqlx::raw_sql(dialect.begin()).execute(connection).await.map(drop).map_err(|error| dialect.failed(&error))
}
