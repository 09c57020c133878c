//! A notice in one sentence, for people.

use super::Notice;
use crate::config::NotifyEvent;
use crate::run::{Occasion, RunSummary, Standstill};

/// The notice in one sentence. Holds nothing but ids, counts and codes of our own.
pub(super) fn sentence(notice: &Notice<'_>) -> String {
    match notice.occasion {
        Occasion::Run(run) => of_run(notice.event, run),
        Occasion::Standstill(standstill) => of_standstill(standstill),
    }
}

fn of_run(event: NotifyEvent, run: &RunSummary) -> String {
    let RunSummary { sync, id, tally, .. } = run;
    let code = run.error_code.as_deref().unwrap_or("unknown");
    let sent = format!(
        "{} customers, {} changed, {} accepted by Braze",
        tally.customers, tally.changed, tally.accepted
    );
    match event {
        NotifyEvent::Succeeded => format!("{sync}: run {id} succeeded: {sent}."),
        NotifyEvent::Partial => {
            let left = [
                (tally.rejected, "rejected"),
                (tally.invalid, "invalid"),
                (tally.unknown, "unknown"),
                (tally.invalid_values, "invalid values"),
            ];
            let left: Vec<String> = left
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            format!("{sync}: run {id} ended partial: {sent}; {}.", left.join(", "))
        }
        NotifyEvent::Failed => format!("{sync}: run {id} failed: {code}."),
        NotifyEvent::Held => {
            let guard = run.held_by.as_deref().unwrap_or("a guard");
            format!("{sync}: run {id} is held by {guard}; nothing was sent. Release or cancel it.")
        }
        NotifyEvent::Blocked => {
            format!("{sync}: blocked, Braze lets nothing through ({code}). Correct the key and reload.")
        }
        NotifyEvent::Recovered => format!("{sync}: recovered with run {id}: {sent}."),
        NotifyEvent::Stale => format!("{sync}: stale."),
    }
}

fn of_standstill(standstill: &Standstill) -> String {
    let since = standstill.watermark_moved_at.format("%Y-%m-%d %H:%MZ");
    let bound = lasting(standstill.stale_after_secs);
    format!("{}: stale: its watermark has stood still since {since}, longer than {bound}.", standstill.sync)
}

/// Seconds in the greatest unit that holds them whole.
fn lasting(secs: u64) -> String {
    let units = [(3_600, "h"), (60, "min"), (1, "s")];
    let whole = units.into_iter().find(|(unit, _)| secs.is_multiple_of(*unit));
    let (unit, word) = whole.expect("a second divides all");
    format!("{} {word}", secs / unit)
}
