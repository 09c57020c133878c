//! Where statements run: address, role, warehouse, database, schema.

use reqwest::Url;
use serde::Serialize;

use crate::config;
use crate::peak;
use crate::source::SourceError;

/// How whole host names end. Source: Snowflake docs, Connecting with a URL.
const WHOLE_HOSTS: [&str; 2] = [".snowflakecomputing.com", ".snowflakecomputing.cn"];

/// What a statement's context is. Where nothing is said, the user's defaults hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

impl Place {
    pub(super) fn new(settings: &config::Source) -> Self {
        let folded = |name: &Option<String>| name.as_deref().map(fold);
        Self {
            role: folded(&settings.role),
            warehouse: folded(&settings.warehouse),
            database: folded(&settings.database),
            schema: folded(&settings.schema),
        }
    }

    /// What Peak gave, where the config says nothing.
    pub(super) fn or(self, given: &peak::Snowflake) -> Self {
        let folded = |name: &Option<String>| name.as_deref().map(fold);
        Self {
            role: self.role.or_else(|| folded(&given.role)),
            warehouse: self.warehouse.or_else(|| folded(&given.warehouse)),
            database: self.database.or_else(|| folded(&given.database)),
            schema: self.schema.or_else(|| folded(&given.schema)),
        }
    }
}

/// A name as Snowflake keeps it: in upper case, unless it stands in double quotes. The SQL API takes context names as
/// they are kept. Source: Snowflake docs, Identifier requirements; SQL API, Submitting a request.
pub(super) fn fold(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(exact) => exact.replace("\"\"", "\""),
        None => name.to_uppercase(),
    }
}

/// The `base_url`, else the account's own address, in which underscores are hyphens. Source: Snowflake docs, Account
/// identifiers.
pub(super) fn address(base_url: Option<&str>, account: &str) -> Result<Url, SourceError> {
    let own = || format!("https://{}.snowflakecomputing.com", account.to_ascii_lowercase().replace('_', "-"));
    let (key, text) = match base_url {
        Some(text) => ("base_url", text.to_owned()),
        None => ("account", own()),
    };
    text.parse().map_err(|_| SourceError::config(key, "makes no address"))
}

/// The address of what Peak calls the host: an account's own name for it, or the whole host, whose end tells.
pub(super) fn told_address(host: &str) -> Result<Url, SourceError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.is_empty() || !host.bytes().all(is_plain) {
        return Err(SourceError::Unusable("Peak's answer has no host that can be used".to_owned()));
    }
    let lower = host.to_ascii_lowercase();
    match WHOLE_HOSTS.iter().any(|end| lower.ends_with(end)) {
        true => address(Some(&format!("https://{lower}")), ""),
        false => address(None, host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_unless_quoted() {
        assert_eq!(fold("compute_wh"), "COMPUTE_WH");
        assert_eq!(fold("\"My \"\"Wh\""), "My \"Wh");
    }

    #[test]
    fn a_host_from_peak_is_an_account_or_whole() {
        for (host, whole) in [
            ("acme-prod_1", "https://acme-prod-1.snowflakecomputing.com/"),
            ("xy12345.eu-west-1", "https://xy12345.eu-west-1.snowflakecomputing.com/"),
            ("Acme.snowflakecomputing.com", "https://acme.snowflakecomputing.com/"),
            ("a.privatelink.snowflakecomputing.com", "https://a.privatelink.snowflakecomputing.com/"),
            // Not a host of Snowflake's, so no host to send a token to.
            ("evil.example.com", "https://evil.example.com.snowflakecomputing.com/"),
        ] {
            assert_eq!(told_address(host).expect("an address").as_str(), whole);
        }
        for host in ["", "a/b", "a b", "a@b", "a:1"] {
            assert!(told_address(host).is_err(), "{host}");
        }
    }

    #[test]
    fn an_account_becomes_a_host() {
        let host = |account| address(None, account).expect("an address").to_string();
        assert_eq!(host("MyOrg-my_account"), "https://myorg-my-account.snowflakecomputing.com/");
        assert_eq!(host("xy12345.eu-west-1"), "https://xy12345.eu-west-1.snowflakecomputing.com/");
        let given = address(Some("http://127.0.0.1:9"), "a").expect("an address");
        assert_eq!(given.as_str(), "http://127.0.0.1:9/");
    }
}
