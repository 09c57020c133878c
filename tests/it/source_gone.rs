//! A warehouse that goes away under a run, and comes back: the run waits, goes on, and sends nobody twice.

use peak_braze::run::{Phase, RunState};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::app::{Setup, TestApp, assert_identities};
use crate::support::postgres::Postgres;

/// More than what is read ahead of what is sent, so that reading is still under way.
const CUSTOMERS: u32 = 60_000;

fn rename(app: &TestApp, from: &str, to: &str) {
    for ending in ["", "-wal", "-shm"] {
        let (from, to) = (app.path(&format!("{from}{ending}")), app.path(&format!("{to}{ending}")));
        if from.exists() {
            std::fs::rename(from, to).expect("renamed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_waited_for() {
    let app = TestApp::start(Setup::customers(100)).await;
    rename(&app, "warehouse.db", "moved.db");
    let id = app.trigger(&json!({})).await;
    let waiting = app.when(id, |run| run.state == RunState::Waiting).await;
    assert_eq!((waiting.progress.phase, waiting.throttled_until.is_some()), (Phase::Extracting, true));
    rename(&app, "moved.db", "warehouse.db");
    let run = app.finished(id).await;
    assert_eq!((run.state, run.attempt, run.tally.accepted), (RunState::Succeeded, 1, 100));
    assert_identities(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_in_mid_read_is_read_to_its_end_and_the_new_one_by_the_next_run() {
    let app = TestApp::start(Setup::customers(CUSTOMERS)).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("late").after(2).times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    rename(&app, "warehouse.db", "old.db");
    let new = rusqlite::Connection::open(app.path("warehouse.db")).expect("a new file");
    new.execute_batch(&Setup::customers(CUSTOMERS + 1).seed).expect("filled");
    new.execute("update predictions set churn = 7 where customer_id = 'c-60000'", []).expect("changed");
    app.seed_all();
    app.braze.release("late");
    let run = app.finished(id).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, u64::from(CUSTOMERS)));
    let next = app.run("delta").await;
    assert_eq!((next.state, next.tally.accepted), (RunState::Succeeded, 2));
    assert_eq!(app.in_braze("c-60000", "peak_churn").await, Some(json!(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_server_that_dies_in_mid_read_is_waited_for() {
    let postgres = Postgres::start();
    let mut warehouse = PgConnection::connect(&postgres.url()).await.expect("a connection");
    sqlx::raw_sql(
        "create table predictions (customer_id text primary key, updated_at timestamptz, churn float8, band text);
         insert into predictions
           select 'c-' || i, now() - interval '1 hour', i, 'low' from generate_series(1, 60000) i",
    )
    .execute(&mut warehouse)
    .await
    .expect("the story's SQL");
    let setup = Setup {
        source: Some(format!("kind = \"postgres\"\nurl = \"{}\"", postgres.url())),
        ..Setup::default()
    };
    let app = TestApp::start(setup).await;
    app.braze.seed_users((1..=CUSTOMERS).map(|number| format!("c-{number}")));
    app.braze.rule(Rule::new(Answer::Pass).hold("late").after(2).times(1));
    let id = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    tokio::task::block_in_place(|| postgres.stop());
    app.braze.release("late");
    app.when(id, |run| run.state == RunState::Waiting && run.progress.phase == Phase::Extracting).await;
    tokio::task::block_in_place(|| postgres.restart());
    let run = app.finished(id).await;
    assert_eq!((run.state, run.attempt), (RunState::Succeeded, 1));
    assert_eq!((run.tally.rows_read, run.tally.accepted), (u64::from(CUSTOMERS), u64::from(CUSTOMERS)));
    assert_identities(&run);
    assert_eq!(app.braze.stats().values_unchanged, 0, "nobody was sent twice");
    assert_eq!(app.in_braze("c-60000", "peak_churn").await, Some(json!(60_000)));
}
