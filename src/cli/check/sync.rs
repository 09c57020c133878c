//! What starts a sync: callbacks and cadence.

use super::finding::Report;
use crate::cadence;
use crate::clock::Clock;
use crate::config::{self, CallbackKey, CallbackScheme};
use crate::peak::Peak;
use secrecy::ExposeSecret;

/// Looks at callback secrets and the next slot of the cadence.
pub(super) async fn check(sync: &config::Sync, clock: &Clock, report: &mut Report) {
    let cron = sync.cadence.as_ref().filter(|cadence| cadence.cron.is_some());
    if let Some(callback) = &sync.callback {
        callback_secrets(&sync.id, callback, report);
        if let Some(wanted) = &callback.verify_run {
            verify_run(&sync.id, wanted, report).await;
        }
    }
    if let Some(cadence) = cron {
        next_run(&sync.id, cadence, clock, report);
    }
    if sync.guards.is_some() {
        let says = "[syncs.guards] does not act yet: no run is held by it; look at peak-braze plan before large runs";
        report.warning(&format!("sync {}", sync.id), says);
    }
    if sync.callback.is_none() && cron.is_none() {
        let says = "takes no callbacks and has no cron: it runs only when triggered; add [syncs.callback]";
        report.warning(&format!("sync {}", sync.id), says);
    }
}

fn callback_secrets(sync: &str, callback: &config::Callback, report: &mut Report) {
    let what = format!("callback {sync}");
    let is_usable = |secret: &config::SecretRef| {
        secret.resolve().is_ok_and(|value| CallbackKey::read(callback.scheme, value.expose_secret()).is_ok())
    };
    let usable = callback.secrets.iter().filter(|secret| is_usable(secret)).count();
    match (callback.secrets.len(), callback.scheme) {
        (0, _) => report.failed(&what, "has no secret: every callback would be refused"),
        (all, _) if usable < all => {
            report.failed(&what, format!("{usable} of {all} secrets can be used, see above"))
        }
        (_, CallbackScheme::Bearer) => {
            report.warning(&what, "bearer proves no content and stops no replay; prefer standard");
        }
        (all, _) => {
            report.ok(&what, format!("can be verified, with {all} secret{}", if all == 1 { "" } else { "s" }))
        }
    }
}

/// Asks Peak for the workflow: proves the key and the id. A step's name shows in executions only.
async fn verify_run(sync: &str, wanted: &config::VerifyRun, report: &mut Report) {
    let what = format!("verify_run {sync}");
    let asked = match Peak::new(&wanted.peak.api_key, wanted.peak.base_url.as_deref()) {
        Ok(peak) => peak.workflow(&wanted.workflow_id).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(()) => report.ok(&what, "Peak takes the key and has the workflow"),
        Err(why) => report.failed(&what, format!("{why}; no callback's run can be verified")),
    }
}

fn next_run(sync: &str, cadence: &config::Cadence, clock: &Clock, report: &mut Report) {
    let what = format!("cadence {sync}");
    match cadence::next_of(cadence, clock.now()) {
        Some(at) => report.ok(&what, format!("next run at {}", at.format("%Y-%m-%d %H:%M:%SZ"))),
        None => report.failed(&what, "has no next run; check cron and timezone"),
    }
}
