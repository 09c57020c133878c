//! How every connection to PostgreSQL begins: named, TLS verified unless the host is this machine, nothing kept.

use std::net::IpAddr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Named, without the driver's cache of statements, which poolers do not bear, and its log of them.
pub fn quiet(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("peak-braze").statement_cache_capacity(0).disable_statement_logging()
}

/// The server's certificate is verified unless it is on this machine. `None`: the address forbids TLS to another.
pub fn verified(options: PgConnectOptions) -> Option<PgConnectOptions> {
    if is_local(&options) {
        return Some(options);
    }
    match options.get_ssl_mode() {
        PgSslMode::Disable => None,
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => Some(options),
        PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require => {
            Some(options.ssl_mode(PgSslMode::VerifyFull))
        }
    }
}

/// Whether the server is on this machine: a socket or loopback.
pub fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
