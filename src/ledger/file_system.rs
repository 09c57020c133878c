//! Whether a file lies on this machine: SQLite's write-ahead log needs memory that all its readers share.
//! Source: SQLite docs, Write-Ahead Logging, "all processes using a database must be on the same host computer".

use std::path::Path;

use super::LedgerError;

/// File systems that lie on another machine, by the number that `statfs` tells. Source: statfs(2), Linux. FUSE and 9P are
/// not among them: behind these may lie anything, this very disk too.
#[cfg(target_os = "linux")]
const REMOTE: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];

/// # Errors
/// Where the folder of `path` lies on a network file system.
#[cfg(target_os = "linux")]
pub(super) fn check_local(path: &Path) -> Result<(), LedgerError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that cannot even be looked at is told by who opens the file.
    let Ok(told) = rustix::fs::statfs(folder) else { return Ok(()) };
    remote(told.f_type).map_or(Ok(()), |name| {
        Err(LedgerError::Unusable(format!(
            "ledger.url: {} lies on {name}, where SQLite may lose what it committed; name a file on a local disk, or a \
             ledger on PostgreSQL",
            path.display()
        )))
    })
}

/// Elsewhere nobody is asked.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub(super) fn check_local(_: &Path) -> Result<(), LedgerError> {
    Ok(())
}

/// The number is signed on some machines and not on others; its low 32 bits are the same everywhere.
#[cfg(target_os = "linux")]
fn remote(told: impl TryInto<i128>) -> Option<&'static str> {
    let low = told.try_into().ok()? & 0xffff_ffff;
    REMOTE.iter().find(|(number, _)| i128::from(*number) == low).map(|(_, name)| *name)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_apart() {
        assert_eq!(remote(0x6969_i64), Some("NFS"));
        assert_eq!(remote(-11_317_950_i64), Some("CIFS"));
        assert_eq!(remote(0xff53_4d42_u64), Some("CIFS"));
        // ext4, tmpfs, overlayfs.
        assert_eq!([0xef53_i64, 0x0102_1994, 0x794c_7630].map(remote), [None; 3]);
    }

    #[test]
    fn the_temporary_folder_may_hold_a_ledger() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(check_local(&folder.path().join("ledger.db")).is_ok());
    }
}
