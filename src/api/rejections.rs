//! What a run refused or had refused, as JSON or as a sheet.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Reader;
use super::document::{RejectionsProblems, TAG_RUNS};
use super::extract::{Params, Segment};
use super::problem::Problem;
use super::runs::{MAX_LIMIT, limit};
use super::state::Api;
use crate::ledger::{Page, Rejection};
use crate::run::RunId;

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PartQuery {
    /// Most items to list; 50 unless given (CSV: all); more than 200 count as 200.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the part before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

/// A part of a run's rejections.
#[derive(Serialize, ToSchema)]
pub(super) struct Rejections {
    /// The rejections.
    rejections: Vec<Rejection>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// List a run's rejections
///
/// With `Accept: text/csv` a sheet: all of them unless `limit` is given; cells that a spreadsheet would take for a
/// formula begin with an apostrophe.
#[utoipa::path(
    get, path = "/v1/runs/{id}/rejections", tag = TAG_RUNS, operation_id = "listRejections",
    params(
        ("id" = Uuid, Path, description = "The run's id"),
        ("Accept" = Option<String>, Header, description = "`text/csv` for a sheet"),
        PartQuery,
    ),
    responses(
        (status = 200, description = "Rejections", content((Rejections = "application/json"), (String = "text/csv")),
         headers(("Content-Disposition" = String, description = "Of a sheet: names the file; absent with JSON"))),
        RejectionsProblems,
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
    Segment(id): Segment<RunId>,
    Params(query): Params<PartQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.run(&caller, id).await?;
    let csv = wants_csv(&headers);
    let most = if csv && query.limit.is_none() { MAX_LIMIT } else { limit(query.limit)? };
    let page = api.ask(api.ledger().rejections(id, most, query.cursor.as_deref())).await?;
    if !csv {
        return Ok(Json(Rejections { rejections: page.items, next_cursor: page.next_cursor }).into_response());
    }
    Ok(sheet(&api, id, page, query.limit.is_none()))
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let mut kinds = accepts.flat_map(|accept| accept.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")))
}

/// Names the file that a browser saves.
fn sheet(api: &Api, id: RunId, first: Page<Rejection>, all: bool) -> Response {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"rejections-{id}.csv\""))
        .expect("a UUID is plain ASCII");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, Body::from_stream(api.ledger().rejections_sheet(id, first, all))).into_response()
}
