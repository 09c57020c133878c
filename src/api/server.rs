//! The accept loop. HTTP/1.1 alone: callbacks and scripts gain nothing from streams, and their floods cost us none.
//!
//! `axum::serve` installs no timer, so a client that sends half a head, or nothing, would hold its connection for
//! ever, and a drain with it. Here every connection has a bound for its head, every body one in its extractor, and
//! the drain a hard end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::connections::{Connections, Slot};
use super::limits::Limits;
use super::stall::Stall;
use super::tls::{self, TlsError};
use crate::access::Peer;
use crate::config;

/// Until a file descriptor may be free again: long enough not to spin, too short for a sender to notice.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// hyper takes no smaller buffer.
const MIN_BUFFER_BYTES: usize = 8192;

/// What whoever is turned away reads, if it still listens.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// TLS was asked for and cannot be given.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens, and answers once it is told to serve.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    drain: Duration,
}

/// What a connection needs.
#[derive(Clone)]
struct Handler {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    shutdown: CancellationToken,
}

impl Server {
    /// Listens on `[server].listen`. Connections are queued by the system from now on.
    ///
    /// # Errors
    /// When the address cannot be had, or certificate and key cannot be used.
    pub async fn bind(settings: &config::Server, limits: Limits) -> Result<Self, ServerError> {
        let tls = tls::acceptor(settings)?;
        let addr = settings.listen;
        let bound = TcpListener::bind(addr).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (local_addr, listener) = bound.map_err(|source| ServerError::Listen { addr, source })?;
        Ok(Self { listener, local_addr, tls, limits, drain: Duration::from_secs(settings.drain_secs) })
    }

    /// The address it listens on, with the port the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then lets requests under way finish, for `drain_secs` at most.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) {
        let (tasks, hard_stop) = (TaskTracker::new(), CancellationToken::new());
        let open = Connections::new(&self.limits);
        let handler = Handler { router, tls: self.tls, limits: self.limits, shutdown: shutdown.clone() };
        while let Some((stream, slot)) = accept(&self.listener, &open, &shutdown).await {
            // Of its own: a token that all share is a lock that all take whenever one of them has something to do.
            let (handler, hard_stop, peer) = (handler.for_one(), hard_stop.child_token(), slot.peer());
            tasks.spawn(async move {
                tokio::select! {
                    () = hard_stop.cancelled() => {}
                    () = handler.connection(stream, peer) => {}
                }
                drop(slot);
            });
        }
        drop(self.listener);
        tasks.close();
        if tokio::time::timeout(self.drain, tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "connections are still open at the end of the drain: closed"
            );
            hard_stop.cancel();
            tasks.wait().await;
        }
    }
}

/// The next connection there is room for; none once shutting down.
async fn accept(
    listener: &TcpListener,
    open: &Arc<Connections>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, Slot)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match admit(stream, peer.ip(), open) {
                Some(admitted) => return Some(admitted),
                None => continue,
            },
            Err(error) => pause(&error, shutdown).await,
        }
    }
}

fn admit(stream: TcpStream, ip: IpAddr, open: &Arc<Connections>) -> Option<(TcpStream, Slot)> {
    let Some(slot) = open.open(ip) else {
        // One write into an empty buffer: never waits for whoever is turned away. Under TLS it only ends the handshake.
        if let Err(error) = stream.try_write(FULL) {
            tracing::debug!(%error, "a connection turned away was gone already");
        }
        return None;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    Some((stream, slot))
}

/// A peer that hung up concerns only itself. Anything else, such as no file descriptor being left, takes time.
async fn pause(error: &io::Error, shutdown: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, "no connection can be accepted now");
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
    }
}

impl Handler {
    /// For another connection.
    fn for_one(&self) -> Self {
        Self { shutdown: self.shutdown.child_token(), ..self.clone() }
    }

    async fn connection(self, stream: TcpStream, peer: Peer) {
        let Some(tls) = self.tls.clone() else { return self.http(stream, peer).await };
        let handshake = tokio::time::timeout(self.limits.header_timeout, tls.accept(stream));
        let stream = tokio::select! {
            () = self.shutdown.cancelled() => return,
            stream = handshake => stream,
        };
        match stream {
            Ok(Ok(stream)) => self.http(stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, peer: Peer) {
        let began = Arc::new(AtomicBool::new(false));
        let (router, seen) = (self.router, Arc::clone(&began));
        let service = service_fn(move |mut request: Request<Incoming>| {
            seen.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.header_bytes)
            .max_buf_size(self.limits.header_bytes.max(MIN_BUFFER_BYTES))
            .serve_connection(TokioIo::new(Stall::new(stream, self.limits.write_timeout)), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                // hyper would wait for the rest of a first head; nothing is lost with a request not begun.
                if !began.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
