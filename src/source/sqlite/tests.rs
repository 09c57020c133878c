use std::collections::HashSet;

use rusqlite::Connection;

use super::*;
use crate::customer::Code;
use crate::source::{Rows, Source};

#[test]
fn a_url_names_a_file() {
    assert_eq!(path(Some("sqlite://data/w.db")), Ok("data/w.db".into()));
    assert_eq!(path(Some("sqlite:///var/w.db")), Ok("/var/w.db".into()));
    for url in
        [None, Some(""), Some("sqlite://"), Some("postgres://h/d"), Some("env:"), Some("env:NOT_SET_HERE")]
    {
        assert!(matches!(path(url), Err(SourceError::Config { key: "url", .. })), "{url:?}");
    }
}

/// A file in rollback-journal mode, where a snapshot that is held keeps writers out.
struct Warehouse {
    _folder: tempfile::TempDir,
    writer: Connection,
    source: Sqlite,
}

fn warehouse(waits: Waits, key_type: &str, key: &str, count: usize) -> Warehouse {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("w.db");
    let writer = Connection::open(&path).expect("a file");
    writer.busy_timeout(Duration::from_secs(20)).expect("a bound on waits");
    let seed = format!(
        "CREATE TABLE customers (id {key_type}, updated_at TEXT, band TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO customers SELECT {key}, '2026-01-02 09:00:00', 'old' FROM n"
    );
    writer.execute_batch(&seed).expect("seeds");
    let settings = format!("kind = \"sqlite\"\nurl = \"sqlite://{}\"", path.display());
    let sync = "id = \"s\"\nsource = \"w\"\ndestination = \"b\"\ntable = \"customers\"\nkey = \"id\"\n\
                updated_at = \"updated_at\"\n[[attributes]]\ncolumn = \"band\"";
    let settings = toml::from_str(&settings).expect("settings");
    let sync = toml::from_str(sync).expect("settings");
    let source = match Source::open(&settings, &sync, Clock::system()).expect("sound settings") {
        Source::Sqlite(source) => source,
        other => panic!("{other:?}"),
    };
    Warehouse { _folder: folder, writer, source: Sqlite { waits, ..source } }
}

const IMPATIENT: Waits = Waits { snapshot: Duration::ZERO, lock: Duration::from_secs(20) };

async fn read_to_end(reading: &mut Reading) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Some(chunk) = reading.next().await.expect("reads on") {
        chunks.push(chunk);
    }
    chunks
}

fn all() -> Selection {
    Selection { rows: Rows::All, after: None, digester: None }
}

#[tokio::test]
async fn a_snapshot_nobody_takes_from_is_let_go_and_taken_up_after_the_last_key() {
    for (key_type, key) in
        [("TEXT PRIMARY KEY", "printf('c-%06d', i)"), ("INTEGER PRIMARY KEY", "i"), ("", "i")]
    {
        let warehouse = warehouse(IMPATIENT, key_type, key, 20_000);
        let mut reading = warehouse.source.read(all()).await.expect("opens");
        let ceiling = reading.ceiling();
        // Commits only once the snapshot is gone; what is ahead of the reader is then read as it is now.
        warehouse.writer.execute("UPDATE customers SET band = 'new'", []).expect("no snapshot is in the way");
        let chunks = read_to_end(&mut reading).await;
        let mut keys = HashSet::new();
        let mut bands = [0, 0];
        for chunk in &chunks {
            for index in 0..chunk.len() {
                assert!(keys.insert(chunk.key(index).to_owned()), "{} came twice", chunk.key(index));
                let band = chunk.json(chunk.cells(index)[0]).expect("a value");
                bands[usize::from(band == b"\"new\"")] += 1;
            }
        }
        // Two chunks wait, a third is in hand when the snapshot goes: 100, 200 and 400 customers.
        assert_eq!((keys.len(), bands), (20_000, [700, 19_300]), "{key_type}");
        assert_eq!(reading.ceiling(), ceiling);
    }
}

/// The nice value of each of this process's threads, with the thread's name.
/// Source: Linux man-pages, proc_pid_stat(5): the seventeenth field after the name.
#[cfg(target_os = "linux")]
fn nice_values() -> Vec<(String, i32)> {
    let nice = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((name.to_owned(), fields.split_whitespace().nth(16)?.parse().ok()?))
    };
    std::fs::read_dir("/proc/self/task").expect("Linux").filter_map(nice).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_system_calls_are_not_filtered_reading_gives_way_and_nothing_else_does() {
    let before = nice_values().into_iter().map(|(_, nice)| nice).min().expect("this thread");
    let warehouse = warehouse(WAITS, "TEXT PRIMARY KEY", "printf('c-%06d', i)", 20_000);
    let mut reading = warehouse.source.read(all()).await.expect("opens");
    let lower = if is_unfiltered() { 5 } else { 0 };
    let (reads, others): (Vec<_>, Vec<_>) = nice_values().into_iter().partition(|(name, _)| name == "source");
    assert!(reads.contains(&("source".to_owned(), before + lower)), "{reads:?}");
    assert!(others.iter().all(|(_, nice)| *nice == before), "{others:?}");
    read_to_end(&mut reading).await;
}

#[tokio::test]
async fn unusable_rows_are_counted_once_however_often_the_snapshot_goes() {
    for key in ["NULL", "' '", "CAST(x'ff' AS TEXT)", "i + 0.5", "x'00'"] {
        for key_type in ["TEXT", "INTEGER", "BLOB"] {
            let warehouse = warehouse(IMPATIENT, key_type, key, 17_000);
            let more =
                "INSERT INTO customers VALUES ('usable', '2026-01-02', 'old'), ('~', '2026-01-02', 'old')";
            warehouse.writer.execute(more, []).expect("seeds");
            let mut reading = warehouse.source.read(all()).await.expect("opens");
            let customers: Vec<Option<Code>> = read_to_end(&mut reading)
                .await
                .iter()
                .flat_map(|chunk| chunk.customers().iter().map(|customer| customer.bad))
                .collect();
            let bad = customers.iter().filter(|bad| **bad == Some(Code::BadKey)).count();
            // As text, x'00' is a letter, and so are the numbers a TEXT column makes of floats.
            let (expected, total) = match (key, key_type) {
                ("x'00'", "BLOB") => (0, 3),
                ("i + 0.5", "TEXT") => (0, 17_002),
                _ => (17_000, 17_002),
            };
            assert_eq!((bad, customers.len()), (expected, total), "{key} in {key_type}");
        }
    }
}

#[tokio::test]
async fn a_file_locked_for_long_is_busy_and_read_again_later() {
    let waits = Waits { lock: Duration::from_millis(20), ..IMPATIENT };
    let warehouse = warehouse(waits, "TEXT", "i", 1);
    warehouse.writer.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    let error = warehouse.source.read(all()).await.expect_err("locked");
    assert_eq!((error.code(), error.is_retryable()), ("source_unreachable", true));
    assert!(matches!(error, SourceError::Busy(_)));
    warehouse.writer.execute_batch("COMMIT").expect("unlocks");
    assert!(warehouse.source.read(all()).await.is_ok());
}

#[tokio::test]
async fn a_dropped_read_interrupts_what_sqlite_is_doing() {
    let waits = Waits { lock: Duration::from_secs(20), ..WAITS };
    let mut warehouse = warehouse(waits, "TEXT", "i", 100);
    // Hours of work before the first row.
    let endless = "CREATE VIEW endless AS SELECT a.id, a.updated_at, a.band FROM customers a, customers b, \
                   customers c, customers d, customers e, customers f, customers g ORDER BY random()";
    warehouse.writer.execute(endless, []).expect("a view");
    let mut mapping = (*warehouse.source.mapping).clone();
    mapping.relation = crate::source::mapping::Relation::Table(vec!["endless".to_owned()]);
    warehouse.source.mapping = Arc::new(mapping);
    let reading = warehouse.source.read(all()).await.expect("opens");
    drop(reading);
    // In this journal mode the statement's lock keeps the writer out until it is interrupted.
    warehouse.writer.execute("DELETE FROM customers", []).expect("the lock is gone");
}
