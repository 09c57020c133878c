//! Every sync at a glance.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use futures_util::future::try_join_all;
use maud::{Markup, html};

use super::chart::strip;
use super::first;
use super::form::button_with;
use super::reason;
use super::refusal::Refusal;
use super::shell::{self, Here, Upkeep};
use super::state::Pages;
use super::visitor::Visitor;
use super::words::{ago, badge, percent, setting};
use crate::config;
use crate::figures::{about, counted, grouped};
use crate::ledger::{Ledger, LedgerError, RunFilter};
use crate::run::{Run, RunState};
use crate::standing::{SyncView, standing};

/// Runs in the strip.
const RUNS: u32 = 30;

/// Seconds between looks: a person waits so long without wondering.
const EVERY_SECS: u32 = 3;

/// A sync and what is known of it.
pub(super) struct Seen<'a> {
    pub(super) config: &'a config::Sync,
    pub(super) view: SyncView,
    /// Newest first, plans aside, without their deliveries.
    pub(super) runs: Vec<Run>,
}

impl<'a> Seen<'a> {
    pub(super) async fn look(
        ledger: &Ledger,
        config: &'a config::Sync,
        visitor: &Visitor,
        runs: u32,
    ) -> Result<Self, LedgerError> {
        let filter = RunFilter { sync: Some(config.id.clone()), without_plans: true, ..RunFilter::default() };
        let view = standing(ledger, config, visitor.now).await?;
        let runs = ledger.runs_alone(&filter, runs, None).await?.items;
        Ok(Self { config, view, runs })
    }

    /// Whether somebody should look.
    fn needs_somebody(&self) -> bool {
        let ended_badly = self.view.last_run.as_ref().is_some_and(|run| run.state == RunState::Failed);
        self.view.blocked || self.view.stale || ended_badly
    }
}

/// The first page.
pub(super) async fn show(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Markup, Refusal> {
    let looks = visitor.shared.seen(&visitor).map(|sync| Seen::look(pages.ledger(), sync, &visitor, RUNS));
    let syncs = pages.ask(try_join_all(looks)).await?;
    let origin = first::origin(&pages, &headers);
    let main = html! {
        div.title #title data-part { h1 { "Syncs" } p.quiet { (summary(&syncs)) } }
        @if syncs.is_empty() {
            div.empty { p { "This token may see no sync. Its list stands under " code { "[[tokens]] syncs" } " in the config." } }
        }
        @for (n, sync) in syncs.iter().enumerate() { (card(&visitor, sync, n, &origin)) }
    };
    Ok(shell::page(&visitor, "Syncs", Here::Syncs, &Upkeep::Every(EVERY_SECS), main))
}

fn summary(syncs: &[Seen<'_>]) -> String {
    let mut parts = vec![counted(syncs.len() as u64, "sync")];
    for (number, what) in [
        (many(syncs, |sync| ["running", "waiting"].contains(&sync.view.state)), "running"),
        (many(syncs, |sync| sync.view.paused), "paused"),
        (many(syncs, |sync| sync.needs_somebody()), "to look at"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    parts.join(" · ")
}

fn many(syncs: &[Seen<'_>], is: impl Fn(&Seen<'_>) -> bool) -> u64 {
    syncs.iter().filter(|sync| is(sync)).count() as u64
}

fn card(visitor: &Visitor, sync: &Seen<'_>, n: usize, origin: &str) -> Markup {
    let id = &sync.config.id;
    html! {
        article.card.sync id={ "sync-" (n) } data-part aria-labelledby={ "sync-" (n) "-name" } {
            div.head {
                h2 id={ "sync-" (n) "-name" } { a href={ "/syncs/" (id) } { (id) } }
                (state(&sync.view))
            }
            (trouble(visitor, sync))
            div.facts {
                (facts(visitor, sync))
                div.recent {
                    span.label aria-hidden="true" { "Last runs" }
                    (strip(&format!("sync-{n}-strip"), &sync.runs))
                }
            }
            @if sync.runs.is_empty() { div.empty { (first::callback(sync.config, origin)) } }
            (actions(visitor, &sync.view, &format!("sync-{n}"), "/"))
        }
    }
}

/// The state in words, and what a person set.
pub(super) fn state(view: &SyncView) -> Markup {
    html! {
        span.badges {
            @if view.blocked { span.badge.failed { "blocked" } }
            @if view.stale { span.badge.partial { "stale" } }
            @if view.paused { span.badge.held { "paused" } }
            @match view.state.parse::<RunState>() {
                Ok(state) => (badge(state)),
                Err(_) => @if !view.paused && !view.blocked { span.badge.idle { (view.state) } },
            }
        }
    }
}

/// What keeps a sync from doing its work, and the next step.
pub(super) fn trouble(visitor: &Visitor, sync: &Seen<'_>) -> Markup {
    let (view, now) = (&sync.view, visitor.now);
    let failed = view.last_run.as_ref().filter(|run| run.state == RunState::Failed && !view.blocked);
    html! {
        @if let Some(reason) = &view.blocked_reason {
            p.trouble.bad { b { "Blocked" } " (" code { (reason) } "). " (reason::blocked(reason)) }
        }
        @if let Some(run) = failed {
            p.trouble.bad {
                b { "The last run failed" } " " (ago(run.finished_at.unwrap_or(run.created_at), now))
                @if let Some(error) = &run.error { " (" code { (error.code) } "): " (error.message) }
                " " a href={ "/runs/" (run.id) } { "See the run" } "."
            }
        }
        @if view.stale && !view.blocked {
            p.trouble.warn {
                b { "Stale" } ": the watermark has not moved for " (about(view.freshness_secs.unwrap_or(0))) ". "
                "Was the model run, and did its callback arrive? " a href={ "/deliveries?sync=" (sync.config.id) } { "See the deliveries" } "."
            }
        }
        @if view.paused {
            p.trouble.warn { b { "Paused" } ": deliveries are recorded and queue a run; none starts until it is resumed." }
        }
    }
}

fn facts(visitor: &Visitor, sync: &Seen<'_>) -> Markup {
    let (view, now) = (&sync.view, visitor.now);
    html! {
        dl {
            div { dt { "Freshness" } dd { (freshness(sync.config, view)) } }
            div { dt { "Last run" } dd { (last_run(view, visitor)) } }
            div { dt { "Next run" } dd {
                @match view.next_run_at {
                    Some(at) => (ago(at, now)),
                    None if view.paused => "when resumed",
                    None => span.quiet { "on a callback" },
                }
            } }
            div { dt { "Outstanding rejections" } dd {
                @match (&view.last_run, view.outstanding_rejections) {
                    (Some(run), number) if number > 0 => a href={ "/runs/" (run.id) "/rejections" } { (grouped(number)) },
                    (_, number) => (grouped(number)),
                }
            } }
        }
    }
}

/// How long the watermark has stood still, against the bound of the cadence.
pub(super) fn freshness(config: &config::Sync, view: &SyncView) -> Markup {
    let bound = config.cadence.as_ref().and_then(|cadence| cadence.stale_after_secs);
    let Some(secs) = view.freshness_secs else { return html! { span.quiet { "never synced" } } };
    let part = bound.map(|bound| (secs as f64 / bound.max(1) as f64).min(1.0));
    html! {
        span.fresh {
            (about(secs))
            @if let Some(bound) = bound { span.quiet { " of " (setting(bound)) } }
        }
        @if bound.is_none() { span.line.quiet { "since the watermark moved" } }
        @if let Some(part) = part {
            svg.gauge viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                rect.rest x="0" y="0" width="100" height="6" {}
                rect class=(if view.stale { "late" } else { "spent" }) x="0" y="0" width={ (format!("{:.1}", part * 100.0)) } height="6" {}
            }
        }
    }
}

fn last_run(view: &SyncView, visitor: &Visitor) -> Markup {
    let Some(run) = &view.last_run else { return html! { span.quiet { "none yet" } } };
    let (tally, points) = (&run.tally, &run.data_points);
    html! {
        a href={ "/runs/" (run.id) } { (ago(run.finished_at.unwrap_or(run.created_at), visitor.now)) }
        " " (badge(run.state))
        @if run.state.is_final() {
            span.line.quiet {
                (grouped(tally.accepted)) " of " (counted(tally.customers, "customer")) " sent"
                @if points.saved > 0 { ", " (percent(points.saved, points.saved + points.sent)) " of values saved" }
            }
        }
    }
}

/// What a person may do about a sync.
pub(super) fn actions(visitor: &Visitor, view: &SyncView, name: &str, back: &str) -> Markup {
    if !visitor.may_act() {
        return html! {};
    }
    let path = |what: &str| format!("/syncs/{}/{what}", view.id);
    let (word, label) = if view.paused { ("resume", "Resume") } else { ("pause", "Pause") };
    let of_it = html! { span.aside { " " (view.id) } };
    html! {
        div.actions {
            (button_with(visitor, &path("run"), &format!("{name}-run"), "primary",
                html! { "Sync now" span.aside { ": " (view.id) } }, &[("mode", "delta")]))
            (button_with(visitor, &path(word), &format!("{name}-pause"), "plain", html! { (label) (of_it) }, &[("back", back)]))
        }
    }
}
