//! How far each sync came, and whether it may run.

use chrono::{DateTime, Utc};

use super::{Ledger, LedgerError};

/// What the ledger knows of one sync.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncState {
    /// Whether a person paused it.
    pub paused: bool,
    /// Why Braze lets nothing of it through.
    pub blocked: Option<Blocked>,
    /// How far its source was synced.
    pub watermark: Option<DateTime<Utc>>,
    /// When the watermark last moved.
    pub watermark_moved_at: Option<DateTime<Utc>>,
    /// What mapping, table and workspace the watermark is about.
    pub fingerprint: Option<String>,
    /// When a run last compared every row.
    pub last_full_at: Option<DateTime<Utc>>,
    /// When a request of this sync was last answered, and by which run's number.
    pub last_sent: Option<(DateTime<Utc>, u32)>,
}

/// Why Braze lets nothing of a sync through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The error's code, such as `braze_unauthorized`.
    pub code: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Ledger {
    /// What is known of one sync; all empty for one never seen.
    pub async fn sync_state(&self, sync: &str) -> Result<SyncState, LedgerError> {
        let _ = sync;
        todo!()
    }

    /// Pauses or resumes a sync: while paused it queues runs and starts none.
    pub async fn set_paused(&self, sync: &str, paused: bool) -> Result<(), LedgerError> {
        let _ = (sync, paused);
        todo!()
    }

    /// Lets a blocked sync run again. Whether it was blocked.
    pub async fn unblock(&self, sync: &str) -> Result<bool, LedgerError> {
        let _ = sync;
        todo!()
    }
}
