//! `[sources.NAME]`.

use serde::Deserialize;

use super::SecretRef;

/// The kinds of warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A SQLite file, opened read-only.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// Amazon Redshift, on the PostgreSQL wire.
    Redshift,
    /// Snowflake, over its SQL API.
    Snowflake,
    /// CSV or Parquet files, in a folder or a bucket.
    Files,
}

/// What a Snowflake token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// An OAuth access token.
    Oauth,
    /// A programmatic access token.
    Pat,
}

/// `[sources.NAME]`: one warehouse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which kind of warehouse.
    pub kind: SourceKind,
    /// Where it is (sqlite, postgres, redshift, files); may be an `env:` or `file:` reference.
    #[serde(default)]
    pub url: Option<String>,
    /// The zone of timestamps that carry none.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Snowflake: account identifier.
    #[serde(default)]
    pub account: Option<String>,
    /// Snowflake: user name.
    #[serde(default)]
    pub user: Option<String>,
    /// Snowflake: PKCS#8 private key.
    #[serde(default)]
    pub private_key: Option<SecretRef>,
    /// Snowflake: what the private key is encrypted with.
    #[serde(default)]
    pub private_key_passphrase: Option<SecretRef>,
    /// Snowflake: OAuth or programmatic access token.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// Snowflake: what the token is; absent: Snowflake examines it.
    #[serde(default)]
    pub token_type: Option<TokenType>,
    /// Snowflake: role.
    #[serde(default)]
    pub role: Option<String>,
    /// Snowflake: virtual warehouse.
    #[serde(default)]
    pub warehouse: Option<String>,
    /// Snowflake: database.
    #[serde(default)]
    pub database: Option<String>,
    /// Snowflake: schema.
    #[serde(default)]
    pub schema: Option<String>,
    /// Snowflake: base URL; default from the account.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Credentials fetched from elsewhere for every run.
    #[serde(default)]
    pub credentials: Option<Credentials>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// `credentials = { … }` on a source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// From Peak's connections endpoint.
    pub peak: PeakCredentials,
}

/// `credentials = { peak = { … } }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeakCredentials {
    /// Peak API key.
    pub api_key: SecretRef,
    /// Peak's service address; default the production one.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The tenant's warehouse by name; default its default one.
    #[serde(default)]
    pub warehouse: Option<String>,
}
