//! The listener, its connections, and the way of one request through the sandbox.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::books::Ending;
use super::call::{Body, Call};
use super::identity::Identity;
use super::reply::{Reply, WireBody};
use super::route::Route;
use super::shared::Shared;
use super::track::Tamper;
use super::{control, export, fault, gate, track};

/// The most that is read of a body: twice what any route takes, so that the size check is met and memory is bounded.
const READ_BYTES: usize = 8_000_000;

/// The connection is reset instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset by a rule")]
pub(super) struct Cut;

/// Accepts connections until the sandbox stops.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        // A failed accept is one connection's trouble (it was reset in the backlog); the next may do.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        shared.books(|books| books.stats.connections += 1);
        let stop = shared.stop.clone();
        let connection = connection(Arc::clone(&shared), stream, tls.clone());
        shared.tasks.spawn(stop.run_until_cancelled_owned(connection));
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Answers are small and awaited: sent at once, or not at all if the socket is gone already.
    stream.set_nodelay(true).ok();
    let reset = Arc::new(AtomicBool::new(false));
    let line = Line { stream, reset: Arc::clone(&reset) };
    match tls {
        None => speak(shared, line, reset).await,
        Some(tls) => match tls.accept(line).await {
            Ok(line) => speak(shared, line, reset).await,
            Err(_) => shared.books(|books| books.stats.tls_failures += 1),
        },
    }
}

async fn speak(shared: Arc<Shared>, line: impl AsyncRead + AsyncWrite + Unpin, reset: Arc<AtomicBool>) {
    let service = service_fn(move |request| {
        let (shared, reset) = (Arc::clone(&shared), Arc::clone(&reset));
        async move {
            let outcome = serve(shared, request).await;
            reset.store(outcome.is_err(), Ordering::Relaxed);
            outcome
        }
    });
    // No read timeout: idle connections cost little, and under a paused clock a timer would end them at once.
    let served =
        http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(line), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "sandbox connection ended");
    }
}

/// A TCP stream that can be made to end in a reset rather than an orderly close.
struct Line {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Where the system refuses, an abrupt close has to do.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A request between its arrival and its end. Dropped without an ending, its client has gone.
struct Flight {
    shared: Arc<Shared>,
    route: Option<Route>,
    number: u64,
    customers: Vec<Identity>,
    ending: Ending,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let epoch = self.shared.epoch();
        self.shared.books(|books| books.finish(self.route, self.number, &self.customers, self.ending, epoch));
    }
}

impl Flight {
    fn start(shared: &Arc<Shared>, call: &Call) -> Self {
        let customers = match &call.body {
            Body::Track(body) => body.customers.iter().flatten().cloned().collect(),
            _ => Vec::new(),
        };
        let epoch = shared.epoch();
        let number = shared.books(|books| books.arrive(call, epoch));
        Self { shared: Arc::clone(shared), route: call.route, number, customers, ending: Ending::Lost }
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<WireBody>, Cut> {
    let call = match read(&shared, request).await {
        Ok(call) => call,
        Err(reply) => return Ok(reply.into_response(shared.epoch())),
    };
    if call.path.starts_with("/_sandbox/") {
        return Ok(control::answer(&shared, &call).into_response(shared.epoch()));
    }
    let mut flight = Flight::start(&shared, &call);
    let reply = respond(Arc::clone(&shared), call, flight.number).await?;
    if !shared.settings.latency.is_zero() {
        tokio::time::sleep(shared.settings.latency).await;
    }
    flight.ending = Ending::Answered(reply.status);
    Ok(reply.into_response(shared.epoch()))
}

async fn read(shared: &Shared, request: Request<Incoming>) -> Result<Call, Reply> {
    let (head, body) = request.into_parts();
    let too_large = |_| Reply::message(413, "Payload Too Large").with_header("connection", "close");
    let bytes = Limited::new(body, READ_BYTES).collect().await.map_err(too_large)?.to_bytes();
    let path = head.uri.path().to_owned();
    let route = Route::find(&head.method, &path);
    let body = Body::read(route, &bytes, shared.settings.counting_only);
    let query = head.uri.query().map(str::to_owned);
    Ok(Call { method: head.method, path, query, route, headers: head.headers, bytes, body })
}

/// Gate, rules, route: the way of one request.
async fn respond(shared: Arc<Shared>, call: Call, number: u64) -> Result<Reply, Cut> {
    let Some(route) = call.route else { return Ok(Reply::not_found()) };
    let rate_headers = match gate::enter(&shared, &call, route) {
        Ok(headers) => headers,
        Err(reply) => return Ok(reply),
    };
    let rule = shared.rules().fire(&call);
    let reply = match rule {
        None => take_in(&shared, route, call, number, &Tamper::default()),
        Some(rule) => {
            let played = fault::play(shared, rule, route, call, number).await?;
            if !played.rate_headers {
                return Ok(played.reply);
            }
            played.reply
        }
    };
    Ok(gate::with_headers(reply, &rate_headers))
}

/// Hands a request that passed the gate to its route.
pub(super) fn take_in(shared: &Shared, route: Route, call: Call, number: u64, tamper: &Tamper) -> Reply {
    match (route, &call.body) {
        (Route::CustomAttributes, _) => shared.store().catalog.page(&shared.settings, &call),
        (route, _) if route.is_track() => track::take_in(shared, route, call, number, tamper),
        (_, _) if call.bytes.len() > route.body_limit_bytes() => Reply::message(413, "Payload Too Large"),
        (Route::Export, Body::Fields(fields)) => export::export_ids(shared, fields),
        (Route::Delete, Body::Fields(fields)) => export::delete(shared, fields),
        _ => track::bad_json(),
    }
}
