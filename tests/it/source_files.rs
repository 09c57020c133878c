//! Files as a source: the suite, against what DuckDB exports, and what only files can do to us.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use peak_braze::clock::Clock;
use peak_braze::config::{self, AttributeType};
use peak_braze::source::{Rows, Selection, Source, SourceError};

use crate::source_suite::{Warehouse, all, customers, keys_read, lines, since, sync, utc};
use crate::support::python::run_script;

/// A folder with an export, which follows the SQL that is run once a source was opened.
struct Folder {
    folder: tempfile::TempDir,
    file: &'static str,
    sql: Mutex<String>,
}

fn folder(file: &'static str) -> Folder {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Folder { folder, file, sql: Mutex::default() }
}

fn settings(url: &str) -> config::Source {
    toml::from_str(&format!("kind = \"files\"\nurl = \"{url}\"")).expect("the test's own settings")
}

impl Folder {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    fn open(&self, pattern: &str, sync: &config::Sync) -> Result<Source, SourceError> {
        let url = format!("files://{}/{pattern}", self.path().display());
        Source::open(&settings(&url), sync, Clock::manual(utc("2026-11-01T00:00:00Z")))
    }

    fn export(&self) {
        let sql = self.sql.lock().expect("no holder panics");
        if !sql.is_empty() {
            run_script("export.py", &[&self.path().join(self.file).display().to_string()], &sql);
        }
    }

    /// CSV has no types: the mapping gives those that are not text.
    fn typed(sync: &config::Sync) -> config::Sync {
        let mut sync = sync.clone();
        for attribute in &mut sync.attributes {
            attribute.kind = match attribute.column.as_str() {
                "score" | "clv" | "orders" => Some(AttributeType::Number),
                _ => attribute.kind,
            };
        }
        sync
    }
}

impl Warehouse for Folder {
    const TYPES: [&'static str; 8] =
        ["VARCHAR", "TIMESTAMP", "DOUBLE", "DECIMAL(12,2)", "DATE", "BOOLEAN", "JSON", "BIGINT"];
    const HAS_INFINITY: bool = false;

    async fn run(&self, sql: &str) {
        self.sql.lock().expect("no holder panics").push_str(&format!("{sql};"));
        if self.path().join(self.file).exists() {
            self.export();
        }
    }

    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError> {
        self.export();
        match self.file.ends_with(".parquet") {
            true => self.open(self.file, sync),
            false => self.open(self.file, &Self::typed(sync)),
        }
    }
}

macro_rules! exports {
    ($name:ident, $file:literal) => {
        mod $name {
            use super::folder;

            crate::source_suite!(async { folder($file) };
                window_begins_right_after_its_edge
                row_that_comes_late_is_read_while_the_overlap_covers_it
                rows_of_one_customer_fold_into_its_latest
                unusable_keys_are_seen_by_every_run_each_on_its_own
                ids_survive_byte_for_byte
                named_customers_are_read_whatever_their_time
                integer_keys_are_read_as_decimal_text
                reading_goes_on_after_any_position
                a_read_sees_one_moment
                names_that_need_quoting_are_refused
            );
        }
    };
}

exports!(csv, "export.csv");
exports!(zipped, "export.csv.gz");
#[cfg(feature = "parquet")]
exports!(parquet, "export.parquet");

#[cfg(feature = "parquet")]
mod typed {
    use super::folder;

    crate::source_suite!(async { folder("export.parquet") }; types_arrive_exact);
}

const HEADER: &str = "customer_id,updated_at,band,score\n";

fn csv(rows: &str) -> String {
    format!("{HEADER}{rows}")
}

async fn read(source: &Source) -> Result<Vec<String>, SourceError> {
    let mut reading = source.read(all()).await?;
    let mut keys = Vec::new();
    while let Some(chunk) = reading.next().await? {
        keys.extend((0..chunk.len()).map(|index| chunk.key(index).to_owned()));
    }
    Ok(keys)
}

async fn refusal(name: &str, bytes: impl AsRef<[u8]>) -> SourceError {
    let folder = folder("");
    folder.put(name, bytes);
    let source = folder.open("*", &customers()).expect("sound settings");
    read(&source).await.expect_err("a file that cannot be trusted")
}

#[tokio::test]
async fn csv_without_types_gives_strings_and_empty_is_null() {
    let folder = folder("");
    folder.put("a.csv", csv("c-1,2026-01-02 09:00:00,low,0.5\nc-2,2026-01-02 09:00:00,,\\N\n"));
    let source = folder.open("*.csv", &customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["c-1 \"low\" \"0.5\"", "c-2 null null"]);
}

#[tokio::test]
async fn types_of_the_mapping_are_read_out_of_text() {
    let folder = folder("");
    let text = "customer_id,updated_at,a,b,c,d,e\n\
                c-1,1767344401,12.50,true,2026-11-30,2026-01-02 09:00:00.5,\"[\"\"x\"\"]\"\n\
                c-2,2026-01-02,NaN,2,30/11/2026,soon,{\n";
    folder.put("a.csv", text);
    let mut sync = sync("table = \"t\"", &["a", "b", "c", "d", "e"]);
    let kinds = [
        AttributeType::Number,
        AttributeType::Boolean,
        AttributeType::Date,
        AttributeType::Timestamp,
        AttributeType::Json,
    ];
    for (attribute, kind) in sync.attributes.iter_mut().zip(kinds) {
        attribute.kind = Some(kind);
    }
    let source = folder.open("a.csv", &sync).expect("sound settings");
    let read = lines(&source, Rows::All).await;
    assert_eq!(read[0], "c-1 12.5 true \"2026-11-30\" \"2026-01-02T09:00:00.500Z\" [\"x\"]");
    assert!(read[1].split(' ').skip(1).all(|value| !value.starts_with(['"', '[', '{'])), "{}", read[1]);
}

#[tokio::test]
async fn all_files_that_match_are_one_table_whatever_the_order_of_their_columns() {
    let folder = folder("");
    folder.put("part-1.csv", csv("c-1,2026-01-01,old,1\nc-2,2026-01-01,b,2\n"));
    folder.put("part-2.csv", "score,unused,CUSTOMER_ID,band,updated_at\n9,x,c-1,new,2026-01-05\n");
    folder.put(".part-3.csv", csv("hidden,2026-01-01,x,1\n"));
    folder.put("part-4.csv.tmp", csv("unfinished,2026-01-01,x,1\n"));
    let source = folder.open("part-*.csv", &customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["c-1 \"new\" \"9\"", "c-2 \"b\" \"2\""]);
    assert_eq!(lines(&source, since("2026-01-02T00:00:00Z", &[])).await, ["c-1 \"new\" \"9\""]);
}

#[tokio::test]
async fn a_query_reads_the_table_files() {
    let folder = folder("");
    folder.put("a.tsv", "id\twhen\tband\tscore\nc-1\t2026-01-02\tlow\t3\nc-2\t2026-01-02\tlow\t5\n");
    let query = "query = \"SELECT id AS customer_id, \\\"when\\\" AS updated_at, band, score * 2 AS score \
                 FROM files WHERE score > 4\"";
    let source = folder.open("*.tsv", &sync(query, &["band", "score"])).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["c-2 \"low\" 10"]);
}

#[tokio::test]
async fn a_byte_order_mark_and_other_line_ends_change_nothing() {
    let folder = folder("");
    folder.put("a.csv", format!("\u{feff}{}", csv("c-1,2026-01-02,low,1\n").replace('\n', "\r\n")));
    let source = folder.open("*.csv", &customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["c-1 \"low\" \"1\""]);
}

#[tokio::test]
async fn bytes_that_are_no_text_spoil_their_own_value_only() {
    let folder = folder("");
    let mut bytes = csv("c-1,2026-01-02,").into_bytes();
    bytes.extend_from_slice(b"\xff,1\n\xfe,2026-01-02,low,1\n");
    folder.put("a.csv", bytes);
    let source = folder.open("*.csv", &customers()).expect("sound settings");
    let read = lines(&source, Rows::All).await;
    assert!(read.contains(&"c-1 bad_utf8 \"1\"".to_owned()), "{read:?}");
    assert_eq!(read.len(), 2);
}

#[tokio::test]
async fn a_file_still_being_written_is_tried_again() {
    let cut = refusal("a.csv", csv("c-1,2026-01-02,low,1\nc-2,2026-")).await;
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(csv("c-1,2026-01-02,low,1\n").as_bytes()).expect("memory");
    let zip = zip.finish().expect("memory");
    let cut_zip = refusal("a.csv.gz", &zip[..zip.len() - 9]).await;
    let empty = refusal("a.csv", "").await;
    for error in [cut, cut_zip, empty] {
        assert!(error.is_retryable() && error.code() == "source_unreachable", "{error}");
    }
}

#[tokio::test]
async fn a_file_taken_apart_wrongly_is_refused_whole_and_its_line_is_named() {
    let short = refusal("a.csv", csv("c-1,2026-01-02,low,1\nc-2,2026-01-02\nc-3,2026-01-02,low,1\n")).await;
    assert!(short.to_string().contains("line 3") && !short.to_string().contains("c-2"), "{short}");
    let long = refusal("a.csv", csv("c-1,2026-01-02,low,1,2\n")).await;
    assert!(long.to_string().contains("5 values in line 2 under 4 names"), "{long}");
    let open = refusal("a.csv", csv(&format!("c-1,2026-01-02,\"low,1\n{}", "x,".repeat(20_000_000)))).await;
    assert!(open.to_string().contains("quotation mark"), "{open}");
    let no_zip = refusal("a.csv.gz", csv("c-1,2026-01-02,low,1\n")).await;
    for error in [short, long, open, no_zip] {
        assert!(!error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn a_column_that_is_missing_is_named_with_the_nearest() {
    let folder = folder("");
    folder.put("a.csv", "customer_id,updated_at,bnad,score\nc-1,2026-01-02,low,1\n");
    let source = folder.open("*.csv", &customers()).expect("sound settings");
    let error = read(&source).await.expect_err("a column is missing");
    assert!(error.to_string().contains("column band") && error.to_string().contains("bnad"), "{error}");
    folder.put("a.csv", csv("c-1,2026-01-02,low,1\n"));
    folder.put("b.csv", "customer_id,updated_at,score\nc-1,2026-01-02,1\n");
    let error = read(&source).await.expect_err("the second file lacks a column");
    assert!(error.to_string().contains("b.csv, column band"), "{error}");
    folder.put("b.csv", "customer_id,updated_at,band,score,Band\nc-1,2026-01-02,x,1,y\n");
    std::fs::remove_file(folder.path().join("a.csv")).expect("it was there");
    let error = read(&source).await.expect_err("a name stands twice");
    assert!(error.to_string().contains("given twice"), "{error}");
    assert_eq!(error.code(), "schema_mismatch");
}

#[tokio::test]
async fn no_file_yet_is_worth_another_try_and_nonsense_is_not() {
    let folder = folder("");
    let source = folder.open("*.csv", &customers()).expect("sound settings");
    let error = read(&source).await.expect_err("no file");
    assert!(error.is_retryable() && error.to_string().contains("no file matches"), "{error}");
    let refused = |url: &str, from: &str| {
        let sync = sync(from, &["band"]);
        Source::open(&settings(url), &sync, Clock::system()).expect_err("settings that cannot work")
    };
    for (url, from) in [
        ("files://", "table = \"t\""),
        ("files://[", "table = \"t\""),
        ("s3://bucket", "table = \"t\""),
        ("files://a.csv", "table = \"a.t\""),
        ("files://a.csv", "table = \"sqlite_t\""),
    ] {
        assert!(matches!(refused(url, from), SourceError::Config { .. }), "{url} {from}");
    }
    folder.put("a.xlsx", "");
    let source = folder.open("*", &customers()).expect("sound settings");
    assert!(matches!(read(&source).await, Err(SourceError::Config { key: "url", .. })));
}

#[tokio::test]
async fn a_copy_goes_with_its_read_and_what_a_dead_process_left_goes_with_the_next() {
    let folder = folder("");
    folder.put("a.csv", csv("c-1,2026-01-02,low,1\n"));
    let orphan = tempfile::Builder::new().prefix("peak-braze-files-").tempdir().expect("a folder").keep();
    std::fs::write(orphan.join("lock"), "").expect("a file");
    let source = folder.open("*.csv", &customers()).expect("sound settings");
    let held: HashSet<PathBuf> = copies();
    let reading = source.read(all()).await.expect("the source opens");
    assert!(!orphan.exists());
    let ours: Vec<PathBuf> = copies().difference(&held).cloned().collect();
    assert!(!ours.is_empty());
    drop(reading);
    assert_eq!(keys_read(&source, Selection { rows: Rows::All, after: None, digester: None }).await, ["c-1"]);
}

fn copies() -> HashSet<PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).expect("a temporary folder").flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("peak-braze-files-"));
    ours.map(|entry| entry.path()).collect()
}
