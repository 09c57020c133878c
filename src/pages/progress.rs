//! A run that is still on its way.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::words::{ago, exact, percent};
use crate::figures::{about, counted, grouped};
use crate::run::{Phase, Run, RunState};

/// What a run goes through, in order. Asking Peak is for syncs that do; settling comes between reading and sending.
const STEPS: [(Phase, &str); 4] = [
    (Phase::Extracting, "Read and compare"),
    (Phase::Settling, "Settle"),
    (Phase::Pushing, "Send"),
    (Phase::Recording, "Record"),
];

const QUEUED: &str = "It starts as soon as the sync's run before it has ended; at once, if there is none. A paused sync starts none.";

pub(super) fn draw(run: &Run, now: DateTime<Utc>) -> Markup {
    html! {
        h2 #now-name { (headline(run)) }
        @if run.state == RunState::Queued { p { (QUEUED) } }
        @else {
            ol.steps aria-label="Phases" {
                @if run.progress.phase == Phase::Verifying { li.current aria-current="step" { "Ask Peak" } }
                @for (phase, name) in STEPS { (step(run.progress.phase, phase, name)) }
            }
            (how_far(run))
        }
        @if let Some(until) = run.throttled_until {
            p.waiting { "Waiting until " (exact(until)) " (" (ago(until, now)) "): " (why(run.progress.phase)) }
        }
    }
}

fn headline(run: &Run) -> &'static str {
    match run.state {
        RunState::Queued => "Queued",
        RunState::Waiting => "Waiting",
        RunState::Held => "Held",
        _ => "Under way",
    }
}

fn why(phase: Phase) -> &'static str {
    match phase {
        Phase::Verifying => "Peak has not said yet how the model's step ended.",
        Phase::Extracting => "the source is out of reach, and is asked again.",
        Phase::Settling => {
            "Braze keeps no order between calls, so the sends of the run before are let settle first."
        }
        Phase::Pushing | Phase::Recording => {
            "Braze announced a rate limit, or is out of order. Nothing is lost."
        }
    }
}

fn step(current: Phase, phase: Phase, name: &str) -> Markup {
    let class = match current.cmp(&phase) {
        std::cmp::Ordering::Equal => "current",
        std::cmp::Ordering::Greater => "done",
        std::cmp::Ordering::Less => "open",
    };
    html! { li.(class) aria-current=[(class == "current").then_some("step")] { (name) } }
}

fn how_far(run: &Run) -> Markup {
    let progress = &run.progress;
    html! {
        div.far {
            @match progress.total.filter(|total| *total > 0) {
                Some(total) => {
                    progress aria-label="Customers done" max=(total) value=(progress.done.min(total)) {}
                    p { b.done { (grouped(progress.done)) } " of " (counted(total, "customer"))
                        " (" (percent(progress.done.min(total), total)) ")" }
                }
                None => { p { b.done { (grouped(progress.done)) } " customers; the source does not say how many there are" } }
            }
            p.quiet {
                @if progress.per_sec >= 1.0 { (grouped(progress.per_sec.round() as u64)) " per second" }
                @if let Some(secs) = progress.eta_secs { " · about " (about(i64::try_from(secs).unwrap_or(i64::MAX))) " to go" }
            }
        }
    }
}
