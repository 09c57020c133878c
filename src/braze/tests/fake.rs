//! A Braze that answers by script, and remembers what it was sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::braze::{Batch, Braze, BrazeError, Pusher, Template};
use crate::clock::Clock;
use crate::config::{self, Identifier};

/// The key every test uses; it must never be seen anywhere but in requests.
pub(super) const KEY: &str = "k3y-0f-the-w0rkspace";

/// What the script answers.
pub(super) enum Act {
    /// Status, extra header lines (each ending in CRLF), body.
    Reply(u16, String, String),
    /// These bytes, and then silence.
    Raw(Vec<u8>),
    /// The connection is dropped.
    Drop,
    /// No answer ever.
    Hang,
}

pub(super) fn reply(status: u16, body: impl Into<String>) -> Act {
    Act::Reply(status, String::new(), body.into())
}

/// The answer to a request all of whose updates are accepted.
pub(super) fn all_accepted(request: &Seen) -> Act {
    reply(201, format!("{{\"attributes_processed\":{},\"message\":\"success\"}}", request.updates().len()))
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) at: Instant,
    /// How many requests were under way, this one included.
    pub(super) in_flight: usize,
}

impl Seen {
    pub(super) fn updates(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).expect("requests are JSON");
        body["attributes"].as_array().expect("attributes is an array").clone()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.updates()
            .iter()
            .map(|update| update["external_id"].as_str().expect("an id").to_owned())
            .collect()
    }
}

type Script = dyn Fn(usize, &Seen) -> Act + Send + Sync;

pub(super) struct FakeBraze {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _accepts: AbortOnDropHandle<()>,
}

impl FakeBraze {
    /// Starts one; `script` is told the request's number, from 0.
    pub(super) async fn start(script: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        Self::start_with_tls(None, script).await
    }

    pub(super) async fn start_with_tls(
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let (seen, script) =
            (Arc::new(Mutex::new(Vec::new())), Arc::<Script>::from(Box::new(script) as Box<Script>));
        let server = Server { seen: Arc::clone(&seen), script, in_flight: Arc::new(AtomicUsize::new(0)) };
        let accepts = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (server, tls) = (server.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => server.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await {
                                server.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, seen, _accepts: AbortOnDropHandle::new(accepts) }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("unpoisoned").clone()
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A destination that sends here. `more` are further settings, as TOML lines.
    pub(super) fn braze(&self, more: &str) -> Arc<Braze> {
        Arc::new(braze_at(&self.endpoint(), more, &[]).expect("the settings are good"))
    }

    /// A pusher without a fence that sends here.
    pub(super) fn pusher(&self, more: &str) -> Pusher {
        self.braze(more).pusher(Arc::new(|| true), CancellationToken::new())
    }
}

pub(super) fn braze_at(endpoint: &str, more: &str, roots: &[&[u8]]) -> Result<Braze, BrazeError> {
    let base = if more.contains("retry_base_ms") { "" } else { "retry_base_ms = 1\n" };
    let toml = format!("endpoint = \"{endpoint}\"\napi_key = \"env:X\"\n{base}{more}");
    let settings: config::Destination = toml::from_str(&toml).expect("the settings are good");
    Braze::with_roots("braze", &settings, SecretString::from(KEY), Clock::system(), roots)
}

/// A batch of customers `first`, `first + 1`, …
pub(super) fn batch_from(first: usize, updates: usize) -> Batch {
    let template = Template::new(&Identifier::ExternalId, true, &["score"]);
    let mut batch = Batch::new();
    for number in first..first + updates {
        batch.begin(&template, &format!("c{number}"));
        batch.set(&template, 0, b"0.5");
        batch.end();
    }
    batch
}

pub(super) fn batch(updates: usize) -> Batch {
    batch_from(0, updates)
}

#[derive(Clone)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
    in_flight: Arc<AtomicUsize>,
}

impl Server {
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        while let Some((head, body)) = read_request(&mut stream).await {
            let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            let request = Seen { head, body, at: Instant::now(), in_flight };
            let number = {
                let mut seen = self.seen.lock().expect("unpoisoned");
                seen.push(request.clone());
                seen.len() - 1
            };
            // Lets requests that come together be seen together.
            tokio::task::yield_now().await;
            let act = (self.script)(number, &request);
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let bytes = match act {
                Act::Drop => return,
                Act::Hang => return std::future::pending().await,
                Act::Raw(bytes) => bytes,
                Act::Reply(status, headers, body) => {
                    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
                        .into_bytes()
                }
            };
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}

async fn read_request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
        let line = head[start..].trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
