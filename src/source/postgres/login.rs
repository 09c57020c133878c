//! Where the server is and who signs in: as the config says, or as Peak says anew for every run.

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::sync::Mutex;

use super::dialect::Dialect;
use crate::config;
use crate::peak::{Server, Warehouse};
use crate::postgres::{is_local, quiet, verified};
use crate::source::SourceError;
use crate::source::address::address;
use crate::source::credentials::{Credentials, other_kind};

/// How to connect.
#[derive(Clone)]
pub(super) struct Access {
    pub options: PgConnectOptions,
    /// Where names without a schema are found, if not where the server looks by itself.
    pub schema: Option<String>,
}

/// Who signs in where.
pub(super) enum Login {
    Given(Box<Access>),
    Peak(Box<Asked>),
}

/// What Peak is asked for; what it said is kept for as long as this is, which is a run.
pub(super) struct Asked {
    credentials: Credentials,
    dialect: Dialect,
    kept: Mutex<Option<Access>>,
}

impl Login {
    pub(super) fn new(settings: &config::Source, dialect: Dialect) -> Result<Self, SourceError> {
        let Some(credentials) = &settings.credentials else {
            let options = given(settings.url.as_deref(), dialect)?;
            return Ok(Self::Given(Box::new(Access { options, schema: None })));
        };
        Ok(Self::Peak(Box::new(Asked {
            credentials: Credentials::new(credentials)?,
            dialect,
            kept: Mutex::default(),
        })))
    }

    /// How to connect; Peak is asked if it has not been yet.
    pub(super) async fn access(&self) -> Result<Access, SourceError> {
        match self {
            Self::Given(access) => Ok((**access).clone()),
            Self::Peak(asked) => {
                let mut kept = asked.kept.lock().await;
                match &*kept {
                    Some(access) => Ok(access.clone()),
                    None => Ok(kept.insert(asked.ask().await?).clone()),
                }
            }
        }
    }

    /// How to connect now that the server refused: Peak is asked again, for its password may have been changed.
    /// None where nobody can say anything new.
    pub(super) async fn access_anew(&self) -> Result<Option<Access>, SourceError> {
        let Self::Peak(asked) = self else { return Ok(None) };
        let mut kept = asked.kept.lock().await;
        *kept = None;
        Ok(Some(kept.insert(asked.ask().await?).clone()))
    }
}

impl Asked {
    async fn ask(&self) -> Result<Access, SourceError> {
        match (self.dialect, self.credentials.ask().await?) {
            (Dialect::Redshift, Warehouse::Redshift(server))
            | (Dialect::Postgres, Warehouse::Postgres(server)) => Ok(reach(server, self.dialect)),
            (Dialect::Redshift, other) => Err(other_kind("redshift", &other)),
            (Dialect::Postgres, other) => Err(other_kind("postgres", &other)),
        }
    }
}

fn reach(server: Server, dialect: Dialect) -> Access {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port.unwrap_or(dialect.port()))
        .database(&server.database)
        .username(&server.user)
        .password(server.password.expose_secret())
        .ssl_mode(PgSslMode::VerifyFull);
    let options = match is_local(&options) {
        true => options.ssl_mode(PgSslMode::Prefer),
        false => options,
    };
    Access { options: quiet(options), schema: server.schema }
}

/// Where and how to connect by the config's address. TLS is verified unless the host is this machine.
fn given(url: Option<&str>, dialect: Dialect) -> Result<PgConnectOptions, SourceError> {
    let address = address(url)?;
    let text = address.expose_secret();
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(SourceError::config("url", "must be postgres://USER@HOST/DATABASE"));
    }
    // What the parser says is left out: it may quote the password.
    let bad = |_| SourceError::config("url", format!("is not a {} address", dialect.name()));
    let options: PgConnectOptions = text.parse().map_err(bad)?;
    let options = match dialect {
        Dialect::Redshift if !names_port(text) => quiet(options).port(dialect.port()),
        _ => quiet(options),
    };
    verified(options)
        .ok_or_else(|| SourceError::config("url", "sslmode=disable is for hosts on this machine only"))
}

fn names_port(url: &str) -> bool {
    reqwest::Url::parse(url)
        .is_ok_and(|url| url.port().is_some() || url.query_pairs().any(|(name, _)| name == "port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(kind: &str, url: &str) -> Result<PgConnectOptions, SourceError> {
        let text = format!("kind = \"{kind}\"\nurl = \"{url}\"");
        let settings: config::Source = toml::from_str(&text).expect("the test's own settings");
        given(settings.url.as_deref(), Dialect::of(settings.kind))
    }

    fn mode(url: &str) -> Result<PgSslMode, SourceError> {
        options("postgres", url).map(|options| options.get_ssl_mode())
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
    fn tls_to_what_peak_names_is_verified_unless_it_is_local() {
        for (host, local) in [("c.eu-west-1.redshift.amazonaws.com", false), ("127.0.0.1", true)] {
            let server = Server {
                host: host.to_owned(),
                port: None,
                database: "d".to_owned(),
                schema: None,
                user: "u".to_owned(),
                password: "p".to_owned().into(),
            };
            let options = reach(server, Dialect::Redshift).options;
            assert_eq!(matches!(options.get_ssl_mode(), PgSslMode::Prefer), local);
            assert_eq!(options.get_port(), 5439);
        }
    }

    #[test]
    fn each_server_has_its_own_usual_port() {
        for (kind, url, port) in [
            ("redshift", "postgres://u@c.example.com/w", 5439),
            ("redshift", "postgres://u@c.example.com:5440/w", 5440),
            ("redshift", "postgres://u@c.example.com/w?port=5441", 5441),
            ("postgres", "postgres://u@c.example.com/w", 5432),
        ] {
            assert_eq!(options(kind, url).expect("an address").get_port(), port, "{kind} {url}");
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
