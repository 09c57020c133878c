//! From request to arguments, each refusal a problem document.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use super::state::Api;

/// Longest word about what is wrong with a request that is sent back.
const MAX_DETAIL_CHARS: usize = 200;

/// A request's body as it came: counted, timed, never decoded. And what stands around it.
pub(super) struct Raw {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A JSON body of known shape, with the bytes it was read from; an empty body is an empty object.
pub(super) struct Typed<T> {
    pub(super) value: T,
    pub(super) bytes: Bytes,
}

/// Query parameters; one that is not known is refused.
pub(super) struct Params<T>(pub(super) T);

/// A part of the path; one of the wrong form leads nowhere.
pub(super) struct Segment<T>(pub(super) T);

impl FromRequest<Arc<Api>> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        refuse_encoded(&parts.headers)?;
        refuse_other_types(&parts.headers)?;
        let limit_bytes = api.server.body_limit_bytes;
        refuse_announced(&parts.headers, limit_bytes)?;
        let read = Limited::new(body, limit_bytes).collect();
        match tokio::time::timeout(api.setup.limits.body_timeout, read).await {
            Ok(Ok(body)) => Ok(Self { headers: parts.headers, body: body.to_bytes() }),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(limit_bytes)),
            Ok(Err(_)) => Err(Problem::with(Code::BadRequest, "the body broke off")),
            Err(_) => Err(Code::BodyTimeout.into()),
        }
    }
}

/// Nothing is ever decompressed, so a small body cannot become a large one.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity");
    if encoded { Err(Code::UnsupportedEncoding.into()) } else { Ok(()) }
}

/// JSON in one of its names, nothing, or the form type, which curl writes over any body unless told otherwise.
fn refuse_other_types(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let taken =
        matches!(essence, "" | "application/json" | "text/json" | "application/x-www-form-urlencoded")
            || (essence.starts_with("application/") && essence.ends_with("+json"));
    if taken { Ok(()) } else { Err(Code::UnsupportedType.into()) }
}

fn refuse_announced(headers: &HeaderMap, limit_bytes: usize) -> Result<(), Problem> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit_bytes as u64 => Err(too_large(limit_bytes)),
        _ => Ok(()),
    }
}

fn too_large(limit_bytes: usize) -> Problem {
    Problem::with(Code::BodyTooLarge, format!("{limit_bytes} bytes are taken at most"))
}

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Typed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, api: &Arc<Api>) -> Result<Self, Problem> {
        let Raw { body: bytes, .. } = Raw::from_request(request, api).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(text).map_err(|error| bad(&error))?;
        Ok(Self { value, bytes })
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let params = Query::from_request_parts(parts, api).await;
        params.map(|Query(params)| Self(params)).map_err(|error| bad(&error))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, api).await;
        path.map(|Path(part)| Self(part)).map_err(|_| Code::NotFound.into())
    }
}

fn bad(error: &dyn std::fmt::Display) -> Problem {
    Problem::with(Code::BadRequest, error.to_string().chars().take(MAX_DETAIL_CHARS).collect::<String>())
}
