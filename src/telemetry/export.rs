//! Where spans go: an OpenTelemetry collector, by OTLP over HTTP. The queue is bounded and an export has a bound in
//! time: a collector that is slow or away costs spans, and no run anything.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use metrics::counter;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use secrecy::{ExposeSecret, SecretString};

use super::metric::SPANS;
use super::trace;

/// Longest one export may take; the exporter's thread waits, nobody else.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Spans that may wait: a second of requests at Braze's published limit, and as much again for everything else. A span
/// is about a kilobyte.
const MOST_WAITING: usize = 4_096;
/// Spans of one export. Source: OpenTelemetry specification, batching processor.
const MOST_TOGETHER: usize = 512;
/// How long a span waits for others.
const WAIT: Duration = Duration::from_secs(1);
/// How often it is said that nothing can be exported.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Where spans go, and how many.
pub struct Exporter {
    /// The collector, without `/v1/traces`; none: what the standard variables `OTEL_EXPORTER_OTLP_…` say.
    pub endpoint: Option<String>,
    /// Sent with each export.
    pub headers: Vec<(String, SecretString)>,
    /// The share of traces recorded of those that begin here.
    pub ratio: f64,
    /// Speaks to the collector, within [`EXPORT_TIMEOUT`].
    pub client: reqwest::blocking::Client,
}

/// Why no spans are exported.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}")]
pub struct ExportError(String);

/// The collector that the standard variables name; none where they name none, or `OTEL_SDK_DISABLED` is set.
pub fn standard_endpoint() -> Option<String> {
    let is_off = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let named = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    named.filter(|_| !is_off)
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Records and exports spans from now on. A second call changes nothing.
///
/// # Errors
/// When the endpoint, or what the standard variables say, cannot be used.
pub fn start(exporter: Exporter) -> Result<(), ExportError> {
    let headers: HashMap<String, String> = exporter
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
        .collect();
    let mut builder = Otlp::builder()
        .with_http()
        .with_http_client(exporter.client)
        .with_headers(headers)
        .with_timeout(EXPORT_TIMEOUT);
    if let Some(endpoint) = &exporter.endpoint {
        builder = builder.with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')));
    }
    let otlp = builder.build().map_err(|error| ExportError(error.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MOST_WAITING)
        .with_max_export_batch_size(MOST_TOGETHER)
        .with_scheduled_delay(WAIT)
        .build();
    let counted = Counted { otlp, said_at: Mutex::new(None) };
    let processor = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(exporter.ratio)));
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_resource(resource())
        .with_span_processor(processor)
        .build();
    trace::record_with(provider);
    Ok(())
}

/// Who exports: as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and which process it is.
fn resource() -> Resource {
    let process = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    let resource = Resource::builder().with_attributes(process);
    let is_named = set("OTEL_SERVICE_NAME").is_some()
        || set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|text| text.contains("service.name="));
    if is_named { resource.build() } else { resource.with_service_name("peak-braze").build() }
}

/// Counts what became of the spans, and says now and then that none can be exported.
#[derive(Debug)]
struct Counted {
    otlp: Otlp,
    said_at: Mutex<Option<Instant>>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let exported = self.otlp.export(batch).await;
        let outcome = if exported.is_ok() { "exported" } else { "failed" };
        counter!(SPANS, "outcome" => outcome).increment(spans);
        if exported.is_err() && self.is_time_to_say() {
            // Not what the collector said: it may repeat a header.
            tracing::warn!(spans, "spans of traces cannot be exported; the runs go on");
        }
        exported
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

impl Counted {
    fn is_time_to_say(&self) -> bool {
        let mut said_at = self.said_at.lock().expect("nobody who looks at the time panics");
        let is_time = said_at.is_none_or(|at| at.elapsed() >= SAID_EVERY);
        if is_time {
            *said_at = Some(Instant::now());
        }
        is_time
    }
}
