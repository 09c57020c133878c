use proptest::prelude::*;

use super::*;
use crate::config::CallbackScheme;

const FULL: &str = r#"{"type":"model.run.completed","timestamp":"2026-03-01T06:00:00+01:00","data":{
    "tenant":"t","workflow_id":"wf-1","execution_id":"ex-1","run_id":7,"model":"churn","model_version":"1.2",
    "output_table":"customer_predictions","rows_updated":1200,"final":true,"nested":{"a":[1]},"none":null},"more":[]}"#;

fn parse(body: &str) -> Result<Callback, PayloadError> {
    Callback::parse(body.as_bytes())
}

fn rules(matches: &[(&str, &str)]) -> config::Callback {
    config::Callback {
        verify_run: None,
        scheme: CallbackScheme::Standard,
        secrets: Vec::new(),
        tolerance_secs: 300,
        events: vec!["model.run.completed".to_owned(), "ai.peak.data_validation.run.completed".to_owned()],
        matches: matches.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

#[test]
fn a_full_callback_reads_whole() {
    let callback = parse(FULL).expect("the full body");
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(callback.event_type, "model.run.completed");
    assert_eq!(callback.timestamp.map(|at| at.to_rfc3339()), text("2026-03-01T05:00:00+00:00"));
    let model = Model { name: text("churn"), version: text("1.2"), execution_id: text("ex-1") };
    assert_eq!(callback.model, model);
    assert_eq!((callback.data["rows_updated"].as_str(), callback.data["final"].as_str()), ("1200", "true"));
    assert!(!callback.data.contains_key("nested") && !callback.data.contains_key("none"));
    assert!(!callback.status_failed);
}

#[test]
fn a_type_alone_is_a_callback() {
    for body in [r#"{"type":"x"}"#, r#"{"type":"x","data":null}"#, r#"{"type":"x","timestamp":7}"#] {
        let callback = parse(body).expect(body);
        assert_eq!((callback.timestamp, callback.model, callback.data.len()), (None, Model::default(), 0));
    }
}

#[test]
fn a_cloud_event_of_peaks_own_channel_reads() {
    let body = r#"{"specversion":"1.0","id":"evt_1","source":"peak","type":"ai.peak.data_validation.run.completed",
        "time":"2026-03-01T06:00:00Z","datacontenttype":"application/json","data":{"tables":[{"name":"t","rules":[]}]}}"#;
    let callback = parse(body).expect("a CloudEvent");
    assert!(callback.timestamp.is_some());
    assert_eq!(callback.decide(&rules(&[])), Decision::Run);
}

#[test]
fn what_is_not_json_is_told_from_what_has_another_shape() {
    let deep = "[".repeat(100_000);
    let syntax =
        ["", "{", "{\"type\":\"x\"} x", "\u{feff}{}", "{'type':'x'}", "{\"type\":NaN}", "1e999", &deep];
    for body in syntax {
        assert_eq!(parse(body), Err(PayloadError::NotJson));
    }
    assert_eq!(Callback::parse(b"{\"type\":\"\xff\"}"), Err(PayloadError::NotJson));
    let shapes = [
        "null",
        "[]",
        "\"x\"",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":""}"#,
        r#"{"type":"a b"}"#,
        r#"{"type":null}"#,
        r#"{"type":"x","data":[]}"#,
        r#"{"type":"x","data":"y"}"#,
    ];
    for body in shapes {
        let error = parse(body).expect_err(body);
        assert!(!error.is_syntax() && error.code() == "wrong_shape", "{body}: {error}");
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_at_any_depth() {
    let twice = [
        r#"{"type":"x","type":"y"}"#,
        r#"{"type":"x","data":{"a":1,"a":1}}"#,
        r#"{"type":"x","more":[{"b":{"c":1,"\u0063":2}}]}"#,
    ];
    for body in twice {
        let error = parse(body).expect_err(body);
        assert_eq!(error, PayloadError::DuplicateKey);
        assert!(error.is_syntax());
    }
}

#[test]
fn only_the_events_and_matches_of_the_sync_run() {
    let callback = parse(FULL).expect("the full body");
    let matching = [("workflow_id", "wf-1"), ("run_id", "7"), ("final", "true")];
    assert_eq!(callback.decide(&rules(&matching)), Decision::Run);
    for field in [("workflow_id", "wf-2"), ("absent", ""), ("nested", "{}"), ("none", "null")] {
        let ignored = Ignored::Match(field.0.to_owned());
        assert_eq!(callback.decide(&rules(&[field])), Decision::Ignored(ignored));
    }
    let other = parse(r#"{"type":"model.run.started"}"#).expect("another type");
    assert_eq!(other.decide(&rules(&[])), Decision::Ignored(Ignored::EventType));
}

#[test]
fn a_failed_model_run_is_ignored() {
    for status in ["failed", "Failed", "FAILED"] {
        let body = format!(r#"{{"type":"model.run.completed","data":{{"status":"{status}"}}}}"#);
        assert_eq!(
            parse(&body).expect("a body").decide(&rules(&[])),
            Decision::Ignored(Ignored::ModelFailed)
        );
    }
    let fine = parse(r#"{"type":"model.run.completed","data":{"status":"Success"}}"#).expect("a body");
    assert_eq!(fine.decide(&rules(&[])), Decision::Run);
}

#[test]
fn long_model_names_are_cut_where_shown() {
    let body = format!(r#"{{"type":"x","data":{{"model":"{}"}}}}"#, "é".repeat(1_000));
    let name = parse(&body).expect("a body").model.name.expect("a name");
    assert_eq!(name.chars().count(), 256);
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Callback::parse(&body));
    }

    #[test]
    fn valid_json_reads_as_serde_reads_it(text in "[\\[\\]{}:,\"a-c0-9. truefalsn\\\\]{0,40}") {
        let plain = serde_json::from_str::<Value>(&text).ok();
        match serde_json::from_str::<Strict>(&text) {
            Ok(Strict(value)) => prop_assert_eq!(Some(value), plain),
            Err(error) => prop_assert!(plain.is_none() || error.is_data()),
        }
    }
}
