use super::*;
use crate::config::NotifyEvent;
use crate::run::{DataPoints, Mode, Model, RunId, RunState, RunSummary, Standstill, Tally, TriggerKind};

const RUN: &str = "019aa000-0000-7000-8000-000000000001";

fn run(state: RunState) -> Occasion {
    Occasion::Run(Box::new(RunSummary {
        id: RUN.parse::<RunId>().expect("an id"),
        sync: "predictions".to_owned(),
        mode: Mode::Delta,
        state,
        trigger: TriggerKind::Callback,
        model: Model { execution_id: Some("exec-7".to_owned()), ..Model::default() },
        tally: Tally { customers: 90, changed: 12, accepted: 9, rejected: 2, invalid: 1, ..Tally::default() },
        data_points: DataPoints { sent: 30, ..DataPoints::default() },
        error_code: Some("braze_unauthorized".to_owned()),
        held_by: None,
        started_at: None,
        finished_at: None,
    }))
}

fn written(event: NotifyEvent, occasion: &Occasion, format: NotifyFormat) -> Value {
    let at = "2026-11-01T06:00:00Z".parse().expect("a time");
    let id = "00000000-0000-4000-8000-000000000002".parse().expect("an id");
    serde_json::from_slice(&body(&Notice { id, event, at, occasion }, format)).expect("JSON")
}

#[test]
fn every_event_has_its_type_and_its_sentence() {
    let standstill = Occasion::Standstill(Standstill {
        sync: "predictions".to_owned(),
        watermark: None,
        watermark_moved_at: "2026-10-30T04:30:00Z".parse().expect("a time"),
        stale_after_secs: 26 * 3_600,
    });
    let done = "90 customers, 12 changed, 9 accepted by Braze";
    for (event, kind, says) in [
        (NotifyEvent::Succeeded, "run.succeeded", format!("run {RUN} succeeded: {done}.")),
        (
            NotifyEvent::Partial,
            "run.partial",
            format!("run {RUN} ended partial: {done}; 2 rejected, 1 invalid."),
        ),
        (NotifyEvent::Failed, "run.failed", format!("run {RUN} failed: braze_unauthorized.")),
        (NotifyEvent::Held, "run.held", "nothing was sent. Release or cancel it.".to_owned()),
        (
            NotifyEvent::Blocked,
            "sync.blocked",
            "(braze_unauthorized). Correct the key and reload.".to_owned(),
        ),
        (NotifyEvent::Recovered, "sync.recovered", format!("recovered with run {RUN}: {done}.")),
        (
            NotifyEvent::Stale,
            "sync.stale",
            "stood still since 2026-10-30 04:30Z, longer than 26 h.".to_owned(),
        ),
    ] {
        let about_run = run(RunState::Succeeded);
        let occasion = if event == NotifyEvent::Stale { &standstill } else { &about_run };
        let value = written(event, occasion, NotifyFormat::Standard);
        assert_eq!(
            (value["type"].as_str(), &value["timestamp"]),
            (Some(kind), &json!("2026-11-01T06:00:00Z"))
        );
        let text = value["data"]["text"].as_str().expect("a sentence");
        assert!(text.starts_with("predictions: ") && text.ends_with(&says), "{text}");
        assert_eq!(written(event, occasion, NotifyFormat::Slack), json!({ "text": text }));
    }
}

#[test]
fn data_is_the_run_in_short() {
    let value = written(NotifyEvent::Failed, &run(RunState::Failed), NotifyFormat::Standard);
    let data = &value["data"];
    assert_eq!(
        (&data["id"], &data["sync"], &data["state"]),
        (&json!(RUN), &json!("predictions"), &json!("failed"))
    );
    assert_eq!((&data["trigger"], &data["error_code"]), (&json!("callback"), &json!("braze_unauthorized")));
    assert_eq!((&data["tally"]["accepted"], &data["data_points"]["sent"]), (&json!(9), &json!(30)));
    let kept: Occasion = serde_json::from_value(data.clone()).expect("it reads back");
    assert_eq!(kept, run(RunState::Failed));
}

#[test]
fn what_steers_a_message_is_escaped() {
    assert_eq!(escaped("<!channel> & co"), "&lt;!channel&gt; &amp; co");
}

#[test]
fn a_workflow_gets_texts_alone() {
    let value = written(NotifyEvent::Succeeded, &run(RunState::Succeeded), NotifyFormat::Peak);
    let parameters = value["params"]["global"].as_object().expect("parameters");
    assert!(parameters.values().all(Value::is_string), "{parameters:?}");
    assert_eq!(parameters["PEAK_BRAZE_EXECUTION_ID"], "exec-7");
    assert_eq!(parameters["PEAK_BRAZE_ACCEPTED"], "9");
    assert_eq!(value.as_object().expect("an object").len(), 1, "Peak knows no other key");
}
