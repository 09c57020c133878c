//! Where Peak's callbacks arrive: verify, read, record, and only then say so.
//!
//! Whoever holds no secret is told nothing: a bad signature, a missing header, a sync that is not there and a sync
//! that takes no callbacks all get the same 401. A sync that is not there costs the work of one with the default
//! scheme and one shared secret, so that neither stands out by its time; further secrets, public keys and the other
//! schemes, which need other headers, take another time. That tells of a sync's id and scheme, which are no secrets,
//! and of no secret, as every one is tried in constant time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::document::{CallbackProblems, TAG_CALLBACKS};
use super::extract::{Raw, Segment};
use super::problem::{Code, Problem};
use super::state::{Api, Shared, traceparent};
use crate::callback::{self, Callback, Verified};
use crate::config;
use crate::ledger::{Decision, NewDelivery, Recorded, RefusedDelivery};
use crate::run::{RunId, RunState};
use crate::telemetry::trace;

/// RFC 9110 §11.6.1 wants a challenge with every 401.
const CHALLENGE: &str = "Signature realm=\"peak-braze\"";

/// What a callback is answered once it is recorded.
#[derive(Serialize, ToSchema)]
pub(super) struct Acknowledgement {
    /// The sender's id, or the one given in its place.
    delivery_id: String,
    /// The run that answers for it; null where it is ignored.
    run_id: Option<RunId>,
    /// The run's state, or `ignored`.
    state: &'static str,
    /// Whether it was known already.
    duplicate: bool,
}

/// The body of a `standard` callback.
#[derive(Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "shows the body's shape in the OpenAPI document; reading it is the callback's room"
)]
pub(super) struct CallbackBody {
    /// The event, such as `model.run.completed`.
    #[serde(rename = "type")]
    #[schema(pattern = "^[!-~]{1,256}$")]
    event_type: String,
    /// When it happened, in ISO 8601. Only shown, so anything else is passed over.
    #[schema(value_type = serde_json::Value, required = false)]
    timestamp: Option<DateTime<Utc>>,
    /// `tenant`, `workflow_id`, `execution_id`, `run_id`, `model`, `model_version`, `output_table`, `rows_updated`;
    /// others are passed over. A `status` of `failed` makes it ignored.
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
}

/// Take a signed callback
///
/// Answers once the delivery and its run are committed. A delivery id seen before with the same body gets the first
/// one's run. Signed as Standard Webhooks 1.0.0 unless the sync says otherwise.
#[utoipa::path(
    post, path = "/v1/callbacks/{sync}", tag = TAG_CALLBACKS, operation_id = "receiveCallback",
    params(
        ("sync" = String, Path, description = "The sync's id"),
        ("webhook-id" = Option<String>, Header, description = "Unique per event, the same over retries (or svix-id)"),
        ("webhook-timestamp" = Option<String>, Header, description = "Unix seconds of this attempt (or svix-timestamp)"),
        ("webhook-signature" = Option<String>, Header, description = "v1,… or v1a,…, separated by spaces (or svix-signature)"),
    ),
    request_body(content = CallbackBody, content_type = "application/json"),
    responses(
        (status = 202, description = "Recorded, seen before, or recorded as ignored", body = Acknowledgement,
         headers(("Location" = String, description = "The run; absent where the delivery is ignored"))),
        CallbackProblems,
    ),
    security(()),
)]
pub(super) async fn receive(
    State(api): State<Arc<Api>>,
    Segment(sync): Segment<String>,
    Raw { headers, body }: Raw,
) -> Response {
    let (began, shared) = (Instant::now(), api.shared());
    let arrival = Arrival { api: &api, shared: &shared, sync: &sync, received_at: api.setup.clock.now() };
    let (outcome, reason, response) = match arrival.record(&headers, &body).await {
        Ok(Acked { outcome, reason, response }) => (outcome, reason, response),
        Err(Failed { outcome, reason, problem }) => (outcome, reason, problem.into_response()),
    };
    let counts = shared.syncs.get(&sync).map_or(&api.strangers, |endpoint| &endpoint.counts);
    counts.answered((outcome, reason), began);
    response
}

/// One callback on its way in.
struct Arrival<'a> {
    api: &'a Api,
    shared: &'a Shared,
    sync: &'a str,
    received_at: DateTime<Utc>,
}

struct Acked {
    outcome: &'static str,
    reason: &'static str,
    response: Response,
}

struct Failed {
    outcome: &'static str,
    reason: &'static str,
    problem: Problem,
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self { outcome: "failed", reason: problem.code.as_str(), problem }
    }
}

impl Arrival<'_> {
    async fn record(&self, headers: &HeaderMap, body: &[u8]) -> Result<Acked, Failed> {
        if self.api.is_draining() {
            return Err(Problem::from(Code::Draining).into());
        }
        let (settings, verified) = self.verify(headers, body)?;
        // From here on it is known whose trace it may be a part of.
        let span = trace::received("callback", traceparent(headers));
        span.set("sync", self.sync.to_owned());
        let acked = span.around(self.answer(settings, verified, body)).await;
        let (outcome, reason) = match &acked {
            Ok(acked) => (acked.outcome, acked.reason),
            Err(failed) => (failed.outcome, failed.reason),
        };
        span.set("outcome", outcome);
        span.set("reason", reason);
        acked
    }

    /// Reads and records what is verified.
    async fn answer(
        &self,
        settings: &config::Callback,
        verified: Verified,
        body: &[u8],
    ) -> Result<Acked, Failed> {
        let said = self.read(body)?;
        let decision = match said.decide(settings) {
            callback::Decision::Run => Decision::Run,
            callback::Decision::Ignored(why) => Decision::Ignored(why.code()),
        };
        let reason = if let Decision::Ignored(why) = decision { why } else { "" };
        let delivery = NewDelivery {
            sync: self.sync.to_owned(),
            delivery_id: verified.delivery_id,
            body_digest: Sha256::digest(body).into(),
            received_at: self.received_at,
            event_type: said.event_type,
            secret: u32::try_from(verified.secret).unwrap_or(u32::MAX),
            decision,
            model: said.model,
        };
        let recorded = self.api.ask(self.api.ledger().record_delivery(delivery)).await?;
        self.acknowledge(recorded, reason)
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(&config::Callback, Verified), Failed> {
        let endpoint = self.shared.syncs.get(self.sync);
        let endpoint = endpoint.and_then(|sync| Some((&sync.counts, sync.callback.as_ref()?)));
        let verifier = endpoint.map_or(&self.api.dummy, |(_, (_, verifier))| verifier);
        let verified = verifier.verify(headers, body, self.received_at);
        match (verified, endpoint) {
            (Ok(verified), Some((counts, (settings, _)))) => {
                counts.verified(verified.secret, verified.signed_at, self.received_at);
                Ok((settings, verified))
            }
            (Err(refusal), Some(_)) => {
                let problem = Problem::from(Code::Unauthenticated).challenge(CHALLENGE).uniform();
                Err(self.refuse(refusal.code(), problem))
            }
            (_, None) => {
                let problem = Problem::from(Code::Unauthenticated).challenge(CHALLENGE).uniform();
                Err(Failed { outcome: "refused", reason: "no_such_sync", problem })
            }
        }
    }

    fn read(&self, body: &[u8]) -> Result<Callback, Failed> {
        Callback::parse(body).map_err(|error| {
            let code = match error {
                callback::PayloadError::NotJson => Code::NotJson,
                callback::PayloadError::DuplicateKey => Code::DuplicateKey,
                callback::PayloadError::Shape { .. } => Code::WrongShape,
            };
            self.refuse(error.code(), Problem::with(code, error.to_string()))
        })
    }

    /// Keeps the refusal where the operator looks for it.
    fn refuse(&self, reason: &'static str, problem: Problem) -> Failed {
        let (sync, received_at) = (self.sync.to_owned(), self.received_at);
        self.api.ledger().refuse_delivery(RefusedDelivery { sync, received_at, reason });
        Failed { outcome: "refused", reason, problem }
    }

    fn acknowledge(&self, recorded: Recorded, reason: &'static str) -> Result<Acked, Failed> {
        match recorded {
            Recorded::Accepted { delivery_id, run_id, state } => {
                (self.api.setup.on_trigger)(self.sync);
                Ok(acked("accepted", reason, delivery_id, Some((run_id, state))))
            }
            Recorded::Duplicate { delivery_id, run } => Ok(acked("duplicate", "", delivery_id, run)),
            Recorded::Ignored { delivery_id } => Ok(acked("ignored", reason, delivery_id, None)),
            Recorded::Conflict => {
                Err(Failed { outcome: "conflict", reason: "", problem: Code::IdConflict.into() })
            }
        }
    }
}

fn acked(
    outcome: &'static str,
    reason: &'static str,
    delivery_id: String,
    run: Option<(RunId, RunState)>,
) -> Acked {
    let state = run.map_or("ignored", |(_, state)| state.as_str());
    let run_id = run.map(|(id, _)| id);
    let body = Acknowledgement { delivery_id, run_id, state, duplicate: outcome == "duplicate" };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Some(id) = run_id {
        response.headers_mut().insert(header::LOCATION, super::runs::location(id));
    }
    Acked { outcome, reason, response }
}
