//! One run as it changes.

use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Ledger;
use crate::run::RunId;

/// Tells when one run may have changed.
pub struct Follow {
    id: RunId,
    changes: Receiver<RunId>,
    look_every: Duration,
}

impl Ledger {
    /// Follows a run from now on: whoever looks at it after this misses no change. Another replica's changes may not be
    /// heard here, so that it also tells `look_every` so often.
    pub fn follow(&self, id: RunId, look_every: Duration) -> Follow {
        Follow { id, changes: self.watch(), look_every }
    }
}

impl Follow {
    /// Returns when the run may have changed.
    pub async fn changed(&mut self) {
        // Out of time, it is looked at all the same.
        let _ = tokio::time::timeout(self.look_every, told(&mut self.changes, self.id)).await;
    }
}

async fn told(changes: &mut Receiver<RunId>, id: RunId) {
    loop {
        match changes.recv().await {
            Ok(other) if other != id => {}
            // Lagging, it may have been among those missed.
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
