//! A run's receipt for people.

use comfy_table::{CellAlignment, Table, presets};

use super::forecast::forecast;
use crate::run::{Run, RunState};

/// The receipt as text.
pub(super) fn receipt(run: &Run) -> String {
    let mut text = headline(run);
    if let Some(error) = &run.error
        && run.state == RunState::Failed
    {
        text += &format!("  {} — {}\n", error.code, error.message);
    }
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

fn headline(run: &Run) -> String {
    let took = run
        .started_at
        .zip(run.finished_at)
        .map(|(from, to)| (to - from).num_milliseconds())
        .map_or(String::new(), |millis| format!(" in {}.{:03} s", millis / 1000, millis % 1000));
    let promoted = run.promoted.as_ref().map_or(String::new(), |why| format!(", full because {why}"));
    format!("run {} of {}: {}{took} ({}{promoted})\n", run.id, run.sync, run.state, run.mode)
}

fn counts(run: &Run) -> Vec<(&'static str, u64)> {
    let tally = &run.tally;
    vec![
        ("rows read", tally.rows_read),
        ("customers", tally.customers),
        ("  unchanged", tally.unchanged),
        ("  changed", tally.changed),
        ("    accepted", tally.accepted),
        ("    rejected", tally.rejected),
        ("    unknown", tally.unknown),
        ("  invalid", tally.invalid),
        ("invalid values", tally.invalid_values),
        ("requests", tally.requests),
        ("  retries", tally.retries),
        ("bytes sent", tally.bytes_sent),
        ("data points sent", run.data_points.sent),
        ("data points saved", run.data_points.saved),
    ]
}

/// Names and their counts, aligned.
pub(super) fn counts_table(rows: &[(&str, u64)]) -> String {
    let mut table = bare();
    for (name, count) in rows {
        table.add_row([format!("  {name}"), grouped(*count)]);
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

/// `10000` as `10,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
