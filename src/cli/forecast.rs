//! What a plan came to, for people.

use super::receipt::{bare, counts_table, grouped, right_align};
use crate::run::{Forecast, ForecastValues};

/// The forecast as text.
pub(super) fn forecast(plan: &Forecast) -> String {
    let why = plan.promoted.as_ref().map_or(String::new(), |why| format!(" because {why}"));
    let mut text = format!("nothing was sent; a {} run{why} would send:\n", plan.mode);
    text += &counts_table(&[
        ("customers", plan.customers),
        ("  unchanged", plan.unchanged),
        ("  changed", plan.changed),
        ("  invalid", plan.invalid),
        ("data points", plan.data_points),
        ("requests", plan.requests),
        ("bytes", plan.bytes),
    ]);
    text += &format!("  at least {:.1} s at the destination's budget\n\n", plan.budget_secs);
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
