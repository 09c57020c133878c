//! What a run refused or had refused, as JSON or as a sheet.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Reader;
use super::document::{RejectionsProblems, TAG_RUNS};
use super::extract::{Params, Segment};
use super::problem::Problem;
use super::runs::{MAX_LIMIT, limit};
use super::state::Api;
use crate::ledger::{LedgerError, Rejection};
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
    let next = page.next_cursor.filter(|_| query.limit.is_none());
    Ok(sheet(api, id, page.items, next))
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let mut kinds = accepts.flat_map(|accept| accept.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")))
}

/// Sends the first part and then the rest, part by part, so that memory holds one of them.
fn sheet(api: Arc<Api>, id: RunId, first: Vec<Rejection>, next: Option<String>) -> Response {
    let head =
        String::from("customer_id,attribute,code,attempts,first_seen_at,last_seen_at\r\n") + &rows(&first);
    let rest = stream::try_unfold((api, next), move |(api, next)| async move {
        let Some(cursor) = next else { return Ok::<_, LedgerError>(None) };
        // A failure here cuts the transfer off, so that nobody takes the part for the whole.
        let page = api.ledger().rejections(id, MAX_LIMIT, Some(&cursor)).await?;
        Ok(Some((Bytes::from(rows(&page.items)), (api, page.next_cursor))))
    });
    let body = futures_util::StreamExt::chain(stream::iter([Ok(Bytes::from(head))]), rest);
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"rejections-{id}.csv\""))
        .expect("a UUID is plain ASCII");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, Body::from_stream(body)).into_response()
}

fn rows(rejections: &[Rejection]) -> String {
    let at = |at: &chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let row = |line: &Rejection| {
        let attribute = line.attribute.as_deref().unwrap_or_default();
        let [customer, attribute, code] = [&line.customer_id, attribute, &line.code].map(cell);
        let (first, last) = (at(&line.first_seen_at), at(&line.last_seen_at));
        format!("{customer},{attribute},{code},{},{first},{last}\r\n", line.attempts)
    };
    rejections.iter().map(row).collect()
}

/// RFC 4180, with the characters that start a formula neutralised.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        for text in ["=1+1", "+1", "-1", "@x", "\tx"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("=a,\"b\""), "\"'=a,\"\"b\"\"\"");
    }

    #[test]
    fn plain_cells_stay_as_they_are() {
        assert_eq!(cell("c-1"), "c-1");
        assert_eq!(cell("a\nb"), "\"a\nb\"");
    }
}
