//! A transaction on a connection of the pool: begun with its bounds, answered in time, and not left in the dark.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Executor, Postgres};

use super::commit::Marks;
use super::trust::Trust;

/// How long an answer is waited for before the connection counts as lost: over the server's own bound, which comes
/// with an answer, and under the 5 s in which the ledger is to be back once the database is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a transaction that came to nothing may take to be rolled back before its connection is closed.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(2);
/// What a server says that may only be read: a standby, or one its operator has set so. The address may lead to
/// another by now. Source: PostgreSQL docs, Error Codes: read_only_sql_transaction.
const READ_ONLY: &str = "25006";

/// What every transaction sets for itself: an answer within 3.5 s, 2 s for a lock, and no more than 10 s of silence
/// should this process be gone without a word. A commit is on disk before it is answered, whatever the role's own
/// setting; one that asks for more than that is left alone.
macro_rules! begin {
    ($mode:literal) => {
        concat!(
            "begin isolation level read committed",
            $mode,
            "; set local search_path = peak_braze, pg_temp; set local statement_timeout = '3500ms'; \
             set local lock_timeout = '2s'; set local idle_in_transaction_session_timeout = '10s'; \
             select set_config('synchronous_commit', 'on', true) \
             where current_setting('synchronous_commit') = 'off'"
        )
    };
}

/// How a transaction begins. One that writes says nothing of it: where the operator has made the database read-only,
/// it is left as it is.
#[derive(Clone, Copy)]
pub(super) enum Beginning {
    Read,
    Write,
}

impl Beginning {
    fn statement(self) -> &'static str {
        match self {
            Self::Read => begin!(" read only"),
            Self::Write => begin!(""),
        }
    }
}

/// A connection in a transaction. Dropped, the transaction is rolled back.
pub(in crate::ledger) struct Session {
    /// None once given back.
    connection: Option<PoolConnection<Postgres>>,
    line: Line,
    marking: Option<Marking>,
}

/// How a commit is known afterwards.
pub(super) struct Marking {
    pub marks: Arc<Marks>,
    /// Where to ask: not where those wait who have commits to ask about.
    pub beside: PgPool,
}

/// How it stands with a connection.
pub(in crate::ledger) struct Line {
    /// Whether something was asked whose answer is not in: then nobody knows what the connection says next.
    pub(in crate::ledger) is_asking: bool,
    trust: Arc<Trust>,
}

impl Session {
    pub(super) async fn begin(
        pool: &PgPool,
        trust: &Arc<Trust>,
        beginning: Beginning,
    ) -> Result<Self, sqlx::Error> {
        let line = Line { is_asking: false, trust: trust.clone() };
        let mut session = Self { connection: Some(pool.acquire().await?), line, marking: None };
        let (connection, line) = session.parts();
        answered(line, connection.execute(beginning.statement())).await?;
        Ok(session)
    }

    /// Its commit leaves a mark.
    pub(super) fn marked(mut self, marking: Marking) -> Self {
        self.marking = Some(marking);
        self
    }

    pub(in crate::ledger) fn parts(&mut self) -> (&mut PgConnection, &mut Line) {
        let connection = self.connection.as_mut().expect("given back only at the end");
        (connection, &mut self.line)
    }

    /// Commits. Where the answer does not come, the database is asked what became of it.
    pub(in crate::ledger) async fn commit(self) -> Result<(), sqlx::Error> {
        self.commit_within(ANSWER_TIMEOUT).await
    }

    /// The same of a transaction so large that its commit takes longer.
    pub(in crate::ledger) async fn commit_within(mut self, time: Duration) -> Result<(), sqlx::Error> {
        let marked = self.marking.take().map(|marking| (marking.marks.next(), marking));
        let statement = marked.as_ref().map_or_else(|| "commit".to_owned(), |(mark, _)| mark.commit());
        let (connection, line) = self.parts();
        let asked = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
        let Err(error) = answered_within(time, line, asked).await else {
            drop(self.connection.take());
            if let Some((mark, marking)) = marked {
                marking.marks.let_go(&mark);
            }
            return Ok(());
        };
        // Whatever it was told, the connection is not what it was.
        self.line.is_asking = true;
        let trust = self.line.trust.clone();
        drop(self);
        match marked {
            Some((mark, marking)) if Box::pin(mark.stands(&marking.beside, &trust)).await => Ok(()),
            _ => Err(error),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.line.is_asking {
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
    line: &mut Line,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    answered_within(ANSWER_TIMEOUT, line, asked).await
}

async fn answered_within<T>(
    time: Duration,
    line: &mut Line,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    line.is_asking = true;
    let answer = tokio::time::timeout(time, asked).await.unwrap_or_else(|_| {
        line.trust.lose();
        Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
    });
    line.is_asking = matches!(&answer, Err(error) if !goes_on(error));
    answer
}

/// Whether the connection is worth keeping after this.
fn goes_on(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().is_none_or(|code| code != READ_ONLY))
}
