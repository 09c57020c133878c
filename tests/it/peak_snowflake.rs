//! A Snowflake warehouse, signed in to with the token Peak gives.

use peak_braze::clock::Clock;
use peak_braze::source::{Rows, Source};
use serde_json::{Value, json};

use crate::source_suite::{all, customers, lines};
use crate::support::peak::{PEAK_KEY, Peak, redshift, snowflake_basic, snowflake_oauth};
use crate::support::snowflake_wire::{Reply, Seen, Table, Wire};

const COLUMNS: [(&str, &str); 4] =
    [("CUSTOMER_ID", "TEXT"), ("UPDATED_AT", "TEXT"), ("BAND", "TEXT"), ("SCORE", "REAL")];

struct Story {
    peak: Peak,
    wire: Wire,
    folder: tempfile::TempDir,
}

impl Story {
    /// A Snowflake that takes this token alone.
    async fn taking(token: &'static str) -> Self {
        let table = Table::new(&COLUMNS, vec![json!(["a", "2026-01-02 09:00:00", "low", "0.5"])]);
        let refuse = move |seen: &Seen| {
            let answer = json!({"code": "390303", "message": "Invalid OAuth access token. [x]"});
            (seen.authorization != format!("Bearer {token}")).then_some(Reply::Json(401, answer))
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("peak"), PEAK_KEY).expect("a secret file");
        Self { peak: Peak::start().await, wire: Wire::start(table, refuse).await, folder }
    }

    fn source(&self, more: &str) -> Source {
        let text = format!(
            "kind = \"snowflake\"\nbase_url = \"{}\"\n{more}\n\
             credentials = {{ peak = {{ api_key = \"file:{}\", base_url = \"{}\" }} }}",
            self.wire.url(),
            self.folder.path().join("peak").display(),
            self.peak.url()
        );
        let settings = toml::from_str(&text).expect("the test's own settings");
        Source::open(&settings, &customers(), Clock::system()).expect("sound settings")
    }
}

#[tokio::test]
async fn snowflake_is_read_with_the_token_that_peak_gives() {
    let story = Story::taking("first").await;
    story.peak.warehouse("", [snowflake_oauth("first")]);
    let source = story.source("");
    assert_eq!(lines(&source, Rows::All).await, ["a \"low\" 0.5"]);
    assert_eq!(lines(&source, Rows::All).await.len(), 1);
    assert_eq!(story.peak.asked().len(), 1, "asked once for a run");
    for seen in story.wire.seen() {
        assert_eq!((&*seen.authorization, seen.token_type.as_deref()), ("Bearer first", Some("OAUTH")));
    }
    let context = |name: &str| story.wire.seen()[0].body[name].clone();
    assert_eq!(
        ["role", "warehouse", "database", "schema"].map(context),
        ["R", "W", "D", "PUBLISH"].map(Value::from)
    );

    // What the config says comes first.
    lines(&story.source("warehouse = \"large_wh\""), Rows::All).await;
    let last = story.wire.seen().last().expect("a request").clone();
    assert_eq!((&last.body["warehouse"], &last.body["role"]), (&json!("LARGE_WH"), &json!("R")));
}

#[tokio::test]
async fn a_token_that_ended_is_asked_for_once_more() {
    let story = Story::taking("second").await;
    story.peak.warehouse("", [snowflake_oauth("first"), snowflake_oauth("second")]);
    assert_eq!(lines(&story.source(""), Rows::All).await.len(), 1);
    assert_eq!(story.peak.asked().len(), 2);

    story.peak.warehouse("", [snowflake_oauth("first"), snowflake_oauth("third")]);
    let error = story.source("").read(all()).await.expect_err("a refusal");
    assert_eq!((error.code(), error.is_retryable()), ("source_refused", false));
    assert_eq!(story.peak.asked().len(), 4, "asked once more, and not again");
    assert!(!error.to_string().contains("third"), "{error}");
}

#[tokio::test]
async fn what_cannot_sign_in_is_told_with_its_cure() {
    let story = Story::taking("first").await;
    for (answer, words) in [
        (snowflake_basic(), "ask Peak for OAuth on this connection"),
        (redshift(5439, "p"), "write kind = \"redshift\""),
    ] {
        story.peak.warehouse("", [answer]);
        let error = story.source("").describe().await.expect_err("no token");
        assert_eq!((error.code(), error.is_retryable()), ("schema_mismatch", false));
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(story.wire.seen().is_empty());
}
