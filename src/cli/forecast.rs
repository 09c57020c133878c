//! What a plan came to, for people.

use chrono::TimeDelta;

use super::receipt::{bare, counts_table, right_align};
use crate::figures::{grouped, length, size};
use crate::run::{Forecast, ForecastValues};

/// The forecast as text.
pub(super) fn forecast(plan: &Forecast) -> String {
    let why = plan.promoted.as_ref().map_or(String::new(), |why| format!(" because {why}"));
    let mut text = format!("nothing was sent; a {} run{why} would send:\n", plan.mode);
    text += &counts_table(&[
        ("customers", grouped(plan.customers)),
        ("  unchanged", grouped(plan.unchanged)),
        ("  changed", grouped(plan.changed)),
        ("  invalid", grouped(plan.invalid)),
        ("data points", grouped(plan.data_points)),
        ("requests", grouped(plan.requests)),
        ("to send", size(plan.bytes)),
    ]);
    let at_least = length(TimeDelta::milliseconds((plan.budget_secs * 1e3) as i64));
    text += &format!("  at least {at_least} at the destination's budget\n\n");
    text + &values(plan)
}

fn values(plan: &Forecast) -> String {
    let mut table = bare();
    table.add_row(["  by attribute", "first", "changed", "removed", "again", "unchanged", "invalid"]);
    for (name, values) in &plan.by_attribute {
        let ForecastValues { first, changed, removed, again, unchanged, invalid } = *values;
        let counts = [first, changed, removed, again, unchanged, invalid].map(grouped);
        table.add_row([format!("  {name}")].into_iter().chain(counts));
    }
    right_align(&mut table, 1..7);
    format!("{}\n", table.trim_fmt())
}
