//! TLS of our own, where no proxy does it.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;
use tokio_rustls::TlsAcceptor;

use crate::config::{self, SecretRef, secret::SecretError};

/// Why there can be no TLS. Shows nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two is not given.
    #[error("tls_cert and tls_key go together")]
    Half,
    /// A reference leads nowhere.
    #[error("{0}: {1}")]
    Unresolved(&'static str, #[source] SecretError),
    /// Not PEM of the kind expected.
    #[error("{0} holds no PEM of its kind")]
    NotPem(&'static str),
    /// The two do not fit together, or the key is of an unknown kind.
    #[error("tls_cert and tls_key cannot be used together")]
    Mismatch(#[source] rustls::Error),
}

/// What answers a TLS handshake; none where `[server]` has no certificate.
pub(super) fn acceptor(server: &config::Server) -> Result<Option<TlsAcceptor>, TlsError> {
    let (cert, key) = match (&server.tls_cert, &server.tls_key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (read(cert, "tls_cert")?, read(key, "tls_key")?),
        _ => return Err(TlsError::Half),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.expose_secret().as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::NotPem("tls_cert"))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
    let key = key.map_err(|_| TlsError::NotPem("tls_key"))?;
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn read(secret: &SecretRef, key: &'static str) -> Result<secrecy::SecretString, TlsError> {
    secret.resolve().map_err(|error| TlsError::Unresolved(key, error))
}
