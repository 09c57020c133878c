//! Whether the ledger opens, and what it says of the syncs.

use super::finding::{Report, causes};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::ledger::{Ledger, LedgerError};

const WHAT: &str = "ledger";

/// Opens the ledger, unless a running server has it.
pub(super) async fn check(config: &Config, syncs: &[&config::Sync], clock: &Clock, report: &mut Report) {
    match Ledger::open(&config.ledger, clock.clone()).await {
        Ok(ledger) => {
            match ledger.probe().await {
                Ok(()) => report.ok(WHAT, "opens and can be written, its schema is up to date"),
                Err(error) => report.failed(WHAT, causes(&error)),
            }
            waiting(&ledger, report).await;
            for sync in syncs {
                standing(&ledger, &sync.id, report).await;
            }
            ledger.close().await;
        }
        Err(LedgerError::InUse { path }) => {
            let says =
                format!("{path} is in use by another process, as when the service runs; ask its /readyz");
            report.warning(WHAT, says);
        }
        Err(error) => report.failed(WHAT, causes(&error)),
    }
}

async fn waiting(ledger: &Ledger, report: &mut Report) {
    match ledger.backlog().await.map(|backlog| (backlog.pending, backlog.oldest_at)) {
        Ok((pending, Some(oldest_at))) => {
            let since = oldest_at.format("%Y-%m-%d %H:%M:%SZ");
            report.warning("notices", format!("{pending} wait to be delivered, the oldest since {since}"));
        }
        Ok((_, None)) => {}
        Err(error) => report.failed("notices", causes(&error)),
    }
}

async fn standing(ledger: &Ledger, sync: &str, report: &mut Report) {
    let what = format!("sync {sync}");
    match ledger.sync_state(sync).await {
        Ok(state) => {
            if state.paused {
                report.warning(&what, format!("is paused; POST /v1/syncs/{sync}/resume lets it run"));
            }
            if let Some(blocked) = state.blocked {
                let says = format!(
                    "is blocked since {} ({}): correct the key, then trigger it",
                    blocked.since.format("%Y-%m-%d %H:%M:%SZ"),
                    blocked.code
                );
                report.warning(&what, says);
            }
        }
        Err(error) => report.failed(&what, causes(&error)),
    }
}
