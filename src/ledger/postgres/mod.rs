//! What is particular to a ledger on PostgreSQL: the connections, what bounds them, the schema.
//!
//! Any pooler will do. Everything is asked in a transaction, which sets for itself what it needs; no statement is
//! kept prepared, no lock and no setting outlives the transaction. All tables stand in a schema of their own.

mod commit;
mod lookup;
mod schema;
mod session;
mod trust;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::task::JoinHandle;

use super::LedgerError;
use super::herald::Herald;
use crate::postgres;
use commit::Marks;
use session::{Beginning, Marking};
use trust::Trust;

pub(in crate::ledger) use session::{Session, answered};

/// How long a caller waits for a connection: as long as for a turn to write on SQLite.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the vacuum of one table is waited for.
const VACUUM_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that write, and those that read: the API's lists beside the worker's look-ups. One more listens, where no pooler stands between.
const WRITERS: u32 = 5;
const READERS: u32 = 5;

/// The server.
pub(in crate::ledger) struct Server {
    pub writers: PgPool,
    pub readers: PgPool,
    trust: Arc<Trust>,
    marks: Arc<Marks>,
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
        let trust = Arc::<Trust>::default();
        let pool = |most| {
            let pool = PgPoolOptions::new().max_connections(most).acquire_timeout(TURN_TIMEOUT);
            trust.guards(pool).connect_lazy_with(options.clone())
        };
        let (writers, readers) = (pool(WRITERS), pool(READERS));
        Ok(Self { writers, readers, trust, marks: Arc::default(), listener: Mutex::default() })
    }

    pub(in crate::ledger) async fn write(&self) -> Result<Session, sqlx::Error> {
        let marking = Marking { marks: self.marks.clone(), beside: self.readers.clone() };
        Ok(Session::begin(&self.writers, &self.trust, Beginning::Write).await?.marked(marking))
    }

    pub(in crate::ledger) async fn read(&self) -> Result<Session, sqlx::Error> {
        Session::begin(&self.readers, &self.trust, Beginning::Read).await
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

/// Where and how to connect. TLS is verified unless the host is this machine.
fn options(url: &str) -> Result<PgConnectOptions, LedgerError> {
    let unusable = |says: &str| LedgerError::Unusable(format!("ledger.url: {says}"));
    // What the parser says is left out: it may quote the password.
    let options: PgConnectOptions = url.parse().map_err(|_| unusable("is not a PostgreSQL address"))?;
    // Poolers refuse settings at the start that they do not know.
    let options = postgres::quiet(options).extra_float_digits(None);
    postgres::verified(options).ok_or_else(|| unusable("sslmode=disable is for hosts on this machine only"))
}
