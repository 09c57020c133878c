//! The furthest the watermark may go.
//!
//! Snowflake does not show who writes to a table: a transaction that is open now may commit rows stamped with its
//! start after our statement. So the watermark always stays behind the clock by the overlap.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::api::{Api, Refusal};
use super::columns::LOOK_WAIT;
use super::error::unreachable;
use super::running::run;
use super::statement::Statement;
use crate::source::{Problem, SourceError};

/// Snowflake's clock, less the overlap. Read before the statement that reads rows, so that whoever begins to write
/// after it stamps later still.
pub(super) async fn ceiling(api: &Arc<Api>, overlap_secs: u64) -> Result<DateTime<Utc>, SourceError> {
    let clock = Statement::short("SELECT DATE_PART(EPOCH_MICROSECOND, CURRENT_TIMESTAMP())", LOOK_WAIT);
    let mut rows = run(api, &clock).await.map_err(|refusal| match refusal {
        Refusal::Other(error) => error,
        Refusal::Statement(failure, access) => failure.means(&access.place),
    })?;
    let odd = || unreachable("Snowflake does not tell the time");
    let part = rows.next().await?.ok_or_else(odd)?;
    let row = part.rows().next().flatten().ok_or_else(odd)?;
    let micros =
        row.first().and_then(|cell| cell.text()).and_then(|text| text.parse().ok()).ok_or_else(odd)?;
    let overlap = TimeDelta::seconds(i64::try_from(overlap_secs).unwrap_or(i64::MAX / 1_000));
    DateTime::from_timestamp_micros(micros)
        .and_then(|clock| clock.checked_sub_signed(overlap))
        .ok_or_else(odd)
}

/// What `check` says of it.
pub(super) fn problem(overlap_secs: u64) -> Problem {
    let why = format!(
        "Snowflake does not show who writes: the watermark stays {overlap_secs} s behind its clock; let overlap_secs \
         be longer than the longest load"
    );
    Problem { column: None, why, nearest: None, is_fatal: false }
}
