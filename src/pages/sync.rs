//! One sync: its history, its runs, what it sends and when.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;

use super::first;
use super::form::button_with;
use super::history;
use super::overview::{self, Seen};
use super::refusal::Refusal;
use super::shell::{self, Here, Upkeep};
use super::state::Pages;
use super::visitor::Visitor;
use super::words::{self, ago, badge, encoded, exact, setting, short_id, took, trigger};
use crate::config::{self, AttributeType, Identifier, OnLong, OnNull};
use crate::figures::{grouped, length};
use crate::ledger::{Page, RunFilter};
use crate::run::{Mode, Run};

/// Runs on a page of the list.
const LISTED: u32 = 20;

/// Seconds between looks.
const EVERY_SECS: u32 = 5;

/// Which part of the list of runs.
#[derive(Deserialize)]
pub(super) struct Part {
    cursor: Option<String>,
}

/// The page of one sync.
pub(super) async fn show(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(part): Query<Part>,
    headers: HeaderMap,
) -> Result<Markup, Refusal> {
    let shared = visitor.shared.clone();
    let config = shared.sync(&visitor, &id)?;
    let sync = pages.ask(Seen::look(pages.ledger(), config, &visitor, history::RUNS)).await?;
    let filter = RunFilter { sync: Some(id.clone()), ..RunFilter::default() };
    let list = pages.ask(pages.ledger().runs_alone(&filter, LISTED, part.cursor.as_deref())).await?;
    let origin = first::origin(&pages, &headers);
    let main = html! {
        div.title #title data-part {
            div { p.eyebrow { a href="/" { "Syncs" } } h1 { (id) } }
            (overview::state(&sync.view))
        }
        section #standing data-part aria-label="How it stands" {
            (overview::trouble(&visitor, &sync))
            (facts(&visitor, &sync))
            (actions(&visitor, &sync))
        }
        section #history data-part aria-labelledby="history-name" {
            h2 #history-name { "History" }
            @if sync.runs.is_empty() { div.empty { (first::callback(config, &origin)) } }
            @else { (history::charts(&visitor, &sync)) }
        }
        section #runs data-part aria-labelledby="runs-name" {
            h2 #runs-name { "Runs" }
            (runs(&visitor, &id, &list, part.cursor.is_some()))
        }
        section aria-labelledby="mapping-name" { h2 #mapping-name { "What it sends" } (mapping(config)) }
    };
    let upkeep = if part.cursor.is_some() { Upkeep::None } else { Upkeep::Every(EVERY_SECS) };
    Ok(shell::page(&visitor, &id, Here::Syncs, &upkeep, main))
}

fn facts(visitor: &Visitor, sync: &Seen<'_>) -> Markup {
    let (config, view) = (sync.config, &sync.view);
    let cadence = config.cadence.as_ref();
    html! {
        dl.wide {
            div { dt { "Freshness" } dd { (overview::freshness(config, view)) } }
            div { dt { "Watermark" } dd { @match view.watermark { Some(at) => (exact(at)), None => span.quiet { "not set yet" } } } }
            div { dt { "Schedule" } dd { @match cadence.and_then(|cadence| cadence.cron.as_deref().map(|cron| (cron, &cadence.timezone))) {
                Some((cron, zone)) => { code { (cron) } " " (zone) },
                None => span.quiet { "callbacks alone" },
            } } }
            div { dt { "Next run" } dd { @match view.next_run_at {
                Some(at) => { (ago(at, visitor.now)) },
                None => span.quiet { (if view.paused { "when resumed" } else { "on a callback" }) },
            } } }
            div { dt { "Stale after" } dd { @match cadence.and_then(|cadence| cadence.stale_after_secs) {
                Some(secs) => (setting(secs)), None => span.quiet { "no bound set" },
            } } }
            div { dt { "Outstanding rejections" } dd { (grouped(view.outstanding_rejections)) } }
        }
    }
}

fn actions(visitor: &Visitor, sync: &Seen<'_>) -> Markup {
    if !visitor.may_act() {
        return html! {};
    }
    let id = &sync.config.id;
    let back = format!("/syncs/{id}");
    let path = |what: &str| format!("/syncs/{id}/{what}");
    let (word, label) = if sync.view.paused { ("resume", "Resume") } else { ("pause", "Pause") };
    html! {
        div.actions {
            (button_with(visitor, &path("run"), "sync-run", "primary", html! { "Sync now" }, &[("mode", "delta")]))
            (button_with(visitor, &path("run"), "sync-full", "plain", html! { "Compare every row" }, &[("mode", "full")]))
            (button_with(visitor, &path(word), "sync-pause", "plain", html! { (label) }, &[("back", &back)]))
            a.button href={ "/deliveries?sync=" (encoded(id)) } { "Deliveries" }
        }
    }
}

fn runs(visitor: &Visitor, id: &str, list: &Page<Run>, is_later: bool) -> Markup {
    html! {
        @if list.items.is_empty() { p.quiet { "No runs yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Table of runs" { table.list.short {
                thead { tr {
                    th scope="col" { "Run" } th scope="col" { "State" } th scope="col" { "Began" }
                    th scope="col" { "Brought about by" } th.number scope="col" { "Changed" } th.number scope="col" { "Accepted" }
                    th.number scope="col" { "Rejected" } th.number scope="col" { "Values sent" }
                    th.number scope="col" { "Values saved" } th.number scope="col" { "Took" }
                } }
                tbody { @for run in &list.items { (row(visitor, run)) } }
            } }
            nav.paging aria-label="Runs, part by part" {
                @if is_later { a.button href={ "/syncs/" (id) "#runs" } { "Newest" } }
                @if let Some(cursor) = &list.next_cursor {
                    a.button href={ "/syncs/" (id) "?cursor=" (cursor) "#runs" } { "Older" }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, run: &Run) -> Markup {
    let (tally, points) = (&run.tally, &run.data_points);
    html! {
        tr {
            th scope="row" data-label="Run" { a href={ "/runs/" (run.id) } title=(run.id) { (short_id(run.id)) }
                @if run.mode != Mode::Delta { " " span.tag { (run.mode) } } }
            td data-label="State" { (badge(run.state)) }
            td data-label="Began" { (ago(run.started_at.unwrap_or(run.created_at), visitor.now)) }
            td data-label="By" { (trigger(run)) }
            td.number data-label="Changed" { (grouped(tally.changed)) }
            td.number data-label="Accepted" { (grouped(tally.accepted)) }
            td.number data-label="Rejected" { (grouped(tally.rejected)) }
            td.number data-label="Values sent" { (grouped(points.sent)) }
            td.number data-label="Values saved" { (grouped(points.saved)) }
            td.number data-label="Took" { @match took(run, visitor.now) { Some(time) => (length(time)), None => "–" } }
        }
    }
}

fn mapping(config: &config::Sync) -> Markup {
    let identifier = match &config.identifier {
        Identifier::ExternalId => "external_id".to_owned(),
        Identifier::BrazeId => "braze_id".to_owned(),
        Identifier::Email => "email".to_owned(),
        Identifier::Alias(label) => format!("alias {label}"),
    };
    html! {
        dl.wide {
            div { dt { "From" } dd { (config.source) @if let Some(table) = &config.table { ", " code { (table) } } @else { ", a query" } } }
            div { dt { "To" } dd { (config.destination) } }
            div { dt { "Key" } dd { code { (config.key) } " is " code { (identifier) } } }
            div { dt { "Changed by" } dd { code { (config.updated_at) } } }
            div { dt { "Full comparison" } dd { @match config.full_every_secs { Some(secs) => { "every " (setting(secs)) }, None => "off" } } }
            div { dt { "Unknown customers" } dd { (if config.update_existing_only { "left alone" } else { "created" }) } }
        }
        @if let Some(query) = &config.query { details #query { summary { "Query" } pre tabindex="0" role="region" aria-label="Query" { code { (query) } } } }
        div.scroll tabindex="0" role="region" aria-label="Attributes" { table.list.short {
            thead { tr {
                th scope="col" { "Braze attribute" } th scope="col" { "Column" } th scope="col" { "Type" }
                th.number scope="col" { "Decimals" } th scope="col" { "NULL" } th scope="col" { "Over 255 characters" }
            } }
            tbody { @for attribute in &config.attributes { (mapped(attribute)) } }
        } }
    }
}

fn mapped(attribute: &config::Attribute) -> Markup {
    let kind = match attribute.kind {
        None => "as the column",
        Some(AttributeType::String) => "string",
        Some(AttributeType::Number) => "number",
        Some(AttributeType::Boolean) => "boolean",
        Some(AttributeType::Date) => "date",
        Some(AttributeType::Timestamp) => "timestamp",
        Some(AttributeType::Json) => "json",
    };
    html! {
        tr {
            th scope="row" data-label="Attribute" { code { (attribute.name()) } }
            td data-label="Column" { code { (attribute.column) } }
            td data-label="Type" { (kind) }
            td.number data-label="Decimals" { @match attribute.round { Some(round) => (round), None => "–" } }
            td data-label="NULL" { (match attribute.on_null { OnNull::Remove => "removes it", OnNull::Skip => "skipped" }) }
            td data-label="Over 255" { (match attribute.on_long { OnLong::Reject => "rejected", OnLong::Truncate => "cut" }) }
        }
    }
}

/// How a run's mode is called beside its state.
pub(super) fn mode_tag(run: &Run) -> Markup {
    html! { span.tag title=(words::mode(run.mode)) { (run.mode) } }
}
