//! The token that a key pair signs in with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::key::Key;

/// How long a token is good for: Snowflake takes none over an hour. Source: Snowflake docs, SQL API, Authenticating
/// to the server.
const LIFETIME: TimeDelta = TimeDelta::minutes(59);
/// It is dated so far back, for a clock here that is ahead of Snowflake's.
const BACKDATE: TimeDelta = TimeDelta::minutes(1);
/// So long before its end a token is signed anew: well over what one request may take.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// A signed token, and until when it is used.
pub(super) struct Jwt {
    pub text: String,
    pub renew_at: DateTime<Utc>,
}

impl Jwt {
    pub(super) fn sign(key: &Key, account: &str, user: &str, now: DateTime<Utc>) -> Self {
        let issued_at = now - BACKDATE;
        let ends_at = issued_at + LIFETIME;
        let subject = format!("{}.{}", account_name(account), user.to_uppercase());
        let claims = json!({
            "iss": format!("{subject}.{}", key.fingerprint()),
            "sub": subject,
            "iat": issued_at.timestamp(),
            "exp": ends_at.timestamp(),
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&json!({"alg": "RS256", "typ": "JWT"})), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
        Self { text: format!("{message}.{signature}"), renew_at: ends_at - MARGIN }
    }
}

/// The account without its region, upper case. Of a replicated account (`….global`) what follows the first hyphen goes
/// too. Source: Snowflake docs, SQL API, Authenticating to the server.
fn account_name(account: &str) -> String {
    let end = match account.to_ascii_lowercase().contains(".global") {
        true => account.find('-'),
        false => account.find('.'),
    };
    account[..end.unwrap_or(account.len())].to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_without_its_region() {
        for (account, name) in [
            ("myorg-account_1", "MYORG-ACCOUNT_1"),
            ("xy12345.eu-west-1.aws", "XY12345"),
            ("xy12345-repl.global", "XY12345"),
        ] {
            assert_eq!(account_name(account), name);
        }
    }
}
