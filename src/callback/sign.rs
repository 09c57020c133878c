//! The sender's side of `standard`, for trying a callback by hand, the demo and tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::Mac;
use ring::signature::Ed25519KeyPair;
use secrecy::{ExposeSecret, SecretString};

use super::header::{WEBHOOK, check_id, material};
use super::lock::hmac;
use crate::config::{self, CallbackKey, CallbackScheme};

/// Why nothing could be signed. Never shows the secret.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The secret is no key.
    #[error("the secret {0}")]
    Key(#[from] config::KeyError),
    /// A public key verifies but cannot sign.
    #[error("a public key (whpk_) cannot sign; give whsec_ or whsk_")]
    PublicKey,
    /// `whsk_` is not followed by an ed25519 pair.
    #[error("whsk_ must be followed by 64 bytes in base64: an ed25519 seed and its public key")]
    PrivateKey,
    /// The id would be refused.
    #[error("the id must be 1 to 256 printable ASCII characters without a dot")]
    Id,
}

/// The three headers of a Standard Webhooks delivery of `body`: v1 with a shared secret, v1a with a `whsk_` pair.
///
/// # Errors
/// When the secret cannot sign, or the id would be refused.
pub fn sign(
    secret: &SecretString,
    id: &str,
    signed_at: DateTime<Utc>,
    body: &[u8],
) -> Result<[(&'static str, String); 3], SignError> {
    if id.contains('.') || check_id(id).is_err() {
        return Err(SignError::Id);
    }
    let timestamp = signed_at.timestamp().to_string();
    let material = material(id, &timestamp, body);
    let signature = match secret.expose_secret().strip_prefix("whsk_") {
        Some(pair) => v1a(pair, &material)?,
        None => v1(secret, &material)?,
    };
    let [id_name, timestamp_name, signature_name] = WEBHOOK;
    Ok([(id_name, id.to_owned()), (timestamp_name, timestamp), (signature_name, signature)])
}

fn v1(secret: &SecretString, material: &[&[u8]]) -> Result<String, SignError> {
    let CallbackKey::Shared(key) = CallbackKey::read(CallbackScheme::Standard, secret.expose_secret())?
    else {
        return Err(SignError::PublicKey);
    };
    let mut mac = hmac(key.expose_secret());
    material.iter().for_each(|piece| mac.update(piece));
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn v1a(pair: &str, material: &[&[u8]]) -> Result<String, SignError> {
    let bytes = STANDARD.decode(pair).map_err(|_| SignError::PrivateKey)?;
    let (seed, public) = bytes.split_at_checked(32).ok_or(SignError::PrivateKey)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| SignError::PrivateKey)?;
    Ok(format!("v1a,{}", STANDARD.encode(pair.sign(&material.concat()))))
}
