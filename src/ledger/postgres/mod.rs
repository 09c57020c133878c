//! What is particular to a ledger on PostgreSQL: the connections, what bounds them, the schema.
//!
//! Any pooler will do. Everything is asked in a transaction, which sets for itself what it needs; no statement is
//! kept prepared, no lock and no setting outlives the transaction. All tables stand in a schema of their own.

mod lookup;
mod schema;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Executor, Postgres};
use tokio::task::JoinHandle;

use super::LedgerError;
use super::herald::Herald;
use crate::postgres;

/// How long a caller waits for a connection: as long as for a turn to write on SQLite.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer is waited for before the connection counts as lost: over the server's own bound, which comes
/// with an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(7);
/// How long a transaction that came to nothing may take to be rolled back before its connection is closed.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the vacuum of one table is waited for.
const VACUUM_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that write, and those that read: the API's lists beside the worker's look-ups. One more listens, where no pooler stands between.
const WRITERS: u32 = 5;
const READERS: u32 = 5;

/// What every transaction sets for itself: an answer within 5 s, 2 s for a lock, and no more than 10 s of silence
/// should this process be gone without a word. A commit is on disk before it is answered, whatever the role's own
/// setting; one that asks for more than that is left alone.
macro_rules! begin {
    ($mode:literal) => {
        concat!(
            "begin isolation level read committed ",
            $mode,
            "; set local search_path = peak_braze, pg_temp; set local statement_timeout = '5s'; \
             set local lock_timeout = '2s'; set local idle_in_transaction_session_timeout = '10s'; \
             select set_config('synchronous_commit', 'on', true) \
             where current_setting('synchronous_commit') = 'off'"
        )
    };
}

/// The server.
pub(in crate::ledger) struct Server {
    pub writers: PgPool,
    pub readers: PgPool,
    listener: Mutex<Option<JoinHandle<()>>>,
}

/// Whether an address is one of PostgreSQL.
pub(in crate::ledger) fn is_address(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

impl Server {
    /// Connects when something is asked, and not before.
    pub(in crate::ledger) fn open(url: &str) -> Result<Self, LedgerError> {
        let options = options(url)?;
        let pool = |most| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(TURN_TIMEOUT)
                .connect_lazy_with(options.clone())
        };
        Ok(Self { writers: pool(WRITERS), readers: pool(READERS), listener: Mutex::default() })
    }

    pub(in crate::ledger) async fn write(&self) -> Result<Session, sqlx::Error> {
        begin(&self.writers, begin!("read write")).await
    }

    pub(in crate::ledger) async fn read(&self) -> Result<Session, sqlx::Error> {
        begin(&self.readers, begin!("read only")).await
    }

    /// Hears from now on what other replicas tell.
    pub(in crate::ledger) fn listen(&self, herald: &Arc<Herald>) {
        let listener = herald.listen(self.readers.clone());
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Frees at once what was deleted. Best effort: what is left goes with the server's own vacuum.
    pub(in crate::ledger) async fn vacuum(&self) {
        let mut connection = match self.writers.acquire().await {
            Ok(connection) => connection,
            Err(error) => return skipped(&error),
        };
        let tables =
            ["vacuum peak_braze.sent", "vacuum peak_braze.rejections", "vacuum peak_braze.in_flight"];
        for table in tables {
            match tokio::time::timeout(VACUUM_TIMEOUT, connection.execute(table)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return skipped(&error),
                Err(_) => return connection.close_on_drop(),
            }
        }
    }

    /// Lets all connections go.
    pub(in crate::ledger) async fn close(&self) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            listener.abort();
        }
        self.readers.close().await;
        self.writers.close().await;
    }
}

fn skipped(error: &sqlx::Error) {
    tracing::warn!(error = error as &dyn std::error::Error, "the server's own vacuum frees what was deleted");
}

async fn begin(pool: &PgPool, statement: &'static str) -> Result<Session, sqlx::Error> {
    let mut session = Session { connection: Some(pool.acquire().await?), is_asking: false };
    let (connection, is_asking) = session.parts();
    answered(is_asking, connection.execute(statement)).await?;
    Ok(session)
}

/// A connection in a transaction. Dropped, the transaction is rolled back.
pub(in crate::ledger) struct Session {
    /// None once given back.
    connection: Option<PoolConnection<Postgres>>,
    /// Whether something was asked whose answer is not in: then nobody knows what the connection says next.
    is_asking: bool,
}

impl Session {
    pub(in crate::ledger) fn parts(&mut self) -> (&mut PgConnection, &mut bool) {
        let connection = self.connection.as_mut().expect("given back only at the end");
        (connection, &mut self.is_asking)
    }

    pub(in crate::ledger) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let (connection, is_asking) = self.parts();
        answered(is_asking, connection.execute("commit")).await?;
        drop(self.connection.take());
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.is_asking {
            connection.close_on_drop();
            return;
        }
        tokio::spawn(async move {
            let rolled_back = tokio::time::timeout(ROLLBACK_TIMEOUT, connection.execute("rollback")).await;
            if !matches!(rolled_back, Ok(Ok(_))) {
                connection.close_on_drop();
            }
        });
    }
}

/// What the server answers, if it does in time.
pub(in crate::ledger) async fn answered<T>(
    is_asking: &mut bool,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    *is_asking = true;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
    let answer = answer.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?;
    *is_asking = matches!(&answer, Err(error) if error.as_database_error().is_none());
    answer
}

/// Where and how to connect. TLS is verified unless the host is this machine.
fn options(url: &str) -> Result<PgConnectOptions, LedgerError> {
    let unusable = |says: &str| LedgerError::Unusable(format!("ledger.url: {says}"));
    // What the parser says is left out: it may quote the password.
    let options: PgConnectOptions = url.parse().map_err(|_| unusable("is not a PostgreSQL address"))?;
    // Poolers refuse settings at the start that they do not know.
    let options = postgres::quiet(options).extra_float_digits(None);
    postgres::verified(options).ok_or_else(|| unusable("sslmode=disable is for hosts on this machine only"))
}
