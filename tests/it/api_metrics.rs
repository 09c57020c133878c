//! What the HTTP surface counts.

use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, StatusCode};

use crate::support::api::{BODY, OLD_SECRET, OPS, OTHER, READER, SECRET, Service, send};

#[tokio::test]
async fn callbacks_are_counted_by_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    // The test's runtime has one thread, so the server counts here too.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let service = Service::start().await;
    service.deliver("evt_1").await;
    service.deliver("evt_1").await;
    send(service.callback(OTHER, OLD_SECRET, "evt_1", r#"{"type":"other"}"#)).await;
    send(service.callback(OTHER, OLD_SECRET, "evt_2", r#"{"type":"other"}"#)).await;
    send(service.callback(OTHER, SECRET, "evt_3", BODY)).await;
    send(service.callback("made-up-by-a-stranger", SECRET, "evt_3", BODY)).await;
    service.get(OPS, "/path-made-up-by-a-stranger").await;
    let text = recorder.handle().render();
    for line in [
        r#"peak_braze_callbacks_total{sync="segments",outcome="accepted",reason=""} 1"#,
        r#"peak_braze_callbacks_total{sync="segments",outcome="duplicate",reason=""} 1"#,
        r#"peak_braze_callbacks_total{sync="segments",outcome="conflict",reason=""} 1"#,
        r#"peak_braze_callbacks_total{sync="segments",outcome="ignored",reason="event_type"} 1"#,
        r#"peak_braze_callbacks_total{sync="segments",outcome="refused",reason="no_signature_matched"} 1"#,
        r#"peak_braze_callbacks_total{sync="unknown",outcome="refused",reason="no_such_sync"} 1"#,
        r#"peak_braze_callback_secret_used_total{sync="segments",secret="0"} 4"#,
        "peak_braze_callback_ack_seconds_count 6",
        "peak_braze_callback_clock_skew_seconds_count 4",
        r#"peak_braze_http_requests_total{route="/v1/callbacks/{sync}",method="POST",status="202"} 3"#,
        r#"peak_braze_http_requests_total{route="none",method="GET",status="404"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("stranger") && !text.contains("evt_"), "labels are ours\n{text}");
}

#[tokio::test]
async fn metrics_are_shown_in_prometheus_text() {
    let service = Service::start().await;
    let answer = service.get(READER, "/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    send(service.request(Method::GET, "/metrics")).await.is_problem(401, "unauthenticated");
}
