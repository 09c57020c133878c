//! What every source promises, told once and run against each warehouse.

mod schema;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use peak_braze::config;
use peak_braze::customer::{Cell, Chunk, Code};
use peak_braze::source::{Rows, Selection, Source, SourceError};

pub use schema::*;

/// A warehouse to seed and read.
pub trait Warehouse {
    /// What its columns are called: text, instant, float, decimal, date, boolean, JSON, integer.
    const TYPES: [&'static str; 8];

    /// Whether its timestamps know `infinity`.
    const HAS_INFINITY: bool = true;

    /// Runs statements that seed it.
    fn run(&self, sql: &str) -> impl Future<Output = ()>;

    /// The warehouse as a source for `sync`.
    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError>;
}

/// Settings of a sync that reads `from` (a line of TOML), mapping columns of the suite's table.
pub fn sync(from: &str, columns: &[&str]) -> config::Sync {
    let attributes: String =
        columns.iter().map(|column| format!("[[attributes]]\ncolumn = \"{column}\"\n")).collect();
    let text = format!(
        "id = \"s\"\nsource = \"w\"\ndestination = \"b\"\nkey = \"customer_id\"\nupdated_at = \"updated_at\"\n\
         {from}\n{attributes}"
    );
    toml::from_str(&text).expect("the suite's own settings")
}

/// The suite's table, mapped whole.
pub fn customers() -> config::Sync {
    sync("table = \"customers\"", &["band", "score"])
}

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("the suite's own time")
}

pub fn since(after: &str, also: &[&str]) -> Rows {
    Rows::Since { after: Some(utc(after)), also: keys(also) }
}

pub fn keys(keys: &[&str]) -> Arc<HashSet<String>> {
    Arc::new(keys.iter().map(|key| (*key).to_owned()).collect())
}

pub fn all() -> Selection {
    Selection { rows: Rows::All, after: None, digester: None }
}

pub async fn chunks(source: &Source, selection: Selection) -> Vec<Chunk> {
    let mut reading = source.read(selection).await.expect("the source opens");
    let mut chunks = Vec::new();
    while let Some(chunk) = reading.next().await.expect("the source reads on") {
        chunks.push(chunk);
    }
    assert!(reading.next().await.expect("an end is an end").is_none());
    chunks
}

/// One customer as text: key, then each value's JSON, `-` where absent, the code where it cannot be sent.
pub fn line(chunk: &Chunk, index: usize) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Absent => "-".to_owned(),
        Cell::Invalid(code) => code.as_str().to_owned(),
        cell => String::from_utf8_lossy(chunk.json(*cell).expect("a value")).into_owned(),
    };
    let values = chunk.cells(index).iter().map(value);
    std::iter::once(chunk.key(index).to_owned()).chain(values).collect::<Vec<_>>().join(" ")
}

pub async fn lines(source: &Source, rows: Rows) -> Vec<String> {
    let chunks = chunks(source, Selection { rows, after: None, digester: None }).await;
    chunks.iter().flat_map(|chunk| (0..chunk.len()).map(|index| line(chunk, index))).collect()
}

pub async fn keys_read(source: &Source, selection: Selection) -> Vec<String> {
    let chunks = chunks(source, selection).await;
    chunks.iter().flat_map(|chunk| (0..chunk.len()).map(|index| chunk.key(index).to_owned())).collect()
}

async fn create<W: Warehouse>(warehouse: &W) {
    let [text, instant, float, ..] = W::TYPES;
    warehouse
        .run(&format!(
            "CREATE TABLE customers (customer_id {text}, updated_at {instant}, band {text}, score {float})"
        ))
        .await;
}

async fn seed<W: Warehouse>(warehouse: &W, rows: &[(&str, &str)]) {
    create(warehouse).await;
    for (key, updated_at) in rows {
        warehouse.run(&format!("INSERT INTO customers VALUES ({key}, {updated_at}, 'low', 0.5)")).await;
    }
}

/// `count` customers `c-000000`…, each with one row of the same time.
pub async fn seed_many<W: Warehouse>(warehouse: &W, count: usize) {
    create(warehouse).await;
    for start in (0..count).step_by(500) {
        let rows: Vec<String> = (start..count.min(start + 500))
            .map(|number| format!("('c-{number:06}', '2026-01-02 09:00:00', 'low', 0.5)"))
            .collect();
        warehouse.run(&format!("INSERT INTO customers VALUES {}", rows.join(", "))).await;
    }
}

pub async fn window_begins_right_after_its_edge<W: Warehouse>(warehouse: W) {
    let mut rows = vec![
        ("'before'", "'2026-01-02 08:59:59.999999'"),
        ("'edge'", "'2026-01-02 09:00:00'"),
        ("'just-past'", "'2026-01-02 09:00:00.000001'"),
        ("'far-future'", "'2999-01-01 00:00:00'"),
        ("'unknown'", "NULL"),
    ];
    let mut recent = vec!["far-future", "just-past"];
    if W::HAS_INFINITY {
        rows.extend([("'endless'", "'infinity'"), ("'never'", "'-infinity'")]);
        recent.insert(0, "endless");
    }
    seed(&warehouse, &rows).await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let selection = Selection { rows: since("2026-01-02T09:00:00Z", &[]), after: None, digester: None };
    assert_eq!(keys_read(&source, selection).await, recent);
    let unbounded = Rows::Since { after: None, also: keys(&[]) };
    assert_eq!(lines(&source, unbounded).await.len(), rows.len());
    assert_eq!(lines(&source, Rows::All).await.len(), rows.len());
}

pub async fn row_that_comes_late_is_read_while_the_overlap_covers_it<W: Warehouse>(warehouse: W) {
    seed(&warehouse, &[("'on-time'", "'2026-01-02 09:00:00'")]).await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let overlapped = || since("2026-01-02T08:45:00Z", &[]);
    assert_eq!(lines(&source, overlapped()).await.len(), 1);
    warehouse.run("INSERT INTO customers VALUES ('late', '2026-01-02 08:50:00', 'low', 0.5)").await;
    assert_eq!(lines(&source, overlapped()).await, ["late \"low\" 0.5", "on-time \"low\" 0.5"]);
}

pub async fn rows_of_one_customer_fold_into_its_latest<W: Warehouse>(warehouse: W) {
    create(&warehouse).await;
    warehouse
        .run(
            "INSERT INTO customers VALUES \
             ('c-1', '2026-01-03 09:00:00', 'new', 0.3), ('c-2', '2026-01-01 09:00:00', 'only', 1), \
             ('c-1', '2026-01-01 09:00:00', 'old', 0.1), ('c-1', NULL, 'timeless', 0.9), \
             ('c-3', '2026-01-02 09:00:00', 'b', 1), ('c-3', '2026-01-02 09:00:00', 'a', 1), \
             ('c-1', '2026-01-02 09:00:00', 'mid', 0.2)",
        )
        .await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let read = chunks(&source, all()).await;
    let customers: Vec<(String, u32)> =
        (0..3).map(|index| (line(&read[0], index), read[0].customers()[index].rows)).collect();
    let expected = [("c-1 \"new\" 0.3", 4), ("c-2 \"only\" 1", 1), ("c-3 \"b\" 1", 2)];
    assert_eq!(customers, expected.map(|(line, rows)| (line.to_owned(), rows)));
    assert_eq!(lines(&source, since("2026-01-01T12:00:00Z", &[])).await, ["c-1 \"new\" 0.3", "c-3 \"b\" 1"]);
}

pub async fn unusable_keys_are_seen_by_every_run_each_on_its_own<W: Warehouse>(warehouse: W) {
    let long = format!("'{}'", "x".repeat(988));
    let (old, new) = ("'2020-01-01 00:00:00'", "'2026-02-01 00:00:00'");
    // A database may find an over-long key only where it has changed, rather than by reading all of a table.
    seed(&warehouse, &[("NULL", old), ("NULL", old), ("''", old), ("' '", old), (&long, new), ("'ok'", old)])
        .await;
    let source = warehouse.source(&customers()).expect("sound settings");
    for (rows, expected) in [(since("2026-01-01T00:00:00Z", &[]), 5), (Rows::All, 6)] {
        let read = chunks(&source, Selection { rows, after: None, digester: None }).await;
        assert_eq!(read[0].len(), expected);
        let bad = read[0].customers().iter().filter(|customer| customer.bad == Some(Code::BadKey)).count();
        assert_eq!(bad, 5);
    }
    assert!(
        chunks(&source, Selection { rows: Rows::Only(keys(&["x"])), after: None, digester: None })
            .await
            .is_empty()
    );
}

pub async fn ids_survive_byte_for_byte<W: Warehouse>(warehouse: W) {
    let ids =
        ["'; DROP TABLE customers;--", " lead", "trail ", "É", "é", "日本", "a\nb", "😀", "A", "a", "%_\\"];
    create(&warehouse).await;
    for id in ids {
        let quoted = id.replace('\'', "''");
        warehouse
            .run(&format!("INSERT INTO customers VALUES ('{quoted}', '2026-01-02 09:00:00', 'low', 0.5)"))
            .await;
    }
    let source = warehouse.source(&customers()).expect("sound settings");
    let read: HashSet<String> = keys_read(&source, all()).await.into_iter().collect();
    assert_eq!(read, ids.iter().map(|id| (*id).to_owned()).collect());
    let also = ids.iter().map(|id| (*id).to_owned()).collect();
    let only =
        keys_read(&source, Selection { rows: Rows::Only(Arc::new(also)), after: None, digester: None }).await;
    assert_eq!(only.len(), ids.len());
}

pub async fn named_customers_are_read_whatever_their_time<W: Warehouse>(warehouse: W) {
    let rows = [
        ("'a'", "'2020-01-01 00:00:00'"),
        ("'b'", "NULL"),
        ("'c'", "'2026-06-01 00:00:00'"),
        ("'d'", "'2020-01-01 00:00:00'"),
    ];
    seed(&warehouse, &rows).await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let delta = Selection {
        rows: since("2026-01-01T00:00:00Z", &["a", "b", "not there"]),
        after: None,
        digester: None,
    };
    assert_eq!(keys_read(&source, delta).await, ["a", "b", "c"]);
    let only = Selection { rows: Rows::Only(keys(&["b", "d"])), after: None, digester: None };
    assert_eq!(keys_read(&source, only).await, ["b", "d"]);
}

pub async fn integer_keys_are_read_as_decimal_text<W: Warehouse>(warehouse: W) {
    let integer = W::TYPES[7];
    let [text, instant, ..] = W::TYPES;
    warehouse
        .run(&format!(
            "CREATE TABLE customers (customer_id {integer}, updated_at {instant}, band {text}, score {integer})"
        ))
        .await;
    warehouse
        .run(
            "INSERT INTO customers VALUES (10, '2020-01-01', 'x', 1), (9, '2020-01-01', 'x', 1), \
             (-1, '2020-01-01', 'x', 1), (9223372036854775807, '2026-01-01', 'x', 9007199254740993)",
        )
        .await;
    let source = warehouse.source(&customers()).expect("sound settings");
    assert_eq!(
        lines(&source, Rows::All).await.into_iter().collect::<HashSet<_>>(),
        ["-1 \"x\" 1", "9 \"x\" 1", "10 \"x\" 1", "9223372036854775807 \"x\" 9007199254740993"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(lines(&source, since("2025-01-01T00:00:00Z", &["10"])).await.len(), 2);
    let read = chunks(&source, all()).await;
    for index in 0..4 {
        let after = read[0].position(index);
        assert_eq!(
            keys_read(&source, Selection { rows: Rows::All, after, digester: None }).await.len(),
            3 - index
        );
    }
}

pub async fn types_arrive_exact<W: Warehouse>(warehouse: W) {
    let [text, instant, float, decimal, date, boolean, json, integer] = W::TYPES;
    warehouse
        .run(&format!(
            "CREATE TABLE customers (customer_id {text}, updated_at {instant}, name {text}, seen {instant}, \
             score {float}, clv {decimal}, due {date}, active {boolean}, products {json}, orders {integer})"
        ))
        .await;
    warehouse
        .run(
            "INSERT INTO customers VALUES \
             ('c-1', '2026-01-02 09:00:00', 'Zoë \"Z\"', '2026-01-02 09:00:00.5', 0.1, 12.50, '2026-11-30', true, \
              '[\"a\", \"b c\"]', 9007199254740993), \
             ('c-2', '2026-01-02 09:00:00', '', NULL, 1e300, -0.01, '1999-12-31', false, '{\"a\": [1.5]}', -1), \
             ('c-3', '2026-01-02 09:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    let columns = ["name", "seen", "score", "clv", "due", "active", "products", "orders"];
    let source = warehouse.source(&sync("table = \"customers\"", &columns)).expect("sound settings");
    let expected = [
        "c-1 \"Zoë \\\"Z\\\"\" \"2026-01-02T09:00:00.500Z\" 0.1 12.5 \"2026-11-30\" true [\"a\",\"b c\"] 9007199254740993",
        "c-2 \"\" null 1e300 -0.01 \"1999-12-31\" false {\"a\":[1.5]} -1",
        "c-3 null null null null null null null null",
    ];
    let read = lines(&source, Rows::All).await;
    assert_eq!(read.iter().map(|line| line.replace("1e+300", "1e300")).collect::<Vec<_>>(), expected);
}

pub async fn reading_goes_on_after_any_position<W: Warehouse>(warehouse: W) {
    seed_many(&warehouse, 9_000).await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let read = chunks(&source, all()).await;
    assert!(read.len() >= 3 && read.iter().all(|chunk| chunk.len() <= 4_000));
    let whole: Vec<String> = keys_read(&source, all()).await;
    assert_eq!((whole.len(), whole.is_sorted()), (9_000, true));
    let mut before = 0;
    for chunk in &read {
        before += chunk.len();
        let after = chunk.position(chunk.len() - 1);
        assert_eq!(
            keys_read(&source, Selection { rows: Rows::All, after, digester: None }).await,
            whole[before..]
        );
    }
}

pub async fn a_read_sees_one_moment<W: Warehouse>(warehouse: W) {
    seed_many(&warehouse, 9_000).await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("the source opens");
    let first = reading.next().await.expect("reads").expect("a first chunk");
    warehouse.run("UPDATE customers SET band = 'changed'").await;
    warehouse.run("DELETE FROM customers WHERE customer_id > 'c-008000'").await;
    let mut customers = first.len();
    while let Some(chunk) = reading.next().await.expect("reads on") {
        customers += chunk.len();
        assert!((0..chunk.len()).all(|index| line(&chunk, index).ends_with("\"low\" 0.5")));
    }
    assert_eq!(customers, 9_000);
}

pub async fn a_dropped_read_lets_the_source_go<W: Warehouse>(warehouse: W) {
    seed_many(&warehouse, 13_000).await;
    let source = warehouse.source(&customers()).expect("sound settings");
    let mut reading = source.read(all()).await.expect("the source opens");
    assert!(reading.next().await.expect("reads").is_some());
    drop(reading);
    // Waits for every lock the read held, and fails if they stay.
    warehouse.run("DROP TABLE customers").await;
}

/// Makes one test of every promise; `$start` makes an empty warehouse.
#[macro_export]
macro_rules! source_suite {
    ($start:expr) => {
        $crate::source_suite!($start;
            window_begins_right_after_its_edge
            row_that_comes_late_is_read_while_the_overlap_covers_it
            rows_of_one_customer_fold_into_its_latest
            unusable_keys_are_seen_by_every_run_each_on_its_own
            ids_survive_byte_for_byte
            named_customers_are_read_whatever_their_time
            integer_keys_are_read_as_decimal_text
            types_arrive_exact
            reading_goes_on_after_any_position
            a_read_sees_one_moment
            a_dropped_read_lets_the_source_go
            a_schema_that_does_not_fit_is_told_before_any_row
            views_and_queries_are_read_like_tables
            a_query_that_writes_is_refused
            names_that_need_quoting_are_refused
        );
    };
    ($start:expr; $($promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::source_suite::$promise($start.await).await;
            }
        )*
    };
}
