//! Starts the exporter of traces, where one is asked for.

use std::time::Duration;

use anyhow::Context;

use crate::config;
use crate::http;
use crate::telemetry::export::{self, EXPORT_TIMEOUT, Exporter};

/// Longest that the last spans are waited for at the end: a collector that answers does so in well under a second, and
/// one that does not must not keep the process from ending.
pub(super) const LAST_EXPORT: Duration = Duration::from_secs(1);

/// By the config, else by the standard variables, else not at all.
pub(super) fn start(settings: &config::Telemetry) -> anyhow::Result<()> {
    let Some(endpoint) = settings.otlp_endpoint.clone().or_else(export::standard_endpoint) else {
        return Ok(());
    };
    let headers = settings.otlp_headers.iter().map(|(name, secret)| {
        let value = secret.resolve().with_context(|| format!("telemetry.otlp_headers.{name}"))?;
        Ok((name.clone(), value))
    });
    let is_plain = !endpoint.starts_with("https:");
    let exporter = Exporter {
        headers: headers.collect::<anyhow::Result<_>>()?,
        endpoint: settings.otlp_endpoint.clone(),
        ratio: settings.trace_ratio,
        client: http::blocking_client(is_plain, EXPORT_TIMEOUT).context("telemetry.otlp_endpoint")?,
    };
    export::start(exporter)?;
    tracing::info!(ratio = settings.trace_ratio, "traces are exported");
    Ok(())
}
