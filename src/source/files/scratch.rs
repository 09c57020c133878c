//! A private folder for copies, gone when it is dropped; and if the process died, when the next one is made.

use std::fs::{File, TryLockError};
use std::path::Path;

use tempfile::TempDir;

use crate::source::SourceError;

const PREFIX: &str = "peak-braze-files-";
/// Held locked for as long as the folder's owner lives.
const LOCK: &str = "lock";

/// A folder nobody else may look into.
#[derive(Debug)]
pub(in crate::source) struct Scratch {
    folder: TempDir,
    // Let go after the folder is removed, or by the operating system.
    _lock: File,
}

impl Scratch {
    pub(super) fn new() -> Result<Self, SourceError> {
        let parent = std::env::temp_dir();
        remove_orphans(&parent);
        let make = || -> std::io::Result<Self> {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent)?;
            let lock = File::create(folder.path().join(LOCK))?;
            lock.lock()?;
            Ok(Self { folder, _lock: lock })
        };
        make().map_err(|error| {
            let (parent, kind) = (parent.display(), error.kind());
            SourceError::Unreachable(format!("no folder can be made in {parent} (see TMPDIR): {kind}"))
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what processes left that died before they could. What cannot be removed is somebody else's.
fn remove_orphans(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_orphan(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder without a lock in it is just being made.
fn is_orphan(folder: &Path) -> bool {
    let Ok(lock) = File::open(folder.join(LOCK)) else { return false };
    !matches!(lock.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_)))
}
