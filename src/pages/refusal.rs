//! What a person is told in place of a page, and the way on from there.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::headers;
use super::shell;
use super::words::encoded;
use crate::ledger::LedgerError;
use crate::run::RunState;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No session in force.
    SignIn { back: String, expired: bool },
    /// Somebody followed a link of another site.
    FromElsewhere { to: String },
    /// The token lacks this scope.
    Forbidden(&'static str),
    /// A form that no page of this session made.
    NotMine,
    /// A form or an address that cannot be read.
    Unreadable,
    /// There is no such thing, or not for this token.
    Unknown(&'static str),
    /// The run is in no state for this.
    WrongState(RunState),
    /// Too much in a minute.
    TooOften(Duration),
    /// The ledger does not answer.
    Unavailable,
    /// The service shuts down.
    Draining,
    /// Something is wrong here.
    Internal,
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable { .. } => {
                tracing::warn!(error = %error, "the ledger could not answer a page");
                Self::Unavailable
            }
            LedgerError::NoSuchRun(_) => Self::Unknown("run"),
            LedgerError::BadCursor => Self::Unknown("part of this list"),
            LedgerError::WrongState { state, .. } => Self::WrongState(state),
            LedgerError::KeyReused
            | LedgerError::LeaseLost(_)
            | LedgerError::InUse { .. }
            | LedgerError::Unusable(_) => {
                tracing::error!(error = %error, "the ledger failed a page");
                Self::Internal
            }
        }
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::SignIn { .. } => StatusCode::SEE_OTHER,
            Self::FromElsewhere { .. } => StatusCode::OK,
            Self::Forbidden(_) | Self::NotMine => StatusCode::FORBIDDEN,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::WrongState(_) => StatusCode::CONFLICT,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, and what to do.
    fn words(&self) -> (String, String) {
        let (title, text) = match self {
            Self::SignIn { .. } => ("Sign in", "This page needs a session.".to_owned()),
            Self::FromElsewhere { .. } => ("One moment", "Going on to the page.".to_owned()),
            Self::Forbidden(scope) => (
                "Not with this token",
                format!(
                    "This needs a token with the scope {scope}. Sign out, and in again with one that has it; \
                     scopes are set under [[tokens]] in the config."
                ),
            ),
            Self::NotMine => (
                "Nothing was done",
                "The form belongs to another session, or came from another site. Go back, reload the page, and try \
                 again."
                    .to_owned(),
            ),
            Self::Unreadable => {
                ("Nothing was done", "The request cannot be read. Go back, reload the page, and try again.".to_owned())
            }
            Self::Unknown(what) => (
                "Not here",
                format!(
                    "There is no such {what}, or this token may not see it. Runs and deliveries go when their \
                     retention is over."
                ),
            ),
            Self::WrongState(state) => {
                ("Nothing was done", format!("The run is {state}: there is nothing left to do about it."))
            }
            Self::TooOften(wait) => (
                "Too often",
                format!("That was tried too often within a minute. Try again in {} s.", wait.as_secs() + 1),
            ),
            Self::Unavailable => (
                "The ledger does not answer",
                "Nothing can be read or recorded now. Try again in a few seconds; /readyz says when it is back."
                    .to_owned(),
            ),
            Self::Draining => {
                ("Shutting down", "The service is about to stop and starts nothing any more. Try again soon.".to_owned())
            }
            Self::Internal => {
                ("Something is wrong here", "It is in the service's log, under this request's id.".to_owned())
            }
        };
        (title.to_owned(), text)
    }

    fn page(&self) -> Markup {
        let (title, text) = self.words();
        let status = self.status();
        shell::alone(
            &title,
            None,
            html! {
                @if status.is_client_error() || status.is_server_error() { p.eyebrow { (status.as_u16()) } }
                h1 { (title) }
                p { (text) }
                p { a.button href="/" { "All syncs" } }
            },
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::SignIn { back, expired } = &self {
            let why = if *expired { "&why=expired" } else { "" };
            return Redirect::to(&format!("/sign-in?back={}{why}", encoded(back))).into_response();
        }
        let page = match &self {
            Self::FromElsewhere { to } => shell::alone(
                "One moment",
                Some(to),
                html! {
                    h1 { "One moment" }
                    p { a href=(to) { "Go on to the page" } }
                },
            ),
            _ => self.page(),
        };
        let mut response = (self.status(), page).into_response();
        let retry_secs = match self {
            Self::TooOften(wait) => Some(wait.as_secs() + 1),
            // As the API has it: senders back off from there.
            Self::Unavailable | Self::Draining => Some(5),
            _ => None,
        };
        if let Some(secs) = retry_secs {
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        response
    }
}

/// Puts a page in the place of "not found" and "wrong method", for browsers that ask for a page. The API's own
/// addresses keep their problem documents.
pub(super) async fn for_people(request: Request, next: Next) -> Response {
    let is_page = wants_page(request.headers()) && !request.uri().path().starts_with("/v1/");
    let is_get = request.method() == Method::GET;
    let response = next.run(request).await;
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    let lost = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
    if !(is_page && is_get && lost && is_problem) {
        return response;
    }
    let mut page = headers::with_them(Refusal::Unknown("page").into_response());
    for (name, value) in response.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            page.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    page
}

/// RFC 9457 §3.
const PROBLEM: &str = "application/problem+json";

fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|accepts| accepts.contains("text/html"));
    headers.get_all(header::ACCEPT).iter().any(accepts)
}
