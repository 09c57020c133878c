//! What every request and response has in common: an id, a count, headers, and no method we do not know.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use uuid::Uuid;

use super::measure::Requests;
use super::problem::{Code, Problem};

/// The request's id: the caller's, if it is plain, else one of ours.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A UUID has 36; traces of other kinds fit in 64.
const MAX_ID_BYTES: usize = 64;

/// Gives the request an id, its problem that id as `instance`, and the response the headers all have.
pub(super) async fn wrap(State(requests): State<Arc<Requests>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let method = known_method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match *request.method() {
        Method::TRACE | Method::CONNECT => refused_method(),
        _ => next.run(request).await,
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = with_instance(problem, &id, response);
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    requests.answered(route, method, response.status().as_u16(), began.elapsed());
    finish(response, &id)
}

fn request_id(request: &Request) -> String {
    let plain = |id: &&str| {
        (1..=MAX_ID_BYTES).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let theirs = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain);
    theirs.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// Methods outside HTTP's own set are one label, whatever they are called.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// TRACE would echo tokens, CONNECT would make a proxy of us.
fn refused_method() -> Response {
    let mut response = Problem::from(Code::MethodNotAllowed).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD,POST"));
    response
}

fn with_instance(problem: Problem, id: &str, old: Response) -> Response {
    let mut new = problem.respond(Some(id));
    for (name, value) in old.headers() {
        // Such as the `Allow` that routing added.
        if *name != header::CONTENT_LENGTH {
            new.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    new
}

fn finish(mut response: Response, id: &str) -> Response {
    let headers = response.headers_mut();
    let id = HeaderValue::from_str(id).expect("ids are plain ASCII");
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn not_found() -> Problem {
    Code::NotFound.into()
}

pub(super) async fn method_not_allowed() -> Problem {
    Code::MethodNotAllowed.into()
}
