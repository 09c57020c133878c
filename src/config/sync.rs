//! `[[syncs]]` and what is under it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::SecretRef;

/// `[[syncs]]`: one table, its mapping, and the Braze workspace it goes to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// Names the sync in paths, logs and the ledger.
    pub id: String,
    /// A `[sources.NAME]`.
    pub source: String,
    /// A `[destinations.NAME]`.
    pub destination: String,
    /// The table or view to read; or `query`.
    #[serde(default)]
    pub table: Option<String>,
    /// A `select …` to read instead of a table.
    #[serde(default)]
    pub query: Option<String>,
    /// The column that holds the customer's id.
    pub key: String,
    /// What the key is in Braze.
    #[serde(default)]
    pub identifier: Identifier,
    /// The column that tells when a row last changed.
    pub updated_at: String,
    /// Seconds before the watermark that are read again, for rows that came late.
    #[serde(default = "overlap_secs")]
    pub overlap_secs: u64,
    /// Whether unknown customers are left alone, rather than created.
    #[serde(default = "yes")]
    pub update_existing_only: bool,
    /// How often a scheduled run compares every row; absent (`"off"`): never. Seconds once read.
    #[serde(
        default = "full_every",
        deserialize_with = "super::duration::seconds_or_off",
        rename = "full_every"
    )]
    pub full_every_secs: Option<u64>,
    /// After how long a customer's values not sent are sent again; absent (`"off"`): never. Seconds once read.
    #[serde(default, deserialize_with = "super::duration::seconds_or_off", rename = "resend_every")]
    pub resend_every_secs: Option<u64>,
    /// Lets a mapping write Braze's standard attributes, such as `email`.
    #[serde(default)]
    pub allow_standard: bool,
    /// How Peak's callbacks are verified; absent: the sync takes none.
    #[serde(default)]
    pub callback: Option<Callback>,
    /// When it runs by itself.
    #[serde(default)]
    pub cadence: Option<Cadence>,
    /// Bounds whose breach holds a run.
    #[serde(default)]
    pub guards: Option<Guards>,
    /// What is sent.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
}

fn overlap_secs() -> u64 {
    900
}
fn yes() -> bool {
    true
}
fn full_every() -> Option<u64> {
    Some(7 * 24 * 3600)
}

impl Sync {
    /// What the ledger's digests are about: the profiles of a workspace as the identifier finds them. The same key
    /// under another identifier is another profile, which has nothing yet.
    pub fn profiles(&self, workspace: &str) -> String {
        match &self.identifier {
            Identifier::ExternalId => workspace.to_owned(),
            Identifier::BrazeId => format!("{workspace} by braze_id"),
            Identifier::Email => format!("{workspace} by email"),
            Identifier::Alias(label) => format!("{workspace} by alias:{label}"),
        }
    }
}

/// What a customer's key is in Braze.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Identifier {
    /// `external_id`.
    #[default]
    ExternalId,
    /// `braze_id`.
    BrazeId,
    /// `email`.
    Email,
    /// `user_alias` with this label.
    Alias(String),
}

impl TryFrom<String> for Identifier {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "external_id" => Ok(Self::ExternalId),
            "braze_id" => Ok(Self::BrazeId),
            "email" => Ok(Self::Email),
            other => match other.strip_prefix("alias:") {
                Some(label) if !label.is_empty() => Ok(Self::Alias(label.to_owned())),
                _ => Err("identifier must be external_id, braze_id, email or alias:LABEL".to_owned()),
            },
        }
    }
}

/// How a callback proves where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallbackScheme {
    /// Standard Webhooks, v1 and v1a, `webhook-*` or `svix-*` headers.
    #[default]
    Standard,
    /// `X-Hub-Signature-256`.
    Github,
    /// `Authorization: Bearer …`: no proof of content, no replay protection.
    Bearer,
}

/// `[syncs.callback]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// How a callback proves where it comes from.
    #[serde(default)]
    pub scheme: CallbackScheme,
    /// Any one of these; more than one while rotating.
    pub secrets: Vec<SecretRef>,
    /// Seconds a timestamp may lie in the past or future.
    #[serde(default = "tolerance_secs")]
    pub tolerance_secs: u64,
    /// Event types that start a run; others are recorded as ignored.
    #[serde(default = "events")]
    pub events: Vec<String>,
    /// Equality on fields of `data`; a mismatch is recorded as ignored.
    #[serde(default, rename = "match")]
    pub matches: BTreeMap<String, String>,
    /// Asks Peak how the model's step ended before a run reads the source; absent: the callback's word is enough.
    #[serde(default)]
    pub verify_run: Option<VerifyRun>,
}

/// `[syncs.callback.verify_run]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRun {
    /// The workflow whose executions count. Fixed here, so that no callback can name another.
    pub workflow_id: String,
    /// The step that must have ended well. Not the whole execution, which still runs while a step of it calls us.
    pub step: String,
    /// Who is asked.
    pub peak: PeakAccess,
}

/// `[syncs.callback.verify_run.peak]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeakAccess {
    /// Peak API key.
    pub api_key: SecretRef,
    /// Peak's service address; default the production one.
    #[serde(default)]
    pub base_url: Option<String>,
}

/// Standard Webhooks leave the tolerance open; every official library uses 300 s both ways.
fn tolerance_secs() -> u64 {
    300
}
fn events() -> Vec<String> {
    vec!["model.run.completed".to_owned(), "ai.peak.data_validation.run.completed".to_owned()]
}

/// `[syncs.cadence]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// Five-field cron expression.
    #[serde(default)]
    pub cron: Option<String>,
    /// The zone the expression is read in.
    #[serde(default = "utc")]
    pub timezone: String,
    /// How long the watermark may stand still before the sync is stale. Seconds once read.
    #[serde(default, deserialize_with = "super::duration::seconds_or_off", rename = "stale_after")]
    pub stale_after_secs: Option<u64>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// `[syncs.guards]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Most changed customers, percent of those already known.
    pub max_changed_pct: Option<f64>,
    /// Most NULLs of one attribute, percent of the customers read.
    pub max_null_pct: Option<f64>,
    /// Fewest rows, percent of the last full run.
    pub min_rows_pct: Option<f64>,
    /// Greatest shift of a numeric attribute's mean, in units of the previous standard deviation.
    pub max_mean_shift: Option<f64>,
}

/// The form a value takes in Braze.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// JSON string, 255 characters at most.
    String,
    /// JSON number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `yyyy-MM-dd`.
    Date,
    /// ISO 8601 in UTC.
    Timestamp,
    /// Array or object.
    Json,
}

/// What NULL means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNull {
    /// Braze forgets the attribute: `null` is sent.
    #[default]
    Remove,
    /// Braze keeps what it has: nothing is sent.
    Skip,
}

/// What happens to strings over 255 characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLong {
    /// The value is listed under rejections.
    #[default]
    Reject,
    /// The first 255 characters are sent.
    Truncate,
}

/// `[[syncs.attributes]]`: one column and the Braze attribute it becomes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// The source's column.
    pub column: String,
    /// Braze attribute; default the column's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The form the value takes; default as the source's column.
    #[serde(default, rename = "type")]
    pub kind: Option<AttributeType>,
    /// Decimals kept of a number.
    #[serde(default)]
    pub round: Option<u8>,
    /// What NULL means.
    #[serde(default)]
    pub on_null: OnNull,
    /// What happens to strings over 255 characters.
    #[serde(default)]
    pub on_long: OnLong,
}

impl Attribute {
    /// The Braze attribute this column becomes.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.column)
    }
}
