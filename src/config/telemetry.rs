//! `[telemetry]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::SecretRef;

/// `[telemetry]`: where traces go. Without an endpoint, here or in `OTEL_EXPORTER_OTLP_ENDPOINT`, none are recorded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// An OpenTelemetry collector that takes OTLP over HTTP, without `/v1/traces`.
    pub otlp_endpoint: Option<String>,
    /// Headers sent to it, such as `authorization`; over https only.
    pub otlp_headers: BTreeMap<String, SecretRef>,
    /// The share of traces recorded of those that begin here; one that a sender began goes by its own flag.
    pub trace_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, otlp_headers: BTreeMap::new(), trace_ratio: 1.0 }
    }
}
