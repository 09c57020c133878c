//! A run's receipt for people.

use chrono::{DateTime, Utc};
use comfy_table::{CellAlignment, Table, presets};

use super::forecast::forecast;
use super::print::{Ink, Paper};
use crate::figures::{grouped, instant, length, relative, size};
use crate::run::{Run, RunState};

/// The receipt as text, seen from `now`.
pub(super) fn receipt(run: &Run, paper: Paper, now: DateTime<Utc>) -> String {
    let mut text = headline(run, paper);
    if let Some(error) = &run.error
        && run.state == RunState::Failed
    {
        text += &format!("  {} — {}\n", paper.ink(&error.code, Ink::Bad), error.message);
    }
    text += &paper.ink(times(run, now), Ink::Quiet);
    text.push('\n');
    if let Some(plan) = &run.plan {
        return text + &forecast(plan);
    }
    text += &counts_table(&counts(run));
    if !run.data_points.by_attribute.is_empty() {
        text += "\n";
        text += &points(run);
    }
    text
}

fn headline(run: &Run, paper: Paper) -> String {
    let took = run
        .started_at
        .zip(run.finished_at)
        .map_or(String::new(), |(from, to)| format!(" in {}", length(to - from)));
    let promoted = run.promoted.as_ref().map_or(String::new(), |why| format!(" because {why}"));
    let state = paper.ink(run.state, Ink::of(run.state));
    format!("run {} of {}: {state}{took} ({}{promoted})\n", run.id, run.sync, run.mode)
}

/// When it last took a step, and what brought it about.
fn times(run: &Run, now: DateTime<Utc>) -> String {
    let (word, at) = match (run.finished_at, run.started_at) {
        (Some(at), _) => ("finished", at),
        (None, Some(at)) => ("started", at),
        (None, None) => ("created", run.created_at),
    };
    let by = run.trigger.actor.as_ref().map_or(String::new(), |actor| format!(" by {actor}"));
    format!("  {word} {}, {}; {}{by}", relative(at, now), instant(at), run.trigger.kind)
}

fn counts(run: &Run) -> Vec<(&'static str, String)> {
    let tally = &run.tally;
    vec![
        ("rows read", grouped(tally.rows_read)),
        ("customers", grouped(tally.customers)),
        ("  unchanged", grouped(tally.unchanged)),
        ("  changed", grouped(tally.changed)),
        ("    accepted", grouped(tally.accepted)),
        ("    rejected", grouped(tally.rejected)),
        ("    unknown", grouped(tally.unknown)),
        ("  invalid", grouped(tally.invalid)),
        ("invalid values", grouped(tally.invalid_values)),
        ("requests", grouped(tally.requests)),
        ("  retries", grouped(tally.retries)),
        ("sent", size(tally.bytes_sent)),
        ("data points sent", grouped(run.data_points.sent)),
        ("data points saved", grouped(run.data_points.saved)),
    ]
}

/// Names and their counts, aligned.
pub(super) fn counts_table(rows: &[(&str, String)]) -> String {
    let mut table = bare();
    for (name, count) in rows {
        table.add_row([&format!("  {name}"), count]);
    }
    right_align(&mut table, 1..2);
    format!("{}\n", table.trim_fmt())
}

fn points(run: &Run) -> String {
    let mut table = bare();
    table.add_row(["  by attribute".to_owned(), "sent".to_owned(), "saved".to_owned()]);
    for (name, points) in &run.data_points.by_attribute {
        table.add_row([format!("  {name}"), grouped(points.sent), grouped(points.saved)]);
    }
    right_align(&mut table, 1..3);
    format!("{}\n", table.trim_fmt())
}

/// A table without lines.
pub(super) fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Right-aligns columns of numbers.
pub(super) fn right_align(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample_run;

    #[test]
    fn a_receipt_reads_like_this() {
        let now = "2026-03-28T06:10:00Z".parse().expect("an instant");
        insta::assert_snapshot!(receipt(&sample_run(RunState::Partial), Paper::plain(), now));
    }

    #[test]
    fn a_failed_run_says_why() {
        let now = "2026-03-28T06:10:00Z".parse().expect("an instant");
        let text = receipt(&sample_run(RunState::Failed), Paper::plain(), now);
        insta::assert_snapshot!(text.lines().take(3).collect::<Vec<_>>().join("\n"));
    }
}
