//! Tables, views, queries and names: what is read from, and what is refused.

use peak_braze::source::{Rows, SourceError};

use super::{Warehouse, all, customers, lines, seed, since, sync};

pub async fn a_schema_that_does_not_fit_is_told_before_any_row<W: Warehouse>(warehouse: W) {
    seed(&warehouse, &[("'a'", "'2026-01-01'")]).await;
    let missing = sync("table = \"customers\"", &["band", "scores"]);
    let error =
        warehouse.source(&missing).expect("sound settings").read(all()).await.expect_err("a mismatch");
    assert_eq!((error.code(), error.is_retryable()), ("schema_mismatch", false));
    assert_eq!(error.to_string(), "customers, column scores: is missing; did you mean score?");

    let elsewhere = sync("table = \"customer\"", &["band"]);
    let error =
        warehouse.source(&elsewhere).expect("sound settings").read(all()).await.expect_err("a mismatch");
    assert_eq!(error.to_string(), "customer: there is no such table or view; did you mean customers?");

    // A column that went away after the sync was opened.
    let source = warehouse.source(&customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await.len(), 1);
    warehouse.run("ALTER TABLE customers RENAME COLUMN band TO risk_band").await;
    let error = source.read(all()).await.expect_err("a mismatch");
    assert_eq!(error.code(), "schema_mismatch");
}

pub async fn views_and_queries_are_read_like_tables<W: Warehouse>(warehouse: W) {
    seed(&warehouse, &[("'a'", "'2026-01-01 00:00:00'"), ("'b'", "'2026-03-01 00:00:00'")]).await;
    warehouse.run("CREATE VIEW recent AS SELECT * FROM customers WHERE customer_id > 'a'").await;
    let view = warehouse.source(&sync("table = \"recent\"", &["band", "score"])).expect("sound settings");
    assert_eq!(lines(&view, Rows::All).await, ["b \"low\" 0.5"]);
    let text =
        "select customer_id, updated_at, upper(band) as band, score * 2 as score from customers -- all;";
    let query = sync(&format!("query = \"{text}\""), &["band", "score"]);
    let source = warehouse.source(&query).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await, ["a \"LOW\" 1", "b \"LOW\" 1"]);
    assert_eq!(lines(&source, since("2026-02-01T00:00:00Z", &[])).await, ["b \"LOW\" 1"]);
}

pub async fn a_query_that_writes_is_refused<W: Warehouse>(warehouse: W) {
    seed(&warehouse, &[("'a'", "'2026-01-01 00:00:00'")]).await;
    for text in [
        "select * from customers; delete from customers",
        "delete from customers returning *",
        "with gone as (select 1) delete from customers returning *",
        "drop table customers",
    ] {
        let settings = sync(&format!("query = \"{text}\""), &["band", "score"]);
        match warehouse.source(&settings) {
            Err(error) => {
                assert!(matches!(error, SourceError::Config { key: "query", .. }), "{text}: {error}")
            }
            Ok(source) => {
                let error = source.read(all()).await.expect_err("a query that writes");
                assert!(!error.is_retryable(), "{text}: {error}");
            }
        }
    }
    let source = warehouse.source(&customers()).expect("sound settings");
    assert_eq!(lines(&source, Rows::All).await.len(), 1);
}

pub async fn names_that_need_quoting_are_refused<W: Warehouse>(warehouse: W) {
    for (from, column) in [
        ("table = \"customers; drop table x\"", "band"),
        ("table = \"a.b.c.d\"", "band"),
        ("table = \"customers\"", "band) from x --"),
        ("table = \"customers\"", "a.b"),
    ] {
        let error = warehouse.source(&sync(from, &[column])).expect_err("an unquotable name");
        assert!(matches!(error, SourceError::Config { .. }), "{from} {column}");
    }
}
