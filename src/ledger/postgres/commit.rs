//! What became of a commit whose answer did not come.
//!
//! The line may be cut after the server has committed and before it could say so. Whoever then simply tries again does
//! it twice; so the database is asked first, by the transaction's own number, which it was told before it wrote
//! anything. After a failover another server may give that number to another transaction: the timeline, which begins
//! anew with every promotion, must be the same. Source: PostgreSQL docs, Transaction ID and Snapshot Information
//! Functions; Continuous Archiving, Timelines.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::{Executor, Row};

use super::session::{Beginning, Session, answered};
use super::trust::Trust;

/// How long it is asked: as long as a database is given to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until it is asked again where the transaction is not at its end, or nobody answers.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The columns of a [`Mark`].
macro_rules! mark {
    () => {
        "pg_current_xact_id()::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
    };
}
pub(super) use mark;

/// What a commit is known by afterwards.
pub(super) struct Mark {
    /// The transaction's number, never given twice on one timeline.
    pub transaction: String,
    /// The timeline of the server's log.
    pub timeline: String,
}

impl Mark {
    /// Whether the server can say what it takes; some that speak PostgreSQL's language have a log of another kind.
    /// None where it did not answer.
    pub(super) async fn is_known(pool: &PgPool) -> Option<bool> {
        let asked = async { pool.acquire().await?.execute(concat!("select ", mark!())).await };
        match tokio::time::timeout(PATIENCE, asked).await.ok()? {
            Ok(_) => Some(true),
            Err(error) => error.as_database_error().map(|_| false),
        }
    }

    /// Whether the transaction is committed. False also where nobody can tell.
    pub(super) async fn stands(&self, pool: &PgPool, trust: &Arc<Trust>) -> bool {
        let asking = async {
            loop {
                match self.outcome(pool, trust).await {
                    Ok(Some(stands)) => return stands,
                    Ok(None) | Err(_) => tokio::time::sleep(ASK_AGAIN).await,
                }
            }
        };
        let stands = tokio::time::timeout(PATIENCE, asking).await.unwrap_or(false);
        tracing::info!(stands, "a commit's answer did not come; the ledger was asked what became of it");
        stands
    }

    /// None while it is under way.
    async fn outcome(&self, pool: &PgPool, trust: &Arc<Trust>) -> Result<Option<bool>, sqlx::Error> {
        let mut session = Session::begin(pool, pool, trust, Beginning::Read).await?;
        let (connection, line) = session.parts();
        let asked = sqlx::query(
            "-- commit::outcome
             select pg_xact_status($1::xid8), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
        )
        .bind(&self.transaction)
        .persistent(false)
        .fetch_one(connection);
        let row = answered(line, asked).await?;
        let (outcome, timeline): (Option<String>, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(match outcome.as_deref() {
            Some("in progress") => None,
            outcome => Some(outcome == Some("committed") && timeline == self.timeline),
        })
    }
}
