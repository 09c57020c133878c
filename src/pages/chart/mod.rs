//! Charts, drawn as SVG: true axes, units, a text for who does not see them, and their figures as a table beside.
//!
//! Lengths are in units of the drawing, which is 560 wide and scales with its place; colours come from the style.

mod axis;
mod bars;
mod standstill;
mod strip;

use maud::{Markup, html};

pub(super) use bars::{Bars, Series, Slot};
pub(super) use standstill::standstill;
pub(super) use strip::strip;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 216.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// The part between the axes.
const INNER_WIDTH: f64 = WIDTH - LEFT - RIGHT;
const INNER_HEIGHT: f64 = HEIGHT - TOP - BOTTOM;

/// A coordinate or a length, to a tenth: finer is not seen, and longer to send.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A drawing with its heading, its text, its key and its figures.
struct Figure<'a> {
    id: &'a str,
    title: &'a str,
    /// What the upright axis counts.
    unit: &'a str,
    /// What it shows, in a sentence.
    text: String,
    /// Class and name of what is drawn.
    key: Vec<(&'static str, &'a str)>,
    drawing: Markup,
    table: Markup,
}

impl Figure<'_> {
    fn draw(self) -> Markup {
        let Self { id, title, unit, text, key, drawing, table } = self;
        html! {
            figure.chart {
                figcaption { h3 { (title) } span.quiet { (unit) } }
                @if key.len() > 1 {
                    ul.key aria-hidden="true" { @for (class, name) in &key { li { i class=(class) {} (name) } } }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (id) "-title " (id) "-text" } {
                    title id={ (id) "-title" } { (title) ", " (unit) }
                    desc id={ (id) "-text" } { (text) }
                    g aria-hidden="true" { (drawing) }
                }
                details id={ (id) "-figures" } {
                    summary { "Figures" span.aside { " of " (title) } }
                    div.scroll tabindex="0" role="region" aria-label={ "Figures of " (title) } { (table) }
                }
            }
        }
    }
}
