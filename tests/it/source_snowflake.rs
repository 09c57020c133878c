//! Snowflake as a source: the suite on fakesnow, which runs the SQL on DuckDB, and what only Snowflake can do to us.

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::customer::{Code, Position};
use peak_braze::run::RunState;
use peak_braze::source::{Rows, Selection, Source, SourceError};
use serde_json::json;

use crate::source_suite::{
    Warehouse, all, chunks, customers, keys, keys_read, line, lines, seed_many, since, sync, utc,
};
use crate::support::app::{Setup, TestApp, ago, assert_identities};
use crate::support::snowflake::Fakesnow;

struct Account {
    fakesnow: Fakesnow,
    folder: tempfile::TempDir,
}

impl Account {
    fn settings(&self, more: &str) -> String {
        format!(
            "kind = \"snowflake\"\naccount = \"org-test\"\nbase_url = \"{}\"\ntoken = \"file:{}\"\n\
             database = \"db\"\nschema = \"public\"\nwarehouse = \"wh\"\nrole = \"reader\"\n{more}",
            self.fakesnow.url(),
            self.folder.path().join("token").display()
        )
    }

    fn open(&self, more: &str, sync: &config::Sync) -> Result<Source, SourceError> {
        let settings = toml::from_str(&self.settings(more)).expect("the test's own settings");
        Source::open(&settings, sync, Clock::system())
    }
}

impl Warehouse for Account {
    const TYPES: [&'static str; 8] =
        ["VARCHAR", "TIMESTAMP_NTZ", "FLOAT", "NUMBER(12,2)", "DATE", "BOOLEAN", "VARIANT", "INTEGER"];
    const HAS_INFINITY: bool = false;

    async fn run(&self, sql: &str) {
        self.fakesnow.run(sql).await;
    }

    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError> {
        self.open("", sync)
    }
}

async fn account() -> Account {
    account_with_parts(3_000).await
}

/// With results in parts of so many rows.
async fn account_with_parts(rows: usize) -> Account {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("token"), "a-token-of-the-tests").expect("written");
    Account { fakesnow: Fakesnow::start(rows), folder }
}

crate::source_suite!(account());

#[tokio::test]
async fn latest_rows_alone_come_over_the_wire_and_change_no_outcome() {
    let account = account().await;
    create(&account, "VARCHAR", "TIMESTAMP_TZ").await;
    let mut rows = vec![
        "(NULL, '2026-01-01', 'x', 1)".to_owned(),
        "(NULL, '2026-01-01', 'x', 1)".to_owned(),
        "('', '2026-01-01', 'x', 1)".to_owned(),
        "('\t\u{2003}', '2026-01-01', 'x', 1)".to_owned(),
        "('\t\u{2003}', '2026-01-02', 'x', 1)".to_owned(),
        format!("('{0}', '2026-01-01', 'x', 1), ('{0}', '2026-01-02', 'x', 1)", "k".repeat(1_000)),
        format!("('{0}', '2026-01-01', 'x', 1), ('{0}', '2026-01-02', 'y', 1)", "é".repeat(400)),
    ];
    // Customers of up to eleven rows: older ones, equal ones, ones without a time.
    for customer in 0..200_u32 {
        for row in 0..=customer % 11 {
            let time = match (customer * 7 + row * 5) % 6 {
                0 => "NULL".to_owned(),
                day => format!("'2026-01-0{} 09:00:00.00000{}'", 1 + day % 3, row % 2),
            };
            rows.push(format!(
                "('c-{customer:03}', {time}, '{}', {})",
                ["a", "b", "é"][row as usize % 3],
                row % 4
            ));
        }
    }
    account.run(&format!("INSERT INTO customers VALUES {}", rows.join(", "))).await;
    let source = account.source(&customers()).expect("sound settings");
    let told = async |rows: Rows| {
        let reading =
            source.read(Selection { rows: rows.clone(), after: None, digester: None }).await.expect("opens");
        let came = reading.total().expect("known");
        let read = chunks(&source, Selection { rows, after: None, digester: None }).await;
        let customers: Vec<_> = read
            .iter()
            .flat_map(|chunk| {
                (0..chunk.len()).map(move |index| {
                    let customer = chunk.customers()[index];
                    (line(chunk, index), customer.updated_at, customer.rows, customer.bad)
                })
            })
            .collect();
        (came, customers)
    };
    let (came, latest) = told(Rows::All).await;
    // The same rows, asked for so that Snowflake leaves none out.
    let (all_came, all) = told(Rows::Since { after: None, also: keys(&[]) }).await;
    assert_eq!(latest, all);
    let rows: u64 = all.iter().map(|(_, _, rows, _)| u64::from(*rows)).sum();
    assert!(all_came == rows && came < rows * 2 / 3, "{came} of {rows} rows came");
}

async fn create(account: &Account, key: &str, time: &str) {
    account
        .run(&format!(
            "CREATE TABLE customers (customer_id {key}, updated_at {time}, band VARCHAR, score FLOAT)"
        ))
        .await;
}

#[tokio::test]
async fn times_are_instants_whatever_their_type() {
    for (kind, past, edge) in [
        ("TIMESTAMP_TZ", "2026-07-01 12:30:00+01:00", "2026-07-01 12:00:00+01:00"),
        ("TIMESTAMP_LTZ", "2026-07-01 11:30:00", "2026-07-01 11:00:00"),
        ("TIMESTAMP_NTZ", "2026-07-01 12:30:00", "2026-07-01 12:00:00"),
        ("VARCHAR", "2026-07-01T12:30:00", "2026-07-01 12:00:00"),
        ("DATE", "2026-07-02", "2026-07-01"),
    ] {
        let account = account().await;
        create(&account, "VARCHAR", kind).await;
        account
            .run(&format!(
                "INSERT INTO customers VALUES ('past', '{past}', 'x', 1), ('edge', '{edge}', 'x', 1)"
            ))
            .await;
        let source = account.open("timezone = \"Europe/London\"", &customers()).expect("sound settings");
        let delta = Selection { rows: since("2026-07-01T11:00:00Z", &[]), after: None, digester: None };
        assert_eq!(keys_read(&source, delta).await, ["past"], "{kind}");
        assert_eq!(lines(&source, Rows::All).await.len(), 2);
    }
}

#[tokio::test]
async fn a_local_time_that_happens_twice_is_never_missed() {
    let account = account().await;
    create(&account, "VARCHAR", "TIMESTAMP_NTZ").await;
    account.run("INSERT INTO customers VALUES ('folded', '2026-10-25 01:30:00', 'x', 1)").await;
    let source = account.open("timezone = \"Europe/London\"", &customers()).expect("sound settings");
    // 01:45 summer time, before the clock goes back; the row may be from after.
    assert_eq!(lines(&source, since("2026-10-25T00:45:00Z", &[])).await, ["folded \"x\" 1"]);
}

#[tokio::test]
async fn unreadable_times_are_seen_by_every_run_and_told() {
    let account = account().await;
    create(&account, "VARCHAR", "VARCHAR").await;
    account
        .run(
            "INSERT INTO customers VALUES ('a', 'soon', 'x', 1), ('b', '2020-01-01', 'x', 1), ('c', 'infinity', 'x', 1), \
             ('d', '2026-02-01T00:00:00+01:00', 'x', 1)",
        )
        .await;
    let source = account.source(&customers()).expect("sound settings");
    let read =
        chunks(&source, Selection { rows: since("2026-01-31T22:59:59Z", &[]), after: None, digester: None })
            .await;
    let told: Vec<_> = (0..read[0].len()).map(|at| (read[0].key(at), read[0].customers()[at].bad)).collect();
    assert_eq!(told, [("a", Some(Code::BadUpdatedAt)), ("c", None), ("d", None)]);
}

#[tokio::test]
async fn garbage_spoils_its_own_value_only() {
    let account = account().await;
    account
        .run(
            "CREATE TABLE customers (customer_id VARCHAR, updated_at TIMESTAMP_NTZ, score FLOAT, doc VARIANT, due VARCHAR, \
             active VARCHAR, hour TIME, photo BINARY, clv NUMBER(38,2))",
        )
        .await;
    account
        .run(
            "INSERT INTO customers VALUES \
             ('a', '2026-01-02', 'NaN', '[null]', '30/11/2026', 'maybe', '10:00:00', '00'::BLOB, 123456789012345678901234567890123456.78), \
             ('b', '2026-01-02', '-inf', '{\"a\": 1}', '2026-02-28', 'true', NULL, NULL, -0.10), \
             ('c', '2026-01-02', -0.0, '\"text\"', NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    let typed =
        |column: &str, kind: &str| format!("[[attributes]]\ncolumn = \"{column}\"\ntype = \"{kind}\"\n");
    let from = format!("table = \"customers\"\n{}{}", typed("due", "date"), typed("active", "boolean"));
    let source =
        account.source(&sync(&from, &["score", "doc", "hour", "photo", "clv"])).expect("sound settings");
    let read = lines(&source, Rows::All).await;
    assert_eq!(
        read[..2],
        [
            "a wrong_type wrong_type not_finite nested_null \"10:00:00\" unreadable 123456789012345678901234567890123456.78",
            "b \"2026-02-28\" true not_finite {\"a\":1} null null -0.1",
        ]
    );
    assert!(read[2].starts_with("c null null 0 "), "{}", read[2]);
}

#[tokio::test]
async fn over_long_cells_are_cut_at_snowflake() {
    let account = account().await;
    account
        .run("CREATE TABLE customers (customer_id VARCHAR, updated_at TIMESTAMP_NTZ, band VARCHAR, score VARIANT)")
        .await;
    account
        .run(
            "INSERT INTO customers SELECT 'a', '2026-01-01', repeat('x', 5000000), to_json(repeat('y', 500000)) \
             UNION ALL SELECT 'b', '2026-01-01', repeat('é', 255), '[1]' \
             UNION ALL SELECT repeat('k', 5000), '2026-01-01', 'x', '[1]'",
        )
        .await;
    let source = account.source(&customers()).expect("sound settings");
    let read = lines(&source, Rows::All).await;
    assert_eq!(read[0], "a too_long too_large");
    assert_eq!(read[1], format!("b \"{}\" [1]", "é".repeat(255)));
    assert_eq!(read[2], format!("{} - -", "k".repeat(64)));
}

#[tokio::test]
async fn short_integers_are_read_and_taken_up_as_numbers() {
    let account = account().await;
    create(&account, "NUMBER(10,0)", "TIMESTAMP_NTZ").await;
    account
        .run("INSERT INTO customers VALUES (10, '2026-01-01', 'x', 1), (9, '2026-01-01', 'x', 1), (-1, '2026-01-01', 'x', 1)")
        .await;
    let source = account.source(&customers()).expect("sound settings");
    assert_eq!(keys_read(&source, all()).await, ["-1", "9", "10"]);
    let after = chunks(&source, all()).await[0].position(1);
    assert_eq!(after, Some(Position::Integer(9)));
    assert_eq!(keys_read(&source, Selection { rows: Rows::All, after, digester: None }).await, ["10"]);
    let named = since("2026-05-01T00:00:00Z", &["9", "009", "x"]);
    assert_eq!(keys_read(&source, Selection { rows: named, after: None, digester: None }).await, ["9"]);
}

#[tokio::test]
async fn names_are_found_whatever_their_case_and_wherever_they_are() {
    let account = account().await;
    account.run("CREATE SCHEMA DB.PUBLISH").await;
    account
        .run("CREATE TABLE DB.PUBLISH.\"Mixed\" (\"Customer_Id\" VARCHAR, UPDATED_AT TIMESTAMP_NTZ, \"Band\" VARCHAR)")
        .await;
    account.run("INSERT INTO DB.PUBLISH.\"Mixed\" VALUES ('a', '2026-01-01', 'x')").await;
    for table in ["db.publish.mixed", "publish.Mixed"] {
        let source =
            account.source(&sync(&format!("table = \"{table}\""), &["BAND"])).expect("sound settings");
        assert_eq!(lines(&source, Rows::All).await, ["a \"x\""], "{table}");
        assert_eq!(source.sample(5).await.expect("a sample").len(), 1);
    }
}

#[tokio::test]
async fn what_is_amiss_is_told_before_any_row() {
    let account = account().await;
    account
        .run("CREATE TABLE customers (customer_id VARIANT, updated_at BOOLEAN, band DATE, score FLOAT)")
        .await;
    let typed = "table = \"customers\"\n[[attributes]]\ncolumn = \"band\"\ntype = \"boolean\"";
    let source = account.source(&sync(typed, &["skore"])).expect("sound settings");
    let description = source.describe().await.expect("a description");
    let told: Vec<_> = description
        .problems
        .iter()
        .map(|problem| (problem.why.as_str(), problem.nearest.as_deref()))
        .collect();
    assert_eq!(
        told[..4],
        [
            ("is missing", Some("score")),
            ("is variant, which cannot be a key", None),
            ("is boolean, which cannot tell when a row changed", None),
            ("is date, which cannot become a boolean", None),
        ]
    );
    assert_eq!(source.read(all()).await.expect_err("a mismatch").code(), "schema_mismatch");

    let elsewhere = account.source(&sync("table = \"orders\"", &["band"])).expect("sound settings");
    let error = elsewhere.read(all()).await.expect_err("no table").to_string();
    assert!(error.contains("role READER may not see it: grant it USAGE"), "{error}");
    let query = "query = \"select customer_id, updated_at, bnad from customers\"";
    let error = account.source(&sync(query, &["band"])).expect("sound settings").read(all()).await;
    let error = error.expect_err("no such column");
    assert_eq!(error.code(), "schema_mismatch");
    assert!(error.to_string().to_lowercase().contains("bnad"), "{error}");
}

#[tokio::test]
async fn a_connection_cut_while_reading_is_told_and_reading_goes_on_elsewhere() {
    let mut account = account().await;
    seed_many(&account, 40_000).await;
    let source = account.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("opens");
    let first = reading.next().await.expect("reads").expect("a chunk");
    account.fakesnow.stop();
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
    assert!(read < 40_000);
    account.fakesnow = Fakesnow::start(3_000);
    seed_many(&account, 40_000).await;
    let source = account.source(&customers()).expect("sound settings");
    let rest = keys_read(&source, Selection { rows: Rows::All, after: last, digester: None }).await;
    assert_eq!(read + rest.len(), 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snowflake_warehouse_sends_what_changed() {
    let account = account().await;
    account
        .run("CREATE TABLE predictions (customer_id VARCHAR, updated_at TIMESTAMP_NTZ, churn NUMBER(6,4), band VARCHAR)")
        .await;
    let hour_ago = ago(3_600);
    account
        .run(&format!(
            "INSERT INTO predictions SELECT 'c-' || i, '{hour_ago}'::TIMESTAMP, i * 0.0001, 'low' FROM range(1, 3001) r(i)"
        ))
        .await;
    // An older row of a customer, as tables with a composite key hold them.
    account.run(&format!("INSERT INTO predictions VALUES ('c-7', '{}', 0.1, 'old')", ago(7_200))).await;
    let setup = Setup { source: Some(account.settings("")), ..Setup::default() };
    let app = TestApp::start(setup).await;
    app.braze.seed_users((1..=3000).map(|number| format!("c-{number}")));
    let first = app.run("delta").await;
    assert_eq!((first.state, first.tally.accepted), (RunState::Succeeded, 3_000));
    assert_eq!((first.tally.rows_read, first.tally.collapsed), (3_001, 1));
    assert_identities(&first);
    assert!(first.window.up_to.is_some_and(|up_to| up_to <= utc(&hour_ago)));

    account
        .run(&format!(
            "UPDATE predictions SET churn = 0.9, updated_at = '{}' WHERE customer_id = 'c-7'",
            ago(0)
        ))
        .await;
    let second = app.run("delta").await;
    assert_eq!((second.state, second.tally.accepted), (RunState::Succeeded, 1));
    assert_eq!(app.in_braze("c-7", "peak_churn").await, Some(json!(0.9)));
    assert_identities(&second);
}

/// Rows of the large table; `PEAK_BRAZE_ROWS=1000000` makes it as long as one likes.
const LARGE: u64 = 200_000;
/// What reading may add to this process: parts of some megabytes and chunks of one, two or three of each.
const GROWTH_BYTES: u64 = 48 << 20;

#[tokio::test]
async fn a_large_table_is_read_in_flat_memory() {
    let given = std::env::var("PEAK_BRAZE_ROWS").ok().and_then(|rows| rows.parse().ok());
    let rows: u64 = given.unwrap_or(LARGE);
    let account = account_with_parts(20_000).await;
    create(&account, "VARCHAR", "TIMESTAMP_NTZ").await;
    account
        .run(&format!(
            "INSERT INTO customers SELECT printf('c-%09d', i), '2026-01-02'::TIMESTAMP + INTERVAL (i) MICROSECOND, \
             'band-' || (i % 7), i / 1000.0 FROM range({rows}) r(i)"
        ))
        .await;
    let source = account.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("opens");
    let (started, first) = (std::time::Instant::now(), resident_bytes());
    let (mut read, mut last, mut peak) = (0, String::new(), first);
    while let Some(chunk) = reading.next().await.expect("reads on") {
        assert!(chunk.key(0) > last.as_str(), "keys go on in order");
        chunk.key(chunk.len() - 1).clone_into(&mut last);
        read += chunk.len() as u64;
        peak = peak.max(resident_bytes());
    }
    let (took, growth) = (started.elapsed(), peak.saturating_sub(first));
    println!(
        "{read} rows in {took:?}, {:.0} rows/s; {} MiB at most, {} MiB more than at the start",
        read as f64 / took.as_secs_f64(),
        peak >> 20,
        growth >> 20
    );
    assert_eq!((read, reading.total()), (rows, Some(rows)));
    assert!(growth < GROWTH_BYTES, "reading took {growth} bytes more");
}

/// What this process holds in memory.
fn resident_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: u64 = told.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
