//! Traces: what a callback brought about, from its arrival to the last verdict, also across replicas. Off unless an
//! exporter is started, and then a look at a flag.
//!
//! ```text
//! callback or trigger ---- traceparent kept with the run ----> run (each attempt) -> window, push -> requests, record
//! ```
//!
//! A span names syncs, runs, destinations and classes of answers: never a customer, a value, a secret or a sender's
//! words.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::counter;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::metric::SPANS;

/// W3C Trace Context's header, and what is kept with a run.
const TRACEPARENT: &str = "traceparent";

static IS_ON: AtomicBool = AtomicBool::new(false);
static PROVIDER: RwLock<Option<SdkTracerProvider>> = RwLock::new(None);
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Whether spans are recorded.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Records spans from now on, for as long as the process lives. A second call changes nothing.
pub(super) fn record_with(provider: SdkTracerProvider) {
    if TRACER.set(provider.tracer("peak-braze")).is_ok() {
        *PROVIDER.write().unwrap_or_else(PoisonError::into_inner) = Some(provider);
        for outcome in ["recorded", "exported", "failed"] {
            counter!(SPANS, "outcome" => outcome).increment(0);
        }
        IS_ON.store(true, Ordering::Relaxed);
    }
}

/// Sends what waits to be exported, for so long at most.
pub async fn flush(within: Duration) {
    let provider = PROVIDER.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(provider) = provider else { return };
    // It waits for the exporter's own thread.
    let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
    match tokio::time::timeout(within, flushed).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the last spans were not exported"),
        Ok(Err(_)) | Err(_) => tracing::warn!("the last spans were not exported in time"),
    }
}

/// A span under way, or nothing where none is recorded. Ends when dropped.
#[derive(Debug)]
pub struct Span(Option<Context>);

/// What a request asks for, once it has proved where it comes from: a part of its sender's trace where it names one.
pub fn received(name: &'static str, traceparent: Option<&str>) -> Span {
    start(name, SpanKind::Server, || remote(traceparent))
}

/// One attempt of a run: a part of the trace of what asked for it.
pub fn resumed(name: &'static str, traceparent: Option<&str>) -> Span {
    start(name, SpanKind::Consumer, || remote(traceparent))
}

/// A part of what is under way here.
pub fn part(name: &'static str) -> Span {
    start(name, SpanKind::Internal, Context::current)
}

/// A call that took so long and has just ended, as part of what is under way here.
pub fn called(name: &'static str, took: Duration, attributes: impl FnOnce() -> Vec<KeyValue>) {
    let Some(tracer) = tracer().filter(|_| Context::current().span().span_context().is_sampled()) else {
        return;
    };
    // The clock of the spans, which is not the one that decides anything.
    let now = opentelemetry::time::now();
    let started_at = now.checked_sub(took).unwrap_or(now);
    let builder = tracer.span_builder(name).with_kind(SpanKind::Client);
    let builder = builder.with_start_time(started_at).with_attributes(attributes());
    drop(builder.start_with_context(tracer, &Context::current()));
    counter!(SPANS, "outcome" => "recorded").increment(1);
}

/// What keeps the trace under way here for whoever goes on with it; none where there is none.
pub fn traceparent() -> Option<String> {
    is_on().then(Context::current).and_then(|context| written(&context))
}

/// Takes the trace under way here along to a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    work.with_context(if is_on() { Context::current() } else { Context::new() })
}

/// An attribute.
pub fn attribute(key: &'static str, value: impl Into<Value>) -> KeyValue {
    KeyValue::new(key, value)
}

impl Span {
    /// Does `work` as what this span covers.
    pub async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(context) => Box::pin(work.with_context(context.clone())).await,
            None => work.await,
        }
    }

    /// Says something of it.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It failed, with this code.
    pub fn fail(&self, code: impl Into<Cow<'static, str>>) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::Error { description: code.into() });
        }
    }

    /// The id of its trace, in hexadecimal.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|context| context.span().span_context().trace_id().to_string())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
            if context.span().span_context().is_sampled() {
                counter!(SPANS, "outcome" => "recorded").increment(1);
            }
        }
    }
}

fn tracer() -> Option<&'static SdkTracer> {
    is_on().then(|| TRACER.get()).flatten()
}

fn start(name: &'static str, kind: SpanKind, parent: impl FnOnce() -> Context) -> Span {
    Span(tracer().map(|tracer| {
        let parent = parent();
        let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &parent);
        parent.with_span(span)
    }))
}

/// The place in a trace that `traceparent` names; of one that cannot be read, none, and a trace begins here.
fn remote(traceparent: Option<&str>) -> Context {
    let headers: HashMap<String, String> =
        traceparent.map(|text| (TRACEPARENT.to_owned(), text.to_owned())).into_iter().collect();
    TraceContextPropagator::new().extract_with_context(&Context::new(), &headers)
}

fn written(context: &Context) -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.remove(TRACEPARENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_back_as_written() {
        assert_eq!(written(&remote(Some(PARENT))).as_deref(), Some(PARENT));
        let is_none = |text: &str| written(&remote(Some(text))).is_none();
        for spoilt in
            ["", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &PARENT.replace('a', "ä")]
        {
            assert!(is_none(spoilt), "{spoilt}");
        }
        assert!(is_none("00-00000000000000000000000000000000-b7ad6b7169203331-01"), "no trace has this id");
        assert_eq!(written(&remote(None)), None);
    }

    #[tokio::test]
    async fn nothing_is_recorded_unless_an_exporter_was_started() {
        let span = received("callback", Some(PARENT));
        assert!(span.0.is_none());
        assert_eq!(span.around(async { traceparent() }).await, None);
    }
}
