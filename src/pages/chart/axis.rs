//! Axes: round steps upwards, times along.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::{HEIGHT, INNER_HEIGHT, INNER_WIDTH, LEFT, RIGHT, TOP, WIDTH, coordinate};

/// Steps an axis has at most; more are in the way.
const STEPS: f64 = 4.0;

/// An upright axis from nought to somewhat over the greatest value.
pub(super) struct Axis {
    step: f64,
    most: f64,
    label: fn(f64) -> String,
}

impl Axis {
    /// An axis for values up to `greatest`, in round steps of `least` or more.
    pub(super) fn to(greatest: f64, least: f64, label: fn(f64) -> String) -> Self {
        let raw = (greatest / STEPS).max(least).max(f64::MIN_POSITIVE);
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|round| round * power);
        let is_whole = |step: &f64| least < 1.0 || step.fract() == 0.0;
        let step = step.filter(is_whole).find(|step| *step >= raw * 0.999).unwrap_or(raw);
        let most = step * (greatest / step).ceil().max(1.0);
        Self { step, most, label }
    }

    /// Shares of a hundred.
    pub(super) fn percent() -> Self {
        Self { step: 25.0, most: 100.0, label: |value| format!("{value:.0} %") }
    }

    /// How high above the ground a value stands.
    pub(super) fn height(&self, value: f64) -> f64 {
        INNER_HEIGHT * (value / self.most).clamp(0.0, 1.0)
    }

    /// Where a value stands, from the top of the drawing.
    pub(super) fn y(&self, value: f64) -> f64 {
        TOP + INNER_HEIGHT - self.height(value)
    }

    pub(super) fn draw(&self) -> Markup {
        let steps = (self.most / self.step).round() as u32;
        html! {
            @for n in 0..=steps {
                @let value = f64::from(n) * self.step;
                @let y = coordinate(self.y(value));
                line.(if n == 0 { "ground" } else { "grid" }) x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y) y2=(y) {}
                text.up x=(LEFT - 6.0) y=(coordinate(self.y(value) + 4.0)) { ((self.label)(value)) }
            }
        }
    }
}

/// Times under the ground, at these distances from the axis. Only every other one where there is little room.
pub(super) fn times(at: &[(f64, DateTime<Utc>)]) -> Markup {
    let (Some((_, first)), Some((_, last))) = (at.first(), at.last()) else { return html! {} };
    let span = *last - *first;
    let form = match span.num_hours() {
        _ if at.len() == 1 => "%d %b %H:%M",
        0 if span.num_minutes() < 4 => "%H:%M:%S",
        0..20 => "%H:%M",
        20..96 => "%d %b %H:%M",
        _ => "%d %b",
    };
    let last_index = at.len() - 1;
    html! {
        @for (index, (x, time)) in at.iter().enumerate() {
            @let place = match x / INNER_WIDTH { part if part < 0.1 => "begin", part if part > 0.9 => "end", _ => "mid" };
            @let class = if index == 0 || index == last_index { place.to_owned() } else { format!("{place} minor") };
            text class={ "along " (class) } x=(coordinate(LEFT + x)) y=(HEIGHT - 12.0) { (time.format(form)) }
            line.tick x1=(coordinate(LEFT + x)) x2=(coordinate(LEFT + x)) y1=(TOP + INNER_HEIGHT) y2=(TOP + INNER_HEIGHT + 4.0) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_cover_the_greatest() {
        for greatest in [0.0, 0.3, 1.0, 3.0, 7.0, 99.0, 100.0, 101.0, 12_345.0, 1e9] {
            let axis = Axis::to(greatest, 1.0, |value| value.to_string());
            assert!(axis.most >= greatest && axis.step >= 1.0 && axis.step.fract() == 0.0, "{greatest}");
            assert!(axis.most / axis.step <= STEPS + 1.0, "{greatest}: {} of {}", axis.most, axis.step);
            assert!(axis.height(greatest) <= INNER_HEIGHT);
        }
        let axis = Axis::to(0.04, 0.0, |value| value.to_string());
        assert!(
            (axis.step - 0.01).abs() < 1e-9 && (axis.most - 0.04).abs() < 1e-9,
            "{} {}",
            axis.step,
            axis.most
        );
    }
}
