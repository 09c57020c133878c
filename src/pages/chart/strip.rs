//! The last runs of a sync at a glance.

use maud::{Markup, html};

use crate::figures::grouped;
use crate::pages::words::stamp;
use crate::run::{Run, RunState};

/// Runs shown.
const SHOWN: usize = 24;
const STEP: f64 = 9.0;
const BAR: f64 = 6.0;
const HEIGHT: f64 = 32.0;

/// Columns, newest right: as high as the square root of what was changed, so that a first run leaves the others to be
/// seen. A failed run is hollow and full height, a partial one wears a cap.
pub(in crate::pages) fn strip(id: &str, newest_first: &[Run]) -> Markup {
    let runs: Vec<&Run> = newest_first.iter().take(SHOWN).rev().collect();
    let most = runs.iter().map(|run| run.tally.changed).max().unwrap_or(0).max(1);
    let empty = (SHOWN - runs.len()) as f64 * STEP;
    html! {
        svg.strip viewBox={ "0 0 " (SHOWN as f64 * STEP) " " (HEIGHT + 2.0) } role="img" aria-labelledby=(id) {
            title id=(id) { (in_words(&runs)) }
            g aria-hidden="true" {
                line.ground x1="0" x2=(SHOWN as f64 * STEP) y1=(HEIGHT + 1.0) y2=(HEIGHT + 1.0) {}
                @for (n, run) in runs.iter().enumerate() { (column(run, empty + n as f64 * STEP + 1.5, most)) }
            }
        }
    }
}

fn column(run: &Run, x: f64, most: u64) -> Markup {
    let share = (run.tally.changed as f64 / most as f64).sqrt();
    let height = match run.state {
        RunState::Failed => HEIGHT - 2.0,
        RunState::Cancelled => 5.0,
        _ => (share * (HEIGHT - 8.0)).max(2.0).round(),
    };
    let y = HEIGHT - height;
    html! {
        g {
            title { (stamp(run.created_at)) " " (run.state) ", " (grouped(run.tally.changed)) " changed" }
            rect class={ "bar " (run.state) } x=(x) y=(y) width=(BAR) height=(height) {}
            @if run.state == RunState::Partial {
                rect.bar.cap x=(x) y=(y - 5.0) width=(BAR) height="4" {}
            }
        }
    }
}

fn in_words(runs: &[&Run]) -> String {
    let states = [
        RunState::Succeeded,
        RunState::Partial,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Held,
        RunState::Waiting,
        RunState::Running,
        RunState::Queued,
    ];
    let counted = states.into_iter().filter_map(|state| {
        let count = runs.iter().filter(|run| run.state == state).count();
        (count > 0).then(|| format!("{count} {state}"))
    });
    match runs.len() {
        0 => "No runs yet".to_owned(),
        1 => format!("The only run so far: {}", counted.collect::<Vec<_>>().join(", ")),
        many => format!("The last {many} runs: {}", counted.collect::<Vec<_>>().join(", ")),
    }
}
