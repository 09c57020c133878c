//! Where statements run: address, role, warehouse, database, schema.

use reqwest::Url;
use serde::Serialize;

use crate::config;
use crate::source::SourceError;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_unless_quoted() {
        assert_eq!(fold("compute_wh"), "COMPUTE_WH");
        assert_eq!(fold("\"My \"\"Wh\""), "My \"Wh");
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
