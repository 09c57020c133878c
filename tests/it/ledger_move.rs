//! `migrate --from sqlite://… --to postgres://…`: a ledger that grew out of its file goes on in PostgreSQL where it
//! stopped.

use std::process::Stdio;
use std::time::Duration;

use peak_braze::run::{Mode, RunState};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::app::{Setup, TestApp, ago};
use crate::support::command::{Told, peak_braze};
use crate::support::postgres::Postgres;
use crate::support::process::Service;

/// A ledger with a history on a file: two runs, a rejection, customers in flight.
async fn grown() -> TestApp {
    let mut app = TestApp::start(Setup::customers(3_000)).await;
    app.deliver_and_finish("evt-1").await;
    app.warehouse(&format!(
        "update predictions set band = printf('%.300c', 'x'), updated_at = '{}' where customer_id = 'c-7'",
        ago(0)
    ));
    assert_eq!(app.deliver_and_finish("evt-2").await.state, RunState::Partial);
    app.drain().await;
    app
}

async fn moves(app: &TestApp, postgres: &Postgres) -> Told {
    let from = format!("sqlite://{}", app.path("ledger.db").display());
    peak_braze(&app.path("no config is needed"), &["migrate", "--from", &from, "--to", &postgres.url()]).await
}

fn goes_on_at(app: &mut TestApp, postgres: &Postgres) {
    let url = postgres.url();
    app.change(|setup| {
        setup.ledger_url = url;
        setup.ledger = "digest_key = \"file:ledger.db.key\"".to_owned();
    });
}

async fn rows(postgres: &Postgres, table: &str) -> i64 {
    let mut connection = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let sql = format!("select count(*) from peak_braze.{table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_goes_on_where_it_stopped() {
    let mut app = grown().await;
    let postgres = Postgres::start();
    let told = moves(&app, &postgres).await;
    let text = told.ended(0);
    for line in ["sent", "3,000", "deliveries", "counted on both sides", "ledger.db.key"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    goes_on_at(&mut app, &postgres);
    app.boot().await;
    let sync = app.sync_state().await;
    assert_eq!(sync["outstanding_rejections"], 1);
    assert!(sync["watermark"].is_string());
    let before = app.get("/v1/runs").await;
    let ids: Vec<&Value> = before["runs"].as_array().expect("a list").iter().map(|run| &run["id"]).collect();
    assert_eq!(ids.len(), 2);

    let answer = app.post_callback("evt-1", &json!({"type": "model.run.completed", "data": {}})).await;
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!((&answer["duplicate"], &answer["run_id"]), (&json!(true), ids[1]));

    app.warehouse(&format!("update predictions set updated_at = '{}'", ago(0)));
    app.warehouse("update predictions set band = 'low' where customer_id = 'c-7'");
    let touched = app.run("delta").await;
    assert_eq!((touched.mode, touched.tally.customers), (Mode::Delta, 3_000));
    assert_eq!((touched.tally.changed, touched.state), (0, RunState::Succeeded), "{touched:?}");
    assert_eq!(app.sync_state().await["outstanding_rejections"], 0);
    app.warehouse(&format!(
        "update predictions set churn = 0.999, updated_at = '{}' where customer_id = 'c-9'",
        ago(0)
    ));
    assert_eq!(app.run("delta").await.tally.accepted, 1);
    // Numbers go on: who sent what is told by them.
    let known = app.get("/v1/syncs/predictions/customers/c-8").await;
    assert_eq!(known["attributes"][0]["run_id"], *ids[1], "{known}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cut_short_goes_on_at_once_with_what_was_in_flight_in_doubt() {
    let mut app = TestApp::start(Setup::customers(300)).await;
    app.drain().await;
    let mut service = Service::start(&app.config_path()).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("never"));
    let run = service.trigger().await;
    app.braze.wait_for(|stats| stats.held >= 1).await;
    service.kill();
    app.braze.clear_rules();
    let postgres = Postgres::start();
    moves(&app, &postgres).await.ended(0);
    assert!(rows(&postgres, "in_flight").await > 0);
    goes_on_at(&mut app, &postgres);
    app.boot().await;
    let run = app.finished(run.parse().expect("an id")).await;
    assert_eq!((run.state, run.attempt, run.tally.accepted), (RunState::Succeeded, 2, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_use_and_a_ledger_that_is_not_empty_are_left_alone() {
    let mut app = grown().await;
    let postgres = Postgres::start();
    app.boot().await;
    let told = moves(&app, &postgres).await;
    told.ended(1);
    assert!(told.stderr.contains("in use by another process"), "{}", told.stderr);
    app.drain().await;

    moves(&app, &postgres).await.ended(0);
    let held = rows(&postgres, "runs").await;
    let told = moves(&app, &postgres).await;
    told.ended(1);
    assert!(
        told.stderr.contains("is not empty") && told.stderr.contains("nothing was moved"),
        "{}",
        told.stderr
    );
    assert_eq!((told.stderr.trim().lines().count(), rows(&postgres, "runs").await), (1, held));

    let nowhere = ["migrate", "--from", "sqlite://nowhere.db", "--to", "postgres://me:s3cret@localhost/x"];
    let told = peak_braze(&app.config_path(), &nowhere).await;
    told.ended(1);
    assert!(told.stderr.contains("nowhere.db") && !told.stderr.contains("s3cret"), "{}", told.stderr);
    assert!(!app.path("nowhere.db").exists());
    assert_eq!(peak_braze(&app.config_path(), &nowhere[..3]).await.status, 2, "one without the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cut_short_leaves_nothing_and_begins_again() {
    let mut app = grown().await;
    let postgres = Postgres::start();
    goes_on_at(&mut app, &postgres);
    // As whoever tries the address first does.
    peak_braze(&app.config_path(), &["migrate"]).await.ended(0);
    let mut operator = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let stuck = "create function peak_braze.stuck() returns trigger language plpgsql as
                   'begin perform pg_sleep(60); return new; end';
                 create trigger stuck before insert on peak_braze.targets for each row
                   execute function peak_braze.stuck()";
    sqlx::raw_sql(stuck).execute(&mut operator).await.expect("a trigger");
    let from = format!("sqlite://{}", app.path("ledger.db").display());
    let mut mover = tokio::process::Command::new(env!("CARGO_BIN_EXE_peak-braze"))
        .args(["migrate", "--from", &from, "--to", &postgres.url()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let asleep = "select pid from pg_stat_activity where wait_event = 'PgSleep'";
    let at_it = async {
        loop {
            let pid: Option<i32> =
                sqlx::query_scalar(asleep).fetch_optional(&mut operator).await.expect("asked");
            if let Some(pid) = pid {
                return pid;
            }
        }
    };
    let pid = tokio::time::timeout(Duration::from_secs(60), at_it).await.expect("it comes to the last table");
    mover.kill().await.expect("kill -9");
    assert_eq!(rows(&postgres, "sent").await, 0, "not committed");
    let ended = sqlx::query("select pg_terminate_backend($1)").bind(pid);
    ended.execute(&mut operator).await.expect("its backend notices only at its next word");
    sqlx::raw_sql("drop trigger stuck on peak_braze.targets").execute(&mut operator).await.expect("gone");
    for table in ["sent", "runs", "deliveries", "targets"] {
        assert_eq!(rows(&postgres, table).await, 0, "{table}");
    }
    moves(&app, &postgres).await.ended(0);
    assert_eq!(rows(&postgres, "sent").await, 3_000);
}
