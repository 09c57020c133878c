//! What starts and stops runs by hand: trigger, re-trigger, cancel, pause, resume.

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{Operator, need};
use super::document::{
    CancelProblems, PauseProblems, RetriggerProblems, TAG_RUNS, TAG_SYNCS, TriggerProblems,
};
use super::extract::{Segment, Typed};
use super::idempotency;
use super::problem::{Code, Problem};
use super::state::{Api, traceparent};
use crate::access::Caller;
use crate::config::Scope;
use crate::customer::{KeyDigits, Value, usable_key};
use crate::ledger::{Enqueued, Idempotency, NewRun};
use crate::run::{Mode, RunId, RunState, TriggerKind};
use crate::telemetry::trace;

/// A reason is a sentence or two.
const MAX_REASON_CHARS: usize = 500;

/// More are a case for a full run.
const MAX_CUSTOMERS: usize = 1_000;

/// What `peak-braze` sends as `User-Agent`, and what makes a trigger one of the command line.
const CLI_AGENT: &str = "peak-braze/";

/// How a run is asked for. Every field may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerRequest {
    /// How much to select and send; `delta` unless given. `force` needs the scope `admin`.
    mode: Option<Mode>,
    /// Why, for people; 500 characters at most.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// With `force`: only these customers, 1,000 at most.
    #[schema(max_items = 1000)]
    customers: Option<Vec<String>>,
}

/// A run recorded or joined.
#[derive(Serialize, ToSchema)]
pub(super) struct Started {
    /// The run.
    run_id: RunId,
    /// Its state.
    state: RunState,
    /// Whether it was queued already.
    coalesced: bool,
}

/// A run asked to stop.
#[derive(Serialize, ToSchema)]
pub(super) struct Stopped {
    /// The run.
    run_id: RunId,
    /// Its state now: a running one stops at its next safe point.
    state: RunState,
}

/// A sync paused or resumed.
#[derive(Serialize, ToSchema)]
pub(super) struct Paused {
    /// The sync.
    id: String,
    /// Whether it is paused.
    paused: bool,
}

impl TriggerRequest {
    fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Delta)
    }

    fn check(&self) -> Result<(), Problem> {
        let bad = |what: &str| Err(Problem::with(Code::BadRequest, what));
        if self.reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON_CHARS) {
            return bad("reason: 500 characters at most");
        }
        let Some(customers) = &self.customers else { return Ok(()) };
        if self.mode() != Mode::Force {
            return bad("customers: only with the mode force");
        }
        if !(1..=MAX_CUSTOMERS).contains(&customers.len()) {
            return bad("customers: 1 to 1,000 keys");
        }
        let is_usable =
            |key: &String| usable_key(Value::Text(key.as_bytes()), &mut KeyDigits::default()).is_some();
        if customers.iter().all(is_usable) { Ok(()) } else { bad("customers: keys of 1 to 987 bytes") }
    }
}

fn scope_of(mode: Mode) -> Scope {
    if mode == Mode::Force { Scope::Admin } else { Scope::Trigger }
}

/// Trigger a run
///
/// Joins the sync's queued run, if there is one, and widens its mode.
#[utoipa::path(
    post, path = "/v1/syncs/{sync}/runs", tag = TAG_SYNCS, operation_id = "triggerRun",
    params(
        ("sync" = String, Path, description = "The sync's id"),
        ("Idempotency-Key" = Option<String>, Header, pattern = r#"^([!#-~]([ !#-~]{0,253}[!#-~])?|"[ !#-~]{1,255}")$"#,
         description = "Makes a repeated request find the first one's run, for 24 h; bare or quoted"),
    ),
    request_body(content = Option<TriggerRequest>, content_type = "application/json"),
    responses(
        (status = 202, description = "Recorded or joined", body = Started,
         headers(("Location" = String, description = "The run"))),
        TriggerProblems,
    ),
)]
pub(super) async fn trigger(
    State(api): State<Arc<Api>>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    Segment(sync): Segment<String>,
    headers: HeaderMap,
    Typed { value: asked, bytes }: Typed<TriggerRequest>,
) -> Result<Response, Problem> {
    let mode = asked.mode();
    need(&caller, scope_of(mode))?;
    api.shared().sync(&caller, &sync)?;
    asked.check()?;
    let idempotency = idempotency::read(&headers, &caller, uri.path(), &bytes)?;
    let run = NewRun {
        sync: sync.clone(),
        mode,
        kind: kind_of(&headers),
        actor: Some(caller.name().to_owned()),
        reason: asked.reason,
        retrigger_of: None,
        customers: asked.customers,
        idempotency: idempotency.clone(),
    };
    let span = trace::received("trigger", traceparent(&headers));
    span.around(Box::pin(start(&api, &caller, &sync, idempotency, api.ledger().enqueue(run)))).await
}

/// Repeat a run
///
/// A new run of the same mode that points at this one; it joins a queued run like a trigger.
#[utoipa::path(
    post, path = "/v1/runs/{id}/retrigger", tag = TAG_RUNS, operation_id = "retriggerRun",
    params(
        ("id" = Uuid, Path, description = "The run's id"),
        ("Idempotency-Key" = Option<String>, Header, pattern = r#"^([!#-~]([ !#-~]{0,253}[!#-~])?|"[ !#-~]{1,255}")$"#,
         description = "Makes a repeated request find the first one's run, for 24 h; bare or quoted"),
    ),
    responses(
        (status = 202, description = "Recorded or joined", body = Started,
         headers(("Location" = String, description = "The new run"))),
        RetriggerProblems,
    ),
)]
pub(super) async fn retrigger(
    State(api): State<Arc<Api>>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    Segment(id): Segment<RunId>,
    headers: HeaderMap,
    Typed { bytes, .. }: Typed<Empty>,
) -> Result<Response, Problem> {
    let original = api.run(&caller, id).await?;
    need(&caller, scope_of(original.mode))?;
    // No worker claims runs of a sync that is in the config no more.
    api.shared().sync(&caller, &original.sync)?;
    let idempotency = idempotency::read(&headers, &caller, uri.path(), &bytes)?;
    let actor = Some(caller.name().to_owned());
    let enqueued = api.ledger().retrigger(id, actor, idempotency.clone());
    let span = trace::received("retrigger", traceparent(&headers));
    span.around(Box::pin(start(&api, &caller, &original.sync, idempotency, enqueued))).await
}

/// A body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

async fn start(
    api: &Api,
    caller: &Caller,
    sync: &str,
    idempotency: Option<Idempotency>,
    enqueue: impl Future<Output = Result<Enqueued, crate::ledger::LedgerError>>,
) -> Result<Response, Problem> {
    refuse_draining(api)?;
    let over = api.flood.admit(caller.name());
    over.map_err(|wait| Problem::from(Code::TooManyTriggers).retry_after(wait.as_secs() + 1))?;
    let _held = api.in_progress.hold(idempotency.as_ref())?;
    let Enqueued { run_id, state, coalesced } = api.ask(enqueue).await?;
    (api.setup.on_trigger)(sync);
    let location = [(header::LOCATION, super::runs::location(run_id))];
    Ok((StatusCode::ACCEPTED, location, Json(Started { run_id, state, coalesced })).into_response())
}

fn refuse_draining(api: &Api) -> Result<(), Problem> {
    if api.is_draining() { Err(Code::Draining.into()) } else { Ok(()) }
}

fn kind_of(headers: &HeaderMap) -> TriggerKind {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    match agent {
        Some(agent) if agent.starts_with(CLI_AGENT) => TriggerKind::Cli,
        _ => TriggerKind::Manual,
    }
}

/// Cancel a run
///
/// A queued or held run is cancelled at once; a running one stops at its next safe point.
#[utoipa::path(
    post, path = "/v1/runs/{id}/cancel", tag = TAG_RUNS, operation_id = "cancelRun",
    params(("id" = Uuid, Path, description = "The run's id")),
    responses((status = 202, description = "Cancelled, or asked to stop", body = Stopped), CancelProblems),
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Operator(caller): Operator,
    Segment(id): Segment<RunId>,
) -> Result<(StatusCode, Json<Stopped>), Problem> {
    api.run(&caller, id).await?;
    let state = api.ask(api.ledger().cancel(id)).await?;
    Ok((StatusCode::ACCEPTED, Json(Stopped { run_id: id, state })))
}

/// Pause a sync
///
/// While paused it records deliveries and queues their run, and starts none.
#[utoipa::path(
    post, path = "/v1/syncs/{sync}/pause", tag = TAG_SYNCS, operation_id = "pauseSync",
    params(("sync" = String, Path, description = "The sync's id")),
    responses((status = 200, description = "Paused", body = Paused), PauseProblems),
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Operator(caller): Operator,
    Segment(sync): Segment<String>,
) -> Result<Json<Paused>, Problem> {
    set_paused(&api, &caller, sync, true).await
}

/// Resume a sync
#[utoipa::path(
    post, path = "/v1/syncs/{sync}/resume", tag = TAG_SYNCS, operation_id = "resumeSync",
    params(("sync" = String, Path, description = "The sync's id")),
    responses((status = 200, description = "Resumed", body = Paused), PauseProblems),
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Operator(caller): Operator,
    Segment(sync): Segment<String>,
) -> Result<Json<Paused>, Problem> {
    set_paused(&api, &caller, sync, false).await
}

async fn set_paused(api: &Api, caller: &Caller, id: String, paused: bool) -> Result<Json<Paused>, Problem> {
    api.shared().sync(caller, &id)?;
    api.ask(api.ledger().set_paused(&id, paused)).await?;
    if !paused {
        (api.setup.on_trigger)(&id);
    }
    Ok(Json(Paused { id, paused }))
}
