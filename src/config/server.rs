//! `[server]` and `[[tokens]]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SecretRef;

/// `[server]`: how callbacks, API and pages are served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// PEM certificate chain; with `tls_key` the server speaks TLS itself.
    pub tls_cert: Option<SecretRef>,
    /// PEM private key.
    pub tls_key: Option<SecretRef>,
    /// Most bytes a request body may have.
    pub body_limit_bytes: usize,
    /// Seconds from SIGTERM to exit, at most.
    pub drain_secs: u64,
    /// Whether `/metrics` needs no token.
    pub public_metrics: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_cert: None,
            tls_key: None,
            body_limit_bytes: 262_144,
            drain_secs: 10,
            public_metrics: false,
        }
    }
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See runs, syncs, deliveries, metrics.
    Read,
    /// Start, cancel, pause.
    Trigger,
    /// Force, look at one customer.
    Admin,
}

/// `[[tokens]]`: one bearer token for API and pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Names the token in logs and as a run's actor.
    pub name: String,
    /// The token itself, 24 bytes or more.
    pub token: SecretRef,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Only these syncs; absent: all.
    #[serde(default)]
    pub syncs: Option<Vec<String>>,
}
