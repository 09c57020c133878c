//! From a callback secret's text to its key.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretSlice};

use super::secret::SecretError;
use super::sync::{Callback, CallbackScheme};

/// Standard Webhooks 1.0.0, Signature scheme: a symmetric key has 24 to 64 bytes. An empty one would be public.
pub const MIN_KEY_BYTES: usize = 24;

/// RFC 8032: an ed25519 public key.
const ED25519_BYTES: usize = 32;

/// Official libraries differ on padding, so both ways of writing a secret are taken.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a callback is verified with.
#[derive(Debug)]
pub enum CallbackKey {
    /// Shared bytes: an HMAC key, or the bearer token itself.
    Shared(SecretSlice<u8>),
    /// An ed25519 public key.
    Public([u8; ED25519_BYTES]),
}

/// Why a secret is no key. Never shows the secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The reference leads nowhere.
    #[error(transparent)]
    Unresolved(#[from] SecretError),
    /// Not base64 where base64 is expected.
    #[error("is not base64; write raw: before a literal secret")]
    NotBase64,
    /// Too short to resist guessing.
    #[error("has {0} bytes of key; at least {MIN_KEY_BYTES} are needed")]
    Short(usize),
    /// Not 32 bytes after `whpk_`.
    #[error("is no ed25519 public key: {ED25519_BYTES} bytes in base64 must follow whpk_")]
    NotPublic,
    /// A private key, which belongs to the sender alone.
    #[error("is a private key (whsk_); give the public key (whpk_)")]
    Private,
    /// A prefix that means nothing under the scheme.
    #[error("has a prefix this scheme cannot use; write raw: before a literal secret")]
    Prefix,
}

impl CallbackKey {
    /// Reads `whsec_` (base64), `whpk_` (ed25519 public key) and `raw:` (literal); a text without prefix is base64
    /// for `standard` and literal for the others.
    ///
    /// # Errors
    /// When the text is no key for the scheme, or a short one.
    pub fn read(scheme: CallbackScheme, text: &str) -> Result<Self, KeyError> {
        use CallbackScheme::{Bearer, Standard};
        if let Some(literal) = text.strip_prefix("raw:") {
            return shared(literal.as_bytes().to_vec());
        }
        match (text.split_once('_'), scheme) {
            (Some(("whsk", _)), _) => Err(KeyError::Private),
            (Some(("whpk", key)), Standard) => public(key),
            (Some(("whpk", _)), _) | (Some(("whsec", _)), Bearer) => Err(KeyError::Prefix),
            (Some(("whsec", key)), _) => shared(decode(key)?),
            (_, Standard) => shared(decode(text)?),
            _ => shared(text.as_bytes().to_vec()),
        }
    }
}

impl Callback {
    /// Every secret's key, in the file's order.
    ///
    /// # Errors
    /// With the index of the first secret that cannot be had or is no key.
    pub fn keys(&self) -> Result<Vec<CallbackKey>, (usize, KeyError)> {
        let key = |(index, secret): (usize, &super::SecretRef)| {
            let text = secret.resolve().map_err(|error| (index, error.into()))?;
            CallbackKey::read(self.scheme, text.expose_secret()).map_err(|error| (index, error))
        };
        self.secrets.iter().enumerate().map(key).collect()
    }
}

fn shared(bytes: Vec<u8>) -> Result<CallbackKey, KeyError> {
    let bytes = SecretSlice::from(bytes);
    match bytes.expose_secret().len() {
        short if short < MIN_KEY_BYTES => Err(KeyError::Short(short)),
        _ => Ok(CallbackKey::Shared(bytes)),
    }
}

fn public(text: &str) -> Result<CallbackKey, KeyError> {
    let bytes = decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(CallbackKey::Public).ok_or(KeyError::NotPublic)
}

fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    LENIENT.decode(text).map_err(|_| KeyError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(scheme: CallbackScheme, text: &str) -> Result<Vec<u8>, String> {
        match CallbackKey::read(scheme, text) {
            Ok(CallbackKey::Shared(bytes)) => Ok(bytes.expose_secret().to_vec()),
            Ok(CallbackKey::Public(bytes)) => Ok(bytes.to_vec()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn padding_makes_no_difference() {
        let key = [7_u8; 25];
        let padded = base64::engine::general_purpose::STANDARD.encode(key);
        let bare = padded.trim_end_matches('=');
        for text in [format!("whsec_{padded}"), format!("whsec_{bare}"), padded.clone(), bare.to_owned()] {
            assert_eq!(bytes(CallbackScheme::Standard, &text), Ok(key.to_vec()), "{text}");
        }
    }

    #[test]
    fn text_without_prefix_is_literal_outside_standard() {
        let text = "It's a Secret to Everybody";
        for scheme in [CallbackScheme::Github, CallbackScheme::Bearer] {
            assert_eq!(bytes(scheme, text), Ok(text.as_bytes().to_vec()));
        }
        assert_eq!(bytes(CallbackScheme::Standard, &format!("raw:{text}")), Ok(text.as_bytes().to_vec()));
    }

    #[test]
    fn short_empty_and_misplaced_keys_are_refused() {
        use CallbackScheme::{Bearer, Github, Standard};
        let short = base64::engine::general_purpose::STANDARD.encode([7_u8; 23]);
        let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        let refused = [
            (Standard, "whsec_", "0 bytes"),
            (Standard, "", "0 bytes"),
            (Standard, short.as_str(), "23 bytes"),
            (Github, "raw:short", "5 bytes"),
            (Bearer, "12345678901234567890123", "23 bytes"),
            (Standard, "It's a Secret to Everybody", "raw:"),
            (Standard, "whpk_AAAA", "ed25519"),
            (Standard, "whsk_AAAA", "whpk_"),
            (Github, public, "raw:"),
            (Bearer, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "raw:"),
        ];
        for (scheme, text, says) in refused {
            let error = bytes(scheme, text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(bytes(Standard, public).is_ok());
    }
}
