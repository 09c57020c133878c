//! Server-sent events of a run.

use peak_braze::run::{Phase, Progress, RunState};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{OPS, PATIENCE, SYNC, Service};

/// Events as they come.
struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    async fn open(service: &Service, id: peak_braze::run::RunId) -> Self {
        let path = format!("/v1/runs/{id}/events");
        let request = service.request(Method::GET, &path).bearer_auth(OPS).header("last-event-id", "\"odd\"");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next event's name and data; none at the end. Comments are passed over.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) =
                self.buffer.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned()))
            {
                self.buffer = rest;
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let Some(name) = field("event: ") else { continue };
                let data = field("data: ").expect("data");
                return Some((name, serde_json::from_str(&data).expect("JSON")));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("it goes on");
            self.buffer.push_str(std::str::from_utf8(&chunk.expect("a whole stream")?).expect("UTF-8"));
        }
    }
}

/// In which nobody looks at a run unasked within the test's time.
async fn told() -> Service {
    Service::with(|limits, _| limits.stream_poll = std::time::Duration::from_secs(3600)).await
}

#[tokio::test]
async fn stream_tells_state_and_progress_and_ends_with_the_run() {
    let service = told().await;
    let id = service.trigger(SYNC).await;
    let mut events = Events::open(&service, id).await;
    let (name, run) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &run["id"], &run["state"]), ("state", &json!(id), &json!("queued")));
    let lease = service.claim(SYNC).await;
    let (name, run) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &run["state"]), ("state", &json!("running")));
    let progress =
        Progress { phase: Phase::Pushing, done: 7, total: Some(9), per_sec: 1.0, eta_secs: Some(2) };
    service.ledger.show_progress(&lease, progress, None, None).await.expect("a ledger");
    let (name, step) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &step["progress"]["done"]), ("progress", &json!(7)));
    assert!(step["tally"].is_object());
    service.finish(lease, RunState::Succeeded).await;
    let (name, run) = events.next().await.expect("an event");
    assert_eq!((name.as_str(), &run["state"]), ("state", &json!("succeeded")));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn change_nobody_told_of_is_seen_by_looking() {
    let service = Service::with(|limits, _| limits.stream_poll = std::time::Duration::from_millis(5)).await;
    let id = service.trigger(SYNC).await;
    let mut events = Events::open(&service, id).await;
    events.next().await.expect("an event");
    // As another replica would: past this process's ledger.
    let cancelled = "update runs set state = 'cancelled' where state = 'queued'";
    assert_eq!(service.place.run(cancelled).await, 1);
    assert_eq!(events.next().await.expect("an event").1["state"], "cancelled");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn finished_run_is_told_once() {
    let service = told().await;
    let id = service.trigger(SYNC).await;
    service.finish(service.claim(SYNC).await, RunState::Failed).await;
    let mut events = Events::open(&service, id).await;
    assert_eq!(events.next().await.expect("an event").1["state"], "failed");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn drain_and_old_age_end_a_stream() {
    let service = told().await;
    let id = service.trigger(SYNC).await;
    let mut events = Events::open(&service, id).await;
    events.next().await.expect("an event");
    service.shutdown.cancel();
    assert_eq!(events.next().await, None);
    let service = Service::with(|limits, _| limits.stream_time = std::time::Duration::from_millis(1)).await;
    let mut events = Events::open(&service, service.trigger(SYNC).await).await;
    events.next().await.expect("an event");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn only_so_many_streams_are_open() {
    let service = Service::with(|limits, _| limits.streams = 1).await;
    let id = service.trigger(SYNC).await;
    let events = Events::open(&service, id).await;
    let path = format!("/v1/runs/{id}/events");
    let refused = service.get(OPS, &path).await;
    refused.is_problem(503, "too_many_streams");
    assert!(refused.headers.contains_key("retry-after"));
    drop(events);
}

#[tokio::test]
async fn silent_stream_is_kept_alive() {
    let service =
        Service::with(|limits, _| limits.stream_keep_alive = std::time::Duration::from_millis(5)).await;
    let mut events = Events::open(&service, service.trigger(SYNC).await).await;
    events.next().await.expect("an event");
    while !events.buffer.contains(":\n") {
        let chunk = tokio::time::timeout(PATIENCE, events.response.chunk()).await.expect("it goes on");
        events.buffer.push_str(std::str::from_utf8(&chunk.expect("open").expect("open")).expect("UTF-8"));
    }
}
