//! From a header's text to signatures, every one of the one form its scheme knows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::config::CallbackScheme;

/// A sender in rotation sends two or three. More are not looked at, so that a refusal stays cheap.
const MAX_SIGNATURES: usize = 16;

/// Proof that the sender holds a secret.
pub(super) enum Signature {
    /// HMAC-SHA256.
    Hmac([u8; 32]),
    /// ed25519.
    Ed25519([u8; 64]),
    /// SHA-256 of the token shown, so that comparing takes the same time whatever its length.
    Token([u8; 32]),
}

pub(super) fn read(scheme: CallbackScheme, text: &str) -> Vec<Signature> {
    match scheme {
        CallbackScheme::Standard => text.split(' ').filter_map(standard).take(MAX_SIGNATURES).collect(),
        CallbackScheme::Github => github(text).into_iter().collect(),
        CallbackScheme::Bearer => bearer(text).into_iter().collect(),
    }
}

/// `v1,BASE64` or `v1a,BASE64`; other versions are another receiver's business.
fn standard(text: &str) -> Option<Signature> {
    let (version, encoded) = text.split_once(',')?;
    let bytes = || STANDARD.decode(encoded).ok();
    match version {
        "v1" => bytes()?.try_into().ok().map(Signature::Hmac),
        "v1a" => bytes()?.try_into().ok().map(Signature::Ed25519),
        _ => None,
    }
}

/// `sha256=` and 64 hex digits in lower case. Source: GitHub docs, Validating webhook deliveries.
fn github(text: &str) -> Option<Signature> {
    let digits = text.strip_prefix("sha256=").filter(|digits| digits.len() == 64)?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(Signature::Hmac(bytes))
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// RFC 9110: the scheme's name in any case, one space, the token.
fn bearer(text: &str) -> Option<Signature> {
    let (name, token) = text.split_once(' ')?;
    let shown = name.eq_ignore_ascii_case("bearer") && !token.is_empty();
    shown.then(|| Signature::Token(Sha256::digest(token).into()))
}
