//! `[server]`, `[ledger]`, `[[tokens]]`.

use serde_json::Value;

use super::{checked, flag, list, or, secret, table, text, whole, word};
use crate::config::bound::{BODY_LIMIT_BYTES, DRAIN_SECS, LEASE_SECS, RETENTION_DAYS};

pub(super) fn server() -> Value {
    table(
        "How callbacks, API and pages are served.",
        vec![
            ("listen", or(checked("address", "Address and port to listen on."), "127.0.0.1:8080")),
            ("tls_cert", secret("PEM certificate chain; with tls_key the server speaks TLS itself.")),
            ("tls_key", secret("PEM private key.")),
            ("body_limit_bytes", or(whole("Most bytes a request body may have.", BODY_LIMIT_BYTES), 262_144)),
            ("drain_secs", or(whole("Seconds from SIGTERM to exit, at most.", DRAIN_SECS), 10)),
            ("public_metrics", flag("Whether /metrics needs no token.", false)),
        ],
        &[],
    )
}

pub(super) fn ledger() -> Value {
    let url = "sqlite://FILE (relative to the config file) or postgres://…; may be env:NAME or file:PATH.";
    let digest_key =
        "Keys the digests. SQLite: optional, one is made beside the ledger. PostgreSQL: required.";
    let lease = "Seconds a claim on a run lasts without a heartbeat.";
    let retention = "Days that runs, deliveries and rejections are kept; delivery ids never under 30.";
    table(
        "Our durable memory.",
        vec![
            ("url", or(text(url), "sqlite://peak-braze.db")),
            ("lease_secs", or(whole(lease, LEASE_SECS), 20)),
            ("digest_key", secret(digest_key)),
            ("retention_days", or(whole(retention, RETENTION_DAYS), 90)),
        ],
        &[],
    )
}

pub(super) fn token() -> Value {
    table(
        "A bearer token for API and pages.",
        vec![
            ("name", text("Names the token in logs and as a run's actor.")),
            ("token", secret("The token itself, 24 bytes or more.")),
            ("scopes", list("What it may do.", word("A scope.", &["read", "trigger", "admin"]))),
            ("syncs", list("Only these syncs; absent: all.", text("A sync's id."))),
        ],
        &["name", "token", "scopes"],
    )
}
