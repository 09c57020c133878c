//! From the callback to the last verdict.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::words::exact;
use crate::figures::length;
use crate::ledger::Delivery;
use crate::run::{Run, RunState};

/// When what happened to a run, beyond what it says itself.
pub(super) struct Moments {
    /// The deliveries it answers for, oldest first.
    pub(super) deliveries: Vec<Delivery>,
    /// When Braze answered its last request, where known.
    pub(super) last_answer_at: Option<DateTime<Utc>>,
}

struct Moment {
    at: DateTime<Utc>,
    what: Markup,
}

pub(super) fn draw(run: &Run, known: &Moments, now: DateTime<Utc>) -> Markup {
    let mut moments = moments(run, known);
    moments.sort_by_key(|moment| moment.at);
    let began = moments.first().map_or(run.created_at, |moment| moment.at);
    html! {
        h2 #timeline-name { "Timeline" }
        ol.timeline {
            @for moment in &moments {
                li { span.when { (exact(moment.at)) } span.since { (offset(moment.at - began)) } span.what { (moment.what) } }
            }
            @if !run.state.is_final() {
                li.pending { span.when { "now" } span.since { (offset(now - began)) } span.what { (run.state) ", " (run.progress.phase) } }
            }
        }
    }
}

fn offset(time: TimeDelta) -> String {
    if time <= TimeDelta::zero() { "start".to_owned() } else { format!("+{}", length(time)) }
}

fn moments(run: &Run, known: &Moments) -> Vec<Moment> {
    let mut moments: Vec<Moment> = known.deliveries.iter().map(received).collect();
    moments.push(Moment { at: run.created_at, what: html! { "recorded as a run" } });
    if let Some(at) = run.started_at {
        let waited = at - run.created_at;
        moments.push(Moment {
            at,
            what: html! { "claimed by a worker" span.quiet { ", waited " (length(waited)) } },
        });
    }
    if let Some(at) = known.last_answer_at {
        moments.push(Moment { at, what: html! { "Braze answered the last request" } });
    }
    if let Some(at) = run.finished_at {
        let took = run.started_at.map(|from| at - from);
        moments.push(Moment { at, what: html! {
            b { (run.state) }
            @if let Some(took) = took { span.quiet { ", " (length(took)) " after it was claimed" } }
            @if run.state == RunState::Succeeded || run.state == RunState::Partial { span.quiet { "; outcome and watermark committed together" } }
        } });
    }
    moments
}

fn received(delivery: &Delivery) -> Moment {
    let id = delivery.delivery_id.as_deref().unwrap_or_default();
    Moment {
        at: delivery.received_at,
        what: html! {
            @if delivery.outcome == "accepted" { "callback received" } @else { "the same again (" (delivery.outcome) ")" }
            " " code.said { (id) }
            @if delivery.times > 1 { span.quiet { ", " (delivery.times) " times" } }
        },
    }
}
