//! Several services on one PostgreSQL ledger: they start at once, take the same callbacks, go by one schedule, and may
//! be of two versions.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use peak_braze::clock::Clock;
use peak_braze::ledger::{Ledger, NewRun, RunFilter};
use peak_braze::run::{Mode, Run, RunState, TriggerKind};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::ledger_suite::{SYNC, new_run};
use crate::support::app::{Setup, TestApp, assert_identities};
use crate::support::command::peak_braze;
use crate::support::postgres::Postgres;

/// Processes that start at the same moment.
const STARTING: usize = 6;

async fn connect(postgres: &Postgres) -> PgConnection {
    PgConnection::connect(&postgres.url()).await.expect("a connection")
}

async fn run(postgres: &Postgres, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connect(postgres).await).await.expect("the story's SQL");
}

/// The schema and its migrations, as text.
async fn schema(postgres: &Postgres) -> Vec<String> {
    let columns =
        "select table_name || '.' || column_name || ' ' || data_type from information_schema.columns
                   where table_schema = 'peak_braze'
                   union all select version || ' ' || applied_at from peak_braze.migrations order by 1";
    sqlx::query_scalar(columns).fetch_all(&mut connect(postgres).await).await.expect("the catalog")
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_make_one_schema() {
    let postgres = Postgres::start();
    let mut app = TestApp::start(Setup::customers(1)).await;
    app.drain().await;
    let url = postgres.url();
    app.change(|setup| {
        setup.ledger_url = url;
        setup.ledger = "digest_key = \"file:callback\"".to_owned();
    });
    let config = app.config_path();
    for told in join_all((0..STARTING).map(|_| peak_braze(&config, &["migrate"]))).await {
        assert!(told.ended(0).contains("up to date"));
    }
    let known = schema(&postgres).await;
    let distinct: BTreeSet<&String> = known.iter().collect();
    assert!(known.len() > 100 && distinct.len() == known.len(), "{known:?}");
    peak_braze(&config, &["migrate"]).await.ended(0);
    assert_eq!(schema(&postgres).await, known, "nothing is applied twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_goes_on_beside_a_newer_and_refuses_one_that_took_something_away() {
    let postgres = Postgres::start();
    let app = TestApp::start(Setup::customers(20).on_postgres(&postgres.url())).await;
    app.run("delta").await;
    run(
        &postgres,
        "alter table peak_braze.runs add column later text; create table peak_braze.later (name text);
         insert into peak_braze.migrations (version, description, checksum) values (1999, 'later', '')",
    )
    .await;
    assert_eq!(app.deliver_and_finish("evt-1").await.state, RunState::Succeeded);
    let older = app.replica().await;
    older.drain().await;
    run(
        &postgres,
        "insert into peak_braze.migrations (version, description, checksum) values (2000, 'next', '')",
    )
    .await;
    let before = schema(&postgres).await;
    let told = peak_braze(&app.config_path(), &["migrate"]).await;
    told.ended(1);
    for words in ["ledger.url", "version 2000", "newer than this binary", "nothing was changed"] {
        assert!(told.stderr.contains(words), "{words}: {}", told.stderr);
    }
    assert_eq!(schema(&postgres).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_identical_callbacks_to_two_replicas_are_one_run() {
    let postgres = Postgres::start();
    let app = TestApp::start(Setup::customers(20).on_postgres(&postgres.url())).await;
    let other = app.replica().await;
    let body = json!({"type": "model.run.completed", "data": {}});
    let all = (0..200).map(|number| {
        let replica = if number % 2 == 0 { app.app() } else { &other };
        app.post_callback_to(replica, "evt-1", &body)
    });
    let (mut runs, mut first) = (BTreeSet::new(), 0);
    for answer in join_all(all).await {
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["delivery_id"], "evt-1");
        runs.insert(answer["run_id"].as_str().expect("a run").to_owned());
        first += u32::from(answer["duplicate"] == false);
    }
    assert_eq!((runs.len(), first), (1, 1));
    let run = app.finished(runs.pop_first().expect("one").parse().expect("an id")).await;
    assert_eq!(
        (run.state, run.tally.accepted, app.braze.stats().values_unchanged),
        (RunState::Succeeded, 20, 0)
    );
    assert_identities(&run);
    assert_eq!(app.get("/v1/runs").await["runs"].as_array().map(Vec::len), Some(1));
    other.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_replicas_that_race_one_answers_for_each_slot() {
    let postgres = Postgres::start();
    let app = TestApp::start(Setup::customers(1).on_postgres(&postgres.url())).await;
    let (second, third) = (app.replica().await, app.replica().await);
    let ledgers: Vec<&Ledger> = [app.app(), &second, &third].map(|replica| replica.ledger()).to_vec();
    let first: DateTime<Utc> = "2026-11-01T06:00:00Z".parse().expect("the story's own time");
    let scheduled =
        |sync: &str| NewRun { sync: sync.to_owned(), kind: TriggerKind::Schedule, ..new_run(Mode::Delta) };
    for hour in 0..100 {
        let slot = first + TimeDelta::hours(hour);
        // A sync nobody has, so that its runs stay where they are.
        let takes = ledgers.iter().map(|ledger| ledger.take_slot("hourly", slot, Some(scheduled("hourly"))));
        let taken =
            join_all(takes).await.into_iter().filter(|taken| *taken.as_ref().expect("a ledger")).count();
        assert_eq!(taken, 1, "slot {hour}");
    }
    let filter = RunFilter { sync: Some("hourly".to_owned()), ..RunFilter::default() };
    assert_eq!(ledgers[2].runs(&filter, 200, None).await.expect("a list").items.len(), 1, "they join");
    second.drain().await;
    third.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_services_run_once_for_every_occurrence() {
    let postgres = Postgres::start();
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("the story's own time");
    let clock = Clock::manual(at("2026-06-01T00:30:00Z"));
    let mut setup = Setup::customers(3).on_postgres(&postgres.url());
    setup.seed += "update predictions set updated_at = '2026-01-01T00:00:00Z';";
    setup.cadence = "cron = \"0 * * * *\"".to_owned();
    setup.clock = clock.clone();
    let app = TestApp::start(setup).await;
    let (second, third) = (app.replica().await, app.replica().await);
    app.when_slot_is_kept().await;
    for hour in 1..=8 {
        clock.set(at("2026-06-01T00:00:00Z") + TimeDelta::hours(hour));
        let ledger = app.app().ledger();
        let newest = async {
            loop {
                let runs = ledger.runs(&RunFilter::default(), 200, None).await.expect("a list").items;
                if runs.len() >= usize::try_from(hour).expect("a few") && runs[0].state.is_final() {
                    return runs;
                }
                tokio::task::yield_now().await;
            }
        };
        let runs: Vec<Run> =
            tokio::time::timeout(std::time::Duration::from_secs(30), newest).await.expect("its run");
        assert_eq!(i64::try_from(runs.len()), Ok(hour), "one run for each occurrence");
    }
    // Each has looked once more, and found nothing.
    let slot = app.app().ledger().last_slot(SYNC).await.expect("a ledger");
    assert_eq!(slot, Some(at("2026-06-01T08:00:00Z")));
    second.drain().await;
    third.drain().await;
    assert_eq!(app.get("/v1/runs?limit=100").await["runs"].as_array().map(Vec::len), Some(8));
}
