//! What a run refused or had refused: on its page, as a list, as a sheet.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::reason;
use super::refusal::Refusal;
use super::shell::{self, Here, Upkeep};
use super::state::Pages;
use super::visitor::Visitor;
use super::words::{exact, short_id};
use crate::figures::grouped;
use crate::ledger::{Page, Rejection};
use crate::run::Run;

/// Rejections on a page of the list.
const LISTED: u32 = 50;

/// Rejections read together for a sheet.
const TOGETHER: u32 = 200;

/// Which part of the list.
#[derive(Deserialize)]
pub(super) struct Part {
    cursor: Option<String>,
}

/// The first few, with the run.
pub(super) fn some(run: &Run, page: &Page<Rejection>) -> Markup {
    html! {
        h2 #rejections-name { "Rejections" }
        @if page.items.is_empty() {
            p.quiet { (if run.state.is_final() { "None: nothing was refused." } else { "None so far." }) }
        } @else {
            p { "Each is tried again by every later run, until it is accepted or its row changes." }
            (table(&page.items))
            nav.paging aria-label="Rejections" {
                @if page.next_cursor.is_some() { a.button href={ "/runs/" (run.id) "/rejections" } { "All rejections" } }
                a.button href={ "/runs/" (run.id) "/rejections.csv" } download { "CSV" }
            }
        }
    }
}

fn table(rejections: &[Rejection]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of rejections" { table.list {
            thead { tr {
                th scope="col" { "Customer" } th scope="col" { "Attribute" } th scope="col" { "Code" }
                th.number scope="col" { "Runs" } th scope="col" { "First" } th scope="col" { "Last" }
            } }
            tbody { @for line in rejections { tr {
                th scope="row" data-label="Customer" { code.said { (line.customer_id) } }
                td data-label="Attribute" { @match &line.attribute { Some(name) => code { (name) }, None => span.quiet { "all" } } }
                td data-label="Code" { code { (line.code) } span.line.quiet { (reason::rejection(&line.code)) } }
                td.number data-label="Runs" { (grouped(u64::from(line.attempts))) }
                td data-label="First" { (exact(line.first_seen_at)) }
                td data-label="Last" { (exact(line.last_seen_at)) }
            } } }
        } }
    }
}

/// All of them, part by part.
pub(super) async fn list(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(part): Query<Part>,
) -> Result<Markup, Refusal> {
    let run = pages.run(&visitor, &id).await?;
    let page = pages.ask(pages.ledger().rejections(run.id, LISTED, part.cursor.as_deref())).await?;
    let main = html! {
        div.title { div {
            p.eyebrow { a href="/" { "Syncs" } " / " a href={ "/syncs/" (run.sync) } { (run.sync) } " / "
                a href={ "/runs/" (run.id) } { "Run " (short_id(run.id)) } }
            h1 #rejections-name { "Rejections" }
            p.quiet { "What the run refused, or Braze refused of it. Each is tried again by every later run, until it is accepted or its row changes." }
        } }
        @if page.items.is_empty() { div.empty { p { "None: nothing was refused." } } }
        @else { (table(&page.items)) }
        nav.paging aria-label="Rejections, part by part" {
            @if part.cursor.is_some() { a.button href={ "/runs/" (run.id) "/rejections" } { "First" } }
            @if let Some(cursor) = &page.next_cursor { a.button href={ "/runs/" (run.id) "/rejections?cursor=" (cursor) } { "Next" } }
            a.button href={ "/runs/" (run.id) "/rejections.csv" } download { "CSV" }
        }
    };
    let title = format!("Rejections of run {}", short_id(run.id));
    Ok(shell::page(&visitor, &title, Here::Elsewhere, &Upkeep::None, main))
}

/// All of them as CSV.
pub(super) async fn sheet(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let run = pages.run(&visitor, &id).await?;
    let first = pages.ask(pages.ledger().rejections(run.id, TOGETHER, None)).await?;
    let name = format!("attachment; filename=\"rejections-{}.csv\"", run.id);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("a UUID is plain ASCII")),
    ];
    Ok((headers, Body::from_stream(pages.ledger().rejections_sheet(run.id, first, true))).into_response())
}
