//! Runs side by side, oldest first, each a column of parts.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::axis::{Axis, times};
use super::{Figure, INNER_HEIGHT, INNER_WIDTH, LEFT, TOP, coordinate};
use crate::pages::words::stamp;
use crate::run::RunId;

/// Columns are never wider than as many as these leave room for.
const FEWEST_COLUMNS: usize = 10;

/// Times along the ground, at most.
const TIMES: usize = 5;

/// How far along the last column stands where there is room for its time beside the first one's, in large letters.
const APART: f64 = 200.0;

/// One run.
pub(in crate::pages) struct Slot {
    pub(in crate::pages) run: RunId,
    pub(in crate::pages) at: DateTime<Utc>,
}

/// What is drawn of each run, from the ground upwards in order.
pub(in crate::pages) struct Series {
    pub(in crate::pages) name: &'static str,
    pub(in crate::pages) class: &'static str,
    pub(in crate::pages) values: Vec<f64>,
}

/// A chart of runs.
pub(in crate::pages) struct Bars<'a> {
    pub(in crate::pages) id: &'a str,
    pub(in crate::pages) title: &'a str,
    pub(in crate::pages) unit: &'a str,
    /// What it shows, in a sentence.
    pub(in crate::pages) text: String,
    pub(in crate::pages) slots: &'a [Slot],
    pub(in crate::pages) series: Vec<Series>,
    /// Whether columns are shares of their sum.
    pub(in crate::pages) shares: bool,
    /// The least step of the axis: 1 where halves make no sense.
    pub(in crate::pages) least_step: f64,
    /// A value on the axis.
    pub(in crate::pages) label: fn(f64) -> String,
    /// A value in full.
    pub(in crate::pages) value: fn(f64) -> String,
}

impl Bars<'_> {
    pub(in crate::pages) fn draw(self) -> Markup {
        let sums: Vec<f64> =
            (0..self.slots.len()).map(|n| self.series.iter().map(|part| part.values[n]).sum()).collect();
        let greatest = sums.iter().copied().fold(0.0, f64::max);
        let axis =
            if self.shares { Axis::percent() } else { Axis::to(greatest, self.least_step, self.label) };
        let drawing = html! {
            (axis.draw())
            (times(&self.along()))
            @for (n, slot) in self.slots.iter().enumerate() { (self.column(n, slot, &axis, sums[n])) }
        };
        let key = self.series.iter().map(|part| (part.class, part.name)).collect();
        let table = self.table();
        Figure { id: self.id, title: self.title, unit: self.unit, text: self.text, key, drawing, table }
            .draw()
    }

    fn width(&self) -> f64 {
        INNER_WIDTH / self.slots.len().max(FEWEST_COLUMNS) as f64
    }

    /// Where a run's column stands in the middle.
    fn middle(&self, n: usize) -> f64 {
        (n as f64 + 0.5) * self.width()
    }

    fn along(&self) -> Vec<(f64, DateTime<Utc>)> {
        let count = self.slots.len();
        let is_far = self.middle(count.saturating_sub(1)) > APART;
        let shown = count.min(if count >= FEWEST_COLUMNS { TIMES } else { 1 + usize::from(is_far) });
        let chosen = (0..shown).map(|n| if shown < 2 { 0 } else { n * (count - 1) / (shown - 1) });
        chosen.map(|n| (self.middle(n), self.slots[n].at)).collect()
    }

    fn column(&self, n: usize, slot: &Slot, axis: &Axis, sum: f64) -> Markup {
        let width = (self.width() * 0.74).min(self.width() - 1.0);
        let x = coordinate(LEFT + self.middle(n) - width / 2.0);
        let part = |value: f64| if self.shares && sum > 0.0 { value * 100.0 / sum } else { value };
        let mut ground = TOP + INNER_HEIGHT;
        let mut rects = Vec::new();
        for series in &self.series {
            let value = series.values[n];
            if value <= 0.0 {
                continue;
            }
            // What is there is seen, however little of the whole it is.
            let height = axis.height(part(value)).max(1.5);
            ground -= height;
            rects.push((series.class, coordinate(ground.max(0.0)), coordinate(height)));
        }
        let values: Vec<String> = self
            .series
            .iter()
            .map(|series| format!("{} {}", series.name, (self.value)(series.values[n])))
            .collect();
        html! {
            g {
                title { (stamp(slot.at)) ": " (values.join(", ")) }
                @for (class, y, height) in &rects {
                    rect class={ "bar " (class) } x=(x) y=(y) width=(coordinate(width)) height=(height) {}
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table {
                thead { tr {
                    th scope="col" { "Run (UTC)" }
                    @for series in &self.series { th.number scope="col" { (series.name) } }
                } }
                tbody {
                    @for (n, slot) in self.slots.iter().enumerate().rev() { tr {
                        th scope="row" { a href={ "/runs/" (slot.run) } { (stamp(slot.at)) } }
                        @for series in &self.series { td.number { ((self.value)(series.values[n])) } }
                    } }
                }
            }
        }
    }
}
