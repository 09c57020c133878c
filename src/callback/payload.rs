//! What an authentic callback says, and whether it asks for a run.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::json::Strict;
use crate::config;
use crate::run::Model;

/// What is shown of the model is cut here: it comes from outside and is kept for as long as the run.
const MAX_SHOWN_CHARS: usize = 256;

/// Event types are dotted words; the longest known has 40 bytes.
const MAX_TYPE_BYTES: usize = 256;

/// What an authentic callback says. A hint to look now: nothing of it becomes data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// `type`, such as `model.run.completed`.
    pub event_type: String,
    /// `timestamp`, or a CloudEvent's `time`; none if it is not there or cannot be read.
    pub timestamp: Option<DateTime<Utc>>,
    /// Whether `data.status` says that the model run failed.
    pub status_failed: bool,
    /// `data.model`, `data.model_version`, `data.execution_id`.
    pub model: Model,
    /// Text, numbers and booleans of `data` by name, as text.
    pub data: BTreeMap<String, String>,
}

/// Why an authentic body is no callback. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not JSON, not UTF-8, or more than 128 levels deep.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but an object holds a key twice.
    #[error("the body holds a key twice")]
    DuplicateKey,
    /// JSON of another shape.
    #[error("{field} must be {wanted}")]
    Shape {
        /// Where.
        field: &'static str,
        /// What was expected there.
        wanted: &'static str,
    },
}

impl PayloadError {
    /// A stable word for metrics, logs and problem documents.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::DuplicateKey => "duplicate_key",
            Self::Shape { .. } => "wrong_shape",
        }
    }

    /// Whether the body could not be read at all (400), rather than read and not understood (422).
    pub fn is_syntax(self) -> bool {
        !matches!(self, Self::Shape { .. })
    }
}

/// What becomes of an authentic callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It belongs to a run.
    Run,
    /// It is recorded, and that is all.
    Ignored(Ignored),
}

/// Why a callback starts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Its type is not among the sync's `events`.
    EventType,
    /// This field of `data` is not what `match` asks for.
    Match(String),
    /// The model run failed: there is nothing new to send.
    ModelFailed,
}

impl Ignored {
    /// A stable word for metrics and the list of deliveries.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Match(_) => "match",
            Self::ModelFailed => "model_failed",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventType => f.write_str("the event type is not among the sync's events"),
            Self::Match(field) => write!(f, "data.{field} is not what match asks for"),
            Self::ModelFailed => f.write_str("the model run failed"),
        }
    }
}

impl Callback {
    /// Reads a body. Only `type` is required; unknown fields are passed over. A CloudEvent, as Peak's data quality
    /// channel sends it, reads the same.
    ///
    /// # Errors
    /// When the body is not JSON, holds a key twice, or `type` or `data` is of the wrong kind.
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        let Strict(value) = serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => PayloadError::DuplicateKey,
            _ => PayloadError::NotJson,
        })?;
        let Value::Object(body) = value else {
            return Err(PayloadError::Shape { field: "the body", wanted: "an object" });
        };
        let data = data(&body)?;
        let shown = |name: &str| data.get(name).map(|text| text.chars().take(MAX_SHOWN_CHARS).collect());
        Ok(Self {
            event_type: event_type(&body)?,
            timestamp: timestamp(&body),
            // Peak writes its statuses with a capital.
            status_failed: data.get("status").is_some_and(|status| status.eq_ignore_ascii_case("failed")),
            model: Model {
                name: shown("model"),
                version: shown("model_version"),
                execution_id: shown("execution_id"),
            },
            data,
        })
    }

    /// Whether the sync with this `[syncs.callback]` runs for it.
    pub fn decide(&self, callback: &config::Callback) -> Decision {
        if !callback.events.contains(&self.event_type) {
            return Decision::Ignored(Ignored::EventType);
        }
        let differs = |(name, wanted): &(&String, &String)| self.data.get(*name) != Some(*wanted);
        if let Some((name, _)) = callback.matches.iter().find(differs) {
            return Decision::Ignored(Ignored::Match(name.clone()));
        }
        if self.status_failed { Decision::Ignored(Ignored::ModelFailed) } else { Decision::Run }
    }
}

fn event_type(body: &Map<String, Value>) -> Result<String, PayloadError> {
    let plain = |text: &&str| {
        (1..=MAX_TYPE_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    let text = body.get("type").and_then(Value::as_str).filter(plain);
    text.map(str::to_owned)
        .ok_or(PayloadError::Shape { field: "type", wanted: "an event type in plain text" })
}

/// Only shown, so one that cannot be read does not cost a run.
fn timestamp(body: &Map<String, Value>) -> Option<DateTime<Utc>> {
    let text = body.get("timestamp").or_else(|| body.get("time"))?.as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

fn data(body: &Map<String, Value>) -> Result<BTreeMap<String, String>, PayloadError> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match body.get("data") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(fields)) => {
            Ok(fields.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect())
        }
        Some(_) => Err(PayloadError::Shape { field: "data", wanted: "an object" }),
    }
}

#[cfg(test)]
mod tests;
