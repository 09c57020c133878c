//! Logs, metrics and traces: where they go, in which form. Field names are those of the rooms: `run.id`, `sync`.

pub mod export;
pub mod metric;
pub mod trace;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tracing_subscriber::EnvFilter;

/// Gauges are looked up every few seconds; one that is not for so long is of a sync that is no longer configured.
const GAUGE_LIVES: Duration = Duration::from_secs(300);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error; `RUST_LOG` overrides `level`. A second call changes nothing.
pub fn init(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour =
        std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let set = match format {
        LogFormat::Text => lines.with_ansi(colour).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // Already set: by a test, or an earlier command in the same process.
    drop(set);
}

/// The process's metrics, made at the first call.
///
/// # Errors
/// When something else has already taken the process's metrics.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let builder = metric::bucketed(PrometheusBuilder::new())?;
    match builder.idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_LIVES)).install_recorder() {
        Ok(handle) => {
            metric::describe();
            Ok(HANDLE.get_or_init(|| handle).clone())
        }
        // Another thread was first.
        Err(error) => HANDLE.get().cloned().ok_or(error),
    }
}
