//! A run's progress: a bar with rate and time to go on a terminal, plain lines on a pipe.

use std::io::IsTerminal;
use std::time::Duration;

use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::figures::{grouped, instant, length};
use crate::run::{Progress, Run, RunState};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows one run's progress on standard error.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    last_line: Option<(Instant, RunState)>,
}

impl Shown {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style(false));
            bar
        });
        Self { bar, last_line: None }
    }

    /// Shows the run as it is now.
    pub(super) fn show(&mut self, run: &Run) {
        match &self.bar {
            Some(bar) => show_bar(bar, run),
            None => self.show_line(run),
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show_line(&mut self, run: &Run) {
        let is_due =
            self.last_line.is_none_or(|(at, state)| state != run.state || at.elapsed() >= LINE_EVERY);
        if is_due && !run.state.is_final() {
            self.last_line = Some((Instant::now(), run.state));
            eprintln!("{}", line(run));
        }
    }
}

fn line(run: &Run) -> String {
    let progress = &run.progress;
    let total = progress.total.map_or(String::new(), |total| format!(" / {}", grouped(total)));
    let until = run.throttled_until.map_or(String::new(), |until| format!(", until {}", instant(until)));
    format!(
        "{} {}: {}{total} customers, {}{}{until}",
        run.state,
        progress.phase,
        grouped(progress.done),
        speed(progress),
        to_go(progress)
    )
}

fn show_bar(bar: &ProgressBar, run: &Run) {
    let progress = &run.progress;
    if let Some(total) = progress.total
        && bar.length() != Some(total)
    {
        bar.set_style(style(true));
        bar.set_length(total);
    }
    bar.set_position(progress.done);
    let until =
        run.throttled_until.map_or(String::new(), |until| format!(", until {}", until.format("%H:%M:%S")));
    let (speed, to_go) = (speed(progress), to_go(progress));
    bar.set_message(format!("{} {}, {speed}{to_go}{until}", run.state, progress.phase));
}

fn speed(progress: &Progress) -> String {
    format!("{}/s", grouped(progress.per_sec.max(0.0) as u64))
}

fn to_go(progress: &Progress) -> String {
    let left = progress.eta_secs.and_then(|secs| TimeDelta::try_seconds(i64::try_from(secs).ok()?));
    left.map_or(String::new(), |left| format!(", {} to go", length(left)))
}

fn style(has_total: bool) -> ProgressStyle {
    let template = match has_total {
        true => "{bar:30} {human_pos} / {human_len} customers  {msg}",
        false => "{spinner} {human_pos} customers  {msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
