//! What a run came to, or has come to so far.

use maud::{Markup, html};

use super::words::percent;
use crate::figures::{counted, grouped, size};
use crate::run::{Forecast, Points, Run};

pub(super) fn draw(run: &Run) -> Markup {
    if let Some(plan) = &run.plan {
        return forecast(plan);
    }
    html! {
        h2 #receipt-name { (if run.state.is_final() { "Receipt" } else { "So far" }) }
        @if run.state.is_final() && run.tally.customers == 0 && run.error.is_none() {
            p.empty { "No row had changed since the last run, and nothing was outstanding: nothing to send." }
        } @else {
            (headline(run))
            div.halves { (tally(run)) (by_attribute(run)) }
        }
    }
}

/// The four figures people ask for.
fn headline(run: &Run) -> Markup {
    let (tally, points) = (&run.tally, &run.data_points);
    let refused = tally.rejected + tally.unknown + tally.invalid;
    html! {
        dl.figures {
            div { dt { "Customers accepted" } dd { (grouped(tally.accepted)) span.of { "of " (grouped(tally.changed)) " changed" } } }
            div.(if refused > 0 { "bad" } else { "fine" }) { dt { "Refused" } dd { (grouped(refused))
                span.of { "rejected, unknown or invalid" } } }
            div { dt { "Data points sent" } dd { (grouped(points.sent)) span.of { "in " (counted(tally.requests, "request")) } } }
            div.good { dt { "Data points saved" } dd { (grouped(points.saved))
                span.of { (percent(points.saved, points.saved + points.sent)) " of all" } } }
        }
    }
}

fn tally(run: &Run) -> Markup {
    let tally = &run.tally;
    let rows = [
        (0, "Rows read", grouped(tally.rows_read)),
        (1, "Gave way to a later row", grouped(tally.collapsed)),
        (0, "Customers", grouped(tally.customers)),
        (1, "Unchanged", grouped(tally.unchanged)),
        (1, "Changed", grouped(tally.changed)),
        (2, "Accepted", grouped(tally.accepted)),
        (2, "Rejected", grouped(tally.rejected)),
        (2, "Unknown", grouped(tally.unknown)),
        (1, "Invalid", grouped(tally.invalid)),
        (0, "Invalid values", grouped(tally.invalid_values)),
        (0, "Requests", grouped(tally.requests)),
        (1, "Repeated", grouped(tally.retries)),
        (0, "Bytes sent", size(tally.bytes_sent)),
    ];
    html! {
        div.box { table.tally {
            caption { "Tally" }
            tbody { @for (depth, name, number) in rows {
                tr class={ "depth-" (depth) } { th scope="row" { (name) } td.number { (number) } }
            } }
        } }
    }
}

fn by_attribute(run: &Run) -> Markup {
    let points = &run.data_points;
    if points.by_attribute.is_empty() {
        return html! {};
    }
    html! {
        div { div.scroll tabindex="0" role="region" aria-label="Data points by attribute" { table.points {
            caption { "Data points by attribute" }
            thead { tr { th scope="col" { "Braze attribute" } th.number scope="col" { "Sent" } th.number scope="col" { "Saved" }
                th scope="col" { span.aside { "Share sent" } } } }
            tbody { @for (name, points) in &points.by_attribute { tr {
                th scope="row" { code { (name) } }
                td.number { (grouped(points.sent)) }
                td.number { (grouped(points.saved)) }
                td.share { (share(points)) }
            } } }
            tfoot { tr { th scope="row" { "All" } td.number { (grouped(points.sent)) } td.number { (grouped(points.saved)) } td {} } }
        } } }
    }
}

/// How much of an attribute's values went out, as a bar.
fn share(points: &Points) -> Markup {
    let all = points.sent + points.saved;
    let part = if all == 0 { 0.0 } else { points.sent as f64 * 100.0 / all as f64 };
    html! {
        svg.gauge viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label={ (percent(points.sent, all)) " sent" } {
            rect.rest x="0" y="0" width="100" height="6" {}
            rect.spent x="0" y="0" width=(format!("{part:.1}")) height="6" {}
        }
    }
}

fn forecast(plan: &Forecast) -> Markup {
    html! {
        h2 #receipt-name { "What the next run would send" }
        dl.figures {
            div { dt { "Customers changed" } dd { (grouped(plan.changed)) span.of { "of " (grouped(plan.customers)) " read" } } }
            div { dt { "Invalid" } dd { (grouped(plan.invalid)) span.of { "nothing usable to send" } } }
            div { dt { "Data points" } dd { (grouped(plan.data_points)) span.of { "in " (counted(plan.requests, "request")) } } }
            div { dt { "At least" } dd { (format!("{:.1} s", plan.budget_secs)) span.of { "at the budget's pace" } } }
        }
    }
}
