//! A private folder for copies, gone when it is dropped; and if the process died, when the next one is made.

use std::fs::{File, TryLockError};
use std::path::Path;

use tempfile::TempDir;

use crate::source::SourceError;

const PREFIX: &str = "peak-braze-files-";
/// Held locked for as long as the folder's owner lives.
const LOCK: &str = "lock";
/// Its name until it is: under its own, whoever looks for orphans meanwhile would find one.
const UNLOCKED: &str = "unlocked";

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
        Self::within(&parent).map_err(|error| {
            let (parent, kind) = (parent.display(), error.kind());
            SourceError::Unreachable(format!("no folder can be made in {parent} (see TMPDIR): {kind}"))
        })
    }

    fn within(parent: &Path) -> std::io::Result<Self> {
        remove_orphans(parent);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let being_made = folder.path().join(UNLOCKED);
        let lock = File::create(&being_made)?;
        lock.lock()?;
        std::fs::rename(being_made, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of which has another to fear only for a moment.
    const FOLDERS: usize = 300;
    const AT_ONCE: usize = 4;

    #[test]
    fn a_folder_just_being_made_is_nobodys_orphan() {
        let parent = tempfile::tempdir().expect("a temp dir");
        let make = || {
            for _ in 0..FOLDERS {
                let scratch = Scratch::within(parent.path()).expect("a folder");
                assert!(scratch.path().join(LOCK).exists(), "somebody removed it");
            }
        };
        std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(make))));
    }

    #[test]
    fn what_a_dead_process_left_goes_with_the_next() {
        let parent = tempfile::tempdir().expect("a temp dir");
        let left = parent.path().join(format!("{PREFIX}left"));
        std::fs::create_dir(&left).expect("a folder");
        File::create(left.join(LOCK)).expect("a lock that nobody holds");
        let scratch = Scratch::within(parent.path()).expect("a folder");
        assert!(!left.exists() && scratch.path().exists());
    }
}
