//! Who looks at a page, and the cookie that says so.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use chrono::{DateTime, Utc};

use super::refusal::Refusal;
use super::state::{Pages, Shared};
use crate::access::{Caller, SESSION_TIME, Session};
use crate::config::Scope;

/// The cookie over plain http, which only loopback and trusted networks should use.
const PLAIN: &str = "peak_braze_session";

/// The cookie over https. Browsers take `__Host-` only with `Secure` and from this very host, so that no neighbouring
/// host can plant one (RFC 6265bis §4.1.3).
const SECURE: &str = "__Host-peak_braze_session";

/// Somebody with a session that is in force and may read.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) session: Session,
    pub(super) shared: Arc<Shared>,
    pub(super) now: DateTime<Utc>,
    pub(super) cookie: String,
}

impl Visitor {
    pub(super) fn caller(&self) -> &Caller {
        &self.session.caller
    }

    /// Whether the visitor may start and stop things.
    pub(super) fn may_act(&self) -> bool {
        self.caller().may(Scope::Trigger)
    }

    /// The visitor of a cookie, as of now.
    pub(super) fn of(pages: &Pages, cookie: &str) -> Option<Self> {
        let (shared, now) = (pages.shared(), pages.setup.clock.now());
        let session = shared.tokens.session(cookie, now)?;
        Some(Self { session, shared, now, cookie: cookie.to_owned() })
    }
}

impl FromRequestParts<Arc<Pages>> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, pages: &Arc<Pages>) -> Result<Self, Refusal> {
        let visitor = cookies(pages, &parts.headers).find_map(|cookie| Self::of(pages, cookie));
        let visitor = visitor.ok_or_else(|| signed_out(pages, parts))?;
        if visitor.caller().may(Scope::Read) { Ok(visitor) } else { Err(Refusal::Forbidden("read")) }
    }
}

/// Whoever has no session signs in and comes back. A browser that followed a link of another site keeps a strict cookie
/// to itself, though there may be one: it is sent here once more, from here.
fn signed_out(pages: &Pages, parts: &Parts) -> Refusal {
    let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
    let had_one = cookies(pages, &parts.headers).next().is_some();
    let from_elsewhere = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if parts.method == Method::GET && from_elsewhere && !had_one {
        return Refusal::FromElsewhere { to: here.to_owned() };
    }
    let back =
        if parts.method == Method::GET { here } else { here.rsplit_once('/').map_or("/", |(page, _)| page) };
    Refusal::SignIn { back: back.to_owned(), expired: had_one }
}

/// Sessions as the browser has them for this way here. Over https the plain cookie counts for nothing: any host of the
/// same domain can plant one.
fn cookies<'h>(pages: &Pages, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
    let kept = if is_secure(pages, headers) { SECURE } else { PLAIN };
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|list| list.to_str().ok());
    let pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(name, _)| *name == kept).map(|(_, value)| value)
}

/// Whether the browser came by https: to us, or to a proxy that says so. Whoever says so untruly spoils only a cookie
/// of their own.
fn is_secure(pages: &Pages, headers: &HeaderMap) -> bool {
    pages.setup.tls || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}

/// Has the browser keep a session, for this host and its own pages alone, out of reach of scripts.
pub(super) fn keep(pages: &Pages, headers: &HeaderMap, cookie: &str) -> HeaderValue {
    let name = if is_secure(pages, headers) { SECURE } else { PLAIN };
    set(name, cookie, SESSION_TIME.num_seconds())
}

/// Has the browser forget its sessions, whichever way it came for them.
pub(super) fn forget() -> [HeaderValue; 2] {
    [PLAIN, SECURE].map(|name| set(name, "", 0))
}

fn set(name: &str, value: &str, secs: i64) -> HeaderValue {
    let secure = if name == SECURE { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={secs}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&cookie).expect("sessions are plain ASCII")
}
