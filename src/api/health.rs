//! Whether the process lives, and whether it can take callbacks.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::auth::need;
use super::document::{MetricsProblems, ReadyProblems, TAG_SERVICE};
use super::problem::{Code, Problem};
use super::state::Api;
use crate::access::Caller;
use crate::config::Scope;

/// A probe is a commit; however often we are asked, one a second is enough.
const PROBE_AGE: Duration = Duration::from_secs(1);

/// The last probe's time and result.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, bool)>>);

/// Live
///
/// Touches nothing: restart the process if it does not answer.
#[utoipa::path(
    get, path = "/livez", tag = TAG_SERVICE, operation_id = "live", security(()),
    responses((status = 200, description = "Alive", body = String, content_type = "text/plain")),
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Ready
///
/// Whether a callback could be recorded now: commits a probe row, at most once a second.
#[utoipa::path(
    get, path = "/readyz", tag = TAG_SERVICE, operation_id = "ready", security(()),
    responses((status = 200, description = "Ready", body = String, content_type = "text/plain"), ReadyProblems),
)]
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, Problem> {
    if api.is_draining() {
        return Err(Code::Draining.into());
    }
    // Held over the probe: whoever else asks meanwhile gets its result.
    let mut last = api.readiness.0.lock().await;
    if last.is_none_or(|(at, _)| at.elapsed() >= PROBE_AGE) {
        let ready = api.ask(api.ledger().probe()).await.is_ok();
        *last = Some((Instant::now(), ready));
    }
    let ready = last.is_some_and(|(_, ready)| ready);
    if ready { Ok("ok\n") } else { Err(Code::LedgerUnavailable.into()) }
}

/// Metrics
///
/// Prometheus text. Needs no token with `server.public_metrics = true`; tokens limited to some syncs are refused,
/// for the figures are of all.
#[utoipa::path(
    get, path = "/metrics", tag = TAG_SERVICE, operation_id = "metrics", security((), ("token" = ["read"])),
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"), MetricsProblems),
)]
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    caller: Result<Caller, Problem>,
) -> Result<Response, Problem> {
    if !api.server.public_metrics {
        let caller = caller?;
        need(&caller, Scope::Read)?;
        if caller.syncs().is_some() {
            return Err(Problem::with(Code::Forbidden, "metrics are of all syncs, the token is not"));
        }
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, api.setup.metrics.render()).into_response())
}
