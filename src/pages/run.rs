//! One run: where it is, what it came to.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::form::button;
use super::progress;
use super::reason;
use super::receipt;
use super::refusal::Refusal;
use super::rejections;
use super::shell::{self, Here, Upkeep, said};
use super::state::Pages;
use super::sync::mode_tag;
use super::timeline::{self, Moments};
use super::visitor::Visitor;
use super::words::{badge, short_id, trigger};
use crate::ledger::{DeliveryFilter, Page, Rejection};
use crate::run::{Run, RunState};

/// Rejections shown with the run.
const REJECTIONS: u32 = 10;

/// Deliveries looked up for the timeline: a run answers for one, or for a few that joined.
const DELIVERIES: u32 = 10;

/// What an action came to.
#[derive(Deserialize)]
pub(super) struct Came {
    said: Option<String>,
}

/// A run and what belongs to it.
pub(super) struct Told {
    pub(super) run: Run,
    moments: Moments,
    rejections: Page<Rejection>,
}

impl Told {
    /// Looks at everything that the page shows of a run.
    pub(super) async fn look(pages: &Pages, run: Run) -> Result<Self, Refusal> {
        let ledger = pages.ledger();
        let filter = DeliveryFilter { run: Some(run.id), ..DeliveryFilter::default() };
        let looking = async {
            let mut deliveries = ledger.deliveries_where(&filter, DELIVERIES, None).await?.items;
            deliveries.reverse();
            let moments = Moments { deliveries, last_answer_at: ledger.last_answer_of(run.id).await? };
            Ok((moments, ledger.rejections(run.id, REJECTIONS, None).await?))
        };
        let (moments, rejections) = pages.ask(looking).await?;
        Ok(Self { run, moments, rejections })
    }

    /// Everything that changes as the run goes.
    pub(super) fn draw(&self, visitor: &Visitor) -> Markup {
        let run = &self.run;
        html! {
            div.title #title data-part data-say={ "The run is " (run.state) } {
                div {
                    p.eyebrow { a href="/" { "Syncs" } " / " a href={ "/syncs/" (run.sync) } { (run.sync) } }
                    h1 { "Run " span.id title=(run.id) { (short_id(run.id)) } }
                    p.quiet { (by(run)) }
                }
                span.badges { (badge(run.state)) (mode_tag(run)) }
            }
            div #actions data-part { (actions(visitor, run)) }
            div #error data-part { (error(run)) }
            @if run.state.is_final() { section #now data-part hidden {} }
            @else { section.card #now data-part aria-labelledby="now-name" { (progress::draw(run, visitor.now)) } }
            section #receipt data-part aria-labelledby="receipt-name" { (receipt::draw(run)) }
            section #rejections data-part aria-labelledby="rejections-name" { (rejections::some(run, &self.rejections)) }
            section #timeline data-part aria-labelledby="timeline-name" { (timeline::draw(run, &self.moments, visitor.now)) }
        }
    }
}

/// The page of one run.
pub(super) async fn show(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(came): Query<Came>,
) -> Result<Markup, Refusal> {
    let run = pages.run(&visitor, &id).await?;
    let told = Told::look(&pages, run).await?;
    let run = &told.run;
    let main = html! {
        @if let Some(said) = said(came.said.as_deref()) { p.note role="status" { (said) } }
        (told.draw(&visitor))
    };
    let upkeep =
        if run.state.is_final() { Upkeep::None } else { Upkeep::Events(format!("/runs/{}/live", run.id)) };
    Ok(shell::page(
        &visitor,
        &format!("Run {} of {}", short_id(run.id), run.sync),
        Here::Elsewhere,
        &upkeep,
        main,
    ))
}

fn by(run: &Run) -> Markup {
    let model = &run.model;
    html! {
        (trigger(run))
        @if let Some(reason) = &run.trigger.reason { " (" span.said { (reason) } ")" }
        @if let Some(original) = run.trigger.retrigger_of { ", repeats " a href={ "/runs/" (original) } { (short_id(original)) } }
        @if let Some(name) = &model.name { " · model " span.said { (name) } @if let Some(version) = &model.version { " " span.said { (version) } } }
        @if run.attempt > 1 { " · attempt " (run.attempt) }
        @if let Some(why) = &run.promoted { " · " (reason::promoted(why)) }
        @if let Some(other) = run.superseded_by { " · superseded by " a href={ "/runs/" (other) } { (short_id(other)) } }
    }
}

fn actions(visitor: &Visitor, run: &Run) -> Markup {
    // Of a sync that is in the config no more nothing is run again.
    let is_left = run.state.is_final() && !visitor.shared.syncs.contains_key(&run.sync);
    if !visitor.may_act() || is_left {
        return html! {};
    }
    html! {
        div.actions {
            @if run.state.is_final() {
                (button(visitor, &format!("/runs/{}/retrigger", run.id), "retrigger", "primary", html! { "Retrigger" }))
            } @else {
                (button(visitor, &format!("/runs/{}/cancel", run.id), "cancel", "danger", html! { "Cancel" }))
            }
        }
    }
}

fn error(run: &Run) -> Markup {
    let Some(error) = &run.error else { return html! {} };
    let kind = if run.state == RunState::Failed { "bad" } else { "warn" };
    html! {
        p.trouble.(kind) {
            b { (if run.state.is_final() { "Ended so" } else { "The last attempt met" }) } " (" code { (error.code) } "): "
            (error.message)
            @if error.retryable && run.state.is_final() { " The same may succeed later without a change: retrigger it." }
        }
    }
}
