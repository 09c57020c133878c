//! A key, ready to be tried.

use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::signature::Signature;
use crate::config::{CallbackKey, CallbackScheme};

/// What a signature is tried on. Each kind takes only its own kind of signature.
pub(super) enum Lock {
    /// Keyed, not yet fed. Boxed, being several times the others' size.
    Hmac(Box<Hmac<Sha256>>),
    Ed25519([u8; 32]),
    /// SHA-256 of the bearer token.
    Token([u8; 32]),
}

impl Lock {
    pub(super) fn new(scheme: CallbackScheme, key: &CallbackKey) -> Self {
        match (key, scheme) {
            (CallbackKey::Public(key), _) => Self::Ed25519(*key),
            (CallbackKey::Shared(key), CallbackScheme::Bearer) => {
                Self::Token(Sha256::digest(key.expose_secret()).into())
            }
            (CallbackKey::Shared(key), _) => Self::Hmac(Box::new(hmac(key.expose_secret()))),
        }
    }

    /// Costs what a real one costs. Its key is no secret, so nothing it opens may count.
    pub(super) fn dummy() -> Self {
        Self::Hmac(Box::new(hmac(&[0; 32])))
    }

    /// Whether one of the signatures was made over `material` with this key. Compares in constant time, all of them.
    pub(super) fn opens(&self, signatures: &[Signature], material: &[&[u8]]) -> bool {
        match self {
            Self::Hmac(keyed) => {
                let mut mac = Hmac::clone(keyed);
                material.iter().for_each(|piece| mac.update(piece));
                any(signatures, |signature| match signature {
                    Signature::Hmac(tag) => mac.clone().verify_slice(tag).is_ok(),
                    _ => false,
                })
            }
            Self::Ed25519(key) => {
                let (key, signed) = (UnparsedPublicKey::new(&ED25519, key), material.concat());
                any(signatures, |signature| match signature {
                    Signature::Ed25519(bytes) => key.verify(&signed, bytes).is_ok(),
                    _ => false,
                })
            }
            Self::Token(digest) => any(signatures, |signature| match signature {
                Signature::Token(shown) => shown.ct_eq(digest).into(),
                _ => false,
            }),
        }
    }
}

/// HMAC-SHA256 under `key`.
pub(super) fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Like `Iterator::any`, but does not stop at the first.
fn any(signatures: &[Signature], opens: impl Fn(&Signature) -> bool) -> bool {
    signatures.iter().fold(false, |opened, signature| opens(signature) | opened)
}
