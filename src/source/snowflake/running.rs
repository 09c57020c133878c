//! A statement under way: submitted, polled until its result stands, cancelled if nobody wants it any more.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::api::{Api, Call, Refusal};
use super::error::unreachable;
use super::partition::Partition;
use super::rowset::Rowset;
use super::statement::Statement;
use crate::source::SourceError;

/// First and longest wait between looks at a statement.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Snowflake ends a statement when its time is up; so long after that, it will not any more. A statement may wait in
/// its warehouse's queue before its time begins to count.
const SILENCE_WAIT: Duration = Duration::from_secs(10 * 60);
/// Telling Snowflake that nobody wants the result takes no longer; unheard, the statement's own time ends it.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// What an answer without a result says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    statement_handle: String,
}

/// Cancels its statement when dropped before the result stands.
struct Running {
    api: Arc<Api>,
    handle: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (Some(handle), Ok(runtime)) = (self.handle.take(), Handle::try_current()) else { return };
        let api = self.api.clone();
        runtime.spawn(async move {
            // Whether it was heard makes no difference to anybody here.
            drop(timeout(CANCEL_WAIT, api.ask(&Call::Cancel(&handle))).await);
        });
    }
}

/// Runs the statement to its result.
pub(super) async fn run(api: &Arc<Api>, statement: &Statement) -> Result<Rowset, Refusal> {
    let until = Instant::now() + statement.wait + SILENCE_WAIT;
    let mut answer = api.ask(&Call::Submit(statement, Uuid::new_v4())).await?;
    let status: Status = serde_json::from_slice(&answer.bytes).map_err(|_| incomplete())?;
    let handle = status.statement_handle;
    let mut running = Running { api: api.clone(), handle: Some(handle.clone()) };
    let mut wait = LOOK_AGAIN.0;
    while answer.is_running {
        if Instant::now() >= until {
            return Err(unreachable("Snowflake did not end the statement in its time").into());
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LOOK_AGAIN.1);
        answer = match api.ask(&Call::Status(&handle)).await {
            Ok(answer) => answer,
            Err(refusal) => {
                if matches!(refusal, Refusal::Statement(..)) {
                    // It has failed: there is nothing to cancel.
                    running.handle = None;
                }
                return Err(refusal);
            }
        };
    }
    running.handle = None;
    let bytes = answer.bytes;
    let read = tokio::task::spawn_blocking(move || Partition::read(bytes)).await;
    match read.map_err(|_| incomplete())? {
        Some((Some(meta), first)) => Ok(Rowset::new(api.clone(), handle, meta, first)?),
        _ => Err(incomplete().into()),
    }
}

pub(super) fn incomplete() -> SourceError {
    unreachable("Snowflake's answer is incomplete")
}
