//! What an error looks like from outside: RFC 9457 problem documents with a stable `code`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::LedgerError;

/// The media type of problem documents.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// Seconds after which a ledger that was locked or full is worth another try; senders back off from there.
const RETRY_SECS: u64 = 5;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal $status:ident $title:literal,)+) => {
        /// Every problem there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            pub(super) fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            pub(super) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request" BAD_REQUEST "The request cannot be read",
    BadCursor = "bad_cursor" BAD_REQUEST "Not a cursor of this list",
    BadIdempotencyKey = "bad_idempotency_key" BAD_REQUEST "The Idempotency-Key cannot be used",
    NotJson = "not_json" BAD_REQUEST "The body is not JSON",
    DuplicateKey = "duplicate_key" BAD_REQUEST "The body holds a key twice",
    Unauthenticated = "unauthenticated" UNAUTHORIZED "The request does not prove where it comes from",
    Forbidden = "forbidden" FORBIDDEN "The token may not do this",
    NotFound = "not_found" NOT_FOUND "There is nothing here",
    UnknownRun = "unknown_run" NOT_FOUND "There is no such run",
    UnknownSync = "unknown_sync" NOT_FOUND "There is no such sync",
    UnknownCustomer = "unknown_customer" NOT_FOUND "Nothing is known of this customer",
    MethodNotAllowed = "method_not_allowed" METHOD_NOT_ALLOWED "Not a method of this resource",
    BodyTimeout = "body_timeout" REQUEST_TIMEOUT "The body took too long",
    /// Named with a hyphen since the first version.
    IdConflict = "id-conflict" CONFLICT "The delivery's id is known with another body",
    WrongState = "wrong_state" CONFLICT "The run is in no state for this",
    IdempotencyInProgress = "idempotency_in_progress" CONFLICT "The first request with this key is not answered yet",
    BodyTooLarge = "body_too_large" PAYLOAD_TOO_LARGE "The body is too large",
    UnsupportedEncoding = "unsupported_encoding" UNSUPPORTED_MEDIA_TYPE "Encoded bodies are not taken",
    UnsupportedType = "unsupported_type" UNSUPPORTED_MEDIA_TYPE "The body must be JSON",
    WrongShape = "wrong_shape" UNPROCESSABLE_ENTITY "The body is JSON of another shape",
    IdempotencyKeyReused = "idempotency_key_reused" UNPROCESSABLE_ENTITY "The Idempotency-Key was used with another body",
    TooManyTriggers = "too_many_triggers" TOO_MANY_REQUESTS "The token has triggered too often",
    Internal = "internal" INTERNAL_SERVER_ERROR "Something is wrong here",
    LedgerUnavailable = "ledger_unavailable" SERVICE_UNAVAILABLE "Nothing can be recorded now",
    Draining = "draining" SERVICE_UNAVAILABLE "The service is shutting down",
    TooManyStreams = "too_many_streams" SERVICE_UNAVAILABLE "Too many event streams are open",
}

/// An answer other than success.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(super) code: Code,
    detail: Option<String>,
    /// The `WWW-Authenticate` of a 401.
    challenge: Option<&'static str>,
    retry_after_secs: Option<u64>,
    /// Whether it leaves the request's id out of the body: what is refused must not tell one refusal from another.
    uniform: bool,
}

/// RFC 9457 problem details.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// Where the problem is described, relative to this service.
    #[serde(rename = "type")]
    #[schema(example = "/docs#problem-unknown_run")]
    kind: String,
    /// The problem in one line.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A stable word for scripts.
    #[schema(example = "unknown_run")]
    code: &'static str,
    /// What it is about this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The request's id, as in `x-request-id`. Refused callbacks leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        let retry_after_secs = (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_SECS);
        Self { code, detail: None, challenge: None, retry_after_secs, uniform: false }
    }
}

impl Problem {
    /// With words for people: never a secret, a customer or what another system said.
    pub(super) fn with(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..code.into() }
    }

    pub(super) fn challenge(self, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    pub(super) fn retry_after(self, secs: u64) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    pub(super) fn uniform(self) -> Self {
        Self { uniform: true, ..self }
    }

    /// The response, with the request's id where it is known.
    pub(super) fn respond(self, request_id: Option<&str>) -> Response {
        let status = self.code.status();
        let body = Document {
            kind: format!("/docs#problem-{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: self.detail.clone(),
            instance: request_id.filter(|_| !self.uniform).map(str::to_owned),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if matches!(self.code, Code::BodyTimeout | Code::BodyTooLarge) {
            // What is left of the body would be taken for the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond(None)
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable { .. } => {
                tracing::warn!(error = %error, "the ledger could not answer a request");
                Code::LedgerUnavailable.into()
            }
            LedgerError::KeyReused => Code::IdempotencyKeyReused.into(),
            LedgerError::NoSuchRun(_) => Code::UnknownRun.into(),
            LedgerError::BadCursor => Code::BadCursor.into(),
            LedgerError::WrongState { state, .. } => {
                Self::with(Code::WrongState, format!("the run is {state}"))
            }
            LedgerError::LeaseLost(_) | LedgerError::InUse { .. } | LedgerError::Unusable(_) => {
                tracing::error!(error = %error, "the ledger failed a request");
                Code::Internal.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_heading_in_the_runbook() {
        let (_, told) = include_str!("../../deploy/RUNBOOK.md")
            .split_once("\n# Problems of the API\n")
            .expect("the runbook has this part");
        let told = told.split("\n# ").next().unwrap_or_default();
        let told: BTreeSet<&str> = told.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        // It is told of once, with the errors of runs.
        let codes = Code::ALL.iter().filter(|code| **code != Code::LedgerUnavailable);
        assert_eq!(told, codes.map(|code| code.as_str()).collect());
    }
}
