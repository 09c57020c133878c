//! What became of a commit whose answer did not come.
//!
//! The line may be cut after the server has committed and before it could say so. Whoever then simply tries again does
//! it twice; so every commit leaves a mark, a row that is there if and only if it stands, and the database is asked for
//! it. To ask is to settle it: where there is no mark, one is left that says so, and a commit that arrives later fails.
//!
//! The transaction's own number would not do: a server that crashes gives the numbers again of which it had written
//! nothing, and so does a standby that takes over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::session::{Beginning, Session, answered};
use super::trust::Trust;

/// How long it is asked: as long as a database is given to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long until it is asked again where the transaction is not at its end, or nobody answers.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The marks nobody will ask for, because their commits were answered. The next commits take them along: no more stand
/// than commits were under way at once.
#[derive(Default)]
pub(super) struct Marks(Mutex<Vec<Uuid>>);

/// What a commit is known by afterwards.
pub(super) struct Mark {
    id: Uuid,
    replaces: Option<Uuid>,
}

impl Marks {
    /// That of a commit to come.
    pub(super) fn next(&self) -> Mark {
        let replaces = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Mark { id: Uuid::new_v4(), replaces }
    }

    /// That of a commit that was answered.
    pub(super) fn let_go(&self, mark: &Mark) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mark.id);
    }
}

impl Mark {
    /// Leaves the mark and commits, in one go.
    pub(super) fn commit(&self) -> String {
        let Self { id, replaces } = self;
        let forget = replaces.map(|id| format!("delete from commits where id = '{id}'; "));
        format!(
            "{}insert into commits (id, stands) values ('{id}', true); commit",
            forget.unwrap_or_default()
        )
    }

    /// Whether the commit stands; if not, it never will. False also where nobody can tell.
    pub(super) async fn stands(&self, pool: &PgPool, trust: &Arc<Trust>) -> bool {
        let asking = async {
            loop {
                match self.settle(pool, trust).await {
                    Ok(stands) => return stands,
                    Err(_) => tokio::time::sleep(ASK_AGAIN).await,
                }
            }
        };
        let stands = tokio::time::timeout(PATIENCE, asking).await.unwrap_or(false);
        tracing::info!(stands, "a commit's answer did not come; the ledger was asked what became of it");
        stands
    }

    /// Waits for the transaction where it is under way. An error where that takes too long, or nobody answers.
    async fn settle(&self, pool: &PgPool, trust: &Arc<Trust>) -> Result<bool, sqlx::Error> {
        let mut session = Session::begin(pool, trust, Beginning::Write).await?;
        let (connection, line) = session.parts();
        let asked = sqlx::query_scalar(
            "-- commit::settle
             insert into commits (id, stands) values ($1, false)
             on conflict (id) do update set stands = commits.stands returning stands",
        )
        .bind(self.id)
        .persistent(false)
        .fetch_one(connection);
        let stands: bool = answered(line, asked).await?;
        // That it stands is settled already.
        if !stands {
            session.commit().await?;
        }
        Ok(stands)
    }
}
