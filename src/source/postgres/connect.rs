//! A read-only session whose every wait is bounded.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::error::{failed, unreachable};
use crate::config;
use crate::source::SourceError;
use crate::source::address::address;

/// Reaching a server and logging in: a fail-over answers sooner or not at all.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// One statement at most: a sort of hundreds of millions of rows before the first comes out.
pub(super) const STATEMENT_WAIT: Duration = Duration::from_secs(30 * 60);
/// Looking at the columns and declaring a cursor: no row is read yet, and a lock is waited for far less long.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Seconds to wait for a table that is being altered; the run's own patience follows.
const LOCK_SECS: u32 = 10;
/// Seconds after which the server ends a transaction nobody fetches from, should this process be gone without a
/// word: well over what a snapshot is held for.
const IDLE_SECS: u32 = 120;

/// Seconds until a server at work notices that this end is gone. PostgreSQL 14 and later; older ones notice when
/// they have something to say.
const GONE_SECS: u32 = 2;

/// Where and how to connect. TLS is verified unless the host is this machine.
pub(super) fn options(settings: &config::Source) -> Result<PgConnectOptions, SourceError> {
    let address = address(settings.url.as_deref())?;
    let text = address.expose_secret();
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(SourceError::config("url", "must be postgres://USER@HOST/DATABASE"));
    }
    // What the parser says is left out: it may quote the password.
    let bad = |_| SourceError::config("url", "is not a PostgreSQL address");
    let options: PgConnectOptions = text.parse().map_err(bad)?;
    let options =
        options.application_name("peak-braze").statement_cache_capacity(0).disable_statement_logging();
    if is_local(&options) {
        return Ok(options);
    }
    match options.get_ssl_mode() {
        PgSslMode::Disable => {
            Err(SourceError::config("url", "sslmode=disable is for hosts on this machine only"))
        }
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => Ok(options),
        PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require => {
            Ok(options.ssl_mode(PgSslMode::VerifyFull))
        }
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Connects, and binds the session: read-only, no wait without an end, and values spelled in one way only.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, SourceError> {
    let session = format!(
        "SET default_transaction_read_only = on; \
         SET statement_timeout = {}; SET lock_timeout = '{LOCK_SECS}s'; \
         SET idle_in_transaction_session_timeout = '{IDLE_SECS}s'; \
         SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1; SET bytea_output = 'hex'; \
         SET cursor_tuple_fraction = 1; \
         SELECT set_config('client_connection_check_interval', '{GONE_SECS}s', false) \
         WHERE current_setting('client_connection_check_interval', true) IS NOT NULL",
        STATEMENT_WAIT.as_millis()
    );
    let connecting = async {
        let mut connection = options.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(session)).execute(&mut connection).await?;
        Ok(connection)
    };
    match tokio::time::timeout(CONNECT_WAIT, connecting).await {
        Ok(connected) => connected.map_err(|error: sqlx::Error| failed(&error)),
        Err(_) => Err(unreachable("PostgreSQL did not answer in time")),
    }
}

/// What `work` comes to, if the server answers in time.
pub(super) async fn answered<T>(
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    let silent = |_| unreachable("PostgreSQL did not answer in time");
    tokio::time::timeout(ANSWER_WAIT, work).await.map_err(silent)?
}

/// Begins the one transaction everything is read in.
pub(super) async fn begin(connection: &mut PgConnection) -> Result<(), SourceError> {
    sqlx::raw_sql("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<PgSslMode, SourceError> {
        let text = format!("kind = \"postgres\"\nurl = \"{url}\"");
        options(&toml::from_str(&text).expect("the test's own settings"))
            .map(|options| options.get_ssl_mode())
    }

    #[test]
    fn tls_is_verified_unless_the_host_is_local() {
        for url in ["postgres://u:p@db.example.com/w", "postgres://u@10.0.0.1/w?sslmode=require"] {
            assert!(matches!(mode(url), Ok(PgSslMode::VerifyFull)), "{url}");
        }
        assert!(matches!(mode("postgres://u@db.example.com/w?sslmode=verify-ca"), Ok(PgSslMode::VerifyCa)));
        assert!(matches!(
            mode("postgres://u:secret@db.example.com/w?sslmode=disable"),
            Err(SourceError::Config { key: "url", .. })
        ));
        for url in [
            "postgres://u@localhost/w",
            "postgres://u@127.0.0.1/w",
            "postgres://u@[::1]/w",
            "postgres:///w?host=/var/run/postgresql",
        ] {
            assert!(matches!(mode(url), Ok(PgSslMode::Prefer)), "{url}");
        }
    }

    #[test]
    fn an_address_that_does_not_parse_is_not_shown() {
        for url in
            ["postgres://u:s3cret@h:port/w", "mysql://u:s3cret@h/w", "postgres://u:s3cret@h/w?sslmode=maybe"]
        {
            let error = mode(url).expect_err("a bad address").to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
