//! `[[notify]]`.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{SecretRef, check, resolve_url};

/// What a notice tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyEvent {
    /// A run ended failed.
    Failed,
    /// A run ended partial.
    Partial,
    /// A guard holds a run.
    Held,
    /// Braze lets nothing of a sync through: the key is refused.
    Blocked,
    /// A watermark has stood still for longer than `stale_after`.
    Stale,
    /// The first success after a failure, a partial run, a block or a standstill.
    Recovered,
    /// A run ended succeeded.
    Succeeded,
}

impl NotifyEvent {
    /// Every event, in the order the reference lists them.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::Partial,
        Self::Held,
        Self::Blocked,
        Self::Stale,
        Self::Recovered,
        Self::Succeeded,
    ];

    /// The word as it stands in the config, columns and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Held => "held",
            Self::Blocked => "blocked",
            Self::Stale => "stale",
            Self::Recovered => "recovered",
            Self::Succeeded => "succeeded",
        }
    }

    /// The event of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }
}

/// How a notice is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyFormat {
    /// A Standard Webhook: type, timestamp and data.
    #[default]
    Standard,
    /// A message to a channel: `{"text": "…"}` alone.
    Slack,
    /// The parameters of a workflow that Peak is to execute.
    Peak,
}

impl NotifyFormat {
    /// The word as it stands in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Peak => "peak",
        }
    }
}

/// `[[notify]]`: one receiver of outgoing notices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Where notices are posted; https only, except loopback; may be an `env:` or `file:` reference.
    pub url: String,
    /// Signs them: base64, 24 bytes or more. Required unless `authorization` is there or the format cannot be signed.
    pub secret: Option<SecretRef>,
    /// The value of the Authorization header, sent as it is.
    pub authorization: Option<SecretRef>,
    /// How they are written.
    #[serde(default)]
    pub format: NotifyFormat,
    /// Which events are told.
    pub on: Vec<NotifyEvent>,
    /// Of these syncs alone; absent: of all.
    pub syncs: Option<Vec<String>>,
}

impl Notify {
    /// The address, looked up where it is a reference. May hold a secret.
    ///
    /// # Errors
    /// When it cannot be looked up, or is none that may be posted to.
    pub fn address(&self) -> Result<SecretString, String> {
        let address = resolve_url(&self.url).map_err(|error| error.to_string())?;
        check::notice_address(address.expose_secret())?;
        Ok(address)
    }
}
