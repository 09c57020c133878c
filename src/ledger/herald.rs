//! Who is told of changes: watchers of runs, workers that wait for one to claim, and holders of shares. In this process at once; on
//! PostgreSQL in the others too, by NOTIFY, which is a hint and no more: whoever waits also polls.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::postgres::{Session, answered};
use crate::run::RunId;

/// Changed runs that a slow listener may fall behind by; it then looks at everything again.
const CHANGES_KEPT: usize = 1_024;
/// The channel, of the database.
const CHANNEL: &str = "peak_braze";
/// What is sent in place of a run where workers are to look.
const RING: &str = "ring";
/// The same where holders of shares are to ask anew.
const CALL: &str = "call";
/// A setting of the session that listens. A pooler refuses it or leaves it out, and then what is listened for would be
/// told to whoever has the server's session next, who does not expect it.
const OWN_SESSION: &str = "peak_braze.listens";
/// Waits before listening again after the connection was lost: the first, doubled to the longest.
const LISTEN_AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// After so much silence it is asked whether anybody is still there; a poll covers what is lost until then.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// How long the answer to that may take, and those with which listening begins.
const WORD_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells of changes.
pub(super) struct Herald {
    pub wake: Arc<Notify>,
    pub changed: broadcast::Sender<RunId>,
    /// Another replica waits for a share, or has heard a hold.
    pub shares: Arc<Notify>,
    /// Tells this process's messages from others'.
    name: Uuid,
}

impl Herald {
    pub(super) fn new() -> Self {
        let (changed, _) = broadcast::channel(CHANGES_KEPT);
        Self { wake: Arc::default(), changed, shares: Arc::default(), name: Uuid::new_v4() }
    }

    /// Tells this process.
    pub(super) fn announce(&self, told: &[RunId], rings: bool) {
        for run in told {
            // Nobody may be listening.
            let _ = self.changed.send(*run);
        }
        if rings {
            self.wake.notify_waiters();
        }
    }

    /// Tells the other replicas, once the transaction is committed.
    pub(super) async fn send(
        &self,
        session: &mut Session,
        told: &[RunId],
        rings: bool,
        calls: bool,
    ) -> Result<(), sqlx::Error> {
        let mut messages: Vec<String> = told.iter().map(|run| format!("{} {run}", self.name)).collect();
        if rings {
            messages.push(format!("{} {RING}", self.name));
        }
        if calls {
            messages.push(format!("{} {CALL}", self.name));
        }
        if messages.is_empty() {
            return Ok(());
        }
        let (connection, line) = session.parts();
        let asked =
            sqlx::query("-- herald::send\n select pg_notify($1, message) from unnest($2::text[]) as message")
                .bind(CHANNEL)
                .bind(messages)
                .persistent(false)
                .execute(connection);
        answered(line, asked).await.map(drop)
    }

    /// Hears what other replicas tell, until stopped.
    pub(super) fn listen(self: &Arc<Self>, pool: PgPool) -> JoinHandle<()> {
        let herald = self.clone();
        tokio::spawn(async move {
            let mut wait = LISTEN_AGAIN.0;
            loop {
                if herald.hear(&pool).await {
                    wait = LISTEN_AGAIN.0;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LISTEN_AGAIN.1);
            }
        })
    }

    /// Hears until the connection is lost. Whether there was one.
    async fn hear(&self, pool: &PgPool) -> bool {
        let name = self.name.to_string();
        let options = pool.connect_options().as_ref().clone().options([(OWN_SESSION, &name)]);
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        let Ok(mut listener) = PgListener::connect_with(&pool).await else { return false };
        listener.eager_reconnect(false);
        if !tokio::time::timeout(WORD_TIMEOUT, listens(&mut listener, &name)).await.unwrap_or(false) {
            return false;
        }
        // Whatever was told while nobody listened.
        self.wake.notify_waiters();
        self.shares.notify_waiters();
        loop {
            match tokio::time::timeout(ASK_AFTER, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => self.heard(notification.payload()),
                Ok(_) => return true,
                // A line that is dead is as silent as one on which nothing happens.
                Err(_) if is_there(&mut listener).await => {}
                Err(_) => return true,
            }
        }
    }

    fn heard(&self, message: &str) {
        let Some((name, what)) = message.split_once(' ') else { return };
        if name == self.name.to_string() {
            return;
        }
        match what.parse() {
            Ok(run) => self.announce(&[run], false),
            Err(_) if what == CALL => self.shares.notify_waiters(),
            Err(_) => self.announce(&[], what == RING),
        }
    }
}

async fn is_there(listener: &mut PgListener) -> bool {
    matches!(tokio::time::timeout(WORD_TIMEOUT, listener.execute("select 1")).await, Ok(Ok(_)))
}

/// Whether it listens from now on.
async fn listens(listener: &mut PgListener, name: &str) -> bool {
    has_own_session(listener, name).await && listener.listen(CHANNEL).await.is_ok()
}

/// Whether the server's session is the listener's alone, so that it may listen.
async fn has_own_session(listener: &mut PgListener, name: &str) -> bool {
    let setting = sqlx::query_scalar("-- herald::has_own_session\n select current_setting($1, true)")
        .bind(OWN_SESSION)
        .persistent(false)
        .fetch_one(listener);
    let setting: Result<Option<String>, sqlx::Error> = setting.await;
    setting.is_ok_and(|setting| setting.as_deref() == Some(name))
}
