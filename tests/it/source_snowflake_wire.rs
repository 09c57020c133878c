//! Snowflake on the wire: context, waits, parts and refusals, told against a stand-in that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peak_braze::clock::Clock;
use peak_braze::source::{Reading, Rows, Selection, Source, SourceError};
use serde_json::{Value, json};

use crate::source_suite::{all, customers, keys, keys_read, lines, since, sync};
use crate::support::snowflake_wire::{COLUMNS, Reply, Seen, Table, Token, Wire, open, rows, scripted};

/// Requests that run the statement which reads rows.
fn reads(wire: &Wire) -> Vec<Seen> {
    wire.seen().into_iter().filter(Seen::is_read).collect()
}

#[tokio::test]
async fn a_statement_runs_in_its_context_and_under_bounds() {
    let (wire, source, _token) = scripted(|_| None).await;
    assert_eq!(lines(&source, Rows::All).await, ["a \"low\" 0.5", "b \"low\" 0.5"]);
    let read = &reads(&wire)[0];
    assert_eq!((read.method.as_str(), read.path.as_str()), ("POST", "/api/v2/statements"));
    assert_eq!(
        (&read.body["warehouse"], &read.body["role"], &read.body["database"], &read.body["schema"]),
        (&json!("COMPUTE_WH"), &json!("Reader"), &json!("ANALYTICS"), &Value::Null)
    );
    assert_eq!(read.body["timeout"], 1800);
    let parameters = &read.body["parameters"];
    assert_eq!((&parameters["QUERY_TAG"], &parameters["TIMEZONE"]), (&json!("peak-braze"), &json!("UTC")));
    assert_eq!(
        (&parameters["ROWS_PER_RESULTSET"], &parameters["MULTI_STATEMENT_COUNT"]),
        (&json!(0), &json!("1"))
    );
    let ids: Vec<_> =
        wire.seen().iter().filter_map(|seen| seen.parameter("requestId").map(str::to_owned)).collect();
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (3, 3));
}

#[tokio::test]
async fn values_are_bound_never_written_into_the_statement() {
    let columns =
        [("CUSTOMER_ID", "TEXT"), ("UPDATED_AT", "TIMESTAMP_NTZ:9"), ("BAND", "TEXT"), ("SCORE", "REAL")];
    let wire = Wire::start(Table::new(&columns, Vec::new()), |_| None).await;
    let token = Token::new("s3cret-token");
    let source = open(&wire, &token.setting(), &customers(), Clock::system()).expect("sound settings");
    let odd = "'; DROP TABLE x; --\"\\";
    let selection = Selection { rows: since("2026-01-02T09:00:00Z", &[odd]), after: None, digester: None };
    assert!(keys_read(&source, selection).await.is_empty());
    let read = &reads(&wire)[0];
    assert!(!read.sql().contains("DROP"), "{}", read.sql());
    let bound = &read.body["bindings"];
    assert_eq!(bound["1"], json!({"type": "TEXT", "value": json!([odd]).to_string()}));
    assert_eq!(bound["2"], json!({"type": "TIMESTAMP_NTZ", "value": "1767344400000000000"}));
    assert_eq!(bound.as_object().expect("bindings").len(), read.sql().matches('?').count());
}

#[tokio::test]
async fn the_statements_sent_are_these() {
    let columns = [
        ("CUSTOMER_ID", "TEXT"),
        ("UPDATED_AT", "TIMESTAMP_TZ:9"),
        ("BAND", "VARIANT"),
        ("SCORE", "FIXED:2"),
    ];
    let wire = Wire::start(Table::new(&columns, Vec::new()), |_| None).await;
    let token = Token::new("s3cret-token");
    let source = open(&wire, &token.setting(), &customers(), Clock::system()).expect("sound settings");
    let after = Some(peak_braze::customer::Position::Text("k".to_owned()));
    for (rows, after) in [
        (Rows::All, None),
        (Rows::All, after.clone()),
        (since("2026-01-02T09:00:00Z", &[]), None),
        (since("2026-01-02T09:00:00Z", &["a"]), after),
        (Rows::Only(keys(&["a"])), None),
    ] {
        assert!(keys_read(&source, Selection { rows, after, digester: None }).await.is_empty());
    }
    let mut sent: Vec<String> =
        wire.seen().iter().map(|seen| seen.sql().to_owned()).filter(|sql| !sql.is_empty()).collect();
    sent.sort();
    sent.dedup();
    insta::assert_snapshot!(sent.join("\n"));
}

#[tokio::test]
async fn a_statement_under_way_is_looked_at_until_its_result_stands() {
    let looks = AtomicUsize::new(0);
    let (wire, source, _token) = scripted(move |seen| {
        let running = json!({"code": "333334", "message": "in progress", "statementHandle": "handle-1"});
        match seen.method.as_str() {
            "POST" if seen.is_read() => Some(Reply::Json(202, running)),
            "GET" if seen.path.ends_with("/handle-1") && looks.fetch_add(1, Ordering::Relaxed) < 3 => {
                Some(Reply::Json(202, running))
            }
            _ => None,
        }
    })
    .await;
    assert_eq!(lines(&source, Rows::All).await.len(), 2);
    let looks = wire.seen().iter().filter(|seen| seen.method == "GET").count();
    assert_eq!(looks, 4);
    assert!(
        !wire.seen().iter().any(|seen| seen.path.ends_with("/cancel")),
        "a result that stands is not cancelled"
    );
}

#[tokio::test]
async fn a_read_given_up_cancels_its_statement() {
    let running = || json!({"code": "333334", "message": "in progress", "statementHandle": "handle-1"});
    let (wire, source, _token) = scripted(move |seen| {
        let is_busy = seen.is_read() || seen.path.ends_with("/handle-1");
        is_busy.then(|| Reply::Json(202, running()))
    })
    .await;
    tokio::select! {
        read = source.read(all()) => panic!("it never ends: {read:?}"),
        () = wire.until(2, |seen| seen.method == "GET") => {}
    }
    wire.until(1, |seen| seen.path == "/api/v2/statements/handle-1/cancel").await;
    let cancel = wire.seen().pop().expect("a request");
    assert_eq!((cancel.method.as_str(), cancel.authorization.as_str()), ("POST", "Bearer s3cret-token"));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_as_the_same_request() {
    let tries = AtomicUsize::new(0);
    let (wire, source, _token) = scripted(move |seen| {
        let reply = match tries.fetch_add(usize::from(seen.is_read()), Ordering::Relaxed) {
            0 => Reply::Throttle(429, 0),
            1 => Reply::Throttle(503, 0),
            2 => Reply::Cut,
            3 => Reply::Json(504, json!({})),
            _ => return None,
        };
        seen.is_read().then_some(reply)
    })
    .await;
    assert_eq!(lines(&source, Rows::All).await.len(), 2);
    let reads = reads(&wire);
    assert_eq!(reads.len(), 5);
    assert!(reads.iter().all(|read| read.parameter("requestId") == reads[0].parameter("requestId")));
    let repeats: Vec<bool> = reads.iter().map(|read| read.parameter("retry") == Some("true")).collect();
    assert_eq!(repeats, [false, true, true, true, true]);
}

#[tokio::test]
async fn tries_have_an_end_and_the_run_may_begin_anew() {
    let (wire, source, _token) = scripted(|seen| seen.is_read().then_some(Reply::Throttle(503, 0))).await;
    let error = source.read(all()).await.expect_err("out of order");
    assert_eq!((error.code(), error.is_retryable()), ("source_unreachable", true));
    assert_eq!(reads(&wire).len(), 6);
    let started = std::time::Instant::now();
    let (_wire, source, _token) = scripted(|seen| {
        let is_first = seen.parameter("retry").is_none();
        (seen.is_read() && is_first).then_some(Reply::Throttle(429, 1))
    })
    .await;
    assert_eq!(lines(&source, Rows::All).await.len(), 2);
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After is kept to");
}

#[tokio::test]
async fn no_snowflake_at_all_is_told_from_one_that_refuses() {
    let (wire, source, _token) = scripted(|_| None).await;
    drop(wire);
    let error = source.read(all()).await.expect_err("nobody there");
    assert_eq!((error.code(), error.is_retryable()), ("source_unreachable", true));
    assert_eq!(error.to_string(), "Snowflake cannot be reached");
}

/// Parts of a hundred rows each, and how many of them were fetched.
fn in_parts(parts: usize) -> Table {
    Table::in_parts(&COLUMNS, vec![100; parts], |part| {
        let keys: Vec<String> = (0..100).map(|row| format!("c-{:06}", part * 100 + row)).collect();
        rows(&keys.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

async fn source_in_parts(
    parts: usize,
    script: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
) -> (Wire, Source, Token) {
    let wire = Wire::start(in_parts(parts), script).await;
    let token = Token::new("s3cret-token");
    let source = open(&wire, &token.setting(), &customers(), Clock::system()).expect("sound settings");
    (wire, source, token)
}

#[tokio::test]
async fn parts_are_read_in_order_and_fetched_no_further_ahead_than_one() {
    let (wire, source, _token) = source_in_parts(400, |_| None).await;
    let fetched = || wire.seen().iter().filter(|seen| seen.parameter("partition").is_some()).count();
    let mut reading = source.read(all()).await.expect("opens");
    assert_eq!(reading.total(), Some(40_000));
    let (mut chunks, mut read, mut last) = (0, 0, String::new());
    while let Some(chunk) = reading.next().await.expect("reads on") {
        chunks += 1;
        // Two chunks may wait, one may be offered and one in the making; a part is in hand and one on its way.
        assert!(fetched() <= (chunks + 4) * 40 + 2, "{} parts were fetched by chunk {chunks}", fetched());
        assert!(chunk.len() <= 4_000 && chunk.key(0) > last.as_str());
        read += chunk.len();
        chunk.key(chunk.len() - 1).clone_into(&mut last);
    }
    assert_eq!((read, last.as_str(), fetched()), (40_000, "c-039999", 399));
}

/// How many customers came before the error that must come.
async fn read_until_error(mut reading: Reading) -> (usize, SourceError) {
    let mut read = 0;
    loop {
        match reading.next().await {
            Ok(chunk) => read += chunk.expect("the end is not reached").len(),
            Err(error) => return (read, error),
        }
    }
}

#[tokio::test]
async fn a_part_that_is_cut_off_is_fetched_again_and_a_short_one_is_no_part() {
    let cuts = AtomicUsize::new(0);
    let (wire, source, _token) = source_in_parts(3, move |seen| {
        let is_second = seen.parameter("partition") == Some("1");
        (is_second && cuts.fetch_add(1, Ordering::Relaxed) == 0).then_some(Reply::Cut)
    })
    .await;
    assert_eq!(keys_read(&source, all()).await.len(), 300);
    assert_eq!(wire.seen().iter().filter(|seen| seen.parameter("partition") == Some("1")).count(), 2);

    let (_wire, source, _token) = source_in_parts(3, |seen| {
        let is_last = seen.parameter("partition") == Some("2");
        is_last.then(|| Reply::Json(200, json!({"data": rows(&["c-000200"])})))
    })
    .await;
    let (_, error) = read_until_error(source.read(all()).await.expect("opens")).await;
    assert_eq!(
        (error.is_retryable(), error.to_string().as_str()),
        (true, "Snowflake's answer is incomplete")
    );
}

#[tokio::test]
async fn a_result_that_is_gone_ends_the_read_which_goes_on_after_the_last_key() {
    let (_wire, source, _token) = source_in_parts(100, |seen| {
        let part: usize = seen.parameter("partition")?.parse().ok()?;
        (part >= 60).then(|| Reply::Json(404, json!({"code": "000709", "message": "Statement not found"})))
    })
    .await;
    let (read, error) = read_until_error(source.read(all()).await.expect("opens")).await;
    assert!((4_000..6_000).contains(&read), "whole chunks of the 6,000 rows that came: {read}");
    assert_eq!((error.code(), error.is_retryable()), ("source_unreachable", true));
    assert!(error.to_string().contains("24 hours"), "{error}");
}

#[tokio::test]
async fn refusals_are_told_in_snowflakes_own_terms() {
    let cases = [
        (422, "000606", "57P03", "schema_mismatch", "warehouse: no warehouse is active"),
        (422, "000607", "57P03", "source_unreachable", "warehouse COMPUTE_WH is suspended"),
        (422, "003001", "42501", "source_refused", "role Reader lacks a privilege"),
        (422, "000904", "42000", "schema_mismatch", "invalid identifier 'X' (error 000904)"),
        (408, "000630", "57014", "source_unreachable", "took longer than it may"),
        (422, "100038", "22018", "source_unreachable", "fails on a row (error 100038)"),
        (403, "390422", "", "source_refused", "network policy"),
        (401, "390189", "", "source_refused", "there is no role Reader"),
        (400, "390142", "", "source_unreachable", "does not take the request"),
    ];
    for (status, code, state, word, says) in cases {
        let (_wire, source, _token) = scripted(move |seen| {
            let body = json!({"code": code, "sqlState": state, "message": "SQL compilation error:\ninvalid identifier 'X'",
                "statementHandle": "h"});
            seen.is_read().then_some(Reply::Json(status, body))
        })
        .await;
        let error = source.read(all()).await.expect_err("a refusal");
        assert_eq!(error.code(), word, "{code}");
        assert!(error.to_string().contains(says), "{code}: {error}");
    }
    let (_wire, source, _token) = scripted(|_| Some(Reply::Json(404, json!("no such page")))).await;
    let error = source.read(all()).await.expect_err("no account");
    assert!(error.to_string().starts_with("account: has no SQL API at this address"), "{error}");
}

#[tokio::test]
async fn every_type_arrives_as_documented_and_an_odd_cell_spoils_itself_alone() {
    let columns = [
        ("CUSTOMER_ID", "FIXED"),
        ("UPDATED_AT", "TIMESTAMP_TZ:9"),
        ("BIG", "FIXED"),
        ("EXACT", "FIXED:2"),
        ("SCORE", "REAL"),
        ("ACTIVE", "BOOLEAN"),
        ("DUE", "DATE"),
        ("LOCAL", "TIMESTAMP_NTZ:9"),
        ("SEEN", "TIMESTAMP_LTZ:9"),
        ("DOC", "OBJECT"),
        ("PHOTO", "BINARY"),
        ("SPOT", "GEOGRAPHY"),
    ];
    let whole = "12345678901234567890123456789012345678";
    let rows = vec![
        json!([
            "7",
            "1767344400.000000000 1500",
            whole,
            "123456789012345678.90",
            "NaN",
            "true",
            "-1",
            "1767344400.500000000",
            "1767344400.999999999",
            "{\"a\": [1.50]}",
            "",
            ""
        ]),
        json!([
            "99999999999999999999",
            "1767344400.000000000 1500",
            "-0",
            "1e5x",
            "-inf",
            "maybe",
            "2026-01-01",
            "infinity",
            "99999999999999999999999",
            "{",
            null,
            null
        ]),
        json!(["9", "1767344400.000000000 1500", 5, [1], {"a": 1}, null, null, null, null, null, null, null]),
    ];
    let wire = Wire::start(Table::new(&columns, rows), |_| None).await;
    let token = Token::new("s3cret-token");
    let mapped = ["big", "exact", "score", "active", "due", "local", "seen", "doc", "photo", "spot"];
    let mapping = sync("table = \"customers\"", &mapped);
    let more = format!("{}\ntimezone = \"Europe/London\"", token.setting());
    let source = open(&wire, &more, &mapping, Clock::system()).expect("sound settings");
    // A delta, so that no count stands at a row's end.
    let read = lines(&source, since("2020-01-01T00:00:00Z", &[])).await;
    assert_eq!(
        read,
        [
            format!(
                "7 {whole} 123456789012345678.9 not_finite true \"1969-12-31\" \"2026-01-02T09:00:00.500Z\" \
                 \"2026-01-02T09:00:00.999Z\" {{\"a\":[1.50]}} unreadable unreadable"
            ),
            "99999999999999999999 0 wrong_type not_finite unreadable unreadable unreadable unreadable bad_json null null"
                .to_owned(),
            "9 unreadable unreadable unreadable null null null null null null null".to_owned(),
        ]
    );
    let problems = source.describe().await.expect("a description").problems;
    let told: Vec<_> = problems.iter().map(|problem| (problem.column.as_deref(), problem.is_fatal)).collect();
    assert_eq!(told, [(Some("photo"), false), (Some("spot"), false), (None, false)]);
    assert!(problems[0].why.contains("is binary") && problems[1].why.contains("is geography"));
}

#[tokio::test]
async fn the_watermark_stays_behind_snowflakes_clock_by_the_overlap() {
    let (_wire, source, _token) = scripted(|_| None).await;
    let reading = source.read(all()).await.expect("opens");
    let clock = chrono::DateTime::from_timestamp(1_795_000_000, 0).expect("a time");
    assert_eq!(reading.ceiling(), clock - chrono::TimeDelta::seconds(900));
    let problems = source.describe().await.expect("a description").problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.why.contains("stays 900 s behind its clock") && !problem.is_fatal)
    );
}
