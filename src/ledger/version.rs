//! Which schemas a binary goes together with, on either database.
//!
//! While one version takes another's place, or an older one its own place back, a binary meets migrations it does not
//! know: so a migration only adds. One that does more begins a new thousand of version numbers, and older binaries
//! refuse what it made.

use super::LedgerError;

/// Versions up to the next multiple go together with an older binary.
const MAJOR: i64 = 1_000;

/// Whether a binary whose newest migration is `newest` goes together with those applied.
///
/// # Errors
/// [`LedgerError::Unusable`] with the first that it does not.
pub(super) fn check(newest: i64, mut applied: impl Iterator<Item = i64>) -> Result<(), LedgerError> {
    match applied.find(|version| version / MAJOR > newest / MAJOR) {
        None => Ok(()),
        Some(version) => Err(LedgerError::Unusable(format!(
            "ledger.url: the schema has version {version}, which is newer than this binary; nothing was changed. \
             Run the newer binary, or restore the backup made before it"
        ))),
    }
}
