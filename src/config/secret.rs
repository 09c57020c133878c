//! References to secrets. The value is read when a room asks for it and never shown.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

/// `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file, relative to the config file; one trailing newline is dropped.
    File(PathBuf),
}

/// Why a secret could not be had. Names the reference, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or not UTF-8.
    #[error("environment variable {0} is not set (or not UTF-8)")]
    Env(String),
    /// The file cannot be read.
    #[error("secret file {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl TryFrom<String> for SecretRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("env:").filter(|name| !name.is_empty()) {
            return Ok(Self::Env(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            return Ok(Self::File(path.into()));
        }
        // The text itself is not shown: it may be a secret pasted in place.
        Err("a secret must be given as env:NAME or file:PATH".to_owned())
    }
}

impl SecretRef {
    /// The secret itself.
    ///
    /// # Errors
    /// When the variable is not set or the file cannot be read.
    pub fn resolve(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Env(name) => {
                std::env::var(name).map(SecretString::from).map_err(|_| SecretError::Env(name.clone()))
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::File { path: path.clone(), source })?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(SecretString::from(text.strip_suffix('\r').unwrap_or(text).to_owned()))
            }
        }
    }

    /// The same reference with a relative file path read from `folder`.
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::File(path) if path.is_relative() => Self::File(folder.join(path)),
            other => other,
        }
    }
}
