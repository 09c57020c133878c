//! `[telemetry]`.

use serde_json::{Value, json};

use super::{named, or, real, secret, table, text};
use crate::config::bound::TRACE_RATIO;

pub(super) fn telemetry() -> Value {
    let endpoint = "An OpenTelemetry collector (OTLP over HTTP), without /v1/traces; absent: as OTEL_EXPORTER_OTLP_ENDPOINT says, else no traces.";
    let ratio = "The share of traces recorded of those that begin here; a sender's own goes by its flag.";
    table(
        "Where traces go.",
        vec![
            ("otlp_endpoint", text(endpoint)),
            (
                "otlp_headers",
                or(named("Headers sent to it, by name; over https only.", secret("Its value.")), json!({})),
            ),
            ("trace_ratio", or(real(ratio, TRACE_RATIO), 1.0)),
        ],
        &[],
    )
}
