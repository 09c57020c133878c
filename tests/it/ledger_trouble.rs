//! A PostgreSQL ledger in trouble: callbacks are refused with 503 and taken again within five seconds of its end, and
//! nothing is lost that was acknowledged.

use std::time::Duration;

use peak_braze::clock::Clock;
use peak_braze::ledger::{Ledger, LedgerError, Recorded};
use peak_braze::run::{Mode, RunState};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use crate::ledger_suite::{claim, delivery, ending, queue, try_claim};
use crate::support::app::{Setup, TestApp, assert_identities};
use crate::support::postgres::Postgres;
use crate::support::proxy::{Line, Proxy};

/// How long after the trouble is over callbacks are taken again, at the latest.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// How long a trouble lasts.
const TROUBLE: Duration = Duration::from_secs(5);

/// A service whose ledger is behind a line that can be spoiled.
struct Bed {
    app: TestApp,
    proxy: Proxy,
    postgres: Postgres,
    acknowledged: Vec<String>,
}

impl Bed {
    async fn new() -> Self {
        Self::on(Postgres::start()).await
    }

    async fn on(postgres: Postgres) -> Self {
        let proxy = Proxy::start(&postgres.socket()).await;
        let app = TestApp::start(Setup::customers(50).on_postgres(&proxy.url())).await;
        Self { app, proxy, postgres, acknowledged: Vec::new() }
    }

    /// A connection past the line.
    async fn operator(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url()).await.expect("a connection")
    }

    /// Posts one callback: whether it was taken. It is told to come again where it was not.
    async fn is_taken(&mut self) -> bool {
        let id = format!("evt-{}", self.acknowledged.len());
        let answer = self.app.post_callback(&id, &json!({"type": "model.run.completed"})).await;
        if answer.status() == 202 {
            self.acknowledged.push(id);
            return true;
        }
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        false
    }

    /// Posts until one is taken, and says how long that took.
    async fn back(&mut self) {
        let began = Instant::now();
        while !self.is_taken().await {}
        assert!(began.elapsed() < BACK_WITHIN, "{:?}", began.elapsed());
    }

    /// Everything acknowledged is known, and the run that answers for the last of it does its work.
    async fn nothing_is_lost(self) {
        for id in &self.acknowledged {
            let again = self.app.post_callback(id, &json!({"type": "model.run.completed"})).await;
            let again: Value = again.json().await.expect("JSON");
            assert_eq!(again["duplicate"], true, "{id}: {again}");
            let run = again["run_id"].as_str().expect("its run").parse().expect("an id");
            let run = self.app.finished(run).await;
            assert_eq!(run.state, RunState::Succeeded, "{run:?}");
            assert_identities(&run);
        }
        assert_eq!(self.app.in_braze("c-50", "peak_churn").await, Some(json!(0.05)));
        assert_eq!(self.app.braze.stats().values_unchanged, 0, "nobody was sent twice");
    }
}

/// Ends every connection of the service.
async fn end_connections(operator: &mut PgConnection) {
    let ended =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'peak-braze'";
    sqlx::raw_sql(ended).execute(operator).await.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_is_waited_for() {
    let mut bed = Bed::new().await;
    bed.back().await;
    for mode in ["fast", "immediate"] {
        bed.postgres.stop_as(mode);
        assert!(!bed.is_taken().await);
        bed.postgres.restart();
        bed.back().await;
    }
    bed.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_ended_are_made_anew() {
    let mut bed = Bed::new().await;
    for _ in 0..5 {
        bed.back().await;
        end_connections(&mut bed.operator().await).await;
    }
    bed.back().await;
    bed.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_set_read_only_is_waited_for() {
    let mut bed = Bed::new().await;
    bed.back().await;
    let mut operator = bed.operator().await;
    for (setting, is_taken) in [("on", false), ("off", true)] {
        let set = format!("alter database postgres set default_transaction_read_only = {setting}");
        sqlx::raw_sql("set default_transaction_read_only = off").execute(&mut operator).await.expect("set");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut operator).await.expect("set");
        // It holds for new connections.
        end_connections(&mut operator).await;
        if is_taken {
            bed.back().await;
        } else {
            assert!(!bed.is_taken().await);
        }
    }
    bed.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_once_it_is_promoted() {
    let mut bed = Bed::new().await;
    bed.back().await;
    let standby = bed.postgres.standby();
    let mut operator = bed.operator().await;
    bed.back().await;
    let caught_up: String = sqlx::query_scalar("select pg_current_wal_lsn()::text")
        .fetch_one(&mut operator)
        .await
        .expect("where the log ends");
    let mut waiting = PgConnection::connect(&standby.url()).await.expect("a standby");
    let repeats = async {
        while !sqlx::query_scalar::<_, bool>("select pg_last_wal_replay_lsn() >= $1::pg_lsn")
            .bind(&caught_up)
            .fetch_one(&mut waiting)
            .await
            .expect("how far it is")
        {}
    };
    tokio::time::timeout(Duration::from_secs(30), repeats).await.expect("it catches up");
    bed.postgres.stop();
    bed.proxy.lead_to(&standby.socket());
    assert!(!bed.is_taken().await, "it may only be read");
    standby.promote();
    bed.back().await;
    bed.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_falls_silent_keeps_nobody_waiting() {
    for line in [Line::Silent, Line::Dead] {
        let mut bed = Bed::new().await;
        bed.back().await;
        bed.proxy.set(line);
        let began = Instant::now();
        assert!(!bed.is_taken().await);
        assert!(began.elapsed() < TROUBLE, "a sender hangs up: {:?}", began.elapsed());
        // The time is the point: five seconds of silence.
        tokio::time::sleep_until(began + TROUBLE).await;
        bed.proxy.set(Line::Sound);
        bed.back().await;
        bed.nothing_is_lost().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_connection_to_spare_is_waited_for() {
    let few = "-c max_connections=16 -c superuser_reserved_connections=0 -c max_wal_senders=0";
    let mut bed = Bed::on(Postgres::start_with(few)).await;
    bed.back().await;
    let mut taken = Vec::new();
    while taken.len() < 16 {
        // The service wants them too: whoever is first has one.
        match PgConnection::connect(&bed.postgres.url()).await {
            Ok(connection) => taken.push(connection),
            Err(_) => end_connections(taken.first_mut().expect("the first was free")).await,
        }
    }
    assert!(!bed.is_taken().await);
    drop(taken);
    bed.back().await;
    bed.nothing_is_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_all_wait_for_a_lock_are_let_go() {
    let mut bed = Bed::new().await;
    bed.back().await;
    let mut operator = bed.operator().await;
    sqlx::raw_sql("begin; lock table peak_braze.deliveries, peak_braze.runs in exclusive mode")
        .execute(&mut operator)
        .await
        .expect("locked");
    let (path, body) = ("/v1/syncs/predictions/runs", json!({}));
    let many = (0..20).map(|_| bed.app.post(path, &body));
    for (status, _) in futures_util::future::join_all(many).await {
        assert_eq!(status, 503);
    }
    assert!(!bed.is_taken().await);
    sqlx::raw_sql("rollback").execute(&mut operator).await.expect("let go");
    bed.back().await;
    bed.nothing_is_lost().await;
}

/// A ledger behind a line, without a service.
async fn ledger_behind(proxy: &Proxy, folder: &tempfile::TempDir) -> Ledger {
    std::fs::write(folder.path().join("key"), "a key of thirty-two bytes or more").expect("written");
    let settings = peak_braze::config::Ledger {
        url: proxy.url(),
        digest_key: Some(peak_braze::config::SecretRef::File(folder.path().join("key"))),
        ..peak_braze::config::Ledger::default()
    };
    Ledger::open(&settings, Clock::system()).await.expect("a new ledger")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_looked_up_and_not_repeated() {
    let postgres = Postgres::start();
    let (proxy, folder) = (Proxy::start(&postgres.socket()).await, tempfile::tempdir().expect("a folder"));
    let ledger = ledger_behind(&proxy, &folder).await;
    proxy.set(Line::CutAfterCommit);
    let recorded = ledger.record_delivery(delivery("evt-1", 1)).await.expect("it is committed");
    let Recorded::Accepted { run_id, .. } = recorded else { panic!("{recorded:?}") };
    assert_eq!(ledger.deliveries(None, 9, None).await.expect("a list").items[0].times, 1);
    let lease = claim(&ledger).await;
    assert_eq!((lease.run.id, lease.run.attempt), (run_id, 1), "claimed once, and by us");
    assert!(try_claim(&ledger).await.is_none());
    ledger.finish(lease, ending(RunState::Succeeded)).await.expect("it is committed");
    proxy.cut(3).await;
    proxy.set(Line::Sound);
    let run = ledger.run(run_id).await.expect("a ledger").expect("a run");
    assert_eq!((run.state, run.attempt), (RunState::Succeeded, 1));
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_is_no_commit() {
    let postgres = Postgres::start();
    let (proxy, folder) = (Proxy::start(&postgres.socket()).await, tempfile::tempdir().expect("a folder"));
    let ledger = ledger_behind(&proxy, &folder).await;
    proxy.set(Line::CutBeforeCommit);
    let refused = ledger.record_delivery(delivery("evt-1", 1)).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
    proxy.cut(1).await;
    proxy.set(Line::Sound);
    assert!(ledger.deliveries(None, 9, None).await.expect("a list").items.is_empty());
    // Nor will it be one should it arrive after all.
    let mut late = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let settled = "select id::text from peak_braze.commits where not stands";
    let mark: String = sqlx::query_scalar(settled).fetch_one(&mut late).await.expect("one was settled");
    let arrives = "insert into peak_braze.commits (id, stands) values ($1::uuid, true)";
    assert!(sqlx::query(arrives).bind(&mark).execute(&mut late).await.is_err());
    queue(&ledger, Mode::Delta).await;
    assert_eq!(claim(&ledger).await.run.attempt, 1);
    ledger.close().await;
}

/// A server that crashes forgets the numbers of transactions it had written nothing of, and gives them once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_lost_in_a_crash_is_no_commit_whoever_has_its_number_next() {
    let postgres = Postgres::start();
    let (proxy, folder) = (Proxy::start(&postgres.socket()).await, tempfile::tempdir().expect("a folder"));
    let ledger = ledger_behind(&proxy, &folder).await;
    proxy.set(Line::SilentBeforeCommit);
    let recording = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.record_delivery(delivery("evt-1", 1)).await }
    });
    proxy.cut(1).await;
    postgres.stop_as("immediate");
    postgres.restart();
    let mut others = PgConnection::connect(&postgres.url()).await.expect("a connection");
    for _ in 0..50 {
        let number = sqlx::query("select pg_current_xact_id()").execute(&mut others).await;
        number.expect("a transaction, with a number");
    }
    proxy.set(Line::Sound);
    let refused = recording.await.expect("it runs");
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
    assert!(ledger.deliveries(None, 9, None).await.expect("a list").items.is_empty());
    ledger.close().await;
}
