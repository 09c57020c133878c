//! Runs, as lists and one by one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::auth::Reader;
use super::document::{RunProblems, RunsProblems, TAG_RUNS};
use super::extract::{Params, Segment};
use super::problem::{Code, Problem};
use super::state::Api;
use crate::ledger::RunFilter;
use crate::run::{Run, RunId, RunState};

/// Items of a list unless asked otherwise.
pub(super) const DEFAULT_LIMIT: u32 = 50;

/// Most items of a list, asked or not: a page of runs stays under half a megabyte.
pub(super) const MAX_LIMIT: u32 = 200;

/// Which runs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsQuery {
    /// Only of this sync.
    sync: Option<String>,
    /// Only in this state.
    state: Option<RunState>,
    /// Most runs to list; 50 unless given; more than 200 count as 200.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the part before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

/// A part of the list of runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Runs {
    /// Newest first.
    runs: Vec<Run>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// Where a run is found.
pub(super) fn location(id: RunId) -> HeaderValue {
    HeaderValue::from_str(&format!("/v1/runs/{id}")).expect("a UUID is plain ASCII")
}

/// # Errors
/// 400 for a limit of none.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        0 => Err(Problem::with(Code::BadRequest, "limit: 1 to 200")),
        limit => Ok(limit.min(MAX_LIMIT)),
    }
}

/// List runs
#[utoipa::path(
    get, path = "/v1/runs", tag = TAG_RUNS, operation_id = "listRuns", params(RunsQuery),
    responses((status = 200, description = "Runs, newest first", body = Runs), RunsProblems),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
    Params(query): Params<RunsQuery>,
) -> Result<Json<Runs>, Problem> {
    let limit = limit(query.limit)?;
    let filter = RunFilter {
        sync: query.sync,
        syncs: caller.syncs().map(<[String]>::to_vec),
        state: query.state,
        without_plans: false,
    };
    let page = api.ask(api.ledger().runs(&filter, limit, query.cursor.as_deref())).await?;
    Ok(Json(Runs { runs: page.items, next_cursor: page.next_cursor }))
}

/// Show a run
#[utoipa::path(
    get, path = "/v1/runs/{id}", tag = TAG_RUNS, operation_id = "getRun",
    params(
        ("id" = Uuid, Path, description = "The run's id"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag this run had"),
    ),
    responses(
        (status = 200, description = "The run", body = Run, headers(("ETag" = String, description = "Changes whenever the run does"))),
        (status = 304, description = "The run is as it was",
         headers(("ETag" = String, description = "As it was"))),
        RunProblems,
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
    Segment(id): Segment<RunId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = api.run(&caller, id).await?;
    let body = serde_json::to_vec(&run).expect("a run is plain data");
    let tag = etag(&body);
    let common = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if matches(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    Ok((common, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Names this very content.
pub(super) fn etag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// RFC 9110 §13.1.2: a list of tags or `*`, compared weakly.
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
