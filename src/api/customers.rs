//! What is known of one customer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Administrator;
use super::document::{CustomerProblems, TAG_SYNCS};
use super::extract::Segment;
use super::problem::{Code, Problem};
use super::state::Api;
use crate::config;
use crate::ledger::KnownCustomer;

/// Show a customer
///
/// Per attribute when it was last sent, by which run and model; outstanding rejections. Values are not kept.
#[utoipa::path(
    get, path = "/v1/syncs/{sync}/customers/{id}", tag = TAG_SYNCS, operation_id = "getCustomer",
    params(
        ("sync" = String, Path, description = "The sync's id"),
        ("id" = String, Path, description = "The customer's key, percent-encoded"),
    ),
    responses((status = 200, description = "What is known", body = KnownCustomer), CustomerProblems),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Administrator(caller): Administrator,
    Segment((sync, id)): Segment<(String, String)>,
) -> Result<Json<KnownCustomer>, Problem> {
    let shared = api.shared();
    let sync = shared.sync(&caller, &sync)?;
    let attributes: Vec<&str> = sync.config.attributes.iter().map(config::Attribute::name).collect();
    let known = async {
        let profiles = sync.config.profiles(&sync.workspace);
        let target = api.ledger().target(&sync.config.id, &profiles, &attributes).await?;
        api.ledger().customer(target.number, &id).await
    };
    api.ask(known).await?.map(Json).ok_or_else(|| Code::UnknownCustomer.into())
}
