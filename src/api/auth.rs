//! Who asks, and what they may do.
//!
//! Tokens are kept as SHA-256 digests and compared in constant time. Scopes are taken as they stand in the config:
//! none contains another, so a token that may force but not look is possible, if odd.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};
use super::state::{Api, ApiError};
use crate::config::{self, Scope};

/// RFC 6750 §3.
const CHALLENGE: &str = "Bearer realm=\"peak-braze\"";

/// Every token that is in force.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Known>);

#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    caller: Caller,
}

/// Whoever showed a token that is in force.
#[derive(Clone, Debug)]
pub(super) struct Caller(Arc<config::Token>);

impl Tokens {
    /// Resolves `[[tokens]]`; the tokens themselves are forgotten at once.
    ///
    /// # Errors
    /// With the first token whose secret cannot be had.
    pub(super) fn new(tokens: &[config::Token]) -> Result<Self, ApiError> {
        let known = |token: &config::Token| {
            let wrong = |source| ApiError::Token { name: token.name.clone(), source };
            let secret = token.token.resolve().map_err(wrong)?;
            let digest = Sha256::digest(secret.expose_secret().as_bytes()).into();
            Ok(Known { digest, caller: Caller(Arc::new(token.clone())) })
        };
        tokens.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// Compares with all of them, whichever it is.
    fn caller(&self, shown: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        let matching = self.0.iter().fold(None, |found, known| {
            if bool::from(known.digest.ct_eq(&digest)) { Some(&known.caller) } else { found }
        });
        matching.cloned()
    }
}

impl Caller {
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// # Errors
    /// 403 where the token lacks the scope.
    pub(super) fn need(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.scopes.contains(&scope) {
            return Ok(());
        }
        let word = match scope {
            Scope::Read => "read",
            Scope::Trigger => "trigger",
            Scope::Admin => "admin",
        };
        Err(Problem::with(Code::Forbidden, format!("this needs a token with the scope {word}")))
    }

    /// Whether the token's `syncs` let it see this one.
    pub(super) fn sees(&self, sync: &str) -> bool {
        self.syncs().is_none_or(|syncs| syncs.iter().any(|id| id == sync))
    }

    /// The syncs the token is limited to, if it is.
    pub(super) fn syncs(&self) -> Option<&[String]> {
        self.0.syncs.as_deref()
    }
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
                caller.need(Scope::$scope)?;
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
