//! Medians side by side.

use std::fmt::Write as _;

use crate::Task;
use crate::child::Cost;

/// A measure's name, and how it is got from a cost and the number of customers.
type Measure = (&'static str, fn(&Cost, f64) -> f64);

const MEASURES: [Measure; 3] = [
    ("customers/s", |cost, customers| customers / cost.wall.as_secs_f64()),
    ("CPU-s per million", |cost, customers| cost.cpu.as_secs_f64() * 1e6 / customers),
    ("peak MiB", |cost, _| cost.peak_kib as f64 / 1024.0),
];

#[derive(Default)]
pub struct Table {
    rows: Vec<(Task, Cost, Cost)>,
}

impl Table {
    pub fn add(&mut self, task: Task, product: Cost, lean: Cost) {
        self.rows.push((task, product, lean));
    }

    /// One block a task: customers per second, CPU seconds a million, peak memory; ours, lean, median of ratios.
    pub fn text(&self, customers: u32) -> String {
        let mut text =
            String::from("task                       measure                 ours        lean   ratio\n");
        for task in Task::ALL {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.0 == task).collect();
            for (name, of) in MEASURES {
                let of = |cost: &Cost| of(cost, f64::from(customers));
                let ours = median(rows.iter().map(|(_, ours, _)| of(ours)).collect());
                let lean = median(rows.iter().map(|(.., lean)| of(lean)).collect());
                let ratio = median(rows.iter().map(|(_, ours, lean)| of(ours) / of(lean)).collect());
                let digits = if ours < 1_000.0 { 2 } else { 0 };
                writeln!(
                    text,
                    "{:<26} {name:<18} {ours:>9.digits$}   {lean:>9.digits$}   {ratio:>5.2}",
                    task.name()
                )
                .expect("a string takes every write");
            }
        }
        text
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
