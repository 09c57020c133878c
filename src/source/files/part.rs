//! One file of many, which must stay as it is while it is read.

use std::fs::{File, Metadata};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::source::SourceError;

/// One file to copy: where it lies on this machine and what people call it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub path: PathBuf,
    pub name: String,
}

/// What would tell that a file was written to.
#[derive(PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Part {
    pub(super) fn open(&self) -> Result<(File, Stamp), SourceError> {
        let file = File::open(&self.path).map_err(|error| self.failed(&error))?;
        let stamp = Stamp::of(&file.metadata().map_err(|error| self.failed(&error))?);
        Ok((file, stamp))
    }

    /// Refuses what was written to, or replaced, since it was opened.
    pub(super) fn require_unchanged(&self, since: &Stamp) -> Result<(), SourceError> {
        match std::fs::metadata(&self.path) {
            Ok(now) if Stamp::of(&now) == *since => Ok(()),
            Ok(_) => Err(self.unready("was written to while it was read")),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Not yet what it will be: worth another try.
    pub(super) fn unready(&self, what: &str) -> SourceError {
        SourceError::Unreachable(format!("{} {what}", self.name))
    }

    /// Not what it should be, and no waiting heals it.
    pub(super) fn unusable(&self, what: &str) -> SourceError {
        SourceError::Unusable(format!("{} {what}", self.name))
    }

    /// What an error of the operating system means. Its text is left out.
    pub(super) fn failed(&self, error: &std::io::Error) -> SourceError {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                SourceError::Refused(format!("{} may not be read", self.name))
            }
            std::io::ErrorKind::NotFound => self.unready("is gone"),
            kind => self.unready(&format!("cannot be read: {kind}")),
        }
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self { bytes: found.len(), modified: found.modified().ok() }
    }
}
