//! The private key that signs in: read from PEM, plain or encrypted, and known to Snowflake by its fingerprint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::Encode;
use pkcs8::der::asn1::{AnyRef, BitStringRef};
use pkcs8::der::oid::ObjectIdentifier;
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::source::SourceError;

/// `rsaEncryption`. Source: RFC 8017, appendix A.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// An RSA key pair.
pub(super) struct Key {
    pair: RsaKeyPair,
    fingerprint: String,
}

impl Key {
    /// Reads PKCS#8 PEM. What the parsers say is left out: it may quote the key.
    pub(super) fn read(pem: &SecretString, passphrase: Option<&SecretString>) -> Result<Self, SourceError> {
        let unfit = |why: &str| SourceError::config("private_key", why);
        let (label, document) =
            SecretDocument::from_pem(pem.expose_secret().trim()).map_err(|_| unfit("is not a key in PEM"))?;
        let document = match (label, passphrase) {
            ("PRIVATE KEY", _) => document,
            ("ENCRYPTED PRIVATE KEY", Some(passphrase)) => decrypt(&document, passphrase)?,
            ("ENCRYPTED PRIVATE KEY", None) => {
                return Err(unfit("is encrypted: give private_key_passphrase too"));
            }
            _ => {
                return Err(unfit(
                    "must be PKCS#8 (BEGIN PRIVATE KEY): openssl pkcs8 -topk8 -in OLD -out NEW makes it so",
                ));
            }
        };
        let pair = RsaKeyPair::from_pkcs8(document.as_bytes())
            .map_err(|_| unfit("must be an RSA key of 2048 bits or more"))?;
        let fingerprint = fingerprint(pair.public_key().as_ref());
        Ok(Self { pair, fingerprint })
    }

    /// What `DESCRIBE USER` shows as `RSA_PUBLIC_KEY_FP`: no secret.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Signs by RS256.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the signature has the modulus's length");
        signature
    }
}

fn decrypt(document: &SecretDocument, passphrase: &SecretString) -> Result<SecretDocument, SourceError> {
    let odd = |_| {
        let why = "is encrypted in a way not known here: openssl pkcs8 -topk8 -v2 aes-256-cbc makes it anew";
        SourceError::config("private_key", why)
    };
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(odd)?;
    let wrong = |_| SourceError::config("private_key_passphrase", "does not open private_key");
    encrypted.decrypt(passphrase.expose_secret()).map_err(wrong)
}

/// `SHA256:` and the digest of the public key's SubjectPublicKeyInfo. Source: Snowflake docs, SQL API,
/// Authenticating to the server.
pub(super) fn fingerprint(public_key: &[u8]) -> String {
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) },
        subject_public_key: BitStringRef::from_bytes(public_key).expect("a key is far under 256 MiB"),
    };
    let der = info.to_der().expect("a key can be written as it was read");
    format!("SHA256:{}", STANDARD.encode(Sha256::digest(der)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Snowflake's documentation has keys made, by `openssl … pkcs8 -topk8 -v2 des3`; opens nothing anywhere.
    const KEY: &str = include_str!("key/des3.p8");

    fn read(pem: &str, passphrase: Option<&str>) -> Result<Key, SourceError> {
        let secret = |text: &str| SecretString::from(text.to_owned());
        Key::read(&secret(pem), passphrase.map(secret).as_ref())
    }

    fn refusal(pem: &str, passphrase: Option<&str>) -> String {
        let Err(error) = read(pem, passphrase) else { panic!("the key was taken") };
        error.to_string()
    }

    #[test]
    fn a_key_encrypted_as_the_documentation_says_is_read() {
        let key = read(KEY, Some("of-the-tests")).expect("a key");
        assert_eq!((key.sign(b"message").len(), key.fingerprint().len()), (256, "SHA256:".len() + 44));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_with_the_cure() {
        assert_eq!(refusal(KEY, None), "private_key: is encrypted: give private_key_passphrase too");
        assert_eq!(refusal(KEY, Some("wrong")), "private_key_passphrase: does not open private_key");
        assert_eq!(refusal("s3cret", None), "private_key: is not a key in PEM");
        let old = "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----";
        assert!(refusal(old, None).contains("openssl pkcs8 -topk8"), "{}", refusal(old, None));
        let short = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----";
        assert_eq!(refusal(short, None), "private_key: must be an RSA key of 2048 bits or more");
    }
}
