//! What arrived, and why some of it was refused.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Reader;
use super::document::{DeliveriesProblems, TAG_CALLBACKS};
use super::extract::Params;
use super::problem::{Code, Problem};
use super::runs::limit;
use super::state::Api;
use crate::access::Caller;
use crate::ledger::{Delivery, Ledger, LedgerError, Page};

/// Which deliveries to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Only of this sync.
    sync: Option<String>,
    /// Most deliveries to list; 50 unless given; more than 200 count as 200.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the part before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

/// A part of the list of deliveries.
#[derive(Serialize, ToSchema)]
pub(super) struct Deliveries {
    /// Newest first.
    deliveries: Vec<Delivery>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// List deliveries
///
/// Accepted, duplicate, conflicting, ignored and refused ones, with the reason; never bodies or secrets.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = TAG_CALLBACKS, operation_id = "listDeliveries", params(DeliveriesQuery),
    responses((status = 200, description = "Deliveries, newest first", body = Deliveries), DeliveriesProblems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<Deliveries>, Problem> {
    let limit = limit(query.limit)?;
    if query.sync.as_deref().is_some_and(|sync| !caller.sees(sync)) {
        return Err(Code::UnknownSync.into());
    }
    let page = visible(api.ledger(), &caller, query.sync.as_deref(), limit, query.cursor);
    let page = api.ask(page).await?;
    Ok(Json(Deliveries { deliveries: page.items, next_cursor: page.next_cursor }))
}

/// Parts looked through for a token limited to several syncs before it is handed a short one.
const MAX_PARTS: usize = 10;

async fn visible(
    ledger: &Ledger,
    caller: &Caller,
    sync: Option<&str>,
    limit: u32,
    mut cursor: Option<String>,
) -> Result<Page<Delivery>, LedgerError> {
    let only = caller.syncs().and_then(|syncs| if let [only] = syncs { Some(only.as_str()) } else { None });
    let mut page = Page { items: Vec::new(), next_cursor: None };
    for _ in 0..MAX_PARTS {
        page = ledger.deliveries(sync.or(only), limit, cursor.as_deref()).await?;
        page.items.retain(|delivery| caller.sees(&delivery.sync));
        if !page.items.is_empty() || page.next_cursor.is_none() {
            break;
        }
        cursor.clone_from(&page.next_cursor);
    }
    Ok(page)
}
