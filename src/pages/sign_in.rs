//! A token in, a session out.

use std::sync::Arc;

use axum::extract::{Extension, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::form::{Asked, read, refuse_other_sites, way_back};
use super::refusal::Refusal;
use super::shell;
use super::state::Pages;
use super::visitor;
use crate::access::Peer;
use crate::config::Scope;

/// How somebody came to sign in.
#[derive(Deserialize)]
pub(super) struct Came {
    back: Option<String>,
    why: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    token: String,
    back: Option<String>,
}

/// Asks for a token.
pub(super) async fn form(Query(came): Query<Came>) -> Markup {
    let why = match came.why.as_deref() {
        Some("expired") => Some("The session is over. Sign in to go on where you were."),
        Some("out") => Some("Signed out."),
        _ => None,
    };
    page(way_back(came.back.as_deref()), why, None)
}

fn page(back: &str, note: Option<&str>, wrong: Option<&str>) -> Markup {
    shell::alone(
        "Sign in",
        None,
        html! {
            h1 { "Sign in" }
            @if let Some(note) = note { p.note role="status" { (note) } }
            form.stack method="post" action="/sign-in" {
                input type="hidden" name="back" value=(back);
                label for="token" { "Token" }
                input #token type="password" name="token" autocomplete="current-password" autocapitalize="off"
                    spellcheck="false" required autofocus aria-invalid=[wrong.map(|_| "true")]
                    aria-describedby=[wrong.map(|_| "wrong")];
                @if let Some(wrong) = wrong { p.wrong #wrong role="alert" { (wrong) } }
                button.primary type="submit" { "Sign in" }
            }
            p.quiet { "One of the " code { "[[tokens]]" } " in the config, such as the one in "
                code { "PEAK_BRAZE_TOKEN" } ". It needs the scope " code { "read" } " to look and "
                code { "trigger" } " to act. A session lasts twelve hours." }
        },
    )
}

/// Opens a session for a token that is in force and may read.
pub(super) async fn enter(
    State(pages): State<Arc<Pages>>,
    peer: Option<Extension<Peer>>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    refuse_other_sites(&headers)?;
    let address = peer.map_or_else(String::new, |Extension(Peer(address))| address.to_string());
    pages.sign_ins.admit(&address).map_err(Refusal::TooOften)?;
    let entry: Entry = read(request).await?;
    let back = way_back(entry.back.as_deref());
    let opened = pages.shared().tokens.open_session(entry.token.trim(), pages.setup.clock.now());
    let wrong = match opened {
        Some((cookie, caller)) if caller.may(Scope::Read) => {
            tracing::info!(actor = caller.name(), "signed in");
            let cookie = [(header::SET_COOKIE, visitor::keep(&pages, &headers, &cookie))];
            return Ok((cookie, Redirect::to(back)).into_response());
        }
        Some(_) => "This token lacks the scope read, and so may not see pages.",
        None => "No token in force is like this one.",
    };
    tracing::warn!(peer = address, "a sign-in was refused");
    Ok((StatusCode::FORBIDDEN, page(back, None, Some(wrong))).into_response())
}

/// Has the browser forget its sessions.
pub(super) async fn leave(_asked: Asked) -> Response {
    let cookies = visitor::forget().map(|cookie| (header::SET_COOKIE, cookie));
    (AppendHeaders(cookies), Redirect::to("/sign-in?why=out")).into_response()
}
