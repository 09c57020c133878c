//! Cells as we read them, beside Snowflake's own connector: an outside check of the decoding.

use peak_braze::clock::Clock;
use peak_braze::customer::UpdatedAt;
use peak_braze::source::{Rows, Source};
use serde_json::json;

use crate::source_suite::{all, chunks, lines, sync};
use crate::support::python::run_script;
use crate::support::snowflake_wire::{Table, Wire};

/// Type, scale, cell.
type Told = (&'static str, u32, &'static str);

const CELLS: [Told; 13] = [
    ("FIXED", 0, "0"),
    ("FIXED", 0, "-9223372036854775808"),
    ("FIXED", 0, "99999999999999999999999999999999999999"),
    ("FIXED", 2, "12345678901234567.89"),
    ("FIXED", 2, "-0.01"),
    ("FIXED", 37, "1.2345678901234567890123456789012345678"),
    ("REAL", 0, "0.1"),
    ("REAL", 0, "-1.25"),
    ("REAL", 0, "1e-5"),
    ("DATE", 0, "0"),
    ("DATE", 0, "-719162"),
    ("DATE", 0, "20575"),
    ("DATE", 0, "376200"),
];

const INSTANTS: [Told; 12] = [
    ("TIMESTAMP_NTZ", 9, "1767344400.123456789"),
    ("TIMESTAMP_NTZ", 9, "0.000000000"),
    ("TIMESTAMP_NTZ", 3, "1767344400.500"),
    ("TIMESTAMP_NTZ", 0, "1767344400"),
    ("TIMESTAMP_NTZ", 9, "-2.000000000"),
    ("TIMESTAMP_NTZ", 9, "-1.500000000"),
    ("TIMESTAMP_NTZ", 9, "-62135596800.000000000"),
    ("TIMESTAMP_LTZ", 9, "1767344400.999999000"),
    ("TIMESTAMP_TZ", 9, "1767344400.000000000 1440"),
    ("TIMESTAMP_TZ", 9, "1767344400.250000000 1500"),
    ("TIMESTAMP_TZ", 6, "1767344400.250000 720"),
    ("TIMESTAMP_TZ", 9, "253370764800.000000000 2280"),
];

/// What Snowflake's own connector makes of the cells.
fn as_the_connector_reads(cells: &[Told]) -> Vec<String> {
    let read = run_script("snowflake_cells.py", &[], &json!(cells).to_string());
    serde_json::from_str(&read).expect("a list of texts")
}

/// A source whose only row holds the cell as its time, or as the value of its one attribute.
async fn source(cell: Told, is_time: bool) -> (Wire, Source, tempfile::TempDir) {
    let (kind, scale, text) = cell;
    let declared = format!("{kind}:{scale}");
    let (time, value) = if is_time { (declared.as_str(), "TEXT") } else { ("TEXT", declared.as_str()) };
    let columns = [("CUSTOMER_ID", "TEXT"), ("UPDATED_AT", time), ("V", value)];
    let row = if is_time { json!(["a", text, "x", "1"]) } else { json!(["a", "2026-01-01", text]) };
    let wire = Wire::start(Table::new(&columns, vec![row]), |_| None).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-the-tests").expect("written");
    let settings = format!(
        "kind = \"snowflake\"\naccount = \"a\"\nbase_url = \"{}\"\ntoken = \"file:{}\"",
        wire.url(),
        token.display()
    );
    let settings = toml::from_str(&settings).expect("the test's own settings");
    let source =
        Source::open(&settings, &sync("table = \"t\"", &["v"]), Clock::system()).expect("sound settings");
    (wire, source, folder)
}

#[tokio::test]
async fn instants_are_those_the_connector_reads() {
    for (cell, expected) in INSTANTS.into_iter().zip(as_the_connector_reads(&INSTANTS)) {
        let (_wire, source, _folder) = source(cell, true).await;
        let read = chunks(&source, all()).await;
        let expected = UpdatedAt::At(expected.parse().expect("microseconds"));
        assert_eq!(read[0].customers()[0].updated_at, expected, "{cell:?}");
    }
}

#[tokio::test]
async fn numbers_and_dates_are_those_the_connector_reads() {
    for (cell, expected) in CELLS.into_iter().zip(as_the_connector_reads(&CELLS)) {
        let (_wire, source, _folder) = source(cell, false).await;
        let read = lines(&source, Rows::All).await;
        let read = read[0].strip_prefix("a ").expect("the key").trim_matches('"');
        match cell.0 {
            "REAL" => assert_eq!(read.parse::<f64>(), expected.parse::<f64>(), "{cell:?}"),
            _ => assert_eq!(read, expected, "{cell:?}"),
        }
    }
}
