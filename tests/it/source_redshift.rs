//! Redshift as a source, told against PostgreSQL: the suite, and that nothing is sent which Redshift does not have.
//!
//! PostgreSQL stands in, with the three functions of Redshift's that are called given to it. What it cannot show is
//! what Redshift itself makes of these statements.

use std::collections::HashSet;

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::source::{Rows, Selection, Source, SourceError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;

use crate::source_suite::{
    Warehouse, all, chunks, customers, keys, keys_read, line, lines, seed_many, since, sync, utc,
};
use crate::support::postgres::{Postgres, REDSHIFT_FUNCTIONS};

struct Cluster {
    postgres: Postgres,
    connection: Mutex<PgConnection>,
}

impl Cluster {
    fn open(&self, user: &str, sync: &config::Sync) -> Result<Source, SourceError> {
        let text = format!("kind = \"redshift\"\nurl = \"{}\"", self.postgres.url_as(user));
        Source::open(&toml::from_str(&text).expect("the test's own settings"), sync, Clock::system())
    }
}

impl Warehouse for Cluster {
    const TYPES: [&'static str; 8] = [
        "varchar(65535)",
        "timestamp",
        "double precision",
        "numeric(12,2)",
        "date",
        "boolean",
        "jsonb",
        "bigint",
    ];

    async fn run(&self, sql: &str) {
        let mut connection = self.connection.lock().await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *connection).await;
        done.expect("the test's own SQL");
    }

    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError> {
        self.open("postgres", sync)
    }
}

async fn cluster() -> Cluster {
    let postgres = Postgres::start();
    let mut connection = PgConnection::connect(&postgres.url()).await.expect("the cluster answers");
    // A bound on waits for what a read may hold.
    sqlx::raw_sql("SET lock_timeout = '20s'").execute(&mut connection).await.expect("a setting");
    sqlx::raw_sql(REDSHIFT_FUNCTIONS).execute(&mut connection).await.expect("functions");
    Cluster { postgres, connection: Mutex::new(connection) }
}

crate::source_suite!(cluster());

/// Statements of the user `reader`, whose every statement is logged, since the cluster began.
async fn logged(cluster: &Cluster) -> Vec<String> {
    let log = cluster.postgres.log();
    assert!(!log.contains("execute "), "a statement was prepared:\n{log}");
    log.split("LOG:  statement: ")
        .skip(1)
        .map(|rest| rest.lines().next().unwrap_or_default().to_owned())
        .collect()
}

async fn with_reader(cluster: &Cluster) {
    cluster
        .run(
            "CREATE ROLE reader LOGIN; ALTER ROLE reader SET log_statement = 'all'; \
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        )
        .await;
}

#[tokio::test]
async fn every_statement_is_one_that_redshift_has() {
    let cluster = cluster().await;
    cluster
        .run(
            "CREATE TABLE customers (customer_id varchar(100), updated_at timestamptz, band char(6), score jsonb);
             INSERT INTO customers VALUES ('a', '2026-03-01 09:00+00', 'low', '[1]'), ('b ', NULL, 'high', NULL)",
        )
        .await;
    with_reader(&cluster).await;
    let source = cluster.open("reader", &customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["a \"low\" [1]", "b  \"high\" null"]);
    let also = since("2026-01-02T09:00:00.000001Z", &["b "]);
    let after = chunks(&source, all()).await[0].position(0);
    assert_eq!(keys_read(&source, Selection { rows: also, after, digester: None }).await, ["b "]);
    let only = Rows::Only(keys(&["it's back\\slash"]));
    assert!(lines(&source, only).await.is_empty());
    source.describe().await.expect("a description");
    assert_eq!(source.sample(3).await.expect("a sample").len(), 2);

    let statements = logged(&cluster).await;
    let forbidden = [
        "regtype",
        "regclass",
        "pg_type",
        "pg_enum",
        "pg_range",
        "pg_attribute",
        "pg_class",
        "pg_stat",
        "pg_is_in",
        "pg_prepared",
        "collate",
        "distinct on",
        "any(",
        "array[",
        "$1",
        "scroll",
        "hold",
        "repeatable",
        "::text",
        "lock_timeout",
        "idle_in_transaction",
        "client_connection",
        "bytea",
        "set_config",
        "to_jsonb",
        "clock_timestamp",
    ];
    for statement in &statements {
        let lower = statement.to_lowercase();
        let found = forbidden.iter().find(|word| lower.contains(**word));
        assert!(found.is_none(), "{found:?} in {statement}");
    }
    let mut seen = HashSet::new();
    let once: Vec<String> =
        statements.into_iter().filter(|statement| seen.insert(statement.clone())).collect();
    insta::assert_snapshot!(once.join("\n"));
}

#[tokio::test]
async fn a_column_of_any_type_is_described_without_asking_the_catalog() {
    let cluster = cluster().await;
    cluster
        .run(
            "CREATE TYPE tier AS ENUM ('low', 'high');
             CREATE TABLE customers (customer_id char(8), updated_at timestamp, band tier, score text[], at time, r real);
             INSERT INTO customers VALUES ('a', '2026-01-01', 'low', '{x}', '10:00', 0.1)",
        )
        .await;
    with_reader(&cluster).await;
    let source = cluster.open("reader", &sync("table = \"customers\"", &["band", "score", "at", "r"]));
    let source = source.expect("sound settings");
    let description = source.describe().await.expect("a description");
    let types: Vec<&str> = description.columns.iter().map(|column| column.source_type.as_str()).collect();
    assert_eq!((types[0], types[1], types[4], types[5]), ("char", "timestamp", "time", "float4"));
    assert!(types[2].starts_with("type "), "{types:?}");
    let told: Vec<&str> = description.problems.iter().map(|problem| problem.why.as_str()).collect();
    assert!(told[0].ends_with("which has no form in Braze: its values are rejected"), "{told:?}");
    assert!(told[2].starts_with("Redshift does not show who writes"), "{told:?}");
    assert!(description.require_sound().is_ok());
    assert_eq!(lines(&source, Rows::All).await, ["a unreadable unreadable \"10:00:00\" 0.1"]);
    assert!(logged(&cluster).await.iter().all(|statement| !statement.contains("pg_")));
}

#[tokio::test]
async fn the_watermark_stays_back_by_the_overlap() {
    let cluster = cluster().await;
    seed_many(&cluster, 10).await;
    let source = cluster.source(&customers()).expect("sound settings");
    let before = Clock::system().now() - chrono::TimeDelta::seconds(901);
    let ceiling = source.read(all()).await.expect("opens").ceiling();
    assert!(ceiling >= before && ceiling <= Clock::system().now() - chrono::TimeDelta::seconds(900));
}

#[tokio::test]
async fn a_json_value_that_is_too_large_spoils_itself_alone() {
    let cluster = cluster().await;
    cluster
        .run(
            "CREATE TABLE customers (customer_id varchar(9), updated_at timestamp, band varchar(999999), score jsonb);
             INSERT INTO customers VALUES ('a', '2026-01-01', repeat('x', 500000), to_jsonb(repeat('y', 70000))),
             ('b', '2026-01-01', 'low', '{\"a\": 1}')",
        )
        .await;
    let source = cluster.source(&customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["a too_long too_large", "b \"low\" {\"a\":1}"]);
}

#[tokio::test]
async fn ids_that_differ_in_blanks_at_their_end_are_customers_of_their_own() {
    let cluster = cluster().await;
    // As Redshift compares: blanks at the end count for nothing.
    cluster
        .run(
            "CREATE COLLATION padded (provider = icu, locale = 'und-u-ka-shifted', deterministic = false);
             CREATE TABLE customers (customer_id varchar(99) COLLATE padded, updated_at timestamp, band varchar(9), score int);
             INSERT INTO customers VALUES ('a ', '2026-01-01', 'x', 2), ('a', '2026-01-01', 'x', 1),
             ('a  ', '2026-01-01', 'x', 3), ('b', '2026-01-01', 'x', 4)",
        )
        .await;
    let mut connection = cluster.connection.lock().await;
    let equal = sqlx::query_scalar("SELECT count(*) FROM customers WHERE customer_id = 'a'");
    let equal: i64 = equal.fetch_one(&mut *connection).await.expect("a count");
    assert_eq!(equal, 3);
    let source = cluster.source(&customers()).expect("sound settings");
    let read = chunks(&source, all()).await;
    for index in 0..4 {
        assert_eq!(
            line(&read[0], index).chars().last(),
            char::from_digit(u32::try_from(index).expect("few") + 1, 10)
        );
        let rest = Selection { rows: Rows::All, after: read[0].position(index), digester: None };
        assert_eq!(keys_read(&source, rest).await.len(), 3 - index);
    }
}

#[tokio::test]
async fn more_keys_than_a_statement_takes_are_looked_for_among_all_rows() {
    let cluster = cluster().await;
    seed_many(&cluster, 100).await;
    with_reader(&cluster).await;
    let source = cluster.open("reader", &customers()).expect("sound settings");
    let many = (0..5_000).map(|number| format!("{number:0>900}")).chain(["c-000007".to_owned()]);
    let many = std::sync::Arc::new(many.collect::<HashSet<String>>());
    let delta = Rows::Since { after: Some(utc("2026-05-01T00:00:00Z")), also: many.clone() };
    for rows in [delta, Rows::Only(many)] {
        assert_eq!(keys_read(&source, Selection { rows, after: None, digester: None }).await, ["c-000007"]);
    }
    assert!(logged(&cluster).await.iter().all(|statement| statement.len() < 2_000));
}

#[tokio::test]
async fn a_query_that_redshift_might_read_as_two_statements_is_refused() {
    let cluster = cluster().await;
    seed_many(&cluster, 1).await;
    for (sign, is_refused) in
        [("'\\\\''; delete from customers --'", true), ("';'", false), ("'\\\\'", false)]
    {
        let query = format!("query = \"select customer_id, updated_at, {sign} as band from customers\"");
        match cluster.source(&sync(&query, &["band"])) {
            Ok(source) if !is_refused => assert_eq!(lines(&source, Rows::All).await.len(), 1, "{sign}"),
            Err(SourceError::Config { key: "query", .. }) if is_refused => {}
            other => panic!("{sign}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn keys_that_are_not_sorted_by_their_bytes_are_refused() {
    let cluster = cluster().await;
    cluster
        .run(
            "CREATE TABLE customers (customer_id text COLLATE \"en-x-icu\", updated_at timestamp, band text, score int);
             INSERT INTO customers VALUES ('a', '2026-01-01', 'x', 1), ('B', '2026-01-01', 'x', 1)",
        )
        .await;
    let source = cluster.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("opens");
    let error = reading.next().await.expect_err("keys out of order");
    assert!(!error.is_retryable() && error.to_string().contains("case-sensitive"), "{error}");
}

#[tokio::test]
async fn names_are_found_folded_and_in_other_schemas() {
    let cluster = cluster().await;
    cluster
        .run(
            "CREATE SCHEMA publish; CREATE TABLE publish.customers (CUSTOMER_ID varchar(9), updated_at timestamp,
               band varchar(9), score int);
             INSERT INTO publish.customers VALUES ('a', '2026-01-01', 'x', 1)",
        )
        .await;
    let source = cluster.source(&sync("table = \"PUBLISH.CUSTOMERS\"", &["BAND"])).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["a \"x\""]);
    assert!(utc("2026-01-01T00:00:00Z") < source.read(all()).await.expect("opens").ceiling());
    let missing = cluster.source(&sync("table = \"publish.customer\"", &["band"])).expect("sound settings");
    let error = missing.read(all()).await.expect_err("no such table");
    assert_eq!(
        error.to_string(),
        "publish.customer: there is no such table or view; did you mean customers?"
    );
}

#[tokio::test]
async fn the_server_is_named_as_what_it_is() {
    let cluster = cluster().await;
    seed_many(&cluster, 1).await;
    let nobody = cluster.open("nobody_here", &customers()).expect("sound settings");
    let error = nobody.read(all()).await.expect_err("no login");
    assert_eq!((error.to_string().as_str(), error.code()), ("Redshift refused the login", "source_refused"));
}
