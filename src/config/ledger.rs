//! `[ledger]`.

use serde::Deserialize;

use super::SecretRef;

/// `[ledger]`: our durable memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// `sqlite://FILE` (relative to the config file) or `postgres://…`; may be an `env:` or `file:` reference.
    pub url: String,
    /// Seconds a claim on a run lasts without a heartbeat (sent every quarter of it); 2 at least.
    pub lease_secs: u64,
    /// Keys the digests; optional on SQLite, where one is made beside the ledger.
    pub digest_key: Option<SecretRef>,
    /// Days that runs, deliveries and rejections are kept; delivery ids never under 30.
    pub retention_days: u32,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            url: "sqlite://peak-braze.db".to_owned(),
            lease_secs: 20,
            digest_key: None,
            retention_days: 90,
        }
    }
}
