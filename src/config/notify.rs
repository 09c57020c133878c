//! `[[notify]]`.

use serde::Deserialize;

use super::SecretRef;

/// What a notice tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyEvent {
    /// A run ended failed.
    Failed,
    /// A run ended partial.
    Partial,
    /// A guard holds a run.
    Held,
    /// A watermark has stood still for longer than `stale_after`.
    Stale,
    /// A run ended succeeded.
    Succeeded,
}

/// `[[notify]]`: one receiver of outgoing notices, signed as Standard Webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Where notices are posted; https only, except loopback; may be an `env:` or `file:` reference.
    pub url: String,
    /// Signs them: base64, 24 bytes or more.
    pub secret: SecretRef,
    /// Which events are told.
    pub on: Vec<NotifyEvent>,
}
