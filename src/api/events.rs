//! A run as it goes: server-sent events until its final state.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::auth::Reader;
use super::document::{StreamProblems, TAG_RUNS};
use super::extract::Segment;
use super::problem::{Code, Problem};
use super::runs::etag;
use super::state::Api;
use crate::ledger::Follow;
use crate::run::{Progress, Run, RunId, RunState, Tally};

/// The data of a `progress` event.
#[derive(Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(super) struct Step {
    /// How far the run has come.
    progress: Progress,
    /// Its counts so far.
    tally: Tally,
}

/// Watch a run
///
/// `state` carries the whole run, at once and whenever its state changes; `progress` carries `{progress, tally}`. The
/// stream ends after the final state, at a drain, or after an hour. Every stream begins with how the run stands, so
/// nothing is lost by coming back; `Last-Event-ID` is not needed.
#[utoipa::path(
    get, path = "/v1/runs/{id}/events", tag = TAG_RUNS, operation_id = "watchRun",
    params(("id" = Uuid, Path, description = "The run's id")),
    responses(
        (status = 200, description = "Events `state` (Run) and `progress`", body = Step, content_type = "text/event-stream"),
        StreamProblems,
    ),
)]
pub(super) async fn watch(
    State(api): State<Arc<Api>>,
    Reader(caller): Reader,
    Segment(id): Segment<RunId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let permit =
        Arc::clone(&api.streams).try_acquire_owned().map_err(|_| Problem::from(Code::TooManyStreams))?;
    // Listening begins before looking, so that no change falls between.
    let follow = api.ledger().follow(id, api.setup.limits.stream_poll);
    let run = api.run(&caller, id).await?;
    let keep_alive = KeepAlive::new().interval(api.setup.limits.stream_keep_alive);
    let watch = Watch::new(api, permit, follow, run);
    Ok(Sse::new(stream::unfold(watch, Watch::next)).keep_alive(keep_alive))
}

/// One open stream.
struct Watch {
    api: Arc<Api>,
    _permit: OwnedSemaphorePermit,
    id: RunId,
    /// The run as first seen, until it is told.
    first: Option<Run>,
    told: Option<(RunState, Step)>,
    follow: Follow,
    ends: Instant,
}

impl Watch {
    fn new(api: Arc<Api>, permit: OwnedSemaphorePermit, follow: Follow, run: Run) -> Self {
        let ends = Instant::now() + api.setup.limits.stream_time;
        Self { _permit: permit, id: run.id, first: Some(run), told: None, follow, ends, api }
    }

    /// The next event; none once the final state is told.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while !self.told.is_some_and(|(state, _)| state.is_final()) {
            let run = match self.first.take() {
                Some(run) => run,
                None => self.look_again().await?,
            };
            if let Some(event) = self.tell(&run) {
                return Some((Ok(event), self));
            }
        }
        None
    }

    /// The run a little later. None: the stream is over, or the ledger is out of reach and the client should come
    /// back.
    async fn look_again(&mut self) -> Option<Run> {
        tokio::select! {
            () = self.api.setup.draining.cancelled() => return None,
            () = tokio::time::sleep_until(self.ends) => return None,
            () = self.follow.changed() => {}
        }
        self.api.ask(self.api.ledger().run(self.id)).await.ok()?
    }

    fn tell(&mut self, run: &Run) -> Option<Event> {
        let now = (run.state, Step { progress: run.progress, tally: run.tally });
        let before = self.told.replace(now);
        if before == Some(now) {
            return None;
        }
        let json = match before {
            Some((state, _)) if state == run.state => serde_json::to_string(&now.1),
            _ => serde_json::to_string(run),
        }
        .expect("a run is plain data");
        let name = if before.is_some_and(|(state, _)| state == run.state) { "progress" } else { "state" };
        Some(Event::default().event(name).id(etag(json.as_bytes()).trim_matches('"')).data(json))
    }
}
