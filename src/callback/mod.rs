//! Proves where a callback comes from, then reads it. Pure: headers, bytes and the time go in, a verdict comes out.
//!
//! The signature is checked over the raw bytes before anything is parsed. Every refusal names its step for the
//! operator; whoever sent it learns only that it was refused.

mod header;
mod json;
mod lock;
mod payload;
mod refusal;
mod sign;
mod signature;

use std::fmt;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use crate::config;
use crate::config::CallbackScheme;
use header::Envelope;
use lock::Lock;

pub use payload::{Callback, Decision, Ignored, PayloadError};
pub use refusal::{Refusal, Step};
pub use sign::{SignError, sign};

/// Verifies the callbacks of one sync.
pub struct Verifier {
    scheme: CallbackScheme,
    locks: Vec<Lock>,
    tolerance_secs: u64,
    /// Whether a match counts; false only for [`Verifier::dummy`].
    opens: bool,
}

/// A callback that came from who holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The same over all retries. Absent where a scheme other than `standard` sends none: no deduplication then.
    pub delivery_id: Option<String>,
    /// Index of the secret that matched, so that an operator sees when an old one is no longer used.
    pub secret: usize,
    /// When this attempt was signed; only `standard` says.
    pub signed_at: Option<DateTime<Utc>>,
}

/// Which secret of a callback is no key, and why. Never shows the secret.
#[derive(Debug, thiserror::Error)]
#[error("callback secret {index} {source}")]
pub struct KeyError {
    /// Index of the secret in the config.
    pub index: usize,
    /// Why.
    #[source]
    pub source: config::KeyError,
}

impl Verifier {
    /// Resolves the secrets of `[syncs.callback]`, in the file's order.
    ///
    /// # Errors
    /// With the first secret that cannot be had, is short, or does not fit the scheme.
    pub fn new(callback: &config::Callback) -> Result<Self, KeyError> {
        let keys = callback.keys().map_err(|(index, source)| KeyError { index, source })?;
        let locks = keys.iter().map(|key| Lock::new(callback.scheme, key)).collect();
        Ok(Self { scheme: callback.scheme, locks, tolerance_secs: callback.tolerance_secs, opens: true })
    }

    /// Refuses everything, after the work of a `standard` verifier with one shared secret: an unknown sync answers like
    /// a bad signature.
    pub fn dummy() -> Self {
        let (scheme, locks) = (CallbackScheme::Standard, vec![Lock::dummy()]);
        Self { scheme, locks, tolerance_secs: 300, opens: false }
    }

    /// How many secrets a signature may be made with.
    pub fn secrets(&self) -> usize {
        self.locks.len()
    }

    /// The steps [`Verifier::verify`] goes through, in order.
    pub fn steps(&self) -> &'static [Step] {
        match self.scheme {
            CallbackScheme::Standard => &Step::ALL,
            CallbackScheme::Github | CallbackScheme::Bearer => {
                &[Step::Headers, Step::Id, Step::Signatures, Step::Match]
            }
        }
    }

    /// Whether `body` came, `now` or within the tolerance, from who holds one of the secrets.
    ///
    /// # Errors
    /// With the first step that failed.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Verified, Refusal> {
        let envelope = Envelope::read(self.scheme, headers)?;
        let signatures = signature::read(self.scheme, &envelope.signature);
        // Matched before the window is judged: a stale delivery takes as long to refuse as a forged one.
        let matched = self.matching(&signatures, &envelope.material(body));
        let signed_at = self.window(&envelope, now)?;
        if signatures.is_empty() {
            return Err(Refusal::NoUsableSignature);
        }
        let secret = matched.filter(|_| self.opens).ok_or(Refusal::NoSignatureMatched)?;
        Ok(Verified { delivery_id: envelope.id, secret, signed_at })
    }

    /// The first lock that a signature opens. All are tried, whichever it is.
    fn matching(&self, signatures: &[signature::Signature], material: &[&[u8]]) -> Option<usize> {
        let opened: Vec<bool> = self.locks.iter().map(|lock| lock.opens(signatures, material)).collect();
        opened.into_iter().position(|opened| opened)
    }

    fn window(&self, envelope: &Envelope, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Refusal> {
        let Some((_, secs)) = &envelope.timestamp else { return Ok(None) };
        let (now, tolerance_secs) = (now.timestamp(), self.tolerance_secs);
        let off_secs = now.abs_diff(*secs);
        match off_secs > tolerance_secs {
            true if *secs < now => Err(Refusal::TooOld { off_secs, tolerance_secs }),
            true => Err(Refusal::TooNew { off_secs, tolerance_secs }),
            false => DateTime::from_timestamp(*secs, 0).map(Some).ok_or(Refusal::MalformedTimestamp),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = self.locks.len();
        f.debug_struct("Verifier")
            .field("scheme", &self.scheme)
            .field("secrets", &secrets)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
