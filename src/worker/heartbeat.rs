//! The heartbeat beside a run: renews the lease, hears of cancellation, and says when the lease is lost.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Moment;
use crate::ledger::{Lease, Ledger, LedgerError};
use crate::sync::Claim;

/// Heartbeats in a lease at least: three may fail before it runs out.
const BEATS: u32 = 4;
/// Longest time between two: each also asks whether a person cancelled the run, and that person waits.
const LONGEST: Duration = Duration::from_secs(1);

/// Renews the lease until dropped.
pub(super) async fn keep(
    ledger: Ledger,
    mut lease: Lease,
    claim: Claim,
    renewed: watch::Sender<Moment>,
) -> Infallible {
    loop {
        tokio::time::sleep((claim.lease / BEATS).min(LONGEST)).await;
        match ledger.heartbeat(&mut lease).await {
            Ok(()) => {
                renewed.send_replace(lease.expires);
            }
            Err(LedgerError::LeaseLost(_)) => claim.lost.cancel(),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "heartbeat not recorded"),
        }
        if lease.cancel_requested {
            claim.cancelled.cancel();
        }
        if lease.expires.has_passed() {
            claim.lost.cancel();
        }
    }
}
