//! A statement and the values bound to it, as the SQL API takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::place::Place;

/// What every statement runs under: one statement a request; values in one spelling whatever the user's defaults; no
/// silent bound on rows; parts of a result that stay under 48 MB, the least that may be asked for. Source: Snowflake
/// docs, SQL API reference, parameters; Parameters.
const PARAMETERS: [(&str, &str); 10] = [
    ("MULTI_STATEMENT_COUNT", "1"),
    ("QUERY_TAG", "peak-braze"),
    ("TIMEZONE", "UTC"),
    ("DATE_OUTPUT_FORMAT", "YYYY-MM-DD"),
    ("TIME_OUTPUT_FORMAT", "HH24:MI:SS.FF9"),
    ("TIMESTAMP_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF9"),
    ("TIMESTAMP_NTZ_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF9"),
    ("TIMESTAMP_LTZ_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF9TZHTZM"),
    ("TIMESTAMP_TZ_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF9TZHTZM"),
    ("BINARY_OUTPUT_FORMAT", "HEX"),
];
const BOUNDS: [(&str, u32); 2] = [("ROWS_PER_RESULTSET", 0), ("CLIENT_RESULT_CHUNK_SIZE", 48)];

/// A value bound to the statement, as its type spells it. Source: Snowflake docs, SQL API, Submitting a request: bind
/// variables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Bind {
    #[serde(rename = "type")]
    type_name: &'static str,
    value: String,
}

impl Bind {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { type_name: "TEXT", value: text.into() }
    }

    pub(super) fn integer(number: i64) -> Self {
        Self { type_name: "FIXED", value: number.to_string() }
    }

    /// An instant, in nanoseconds since 1970.
    pub(super) fn instant(at: DateTime<Utc>) -> Self {
        Self { type_name: "TIMESTAMP_LTZ", value: format!("{}000", at.timestamp_micros()) }
    }

    /// A time without zone, in nanoseconds since 1970 as if in UTC.
    pub(super) fn local(at: NaiveDateTime) -> Self {
        Self { type_name: "TIMESTAMP_NTZ", value: format!("{}000", at.and_utc().timestamp_micros()) }
    }

    /// A date, in milliseconds since 1970.
    pub(super) fn date(at: NaiveDateTime) -> Self {
        let midnight = at.date().and_time(chrono::NaiveTime::MIN);
        Self { type_name: "DATE", value: midnight.and_utc().timestamp_millis().to_string() }
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub sql: String,
    pub binds: Vec<Bind>,
    /// How long it may run before Snowflake ends it.
    pub wait: Duration,
    /// Whether Snowflake answers with a handle at once, by which it can be cancelled from the first moment on, rather
    /// than with the result of up to 45 s of work.
    pub is_long: bool,
}

impl Statement {
    /// A look that is over in a moment.
    pub(super) fn short(sql: impl Into<String>, wait: Duration) -> Self {
        Self { sql: sql.into(), binds: Vec::new(), wait, is_long: false }
    }

    /// The request's body. Source: Snowflake docs, SQL API reference, `POST /api/v2/statements`.
    pub(super) fn body(&self, place: &Place) -> Value {
        let mut body = json!({
            "statement": self.sql,
            "timeout": self.wait.as_secs(),
            "parameters": PARAMETERS
                .iter()
                .map(|(name, value)| (*name, json!(value)))
                .chain(BOUNDS.iter().map(|(name, value)| (*name, json!(value))))
                .collect::<BTreeMap<_, _>>(),
        });
        let fields = body.as_object_mut().expect("an object");
        if let Value::Object(place) = json!(place) {
            fields.extend(place);
        }
        if !self.binds.is_empty() {
            let numbered =
                (1..).zip(&self.binds).map(|(number, bind): (u32, _)| (number.to_string(), json!(bind)));
            fields.insert("bindings".to_owned(), Value::Object(numbered.collect()));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_as_their_types_spell_them() {
        let at: DateTime<Utc> = "2026-01-02T09:00:00.000001Z".parse().expect("a time");
        let bound = |bind: Bind| (bind.type_name, bind.value);
        assert_eq!(bound(Bind::instant(at)), ("TIMESTAMP_LTZ", "1767344400000001000".to_owned()));
        assert_eq!(bound(Bind::local(at.naive_utc())), ("TIMESTAMP_NTZ", "1767344400000001000".to_owned()));
        assert_eq!(bound(Bind::date(at.naive_utc())), ("DATE", "1767312000000".to_owned()));
        assert_eq!(bound(Bind::integer(-1)), ("FIXED", "-1".to_owned()));
    }

    #[test]
    fn a_body_holds_context_bindings_and_bounds() {
        let place = Place { warehouse: Some("WH".to_owned()), ..Place::default() };
        let statement = Statement {
            sql: "SELECT ?".to_owned(),
            binds: vec![Bind::text("it's")],
            wait: Duration::from_secs(7),
            is_long: true,
        };
        let body = statement.body(&place);
        assert_eq!(body["bindings"], json!({"1": {"type": "TEXT", "value": "it's"}}));
        assert_eq!(
            (&body["warehouse"], &body["role"], &body["timeout"]),
            (&json!("WH"), &Value::Null, &json!(7))
        );
        assert_eq!(body["parameters"]["QUERY_TAG"], "peak-braze");
        assert_eq!(body["parameters"]["ROWS_PER_RESULTSET"], 0);
    }
}
