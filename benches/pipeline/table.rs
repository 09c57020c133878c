//! Medians side by side.

use crate::child::Cost;

/// A measure's name, and how it is got from a cost and the number of customers.
type Measure = (&'static str, fn(&Cost, f64) -> f64);

const MEASURES: [Measure; 3] = [
    ("customers/s", |cost, customers| customers / cost.wall.as_secs_f64()),
    ("CPU-s per million", |cost, customers| cost.cpu.as_secs_f64() * 1e6 / customers),
    ("peak MiB", |cost, _| cost.peak_kib as f64 / 1024.0),
];

/// Names the columns of [`rows`].
pub fn head(other: &str) {
    println!(
        "{:<26} {:<18} {:>9}   {:>9}   median of ratios; beside {other}",
        "task", "measure", "ours", "theirs"
    );
}

/// Customers per second, CPU seconds a million, peak memory.
pub fn rows(task: &str, ours: &[Cost], theirs: &[Cost], customers: u32) {
    for (name, of) in MEASURES {
        let of = |cost: &Cost| of(cost, f64::from(customers));
        let (mine, others) = (median(ours.iter().map(of)), median(theirs.iter().map(of)));
        let ratio = median(ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)));
        let digits = if mine < 1_000.0 { 2 } else { 0 };
        println!("{task:<26} {name:<18} {mine:>9.digits$}   {others:>9.digits$}   {ratio:>5.2}");
    }
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
