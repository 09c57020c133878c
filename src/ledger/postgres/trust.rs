//! Which connections of the pools are still believed to lead to the server.
//!
//! A server that falls, or a line that is cut, ends a connection with a word. One that is only silent does not: every
//! connection of the pool would be found out by itself, each after a wait of its own. So where one falls silent, all
//! that are older are let go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use tokio::time::Instant;

/// How long a connection that was idle may take to say that it is there: a busy server's worst, and short enough to
/// try a new one within a caller's patience.
const WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Since when connections are believed.
#[derive(Default)]
pub(super) struct Trust(Mutex<Option<Instant>>);

impl Trust {
    /// One fell silent: nothing that was there before is believed any more.
    pub(super) fn lose(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Has a pool give out only connections that are believed, and say a word.
    pub(super) fn guards(self: &Arc<Self>, pool: PgPoolOptions) -> PgPoolOptions {
        let trust = self.clone();
        pool.test_before_acquire(false).before_acquire(move |connection, about| {
            let trust = trust.clone();
            Box::pin(async move { Ok(trust.covers(&about) && trust.hears(connection).await) })
        })
    }

    fn covers(&self, about: &PoolConnectionMetadata) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| since.elapsed() > about.age)
    }

    async fn hears(&self, connection: &mut PgConnection) -> bool {
        match tokio::time::timeout(WORD_TIMEOUT, connection.ping()).await {
            Ok(word) => word.is_ok(),
            Err(_) => {
                self.lose();
                false
            }
        }
    }
}
