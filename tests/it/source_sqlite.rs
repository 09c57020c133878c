//! A SQLite file as a source: the suite, and what only SQLite can do to us.

use std::path::PathBuf;

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::customer::{Code, Kind, UpdatedAt};
use peak_braze::source::{Role, Rows, Selection, Source, SourceError};

use crate::source_suite::{
    self, Warehouse, all, chunks, customers, keys_read, lines, seed_many, since, sync, utc,
};

/// A file in WAL mode, in a folder of its own.
struct File {
    folder: tempfile::TempDir,
    connection: rusqlite::Connection,
}

impl File {
    fn path(&self) -> PathBuf {
        self.folder.path().join("warehouse.db")
    }

    fn settings(&self, timezone: &str) -> config::Source {
        let url = format!("sqlite://{}", self.path().display());
        let text = format!("kind = \"sqlite\"\nurl = \"{url}\"\ntimezone = \"{timezone}\"");
        toml::from_str(&text).expect("the test's own settings")
    }

    fn in_zone(&self, timezone: &str, sync: &config::Sync) -> Result<Source, SourceError> {
        Source::open(&self.settings(timezone), sync, Clock::manual(utc("2026-11-01T00:00:00Z")))
    }
}

impl Warehouse for File {
    const TYPES: [&'static str; 8] =
        ["TEXT", "TIMESTAMP", "REAL", "DECIMAL(12,2)", "DATE", "BOOLEAN", "JSON", "INTEGER"];

    async fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).expect("the test's own SQL");
    }

    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError> {
        self.in_zone("UTC", sync)
    }
}

async fn file() -> File {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let connection = rusqlite::Connection::open(folder.path().join("warehouse.db")).expect("a file");
    connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a bound on waits");
    connection.pragma_update(None, "journal_mode", "wal").expect("WAL mode");
    File { folder, connection }
}

crate::source_suite!(file());

async fn seeded(rows: &str) -> File {
    let file = file().await;
    file.run("CREATE TABLE customers (customer_id, updated_at, band, score)").await;
    file.run(&format!("INSERT INTO customers VALUES {rows}")).await;
    file
}

#[tokio::test]
async fn times_are_compared_as_instants_however_they_are_spelled() {
    let file = seeded(
        "('space', '2026-01-02 09:00:01', 1, 1), ('t-before', '2026-01-02T08:59:59Z', 1, 1), \
         ('offset', '2026-01-02T10:00:01+01:00', 1, 1), ('offset-before', '2026-01-02T09:59:59+01:00', 1, 1), \
         ('epoch', 1767344401, 1, 1), ('epoch-before', 1767344399, 1, 1), ('epoch-ms', 1767344400001, 1, 1), \
         ('real', 1767344400.5, 1, 1), ('tenth', '2026-01-02T09:00:00.1Z', 1, 1)",
    )
    .await;
    let source = file.source(&customers()).expect("sound settings");
    let read = keys_read(
        &source,
        Selection { rows: since("2026-01-02T09:00:00Z", &[]), after: None, digester: None },
    )
    .await;
    assert_eq!(read, ["epoch", "epoch-ms", "offset", "real", "space", "tenth"]);
}

#[tokio::test]
async fn times_without_a_zone_are_of_the_source() {
    let file = seeded("('a', '2026-07-01 12:30:00', 1, 1)").await;
    let source = file.in_zone("Europe/London", &customers()).expect("sound settings");
    assert_eq!(lines(&source, since("2026-07-01T11:29:59Z", &[])).await.len(), 1);
    assert!(lines(&source, since("2026-07-01T11:30:00Z", &[])).await.is_empty());
    let error = file.in_zone("Mars/Olympus", &customers()).expect_err("an unknown zone");
    assert!(matches!(error, SourceError::Config { key: "timezone", .. }));
}

#[tokio::test]
async fn unreadable_times_are_seen_by_every_run_and_told() {
    let file = seeded("('a', 'soon', 1, 1), ('b', x'00ff', 1, 1), ('c', '2020-01-01', 1, 1)").await;
    let source = file.source(&customers()).expect("sound settings");
    let selection = Selection { rows: since("2026-01-01T00:00:00Z", &[]), after: None, digester: None };
    let read = chunks(&source, selection).await;
    let told: Vec<_> = read[0].customers().iter().map(|one| (one.bad, one.updated_at)).collect();
    assert_eq!(told, [(Some(Code::BadUpdatedAt), UpdatedAt::Unreadable); 2]);
}

#[tokio::test]
async fn garbage_spoils_its_own_value_only() {
    let file = file().await;
    file.run(
        "CREATE TABLE customers (customer_id TEXT, updated_at TEXT, a REAL, b TEXT, c JSON, d BOOLEAN, e DATE, f); \
         INSERT INTO customers VALUES \
         ('c-1', '2026-01-01', 9e999, CAST(x'ff' AS TEXT), '{', 2, '30/11/2026', x'00'), \
         ('c-2', '2026-01-01', 'high', 'ok', '[null]', 'true', '2026-02-30', -9e999), \
         (CAST(x'fe' AS TEXT), '2026-01-01', 1, 'ok', '[]', 1, '2026-02-28', 1)",
    )
    .await;
    file.run(&format!(
        "INSERT INTO customers VALUES ('c-3', '2026-01-01', -0.0, '{}', '[1]', 0, '2026-02-28', 'x')",
        "y".repeat(5_000_000)
    ))
    .await;
    let columns = ["a", "b", "c", "d", "e", "f"];
    let source = file.source(&sync("table = \"customers\"", &columns)).expect("sound settings");
    let read = lines(&source, Rows::All).await;
    assert_eq!(
        read,
        [
            "c-1 not_finite bad_utf8 bad_json wrong_type wrong_type unreadable",
            "c-2 wrong_type \"ok\" nested_null true wrong_type not_finite",
            "c-3 0 too_long [1] false \"2026-02-28\" \"x\"",
            "\u{fffd} - - - - - -",
        ]
    );
}

#[tokio::test]
async fn one_and_its_text_are_one_customer_where_a_column_holds_both() {
    for declared in ["", "NUMERIC", "BLOB"] {
        let file = file().await;
        file.run(&format!("CREATE TABLE customers (customer_id {declared}, updated_at TEXT, band, score)"))
            .await;
        file.run(
            "INSERT INTO customers VALUES (1, '2026-01-01', 'int', 1), (2, '2026-01-01', 'int', 1), \
             ('1', '2026-01-02', 'text', 1), (x'31', '2026-01-03', 'blob', 1), (10, '2026-01-01', 'int', 1), \
             (1.5, '2026-01-01', 'real', 1)",
        )
        .await;
        let source = file.source(&customers()).expect("sound settings");
        let read = chunks(&source, all()).await;
        let told: Vec<_> = (0..read[0].len())
            .map(|index| (source_suite::line(&read[0], index), read[0].customers()[index].rows))
            .collect();
        let expected = [(" - -", 1), ("1 \"blob\" 1", 3), ("10 \"int\" 1", 1), ("2 \"int\" 1", 1)];
        assert_eq!(told, expected.map(|(line, rows)| (line.to_owned(), rows)), "{declared}");
    }
}

#[tokio::test]
async fn declared_types_decide_what_is_left_as_given() {
    let file = file().await;
    file.run(
        "CREATE TABLE customers (customer_id TEXT, updated_at INTEGER, active BOOLEAN, due DATE, seen DATETIME, \
         clv NUMERIC, tags JSON, photo BLOB); \
         INSERT INTO customers VALUES ('a', 1767344400, 1, '2026-01-02', '2026-01-02 09:00:00', '12.50', '[1]', x'00')",
    )
    .await;
    let columns = ["active", "due", "seen", "clv", "tags", "photo"];
    let source = file.source(&sync("table = \"customers\"", &columns)).expect("sound settings");
    assert_eq!(
        lines(&source, Rows::All).await,
        ["a true \"2026-01-02\" \"2026-01-02T09:00:00Z\" 12.5 [1] unreadable"]
    );
    let description = source.describe().await.expect("a description");
    let kinds: Vec<_> = description.columns[2..].iter().map(|column| column.kind).collect();
    let expected = [Kind::Boolean, Kind::Date, Kind::Timestamp, Kind::Number, Kind::Json, Kind::AsGiven];
    assert_eq!(kinds, expected);
    assert_eq!(description.columns[0].role, Role::Key);
    assert_eq!(description.columns[5].source_type, "NUMERIC");
    let [problem] = description.problems.as_slice() else { panic!("{:?}", description.problems) };
    assert_eq!((problem.column.as_deref(), problem.is_fatal), (Some("photo"), false));
    assert_eq!(source.sample(3).await.expect("a sample").len(), 1);
}

#[tokio::test]
async fn what_may_heal_is_told_from_what_cannot() {
    let file = seeded("('a', '2026-01-01', 1, 1)").await;
    let source = file.source(&customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await.len(), 1);

    // Folds the -wal into the file, so that the file alone is the database.
    file.run("PRAGMA journal_mode = delete").await;
    std::fs::rename(file.path(), file.folder.path().join("elsewhere")).expect("a rename");
    let error = source.read(all()).await.expect_err("no file");
    assert_eq!((error.code(), error.is_retryable()), ("source_unreachable", true));
    assert!(error.to_string().ends_with("warehouse.db does not exist"), "{error}");

    std::fs::create_dir(file.path()).expect("a folder");
    assert!(!source.read(all()).await.expect_err("a folder").is_retryable());
    std::fs::remove_dir(file.path()).expect("the folder goes");

    std::fs::write(file.path(), "not a database, but long enough to be looked at as one".repeat(30))
        .expect("a file");
    let error = source.read(all()).await.expect_err("no database");
    assert_eq!(error, SourceError::Unusable("the file is not a SQLite database".to_owned()));

    std::fs::write(file.path(), "").expect("an empty file");
    assert_eq!(source.read(all()).await.expect_err("no table").code(), "schema_mismatch");
}

#[tokio::test]
async fn a_file_removed_while_read_is_read_to_its_end() {
    let file = file().await;
    seed_many(&file, 13_000).await;
    let source = file.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("the source opens");
    assert_eq!(reading.total(), Some(13_000));
    assert_eq!(reading.ceiling(), utc("2026-11-01T00:00:00Z"));
    std::fs::remove_file(file.path()).expect("the file goes");
    let mut customers = 0;
    while let Some(chunk) = reading.next().await.expect("reads on") {
        customers += chunk.len();
    }
    assert_eq!(customers, 13_000);
}

#[tokio::test]
async fn a_view_that_fails_on_a_row_ends_the_read_without_showing_it() {
    let file = seeded("('a', '2026-01-01', '{\"x\":1}', 1), ('b', '2026-01-01', 'secret value', 1)").await;
    file.run("CREATE VIEW v AS SELECT customer_id, updated_at, json_extract(band, '$.x') AS band, score FROM customers")
        .await;
    let source = file.source(&sync("table = \"v\"", &["band"])).expect("sound settings");
    let mut reading = source.read(all()).await.expect("the source opens");
    let error = reading.next().await.expect_err("a row that fails");
    assert!(!error.is_retryable() && !error.to_string().contains("secret"), "{error}");
}
