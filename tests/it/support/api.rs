//! The API on loopback over a ledger of its own: no worker, no Braze, so that a test alone says what becomes of a run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::PrometheusBuilder;
use peak_braze::api::{self, Api, Limits, Server, Setup};
use peak_braze::callback;
use peak_braze::clock::Clock;
use peak_braze::config::{Config, SecretRef};
use peak_braze::ledger::{Finish, Lease, Ledger};
use peak_braze::run::{RunId, RunState};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ledger::Place;

/// The longest anything may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const OPS: &str = "token-with-all-of-the-scopes";
pub const READER: &str = "token-that-may-only-ever-read";
pub const STARTER: &str = "token-that-may-only-ever-start";
pub const LIMITED: &str = "token-limited-to-one-of-the-syncs";
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Takes callbacks.
pub const SYNC: &str = "predictions";
/// Takes callbacks with another secret.
pub const OTHER: &str = "segments";
/// Takes none; runs by cron.
pub const QUIET: &str = "quiet";
pub const BODY: &str =
    r#"{"type":"model.run.completed","data":{"model":"churn","model_version":"7","execution_id":"e-1"}}"#;

const CONFIG: &str = r#"
tokens = [
  { name = "ops", token = "file:DIR/ops", scopes = ["read", "trigger", "admin"] },
  { name = "reader", token = "file:DIR/reader", scopes = ["read"] },
  { name = "starter", token = "file:DIR/starter", scopes = ["trigger"] },
  { name = "limited", token = "file:DIR/limited", scopes = ["read", "trigger", "admin"], syncs = ["predictions"] },
]
server = { listen = "127.0.0.1:0", drain_secs = 1, body_limit_bytes = 4096 }
ledger = { url = "sqlite://DIR/ledger.db" }

[sources.warehouse]
kind = "sqlite"
url = "sqlite://DIR/warehouse.db"

[destinations.braze]
endpoint = "http://127.0.0.1:9"
api_key = "file:DIR/ops"
workspace = "test"

[[syncs]]
id = "predictions"
source = "warehouse"
destination = "braze"
table = "t"
key = "k"
updated_at = "u"
callback = { secrets = ["file:DIR/secret", "file:DIR/old"], match = { tenant = "t-1" } }
attributes = [{ column = "churn" }]

[[syncs]]
id = "segments"
source = "warehouse"
destination = "braze"
table = "t"
key = "k"
updated_at = "u"
callback = { secrets = ["file:DIR/old"] }
attributes = [{ column = "segment" }]

[[syncs]]
id = "quiet"
source = "warehouse"
destination = "braze"
table = "t"
key = "k"
updated_at = "u"
cadence = { cron = "0 6 * * *", timezone = "Europe/London", stale_after = "26h" }
attributes = [{ column = "quiet" }]
"#;

pub struct Service {
    pub addr: SocketAddr,
    pub api: Arc<Api>,
    pub ledger: Ledger,
    pub clock: Clock,
    pub config: Config,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<()>,
    /// How often a run was announced.
    pub announced: Arc<AtomicUsize>,
    pub place: Place,
    http: reqwest::Client,
    _dir: TempDir,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// With other bounds or settings.
    pub async fn with(change: impl FnOnce(&mut Limits, &mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a temp dir");
        let secrets = [
            ("ops", OPS),
            ("reader", READER),
            ("starter", STARTER),
            ("limited", LIMITED),
            ("secret", SECRET),
            ("old", OLD_SECRET),
        ];
        for (name, secret) in secrets {
            std::fs::write(dir.path().join(name), secret).expect("a secret file");
        }
        let text = CONFIG.replace("DIR", dir.path().to_str().expect("UTF-8"));
        let mut config: Config = toml::from_str(&text).expect("a config");
        let place = Place::new(&dir.path().join("ledger.db"));
        if let Place::Postgres(postgres) = &place {
            config.ledger.url = postgres.url();
            config.ledger.digest_key = Some(SecretRef::File(dir.path().join("secret")));
        }
        let mut limits = Limits::default();
        change(&mut limits, &mut config);
        let clock = Clock::manual("2026-03-28T12:00:00Z".parse().expect("an instant"));
        let ledger = Ledger::open(&config.ledger, clock.clone()).await.expect("a ledger");
        let (shutdown, announced) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let count = announced.clone();
        let setup = Setup {
            ledger: ledger.clone(),
            clock: clock.clone(),
            limits: limits.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            draining: shutdown.clone(),
            on_trigger: Box::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            }),
        };
        let api = Api::new(setup, &config).expect("an API");
        let server = Server::bind(&config.server, limits).await.expect("an address");
        let addr = server.local_addr();
        let served = tokio::spawn(server.serve(api::router(api.clone()), shutdown.clone()));
        let http = client();
        Self { addr, api, ledger, clock, config, shutdown, served, announced, place, http, _dir: dir }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.addr))
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).bearer_auth(token).json(&body)).await
    }

    /// A signed callback as Peak sends it.
    pub fn callback(&self, sync: &str, secret: &str, id: &str, body: &str) -> RequestBuilder {
        self.callback_at(sync, secret, id, body, self.clock.now())
    }

    pub fn callback_at(
        &self,
        sync: &str,
        secret: &str,
        id: &str,
        body: &str,
        at: DateTime<Utc>,
    ) -> RequestBuilder {
        let signed = callback::sign(&SecretString::from(secret), id, at, body.as_bytes()).expect("signed");
        let path = format!("/v1/callbacks/{sync}");
        let request = self.request(Method::POST, &path).header("content-type", "application/json");
        signed
            .into_iter()
            .fold(request.body(body.to_owned()), |request, (name, value)| request.header(name, value))
    }

    /// A delivery of [`OTHER`], whose body needs no tenant.
    pub async fn deliver(&self, id: &str) -> Answer {
        send(self.callback(OTHER, OLD_SECRET, id, BODY)).await
    }

    /// Triggers a run and returns its id.
    pub async fn trigger(&self, sync: &str) -> RunId {
        let answer = self.post(OPS, &format!("/v1/syncs/{sync}/runs"), json!({})).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.json()["run_id"].as_str().expect("an id").parse().expect("a run id")
    }

    /// Takes the sync's queued run, as a worker does.
    pub async fn claim(&self, sync: &str) -> Lease {
        self.ledger.claim(&[sync.to_owned()]).await.expect("a ledger").expect("a queued run")
    }

    pub async fn finish(&self, lease: Lease, state: RunState) {
        let finish =
            Finish { state, checkpoint: None, error: None, watermark: None, was_full: false, blocks: false };
        self.ledger.finish(lease, finish).await.expect("a ledger");
    }
}

/// A client that trusts nobody, and needs to trust nobody on loopback.
pub fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(PATIENCE).build().expect("a client")
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// That it is a problem document of this status and code.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/docs#problem-{code}"));
    }
}

/// A connection on which a test says what it likes.
pub struct Wire(TcpStream);

impl Wire {
    pub async fn open(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.expect("a connection"))
    }

    pub async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("written");
    }

    /// Says `text` over and over, hearing nothing, until the server hangs up.
    pub async fn say_while_taken(&mut self, text: &str) -> std::io::Result<()> {
        let saying = async {
            loop {
                self.0.write_all(text.as_bytes()).await?;
            }
        };
        tokio::time::timeout(PATIENCE, saying).await.expect("the server hangs up")
    }

    /// Reads up to `text` and forgets it.
    pub async fn wait_for(&mut self, text: &str) {
        let mut heard = Vec::new();
        while !heard.ends_with(text.as_bytes()) {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("it goes on");
            heard.push(byte.unwrap_or_else(|error| panic!("{error} before {text}")));
        }
    }

    /// What comes until the server closes.
    pub async fn hear(mut self) -> String {
        let mut heard = Vec::new();
        let read =
            tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut heard)).await.expect("the server closes");
        if let Err(error) = read {
            // Closed with something unread: what came before stands.
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        String::from_utf8(heard).expect("UTF-8")
    }
}
