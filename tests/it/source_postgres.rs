//! PostgreSQL as a source: the suite, and what only PostgreSQL can do to us.

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::customer::{Code, UpdatedAt};
use peak_braze::source::{Rows, Selection, Source, SourceError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;

use crate::source_suite::{
    Warehouse, all, chunks, customers, keys_read, line, lines, seed_many, since, sync, utc,
};
use crate::support::postgres::Postgres;

struct Cluster {
    postgres: Postgres,
    connection: Mutex<PgConnection>,
}

impl Cluster {
    fn open(&self, user: &str, timezone: &str, sync: &config::Sync) -> Result<Source, SourceError> {
        let url = self.postgres.url_as(user);
        let text = format!("kind = \"postgres\"\nurl = \"{url}\"\ntimezone = \"{timezone}\"");
        let settings = toml::from_str(&text).expect("the test's own settings");
        Source::open(&settings, sync, Clock::system())
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url()).await.expect("the cluster answers")
    }

    async fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let mut connection = self.connection.lock().await;
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut *connection).await.expect("a clock")
    }
}

impl Warehouse for Cluster {
    const TYPES: [&'static str; 8] =
        ["text", "timestamp", "double precision", "numeric(12,2)", "date", "boolean", "jsonb", "bigint"];

    async fn run(&self, sql: &str) {
        let mut connection = self.connection.lock().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *connection)
            .await
            .expect("the test's own SQL");
    }

    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError> {
        self.open("postgres", "UTC", sync)
    }
}

async fn cluster() -> Cluster {
    let postgres = Postgres::start();
    let mut connection = PgConnection::connect(&postgres.url()).await.expect("the cluster answers");
    // A bound on waits for what a read may hold.
    sqlx::raw_sql("SET lock_timeout = '20s'").execute(&mut connection).await.expect("a setting");
    Cluster { postgres, connection: Mutex::new(connection) }
}

crate::source_suite!(cluster());

#[tokio::test]
async fn no_row_can_end_a_read_for_all() {
    let cluster = cluster().await;
    cluster
        .run(
            "CREATE TYPE tier AS ENUM ('low', 'high'); CREATE DOMAIN share AS numeric;
             CREATE TABLE customers (customer_id varchar(2000), updated_at timestamptz, seen timestamptz, due date,
               score float8, clv share, photo bytea, tags text[], nested jsonb, band tier, ref uuid, small real);
             INSERT INTO customers VALUES
             ('a', '2026-01-02 09:00+00', 'infinity', 'infinity', 'NaN', 'NaN', '\\x00', '{a,\"b c\"}',
              '{\"a\":null}', 'low', '00000000-0000-0000-0000-00000000000a', 0.1),
             ('b', 'infinity', '294276-12-31 23:59:59+00', '5874897-12-31', '-Infinity', '0.00010', NULL, '{}',
              '[1, 2.50]', 'high', NULL, 'Infinity'),
             ('c', '294276-12-31 23:59:59+00', '0044-03-15 00:00:00+00 BC', '0044-03-15 BC', 1e300,
              1234567890123456789012345678901234567890.01, NULL, '{NULL}', '\"x\"', NULL, NULL, -0.0),
             ('d', '-infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
             ('e', NULL, '2026-01-02 09:00:00.123456+02', '2026-02-28', 0.1,
              1234567890123456789012345678901234567890.01, NULL, '{1}', '{}', NULL, NULL, 0.1)",
        )
        .await;
    let columns = ["seen", "due", "score", "clv", "photo", "tags", "nested", "band", "ref", "small"];
    let source = cluster.source(&sync("table = \"customers\"", &columns)).expect("sound settings");
    let read = chunks(&source, all()).await;
    let told: Vec<String> = (0..5).map(|index| line(&read[0], index)).collect();
    assert_eq!(
        told,
        [
            "a unreadable wrong_type not_finite not_finite unreadable [\"a\",\"b c\"] nested_null \"low\" \
             \"00000000-0000-0000-0000-00000000000a\" 0.1",
            "b unreadable wrong_type not_finite 0.0001 null [] [1,2.50] \"high\" null not_finite",
            "c - - - - - - - - - -",
            "d null null null null null null null null null null",
            "e \"2026-01-02T07:00:00.123Z\" \"2026-02-28\" 0.1 1234567890123456789012345678901234567890.01 null \
             [\"1\"] {} null null 0.1",
        ]
    );
    let times: Vec<UpdatedAt> = read[0].customers().iter().map(|one| one.updated_at).collect();
    assert_eq!(times[1..4], [UpdatedAt::Endless, UpdatedAt::Unreadable, UpdatedAt::Never]);
    assert_eq!(read[0].customers()[2].bad, Some(Code::BadUpdatedAt));
    let delta = Selection { rows: since("2026-06-01T00:00:00Z", &[]), after: None, digester: None };
    assert_eq!(keys_read(&source, delta).await, ["b", "c"]);
}

#[tokio::test]
async fn every_kind_of_time_is_compared_as_an_instant() {
    for (kind, before, past) in [
        ("timestamptz", "'2026-07-01 12:00:00+01'", "'2026-07-01 11:00:00.000001+00'"),
        ("timestamp", "'2026-07-01 12:00:00'", "'2026-07-01 12:00:00.000001'"),
        ("date", "'2026-07-01'", "'2026-07-02'"),
        ("text", "'2026-07-01T12:00:00'", "'2026-07-01 11:00:00.1Z'"),
        ("bigint", "1782903600", "1782903601"),
        ("numeric", "1782903600", "1782903600.5"),
        ("double precision", "1782903600", "1782903600.5"),
    ] {
        let cluster = cluster().await;
        cluster
            .run(&format!(
                "CREATE TABLE customers (customer_id text, updated_at {kind}, band text, score int)"
            ))
            .await;
        cluster
            .run(&format!(
                "INSERT INTO customers VALUES ('before', {before}, 'x', 1), ('past', {past}, 'x', 1)"
            ))
            .await;
        let source = cluster.open("postgres", "Europe/London", &customers()).expect("sound settings");
        let delta = Selection { rows: since("2026-07-01T11:00:00Z", &[]), after: None, digester: None };
        assert_eq!(keys_read(&source, delta).await, ["past"], "{kind}");
    }
}

#[tokio::test]
async fn a_local_time_that_happens_twice_is_never_missed() {
    let cluster = cluster().await;
    cluster
        .run("CREATE TABLE customers (customer_id text, updated_at timestamp, band text, score int)")
        .await;
    cluster.run("INSERT INTO customers VALUES ('folded', '2026-10-25 01:30:00', 'x', 1)").await;
    let source = cluster.open("postgres", "Europe/London", &customers()).expect("sound settings");
    // 01:45 summer time, before the clock goes back; the row may be from after.
    assert_eq!(lines(&source, since("2026-10-25T00:45:00Z", &[])).await, ["folded \"x\" 1"]);
}

#[tokio::test]
async fn the_watermark_stays_behind_an_open_writer_whose_rows_come_late() {
    let cluster = cluster().await;
    seed_many(&cluster, 10).await;
    let mut writer = cluster.connect().await;
    let begin = "BEGIN; INSERT INTO customers VALUES ('late', now(), 'low', 0.5)";
    sqlx::raw_sql(begin).execute(&mut writer).await.expect("writes");
    let stamp: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut writer).await.expect("its start");
    let source = cluster.source(&customers()).expect("sound settings");
    let reading = source.read(all()).await.expect("opens");
    assert_eq!(reading.ceiling(), stamp);
    drop(reading);

    sqlx::raw_sql("PREPARE TRANSACTION 'late'").execute(&mut writer).await.expect("prepares");
    assert!(source.read(all()).await.expect("opens").ceiling() < stamp - chrono::TimeDelta::seconds(800));
    sqlx::raw_sql("COMMIT PREPARED 'late'").execute(&mut writer).await.expect("commits");
    let before = cluster.now().await;
    assert!(source.read(all()).await.expect("opens").ceiling() >= before);
    assert_eq!(lines(&source, Rows::All).await.len(), 11);
}

#[tokio::test]
async fn without_the_grant_the_watermark_stays_back_by_the_overlap() {
    let cluster = cluster().await;
    seed_many(&cluster, 10).await;
    cluster.run("CREATE ROLE reader LOGIN; GRANT SELECT ON customers TO reader").await;
    let source = cluster.open("reader", "UTC", &customers()).expect("sound settings");
    let overlap = chrono::TimeDelta::seconds(900);
    let before = cluster.now().await;
    let ceiling = source.read(all()).await.expect("opens").ceiling();
    assert!(ceiling >= before - overlap && ceiling <= cluster.now().await - overlap);
    let problems = source.describe().await.expect("a description").problems;
    assert!(problems.iter().any(|problem| problem.why.contains("pg_read_all_stats") && !problem.is_fatal));

    cluster.run("GRANT pg_read_all_stats TO reader").await;
    assert!(source.read(all()).await.expect("opens").ceiling() >= before);
    assert!(source.describe().await.expect("a description").problems.is_empty());
}

#[tokio::test]
async fn logins_and_grants_refused_are_told_from_a_server_that_is_away() {
    let cluster = cluster().await;
    seed_many(&cluster, 10).await;
    cluster.run("CREATE ROLE reader LOGIN").await;
    let refused = cluster.open("reader", "UTC", &customers()).expect("sound settings");
    let error = refused.read(all()).await.expect_err("no grant");
    assert_eq!((error.code(), error.is_retryable()), ("source_refused", false));
    let nobody = cluster.open("nobody_here", "UTC", &customers()).expect("sound settings");
    assert_eq!(nobody.read(all()).await.expect_err("no login").code(), "source_refused");

    let source = cluster.source(&customers()).expect("sound settings");
    cluster.postgres.stop();
    let error = source.read(all()).await.expect_err("no server");
    assert_eq!((error.code(), error.is_retryable()), ("source_unreachable", true));
    cluster.postgres.restart();
    assert_eq!(lines(&source, Rows::All).await.len(), 10);
}

#[tokio::test]
async fn a_connection_cut_while_reading_is_told_and_reading_goes_on_elsewhere() {
    let cluster = cluster().await;
    seed_many(&cluster, 20_000).await;
    let source = cluster.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("opens");
    let first = reading.next().await.expect("reads").expect("a chunk");
    cluster.postgres.stop();
    cluster.postgres.restart();
    let mut read = first.len();
    let mut last = first.position(first.len() - 1);
    let error = loop {
        match reading.next().await {
            Ok(Some(chunk)) => {
                read += chunk.len();
                last = chunk.position(chunk.len() - 1);
            }
            Ok(None) => panic!("the cut was not noticed"),
            Err(error) => break error,
        }
    };
    assert!(error.is_retryable(), "{error}");
    let rest = keys_read(&source, Selection { rows: Rows::All, after: last, digester: None }).await;
    assert_eq!(read + rest.len(), 20_000);
}

#[tokio::test]
async fn a_snapshot_nobody_takes_from_is_let_go_and_taken_up_after_the_last_key() {
    let cluster = cluster().await;
    seed_many(&cluster, 20_000).await;
    let source = cluster.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("opens");
    let ceiling = reading.ceiling();
    tokio::time::pause();
    wait_until_alone(&cluster, std::time::Duration::from_secs(31)).await;
    tokio::time::resume();
    cluster.run("UPDATE customers SET band = 'new'").await;
    let mut bands = (0, 0);
    let mut last = String::new();
    while let Some(chunk) = reading.next().await.expect("reads on") {
        for index in 0..chunk.len() {
            assert!(chunk.key(index) > last.as_str(), "keys go on in order");
            last = chunk.key(index).to_owned();
            match line(&chunk, index).contains("new") {
                false => bands.0 += 1,
                true => bands.1 += 1,
            }
        }
    }
    // Two chunks wait, a third is in hand when the snapshot goes: 100, 200 and 400 customers.
    assert_eq!(bands, (700, 19_300));
    assert_eq!(reading.ceiling(), ceiling);
}

/// Waits until no read is connected, turning the clock on by `step` between looks.
async fn wait_until_alone(cluster: &Cluster, step: std::time::Duration) {
    for _ in 0..50 {
        if is_alone(cluster).await {
            return;
        }
        if !step.is_zero() {
            tokio::time::advance(step).await;
        }
    }
    panic!("a read stays connected");
}

/// Whether no read is connected. Asked on a thread of its own, so that the paused clock stands meanwhile.
async fn is_alone(cluster: &Cluster) -> bool {
    let url = cluster.postgres.url();
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&url).await.expect("the cluster answers");
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'peak-braze'",
            )
            .fetch_one(&mut connection)
            .await
            .expect("a count");
            count == 0
        })
    })
    .await
    .expect("the look does not panic")
}

#[tokio::test]
async fn a_delta_can_use_an_index_on_its_time() {
    let cluster = cluster().await;
    seed_many(&cluster, 5_000).await;
    cluster.run("CREATE INDEX ON customers (updated_at); CREATE INDEX ON customers (customer_id)").await;
    cluster.run("INSERT INTO customers VALUES ('new', '2026-06-01', 'low', 0.5); ANALYZE customers").await;
    let source = cluster.source(&customers()).expect("sound settings");
    assert_eq!(lines(&source, since("2026-05-01T00:00:00Z", &["c-000007"])).await.len(), 2);
    // Counters reach the view when the session that made them ends.
    wait_until_alone(&cluster, std::time::Duration::ZERO).await;
    let mut connection = cluster.connect().await;
    let scans: i64 =
        sqlx::query_scalar("SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'customers'")
            .fetch_one(&mut connection)
            .await
            .expect("a count");
    assert!((1..100).contains(&scans), "{scans} rows were fetched through an index");
}

#[tokio::test]
async fn types_that_cannot_fit_are_told_before_any_row() {
    let cluster = cluster().await;
    cluster
        .run("CREATE TABLE customers (customer_id jsonb, updated_at bytea, band boolean, score float8)")
        .await;
    let typed = "table = \"customers\"\n[[attributes]]\ncolumn = \"band\"\ntype = \"number\"";
    let source = cluster.source(&sync(typed, &[])).expect("sound settings");
    let whys: Vec<String> = source
        .describe()
        .await
        .expect("a description")
        .problems
        .into_iter()
        .map(|problem| problem.why)
        .collect();
    assert_eq!(
        whys,
        [
            "is jsonb, which cannot be a key",
            "is bytea, which cannot tell when a row changed",
            "is bool, which cannot become a number"
        ]
    );
    assert_eq!(source.read(all()).await.expect_err("a mismatch").code(), "schema_mismatch");
}

#[tokio::test]
async fn over_long_cells_are_cut_at_the_server() {
    let cluster = cluster().await;
    cluster
        .run("CREATE TABLE customers (customer_id text, updated_at timestamp, band text, score jsonb)")
        .await;
    cluster
        .run(
            "INSERT INTO customers VALUES ('a', '2026-01-01', repeat('x', 50000000), to_jsonb(repeat('y', 5000000))),
             ('b', '2026-01-01', repeat('é', 255), '[1]'), (repeat('k', 5000), '2026-01-01', 'x', '[1]')",
        )
        .await;
    let source = cluster.source(&customers()).expect("sound settings");
    let read = lines(&source, Rows::All).await;
    assert_eq!(read[0], "a too_long too_large");
    assert_eq!(read[1], format!("b \"{}\" [1]", "é".repeat(255)));
    assert_eq!(read[2], format!("{} - -", "k".repeat(64)));
}

#[tokio::test]
async fn names_are_found_whatever_their_case() {
    let cluster = cluster().await;
    cluster
        .run("CREATE TABLE \"Mixed\" (\"Customer_Id\" uuid, UPDATED_AT timestamp, \"Band\" text, score int)")
        .await;
    cluster
        .run("INSERT INTO \"Mixed\" VALUES ('00000000-0000-0000-0000-00000000000a', '2026-01-01', 'x', 1)")
        .await;
    let source =
        cluster.source(&sync("table = \"public.Mixed\"", &["BAND", "SCORE"])).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["00000000-0000-0000-0000-00000000000a \"x\" 1"]);
    let only = Rows::Only(crate::source_suite::keys(&["00000000-0000-0000-0000-00000000000a"]));
    assert_eq!(lines(&source, only).await.len(), 1);
    assert_eq!(source.sample(5).await.expect("a sample").len(), 1);
    assert!(utc("2026-01-01T00:00:00Z") < source.read(all()).await.expect("opens").ceiling());
}

#[tokio::test]
async fn a_dropped_read_ends_what_the_server_is_doing() {
    let cluster = cluster().await;
    seed_many(&cluster, 100).await;
    // Hours of work before the first row.
    cluster
        .run(
            "CREATE VIEW endless AS SELECT a.* FROM customers a, customers b, customers c, customers d, customers e,
             customers f ORDER BY random()",
        )
        .await;
    let source = cluster.source(&sync("table = \"endless\"", &["band"])).expect("sound settings");
    let reading = source.read(all()).await.expect("opens");
    drop(reading);
    // Waits for the read's lock, and fails if it stays.
    cluster.run("DROP VIEW endless").await;
}

#[tokio::test]
async fn a_query_whose_functions_write_is_refused() {
    let cluster = cluster().await;
    seed_many(&cluster, 1).await;
    cluster
        .run(
            "CREATE FUNCTION erase() RETURNS int LANGUAGE sql AS 'DELETE FROM customers; SELECT 1';
             CREATE SEQUENCE counter",
        )
        .await;
    for call in ["erase()", "nextval('counter')", "set_config('transaction_read_only', 'off', false)::text"] {
        let query =
            format!("query = \"select customer_id, updated_at, band, {call} as score from customers\"");
        let source = cluster.source(&sync(&query, &["band", "score"])).expect("sound settings");
        let mut reading = source.read(all()).await.expect("opens");
        let error = reading.next().await.expect_err("a function that writes");
        assert!(!error.is_retryable(), "{call}: {error}");
    }
    let source = cluster.source(&customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await.len(), 1);
}
