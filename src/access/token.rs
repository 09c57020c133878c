//! Tokens in force.
//!
//! They are kept as SHA-256 digests and compared in constant time. Scopes are taken as they stand in the config: none
//! contains another, so a token that may force but not look is possible, if odd.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::session::session_key;
use crate::config::secret::SecretError;
use crate::config::{self, Scope};

/// A token whose secret cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("token {name}: {source}")]
pub struct TokenError {
    /// The token's name.
    pub name: String,
    /// What is wrong with it.
    #[source]
    pub source: SecretError,
}

/// Every token that is in force.
#[derive(Debug, Default)]
pub struct Tokens(pub(super) Vec<Known>);

#[derive(Debug)]
pub(super) struct Known {
    digest: [u8; 32],
    pub(super) session_key: SecretBox<[u8; 32]>,
    pub(super) caller: Caller,
}

/// Whoever showed a token that is in force.
#[derive(Clone, Debug)]
pub struct Caller(Arc<config::Token>);

impl Tokens {
    /// Resolves `[[tokens]]`; the tokens themselves are forgotten at once.
    ///
    /// # Errors
    /// With the first token whose secret cannot be had.
    pub fn new(tokens: &[config::Token]) -> Result<Self, TokenError> {
        let known = |token: &config::Token| {
            let wrong = |source| TokenError { name: token.name.clone(), source };
            let secret = token.token.resolve().map_err(wrong)?;
            let bytes = secret.expose_secret().as_bytes();
            let (digest, session_key) = (Sha256::digest(bytes).into(), session_key(bytes));
            Ok(Known { digest, session_key, caller: Caller(Arc::new(token.clone())) })
        };
        tokens.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// Whose token this is. Compares with all of them, whichever it is.
    pub fn caller(&self, shown: &str) -> Option<Caller> {
        self.known(shown).map(|known| known.caller.clone())
    }

    pub(super) fn known(&self, shown: &str) -> Option<&Known> {
        let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        self.0.iter().fold(
            None,
            |found, known| if bool::from(known.digest.ct_eq(&digest)) { Some(known) } else { found },
        )
    }
}

impl Caller {
    /// The token's name: a run's actor.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the token has the scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope)
    }

    /// Whether the token's `syncs` let it see this one.
    pub fn sees(&self, sync: &str) -> bool {
        self.syncs().is_none_or(|syncs| syncs.iter().any(|id| id == sync))
    }

    /// The syncs the token is limited to, if it is.
    pub fn syncs(&self) -> Option<&[String]> {
        self.0.syncs.as_deref()
    }
}
