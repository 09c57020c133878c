//! Where a warehouse is, as the config gives it or a reference does.

use secrecy::SecretString;

use crate::config::SecretRef;

use super::SourceError;

/// The `url`, looked up where it is an `env:` or `file:` reference. May hold a password: never shown.
pub(super) fn address(url: Option<&str>) -> Result<SecretString, SourceError> {
    let url = url.ok_or_else(|| SourceError::config("url", "is missing"))?;
    if !url.starts_with("env:") && !url.starts_with("file:") {
        return Ok(url.to_owned().into());
    }
    SecretRef::try_from(url.to_owned())
        .and_then(|reference| reference.resolve().map_err(|error| error.to_string()))
        .map_err(|why| SourceError::config("url", why))
}
