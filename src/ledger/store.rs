//! The database behind the ledger, and a transaction in it.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::column::At;
use super::herald::Herald;
use super::postgres::{Server, Session};
use super::sqlite::File;
use super::statement::fetch_one;
use super::{LedgerError, Subscriber};
use crate::clock::Clock;
use crate::run::RunId;

/// The database, and who is told of its changes.
pub(super) struct Store {
    pub database: Database,
    pub herald: Arc<Herald>,
    pub clock: Clock,
    /// Who is to be told of what happens.
    subscribers: RwLock<Arc<[Subscriber]>>,
}

pub(super) enum Database {
    Sqlite(File),
    Postgres(Server),
}

/// A transaction, or on SQLite, where one statement is all that is read, a connection. Dropped, it changes nothing.
pub(super) struct Tx {
    inner: Inner,
    store: Arc<Store>,
    told: Vec<RunId>,
    rings: bool,
    calls: bool,
}

enum Inner {
    SqliteWrite(Transaction<'static, Sqlite>),
    SqliteRead(PoolConnection<Sqlite>),
    Postgres(Session),
}

/// What speaks to the database.
pub(super) enum Side<'t> {
    Sqlite(&'t mut SqliteConnection),
    Postgres(&'t mut Session),
}

impl Store {
    pub(super) fn new(database: Database, clock: Clock) -> Self {
        Self { database, herald: Arc::new(Herald::new()), clock, subscribers: RwLock::default() }
    }

    /// Begins a write. On SQLite writes wait for one another here, in order, rather than in the database.
    pub(super) async fn begin(self: &Arc<Self>, what: &'static str) -> Result<Tx, LedgerError> {
        let during = LedgerError::during(what);
        let inner = match &self.database {
            Database::Sqlite(file) => {
                let begun = file.writer.begin_with("begin immediate");
                Inner::SqliteWrite(Box::pin(begun).await.map_err(during)?)
            }
            Database::Postgres(server) => Inner::Postgres(Box::pin(server.write()).await.map_err(during)?),
        };
        Ok(self.tx(inner))
    }

    /// Begins to read, beside those who write.
    pub(super) async fn read(self: &Arc<Self>, what: &'static str) -> Result<Tx, LedgerError> {
        let during = LedgerError::during(what);
        let inner = match &self.database {
            Database::Sqlite(file) => {
                Inner::SqliteRead(Box::pin(file.readers.acquire()).await.map_err(during)?)
            }
            Database::Postgres(server) => Inner::Postgres(Box::pin(server.read()).await.map_err(during)?),
        };
        Ok(self.tx(inner))
    }

    pub(super) fn subscribe(&self, subscribers: Vec<Subscriber>) {
        *self.subscribers.write().unwrap_or_else(PoisonError::into_inner) = subscribers.into();
    }

    fn tx(self: &Arc<Self>, inner: Inner) -> Tx {
        Tx { inner, store: self.clone(), told: Vec::new(), rings: false, calls: false }
    }
}

impl Tx {
    pub(super) fn side(&mut self) -> Side<'_> {
        match &mut self.inner {
            Inner::SqliteWrite(tx) => Side::Sqlite(tx),
            Inner::SqliteRead(connection) => Side::Sqlite(connection),
            Inner::Postgres(session) => Side::Postgres(session),
        }
    }

    /// The time leases are counted by: of a ledger that replicas share, the database's.
    pub(super) async fn now(&mut self, what: &'static str) -> Result<DateTime<Utc>, LedgerError> {
        if let Inner::SqliteWrite(_) | Inner::SqliteRead(_) = self.inner {
            return Ok(self.store.clock.now());
        }
        let now: Result<At, sqlx::Error> =
            fetch_one!(self, query_scalar("-- ledger::now\n select ledger_now()"));
        now.map(|now| now.0).map_err(LedgerError::during(what))
    }

    /// Who is to be told of what happens.
    pub(super) fn subscribers(&self) -> Arc<[Subscriber]> {
        self.store.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Once it is committed, whoever watches hears that this run changed.
    pub(super) fn tell(&mut self, run: RunId) {
        self.told.push(run);
    }

    /// Once it is committed, workers look for runs.
    pub(super) fn ring(&mut self) {
        self.rings = true;
    }

    /// Once it is committed, other replicas ask for their shares anew.
    pub(super) fn call(&mut self) {
        self.calls = true;
    }

    pub(super) async fn commit(mut self, what: &'static str) -> Result<(), LedgerError> {
        let during = LedgerError::during(what);
        let (told, rings, calls) = (std::mem::take(&mut self.told), self.rings, self.calls);
        match self.inner {
            Inner::SqliteWrite(tx) => tx.commit().await.map_err(during)?,
            Inner::SqliteRead(_) => {}
            Inner::Postgres(mut session) => {
                self.store.herald.send(&mut session, &told, rings, calls).await.map_err(&during)?;
                Box::pin(session.commit()).await.map_err(during)?;
            }
        }
        self.store.herald.announce(&told, rings);
        Ok(())
    }
}
