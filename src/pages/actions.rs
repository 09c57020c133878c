//! What a person may do: each a form, answered by going to the page that shows what came of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Redirect;

use super::form::{Asked, way_back};
use super::refusal::Refusal;
use super::state::Pages;
use crate::config::Scope;
use crate::ledger::{Enqueued, NewRun};
use crate::run::{Mode, RunId, TriggerKind};

/// Sync now.
pub(super) async fn run(
    State(pages): State<Arc<Pages>>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Result<Redirect, Refusal> {
    let mode = match asked.fields.mode.unwrap_or(Mode::Delta) {
        mode @ (Mode::Delta | Mode::Full) => mode,
        // Pages offer neither.
        Mode::Force | Mode::Plan => return Err(Refusal::Unreadable),
    };
    asked.need(Scope::Trigger, "trigger")?;
    asked.visitor.shared.sync(&asked.visitor, &sync)?;
    admit(&pages, &asked)?;
    let run = NewRun {
        sync,
        mode,
        kind: TriggerKind::Manual,
        actor: Some(asked.visitor.caller().name().to_owned()),
        reason: None,
        retrigger_of: None,
        customers: None,
        idempotency: None,
    };
    Ok(started(&pages.ask(pages.ledger().enqueue(run)).await?))
}

/// The same once more.
pub(super) async fn retrigger(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Redirect, Refusal> {
    let original = pages.run(&asked.visitor, &id).await?;
    match original.mode {
        Mode::Force => asked.need(Scope::Admin, "admin")?,
        _ => asked.need(Scope::Trigger, "trigger")?,
    }
    // No worker claims runs of a sync that is in the config no more.
    asked.visitor.shared.sync(&asked.visitor, &original.sync)?;
    admit(&pages, &asked)?;
    let actor = Some(asked.visitor.caller().name().to_owned());
    Ok(started(&pages.ask(pages.ledger().retrigger(original.id, actor, None)).await?))
}

/// The bounds of triggers, as the API has them.
fn admit(pages: &Pages, asked: &Asked) -> Result<(), Refusal> {
    if pages.setup.draining.is_cancelled() {
        return Err(Refusal::Draining);
    }
    pages.setup.triggers.admit(asked.visitor.caller().name()).map_err(Refusal::TooOften)
}

fn started(enqueued: &Enqueued) -> Redirect {
    to_run(enqueued.run_id, if enqueued.coalesced { "?said=joined" } else { "" })
}

fn to_run(id: RunId, said: &str) -> Redirect {
    Redirect::to(&format!("/runs/{id}{said}"))
}

/// Stop a run.
pub(super) async fn cancel(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Redirect, Refusal> {
    let run = pages.run(&asked.visitor, &id).await?;
    asked.need(Scope::Trigger, "trigger")?;
    match pages.ask(pages.ledger().cancel(run.id)).await {
        Ok(_) => Ok(to_run(run.id, "?said=cancelling")),
        // It came to its end in between: the page shows how.
        Err(Refusal::WrongState(_)) => Ok(to_run(run.id, "?said=over")),
        Err(refusal) => Err(refusal),
    }
}

/// Let nothing start.
pub(super) async fn pause(
    State(pages): State<Arc<Pages>>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Result<Redirect, Refusal> {
    set_paused(&pages, &sync, &asked, true).await
}

/// Let runs start again.
pub(super) async fn resume(
    State(pages): State<Arc<Pages>>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Result<Redirect, Refusal> {
    set_paused(&pages, &sync, &asked, false).await
}

async fn set_paused(pages: &Pages, sync: &str, asked: &Asked, paused: bool) -> Result<Redirect, Refusal> {
    asked.need(Scope::Trigger, "trigger")?;
    asked.visitor.shared.sync(&asked.visitor, sync)?;
    pages.ask(pages.ledger().set_paused(sync, paused)).await?;
    Ok(Redirect::to(way_back(asked.fields.back.as_deref())))
}
