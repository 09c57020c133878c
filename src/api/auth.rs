//! Who asks, and what they may do, in problem documents.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::{Code, Problem};
use super::state::Api;
use crate::access::Caller;
use crate::config::Scope;

/// RFC 6750 §3.
const CHALLENGE: &str = "Bearer realm=\"peak-braze\"";

/// # Errors
/// 403 where the token lacks the scope.
pub(super) fn need(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.may(scope) {
        return Ok(());
    }
    let word = match scope {
        Scope::Read => "read",
        Scope::Trigger => "trigger",
        Scope::Admin => "admin",
    };
    Err(Problem::with(Code::Forbidden, format!("this needs a token with the scope {word}")))
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = bearer(parts).and_then(|token| api.shared().tokens.caller(token));
        caller.ok_or_else(|| {
            Problem::with(Code::Unauthenticated, "a bearer token that is in force is needed")
                .challenge(CHALLENGE)
        })
    }
}

/// The token of the one `Authorization` header; RFC 9110 §11.1 leaves the scheme's case open.
fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// A caller with one scope, so that a handler's arguments say what it needs.
macro_rules! scoped {
    ($($(#[$doc:meta])* $name:ident: $scope:ident,)+) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub(super) Caller);

        impl FromRequestParts<Arc<Api>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
                let caller = Caller::from_request_parts(parts, api).await?;
                need(&caller, Scope::$scope)?;
                Ok(Self(caller))
            }
        }
    )+};
}

scoped! {
    /// May see.
    Reader: Read,
    /// May start, cancel, pause.
    Operator: Trigger,
    /// May force, and look at one customer.
    Administrator: Admin,
}
