//! How long the watermark stood still: it grows with time, and falls to nought when the watermark moves.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::axis::{Axis, times};
use super::{Figure, INNER_HEIGHT, INNER_WIDTH, LEFT, RIGHT, TOP, WIDTH, coordinate};
use crate::figures::{about, length};
use crate::pages::words::stamp;

/// Times along the ground.
const TIMES: i32 = 4;

/// From the first time the watermark moved until now. `bound`: after how long the sync counts as stale.
pub(in crate::pages) fn standstill(
    id: &str,
    moved: &[DateTime<Utc>],
    now: DateTime<Utc>,
    bound: Option<TimeDelta>,
) -> Markup {
    let Some(first) = moved.first().copied() else { return html! {} };
    let ends: Vec<DateTime<Utc>> = moved.iter().copied().skip(1).chain([now]).collect();
    let gaps: Vec<TimeDelta> = moved.iter().zip(&ends).map(|(from, to)| *to - *from).collect();
    let longest = gaps.iter().copied().max().unwrap_or_default();
    let greatest = longest.max(bound.unwrap_or_default());
    let (unit, secs) = unit(greatest);
    let in_units = |time: TimeDelta| time.num_milliseconds() as f64 / 1e3 / secs;
    let axis = Axis::to(in_units(greatest), 0.0, super::super::words::short);
    let whole = in_units(now - first).max(f64::MIN_POSITIVE);
    let x = |at: DateTime<Utc>| LEFT + INNER_WIDTH * (in_units(at - first) / whole).clamp(0.0, 1.0);
    let mut line = String::new();
    for ((from, to), gap) in moved.iter().zip(&ends).zip(&gaps) {
        let start = if line.is_empty() { 'M' } else { 'L' };
        let (x1, x2) = (coordinate(x(*from)), coordinate(x(*to)));
        let _ = write!(
            line,
            "{start}{x1} {}L{x2} {}",
            coordinate(axis.y(0.0)),
            coordinate(axis.y(in_units(*gap)))
        );
    }
    let ground = coordinate(TOP + INNER_HEIGHT);
    let area = format!("{line}L{} {ground}L{} {ground}Z", coordinate(x(now)), coordinate(LEFT));
    let along = (0..TIMES).map(|n| {
        let part = f64::from(n) / f64::from(TIMES - 1);
        (INNER_WIDTH * part, first + (now - first) * n / (TIMES - 1))
    });
    let standing = gaps.last().copied().unwrap_or_default();
    let drawing = html! {
        (axis.draw())
        (times(&along.collect::<Vec<_>>()))
        path.area d=(area) {}
        path.line d=(line) {}
        @if let Some(bound) = bound {
            @let y = axis.y(in_units(bound));
            line.bound x1=(LEFT) x2=(WIDTH - RIGHT) y1=(coordinate(y)) y2=(coordinate(y)) {}
            text.bound x=(LEFT + 6.0) y=(coordinate(if y < TOP + 16.0 { y + 15.0 } else { y - 5.0 })) {
                "stale after " (about(bound.num_seconds()))
            }
        }
    };
    let against =
        bound.map_or(String::new(), |bound| format!(" The sync counts as stale after {}.", length(bound)));
    let text = format!(
        "The watermark has stood still for {}; the longest was {}.{against}",
        length(standing),
        length(longest)
    );
    let table = html! {
        table {
            thead { tr { th scope="col" { "Moved (UTC)" } th.number scope="col" { "then stood still for" } } }
            tbody { @for (at, gap) in moved.iter().zip(&gaps).rev() {
                tr { th scope="row" { (stamp(*at)) } td.number { (length(*gap)) } }
            } }
        }
    };
    let unit = format!("{unit} since the watermark last moved");
    Figure { id, title: "Freshness", unit: &unit, text, key: Vec::new(), drawing, table }.draw()
}

/// The unit in which the greatest value is a small number, and its seconds.
fn unit(greatest: TimeDelta) -> (&'static str, f64) {
    match greatest.num_seconds() {
        0..180 => ("seconds", 1.0),
        180..10_800 => ("minutes", 60.0),
        10_800..345_600 => ("hours", 3_600.0),
        _ => ("days", 86_400.0),
    }
}
