//! How each sync stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Reader;
use super::document::{SyncProblems, SyncsProblems, TAG_SYNCS};
use super::extract::Segment;
use super::problem::Problem;
use super::state::Api;
use crate::standing::{SyncView, standing};

/// Every sync the token may see.
#[derive(Serialize, ToSchema)]
pub(super) struct Syncs {
    /// By id.
    syncs: Vec<SyncView>,
}

/// List syncs
#[utoipa::path(
    get, path = "/v1/syncs", tag = TAG_SYNCS, operation_id = "listSyncs",
    responses((status = 200, description = "Syncs by id", body = Syncs), SyncsProblems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
) -> Result<Json<Syncs>, Problem> {
    let (shared, now) = (api.shared(), api.setup.clock.now());
    let seen = shared.syncs.values().filter(|sync| caller.sees(&sync.config.id));
    let views =
        futures_util::future::try_join_all(seen.map(|sync| standing(api.ledger(), &sync.config, now)));
    Ok(Json(Syncs { syncs: api.ask(views).await? }))
}

/// Show a sync
#[utoipa::path(
    get, path = "/v1/syncs/{sync}", tag = TAG_SYNCS, operation_id = "getSync",
    params(("sync" = String, Path, description = "The sync's id")),
    responses((status = 200, description = "The sync", body = SyncView), SyncProblems),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
    Segment(id): Segment<String>,
) -> Result<Json<SyncView>, Problem> {
    let shared = api.shared();
    let sync = shared.sync(&caller, &id)?;
    api.ask(standing(api.ledger(), &sync.config, api.setup.clock.now())).await.map(Json)
}
