//! Warehouse credentials that Peak gives, for every run anew.

use peak_braze::run::RunState;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::Command;

use crate::support::app::{Setup, TestApp, assert_identities};
use crate::support::command::peak_braze;
use crate::support::peak::{PEAK_KEY, Peak, redshift, snowflake_basic};
use crate::support::postgres::{Postgres, REDSHIFT_FUNCTIONS};
use crate::support::python::python;

struct Story {
    postgres: Postgres,
    peak: Peak,
}

impl Story {
    async fn start() -> Self {
        let story = Self { postgres: Postgres::start_with_passwords(), peak: Peak::start().await };
        story.sql(REDSHIFT_FUNCTIONS).await;
        story
            .sql(
                "create role peak_user login password 'first'; create schema publish;
                 grant usage on schema publish to peak_user; alter default privileges grant select on tables to peak_user;
                 create table publish.predictions (customer_id varchar(99), updated_at timestamp, churn numeric(6,4),
                   band varchar(9));
                 insert into publish.predictions
                   select 'c-' || i, now() - interval '1 hour', i * 0.0001, 'low' from generate_series(1, 2500) i;",
            )
            .await;
        story
    }

    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.postgres.url()).await.expect("a connection");
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
        done.expect("the story's SQL");
    }

    fn answer(&self, password: &str) -> Value {
        redshift(self.postgres.port().expect("it listens"), password)
    }

    async fn app(&self, kind: &str) -> TestApp {
        let source = format!(
            "kind = \"{kind}\"\ncredentials = {{ peak = {{ api_key = \"file:peak\", base_url = \"{}\" }} }}",
            self.peak.url()
        );
        let setup = Setup { source: Some(source), files: vec![("peak", PEAK_KEY)], ..Setup::default() };
        let app = TestApp::start(setup).await;
        app.braze.seed_users((1..=2500).map(|number| format!("c-{number}")));
        app
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redshift_warehouse_is_read_with_what_peak_gives() {
    let story = Story::start().await;
    story.peak.warehouse("", [story.answer("first")]);
    let app = story.app("redshift").await;
    let first = app.run("delta").await;
    assert_eq!((first.state, first.tally.accepted), (RunState::Succeeded, 2_500));
    assert_identities(&first);
    let asked = story.peak.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].address, "/connections/api/v2/connections/credentials?type=data-warehouse");
    assert_eq!(asked[0].authorization, PEAK_KEY);

    // Changed between two runs: each asks anew.
    story.sql("alter role peak_user password 'second'").await;
    story.peak.warehouse("", [story.answer("second")]);
    story
        .sql("update publish.predictions set band = 'high', updated_at = now() where customer_id = 'c-7'")
        .await;
    let second = app.run("full").await;
    assert_eq!((second.state, second.tally.accepted), (RunState::Succeeded, 1));
    assert_eq!(app.in_braze("c-7", "peak_band").await, Some(json!("high")));
    assert_eq!(story.peak.asked().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_meanwhile_is_asked_for_once_more() {
    let story = Story::start().await;
    let app = story.app("redshift").await;
    story.peak.warehouse("", [story.answer("outdated"), story.answer("first")]);
    let run = app.run("delta").await;
    assert_eq!((run.state, story.peak.asked().len()), (RunState::Succeeded, 2));

    story.peak.warehouse("", [story.answer("outdated")]);
    let run = app.run("delta").await;
    let error = run.error.expect("a reason");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("source_refused", "Redshift refused the login")
    );
    assert_eq!(story.peak.asked().len(), 4, "asked once more, and not again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_peak_is_asked_again_and_a_refusal_ends_the_run() {
    let story = Story::start().await;
    story.peak.warehouse("", [story.answer("first")]);
    let app = story.app("redshift").await;
    story.peak.fail([503, 429]);
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
    assert_eq!(story.peak.asked().len(), 3);

    // Keys end after three months; the new one counts from the next run on.
    story.peak.take_key("Bearer peak-token-of-the-tests");
    let run = app.run("delta").await;
    let error = run.error.expect("a reason");
    assert_eq!(error.code, "source_refused");
    assert!(error.message.contains("API key") && !error.message.contains(PEAK_KEY), "{error:?}");
    std::fs::write(app.path("peak"), "Bearer peak-token-of-the-tests\n").expect("a secret file");
    app.app().reload().await.expect("it reloads");
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kind_of_warehouse_is_a_mistake_in_the_config() {
    let story = Story::start().await;
    story.peak.warehouse("", [snowflake_basic()]);
    let mut app = story.app("redshift").await;
    let error = app.run("delta").await.error.expect("a reason");
    let says = "kind: is \"redshift\", but Peak's warehouse is snowflake: write kind = \"snowflake\", or name another \
                warehouse";
    assert_eq!((error.code.as_str(), error.message.as_str()), ("schema_mismatch", says));

    app.drain().await;
    let told = peak_braze(&app.config_path(), &["check"]).await;
    let text = told.ended(1);
    assert!(text.contains("write kind = \"snowflake\"") && !text.contains(PEAK_KEY), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_source_takes_a_postgres_warehouse_and_no_redshift() {
    let story = Story::start().await;
    let mut answer = story.answer("first");
    story.peak.warehouse("", [answer.clone()]);
    let app = story.app("postgres").await;
    let error = app.run("delta").await.error.expect("a reason");
    assert!(error.message.contains("write kind = \"redshift\""), "{error:?}");
    answer["dataWarehouseType"] = json!("postgresql");
    answer["port"] = json!(story.postgres.port());
    story.peak.warehouse("", [answer]);
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 2_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peak_cannot_answer_for_is_told_in_words_without_secrets() {
    let story = Story::start().await;
    let app = story.app("redshift").await;
    // A tenant without a warehouse.
    let error = app.run("delta").await.error.expect("a reason");
    assert_eq!(error.message, "credentials.peak.warehouse: Peak knows no warehouse of that name");
    let mut answer = story.answer("s3cret-of-peak");
    answer["host"] = json!("");
    story.peak.warehouse("", [answer]);
    let error = app.run("delta").await.error.expect("a reason");
    assert_eq!(error.message, "Peak's answer has no host that can be used");
    story.peak.warehouse("", [json!(["s3cret-of-peak"])]);
    let error = app.run("delta").await.error.expect("a reason");
    assert_eq!(error.message, "Peak's answer on the warehouse of that name cannot be read");
    let long = json!({"dataWarehouseType": "amazon_redshift", "padding": "x".repeat(2 << 20)});
    story.peak.warehouse("", [long]);
    let error = app.run("delta").await.error.expect("a reason");
    assert_eq!(error.message, "Peak's answer is longer than can be meant");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_agrees_with_peaks_own_client() {
    let peak = Peak::start().await;
    peak.warehouse("", [redshift(5439, "p")]);
    peak.warehouse("second one", [snowflake_basic()]);
    peak.execution("42", "e-1", "Success");
    peak.spoke("acme.peak.ai");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/peak_client.py");
    let output = Command::new(python())
        .args([script, &peak.url(), PEAK_KEY, "42", "e-1"])
        .output()
        .await
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["credentials"], redshift(5439, "p"));
    assert_eq!(told["named"], snowflake_basic());
    assert_eq!(told["steps"]["score-customers"], "Success");
    // Credentials and executions are asked for at the central service, whatever the spoke.
    assert_eq!((&told["is_spoke"], &told["subdomains"]), (&json!(true), &json!(["service"])));
    let theirs = peak.asked();
    assert!(theirs.iter().all(|asked| asked.authorization == PEAK_KEY), "a raw key: {theirs:?}");

    // The same three questions, as asked here.
    let settings = format!("api_key = \"env:PATH\"\nbase_url = \"{}\"", peak.url());
    let access: peak_braze::config::PeakAccess = toml::from_str(&settings).expect("the test's own settings");
    peak.take_key(&std::env::var("PATH").expect("every test has one"));
    let ours =
        peak_braze::peak::Peak::new(&access.api_key, access.base_url.as_deref()).expect("sound settings");
    assert_eq!(ours.credentials(None).await.expect("credentials").kind(), "redshift");
    assert_eq!(ours.credentials(Some("second one")).await.expect("credentials").kind(), "snowflake");
    let step = ours.step("42", "e-1", "score-customers").await.expect("a step");
    assert_eq!(step, peak_braze::peak::StepStatus::Success);
    let addresses = |asked: &[crate::support::peak::Asked]| -> Vec<String> {
        asked.iter().map(|asked| asked.address.replace("%20", "+")).collect()
    };
    assert_eq!(addresses(&peak.asked()[theirs.len()..]), addresses(&theirs[1..]));
}
