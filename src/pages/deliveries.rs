//! What arrived, and why some of it was refused.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;

use super::first;
use super::reason;
use super::refusal::Refusal;
use super::shell::{self, Here, Upkeep};
use super::state::Pages;
use super::visitor::Visitor;
use super::words::{ago, encoded, short_id};
use crate::ledger::{Delivery, DeliveryFilter, Page};

/// Deliveries on a page.
const LISTED: u32 = 50;

/// Seconds between looks at the newest.
const EVERY_SECS: u32 = 5;

/// What may become of a delivery, as the ledger words it.
const OUTCOMES: [&str; 5] = ["accepted", "duplicate", "conflict", "ignored", "refused"];

/// Which ones.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    sync: String,
    #[serde(default)]
    outcome: String,
    cursor: Option<String>,
}

/// The page of deliveries.
pub(super) async fn list(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Markup, Refusal> {
    let chosen = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    if !wanted.sync.is_empty() {
        visitor.shared.sync(&visitor, &wanted.sync)?;
    }
    if !wanted.outcome.is_empty() && !OUTCOMES.contains(&wanted.outcome.as_str()) {
        return Err(Refusal::Unknown("outcome"));
    }
    let filter = DeliveryFilter {
        sync: chosen(&wanted.sync),
        syncs: visitor.caller().syncs().map(<[String]>::to_vec),
        outcome: chosen(&wanted.outcome),
        run: None,
    };
    let page = pages.ask(pages.ledger().deliveries_where(&filter, LISTED, wanted.cursor.as_deref())).await?;
    let origin = first::origin(&pages, &headers);
    let main = html! {
        div.title { div { h1 #deliveries-name { "Deliveries" }
            p.quiet { "What was posted to /v1/callbacks, newest first. Bodies are never kept." } } }
        (filters(&visitor, &wanted))
        div #list data-part {
            @if page.items.is_empty() { (empty(&visitor, &wanted, &origin)) } @else { (table(&visitor, &page)) }
            (paging(&wanted, &page))
        }
    };
    let upkeep = if wanted.cursor.is_some() { Upkeep::None } else { Upkeep::Every(EVERY_SECS) };
    Ok(shell::page(&visitor, "Deliveries", Here::Deliveries, &upkeep, main))
}

fn filters(visitor: &Visitor, wanted: &Wanted) -> Markup {
    html! {
        form.filters method="get" action="/deliveries" {
            div { label for="sync" { "Sync" } select #sync name="sync" {
                option value="" { "all" }
                @for sync in visitor.shared.seen(visitor) {
                    option value=(sync.id) selected[sync.id == wanted.sync] { (sync.id) }
                }
            } }
            div { label for="outcome" { "Outcome" } select #outcome name="outcome" {
                option value="" { "all" }
                @for outcome in OUTCOMES { option value=(outcome) selected[outcome == wanted.outcome] { (outcome) } }
            } }
            button.plain type="submit" { "Show" }
        }
    }
}

fn empty(visitor: &Visitor, wanted: &Wanted, origin: &str) -> Markup {
    let is_filtered = !wanted.sync.is_empty() || !wanted.outcome.is_empty();
    let first = visitor.shared.seen(visitor).find(|sync| sync.callback.is_some());
    html! {
        div.empty {
            @if is_filtered { p { "None of this kind. " a href="/deliveries" { "Show all" } "." } }
            @else {
                p { b { "Nothing has arrived yet." } }
                @if let Some(sync) = first { (first::callback(sync, origin)) }
            }
        }
    }
}

fn table(visitor: &Visitor, page: &Page<Delivery>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of deliveries" { table.list {
            thead { tr {
                th scope="col" { "Received" } th scope="col" { "Sync" } th scope="col" { "Outcome" } th scope="col" { "Event" }
                th scope="col" { "Delivery" } th scope="col" { "Run" } th scope="col" { "Why" }
            } }
            tbody { @for delivery in &page.items { (row(visitor, delivery)) } }
        } }
    }
}

fn row(visitor: &Visitor, delivery: &Delivery) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Received" { (ago(delivery.received_at, visitor.now)) @if delivery.times > 1 { span.quiet { " × " (delivery.times) } } }
            td data-label="Sync" { a href={ "/syncs/" (encoded(&delivery.sync)) } { (delivery.sync) } }
            td data-label="Outcome" { span class={ "badge " (delivery.outcome) } { (delivery.outcome) } }
            td data-label="Event" { @match &delivery.event_type { Some(kind) => code.said { (kind) }, None => span.quiet { "–" } } }
            td data-label="Delivery" { @match &delivery.delivery_id { Some(id) => code.said { (id) }, None => span.quiet { "–" } }
                @if let Some(secret) = delivery.secret.filter(|secret| *secret > 0) { span.line.quiet { "signed with secret " (secret + 1) } } }
            td data-label="Run" { @match delivery.run_id { Some(id) => a href={ "/runs/" (id) } title=(id) { (short_id(id)) }, None => span.quiet { "–" } } }
            td data-label="Why" { @if let Some(why) = &delivery.reason { code { (why) } @if let Some(text) = reason::delivery(why) { span.line.quiet { (text) } } }
                @else { span.quiet { "–" } } }
        }
    }
}

fn paging(wanted: &Wanted, page: &Page<Delivery>) -> Markup {
    let path = format!("/deliveries?sync={}&outcome={}", encoded(&wanted.sync), encoded(&wanted.outcome));
    html! {
        nav.paging aria-label="Deliveries, part by part" {
            @if wanted.cursor.is_some() { a.button href=(path) { "Newest" } }
            @if let Some(cursor) = &page.next_cursor { a.button href={ (path) "&cursor=" (cursor) } { "Older" } }
        }
    }
}
