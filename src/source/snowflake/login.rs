//! Who signs in, and how: a key pair, a token made elsewhere, or the token Peak gives for every run anew.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::jwt::Jwt;
use super::key::Key;
use super::place::{Place, address, told_address};
use crate::clock::Clock;
use crate::config::{self, SecretRef, TokenType};
use crate::peak::{self, PeakError, Warehouse};
use crate::source::SourceError;
use crate::source::credentials::{Credentials, other_kind};

/// Everything a request needs to know: where to, by whom, in which context.
pub(super) struct Access {
    pub base: Url,
    pub place: Place,
    pub authorization: HeaderValue,
    /// `X-Snowflake-Authorization-Token-Type`. Where absent, Snowflake finds out by examining the token. Source:
    /// Snowflake docs, SQL API, Authenticating to the server.
    pub token_type: Option<&'static str>,
    /// What helps whoever reads that Snowflake refused this.
    pub hint: String,
    renew_at: Option<DateTime<Utc>>,
}

/// Gives access, and another one where the first is refused.
pub(super) struct Login {
    way: Way,
    /// Where the config says it is; else only Peak can tell.
    base: Option<Url>,
    place: Place,
    kept: Mutex<Option<Arc<Access>>>,
}

enum Way {
    KeyPair { key: Box<Key>, account: String, user: String, clock: Clock },
    Token { reference: SecretRef, token_type: Option<TokenType> },
    Peak(Credentials),
}

impl Login {
    pub(super) fn new(settings: &config::Source, clock: Clock) -> Result<Self, SourceError> {
        let account = settings.account.clone().unwrap_or_default();
        let missing = |key: &'static str| SourceError::config(key, "is missing");
        let way = match (&settings.private_key, &settings.token) {
            (Some(pem), None) => {
                let user = settings.user.clone().ok_or_else(|| missing("user"))?;
                let passphrase = settings.private_key_passphrase.as_ref();
                let passphrase =
                    passphrase.map(|secret| resolve("private_key_passphrase", secret)).transpose()?;
                let key = Key::read(&resolve("private_key", pem)?, passphrase.as_ref())?;
                Way::KeyPair { key: Box::new(key), account: account.clone(), user, clock }
            }
            (None, Some(reference)) => {
                Way::Token { reference: reference.clone(), token_type: settings.token_type }
            }
            (None, None) => match &settings.credentials {
                Some(credentials) => Way::Peak(Credentials::new(credentials)?),
                None => return Err(missing("private_key")),
            },
            (Some(_), Some(_)) => {
                return Err(SourceError::config("token", "stands beside private_key; keep one"));
            }
        };
        let is_told = settings.base_url.is_some() || settings.account.is_some();
        let base = match (&way, is_told) {
            (Way::Peak(_), false) => None,
            _ => Some(address(settings.base_url.as_deref(), &account)?),
        };
        Ok(Self { way, base, place: Place::new(settings), kept: Mutex::default() })
    }

    /// Whether requests go out without TLS, which the config allows to this machine only.
    pub(super) fn is_plain(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.scheme() == "http")
    }

    /// Access that is good for a while yet.
    pub(super) async fn access(&self) -> Result<Arc<Access>, SourceError> {
        let mut kept = self.kept.lock().await;
        match &*kept {
            Some(access) if !self.is_due(access) => Ok(access.clone()),
            _ => Ok(kept.insert(Arc::new(self.make().await?)).clone()),
        }
    }

    /// Access now that this one was refused; none where nobody can say anything new.
    pub(super) async fn access_anew(&self, refused: &Access) -> Result<Option<Arc<Access>>, SourceError> {
        let mut kept = self.kept.lock().await;
        let is_newer = |access: &&Arc<Access>| access.authorization != refused.authorization;
        // Another request may have met the same refusal and been quicker.
        if let Some(access) = kept.as_ref().filter(is_newer) {
            return Ok(Some(access.clone()));
        }
        let made = Some(Arc::new(self.make().await?)).filter(|made| is_newer(&made));
        if made.is_some() {
            kept.clone_from(&made);
        }
        Ok(made)
    }

    fn is_due(&self, access: &Access) -> bool {
        match &self.way {
            Way::KeyPair { clock, .. } => access.renew_at.is_some_and(|renew_at| clock.now() >= renew_at),
            Way::Token { .. } | Way::Peak(_) => false,
        }
    }

    async fn make(&self) -> Result<Access, SourceError> {
        let (mut base, mut place) = (self.base.clone(), self.place.clone());
        let (token, token_type, hint, renew_at) = match &self.way {
            Way::KeyPair { key, account, user, clock } => {
                let Jwt { text, renew_at } = Jwt::sign(key, account, user, clock.now());
                let hint = format!(
                    "DESCRIBE USER must show this key's fingerprint, {}, and account, user and this machine's clock \
                     must be right",
                    key.fingerprint()
                );
                (SecretString::from(text), Some("KEYPAIR_JWT"), hint, Some(renew_at))
            }
            // Looked up anew each time: a file may hold a newer one by now.
            Way::Token { reference, token_type } => {
                let (name, hint) = kind_of(*token_type);
                (resolve("token", reference)?, name, hint.to_owned(), None)
            }
            Way::Peak(credentials) => {
                let given = from_peak(credentials).await?;
                let no_token = |error: PeakError| SourceError::config("credentials", error.to_string());
                let token = given.token().map_err(no_token)?.clone();
                base = base.map_or_else(|| told_address(&given.host), Ok).map(Some)?;
                place = place.or(&given);
                let hint =
                    "Peak gave this token a moment ago; have the connection in Peak looked at".to_owned();
                (token, Some("OAUTH"), hint, None)
            }
        };
        let unfit = |_| SourceError::config("token", "holds what no HTTP header may hold");
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", token.expose_secret().trim())).map_err(unfit)?;
        authorization.set_sensitive(true);
        let base = base.expect("the config has an address, or Peak gave one");
        Ok(Access { base, place, authorization, token_type, hint, renew_at })
    }
}

async fn from_peak(credentials: &Credentials) -> Result<peak::Snowflake, SourceError> {
    match credentials.ask().await? {
        Warehouse::Snowflake(snowflake) => Ok(snowflake),
        other => Err(other_kind("snowflake", &other)),
    }
}

fn kind_of(token_type: Option<TokenType>) -> (Option<&'static str>, &'static str) {
    match token_type {
        Some(TokenType::Oauth) => (Some("OAUTH"), "the OAuth token must be fetched anew"),
        Some(TokenType::Pat) => (
            Some("PROGRAMMATIC_ACCESS_TOKEN"),
            "the access token may have ended, or its user is under no network policy, which Snowflake asks for",
        ),
        None => (None, "the token may have ended; token_type says which kind it is"),
    }
}

fn resolve(key: &'static str, secret: &SecretRef) -> Result<SecretString, SourceError> {
    secret.resolve().map_err(|error| SourceError::config(key, error.to_string()))
}
