//! A run's page as the run goes: server-sent events with the parts that changed, drawn here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::refusal::Refusal;
use super::run::Told;
use super::state::Pages;
use super::visitor::Visitor;
use crate::ledger::Follow;
use crate::run::RunId;

/// After this a stream ends and the browser opens a new one.
const STREAM_TIME: Duration = Duration::from_secs(3_600);

/// Behind the ledger's own hint, for changes made by another replica, and for what grows by itself: times.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Faster than this nobody reads.
const NOT_BEFORE: Duration = Duration::from_millis(200);

/// Proxies cut connections silent for 30 s or more.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follows a run until it has come to its end.
pub(super) async fn watch(
    State(pages): State<Arc<Pages>>,
    visitor: Result<Visitor, Refusal>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    // With "no content" a browser comes back no more; the script then fetches the page, and is led to sign in.
    let Ok(visitor) = visitor else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let run = pages.run(&visitor, &id).await?.id;
    let permit = Arc::clone(&pages.streams).try_acquire_owned().map_err(|_| Refusal::Unavailable)?;
    let watch = Watch {
        _permit: permit,
        cookie: visitor.cookie.clone(),
        follow: pages.ledger().follow(run, LOOK_EVERY),
        run,
        said: String::new(),
        over: false,
        ends: Instant::now() + STREAM_TIME,
        pages,
    };
    let events = stream::unfold(watch, Watch::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// One open stream.
struct Watch {
    pages: Arc<Pages>,
    _permit: OwnedSemaphorePermit,
    cookie: String,
    run: RunId,
    follow: Follow,
    /// What the browser has.
    said: String,
    over: bool,
    ends: Instant,
}

impl Watch {
    /// The next event; none once the run's end is told, and where the session is over.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while !self.over {
            if !self.said.is_empty() {
                self.wait().await?;
            }
            // Looked at anew each time: a session may end, or its token be taken away, while it watches.
            let visitor = Visitor::of(&self.pages, &self.cookie)?;
            let run = self.pages.run(&visitor, &self.run.to_string()).await.ok()?;
            let told = Told::look(&self.pages, run).await.ok()?;
            self.over = told.run.state.is_final();
            // Events hold no carriage return, which a reason given by a person may.
            let drawn = told.draw(&visitor).into_string().replace('\r', "&#13;");
            if drawn != self.said {
                self.said.clone_from(&drawn);
                let name = if self.over { "end" } else { "parts" };
                return Some((Ok(Event::default().event(name).data(drawn)), self));
            }
        }
        None
    }

    /// Until there may be news. None: the stream is over.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = self.pages.setup.draining.cancelled() => None,
            () = tokio::time::sleep_until(self.ends) => None,
            () = async { tokio::join!(self.follow.changed(), tokio::time::sleep(NOT_BEFORE)); } => Some(()),
        }
    }
}
