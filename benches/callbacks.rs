//! Callbacks acknowledged per second over 64 connections, each durable before it is answered: the service, beside the
//! same ledger with one commit per request, a bare receiver that does nothing but verify, insert and commit, a bare
//! receiver that shares commits, FastAPI, and the same service with its ledger on PostgreSQL, alone and as two replicas.
//! They take turns in one run; medians and their ratios count.
//!
//! `cargo bench --bench callbacks` · `cargo bench --bench callbacks -- service "bare receiver, shared commits"` for some

#[path = "callbacks/fast_api.rs"]
mod fast_api;
#[path = "callbacks/group_commit.rs"]
mod group_commit;
#[path = "../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod postgres;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use peak_braze::app::{App, Options};
use peak_braze::callback::{self, Verifier};
use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::ledger::{Decision, Ledger, NewDelivery};
use peak_braze::run::Model;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The service's own, as shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str =
    r#"{"type":"model.run.completed","timestamp":"2026-11-01T00:00:00Z","data":{"model":"churn"}}"#;

const CONFIG: &str = r#"
[ledger]
url = "sqlite://ledger.db"
[[tokens]]
name = "ops"
token = "file:token"
scopes = ["read", "trigger", "admin"]
[sources.warehouse]
kind = "sqlite"
url = "sqlite://warehouse.db"
[destinations.braze]
endpoint = "http://127.0.0.1:9"
api_key = "file:braze"
[[syncs]]
id = "predictions"
source = "warehouse"
destination = "braze"
table = "predictions"
key = "customer_id"
updated_at = "updated_at"
  [syncs.callback]
  secrets = ["file:callback"]
  [[syncs.attributes]]
  column = "churn"
"#;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a temp dir");
    let files = [
        ("token", "a-token-of-twenty-four-bytes-or-more"),
        ("braze", "the-rest-api-key-of-a-workspace"),
        ("callback", SECRET),
        ("c.toml", CONFIG),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options { clock: Clock::system(), serve: true, listen: Some(listen), plans_only: false };
    let app = App::start(&folder.path().join("c.toml"), options).await.expect("the app starts");
    // Runs are not what is measured: they wait.
    app.ledger().set_paused("predictions", true).await.expect("paused");
    let service = app.addr().expect("it serves");
    let fast_api = fast_api::FastApi::start(folder.path(), SECRET);
    // As a real server: a commit is on disk before it is answered.
    let cluster = postgres::Postgres::start_with("-c fsync=on -c autovacuum=on");
    let replicas = [on_postgres(folder.path(), &cluster).await, on_postgres(folder.path(), &cluster).await];
    let [first, second] = [&replicas[0], &replicas[1]].map(|app| app.addr().expect("it serves"));
    let mut receivers = vec![
        ("service", vec![service]),
        ("same ledger, one commit per request", vec![one_at_a_time(folder.path()).await]),
        ("bare receiver, one commit per request", vec![bare_receiver(folder.path()).await]),
        ("bare receiver, shared commits", vec![group_commit::start(folder.path()).await]),
        ("service, ledger on PostgreSQL", vec![first]),
        ("two replicas, ledger on PostgreSQL", vec![first, second]),
    ];
    receivers
        .extend(fast_api.iter().map(|fast_api| ("FastAPI, one commit per request", vec![fast_api.addr])));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    receivers.retain(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == name));
    assert!(!receivers.is_empty(), "nobody is called {wanted:?}");

    let mut measured: Vec<Vec<Measured>> = receivers.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for (place, ((_, addrs), measured)) in receivers.iter().zip(&mut measured).enumerate() {
            measured.push(measure(addrs, &format!("b-{place}-{round}")).await);
        }
    }
    println!("{:<39} {:>8}  {:>6}  {:>6}   the service's: per second, p99", "", "per s", "p50 ms", "p99 ms");
    for ((name, _), theirs) in receivers.iter().zip(&measured) {
        let speed = ratio(&measured[0], theirs, |measured| measured.per_sec);
        let p99 = ratio(&measured[0], theirs, |measured| measured.p99_ms);
        println!("{name:<39} {}   {speed:>5.2} x, {p99:>5.2} x", Measured::median(theirs));
    }
    app.drain().await;
    for replica in replicas {
        replica.drain().await;
    }
}

/// The same service with its ledger there.
async fn on_postgres(folder: &Path, cluster: &postgres::Postgres) -> App {
    let ledger = format!("url = \"{}\"\ndigest_key = \"file:braze\"", cluster.url());
    let config = CONFIG.replace("url = \"sqlite://ledger.db\"", &ledger);
    std::fs::write(folder.join("postgres.toml"), config).expect("a file");
    let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let options = Options { clock: Clock::system(), serve: true, listen, plans_only: false };
    let app = App::start(&folder.join("postgres.toml"), options).await.expect("the app starts");
    app.ledger().set_paused("predictions", true).await.expect("paused");
    app
}

/// The service's own ledger, recording one delivery at a time: what it would be without shared commits.
async fn one_at_a_time(folder: &Path) -> SocketAddr {
    let url = format!("sqlite://{}", folder.join("alone.db").display());
    let settings = config::Ledger { url, ..config::Ledger::default() };
    let ledger = Ledger::open(&settings, Clock::system()).await.expect("a ledger");
    let state = Arc::new((verifier(folder), tokio::sync::Mutex::new(ledger), Clock::system()));
    let receive = async |State(state): State<Arc<(Verifier, tokio::sync::Mutex<Ledger>, Clock)>>,
                         headers: HeaderMap,
                         body: Bytes| {
        let now = state.2.now();
        let Ok(verified) = state.0.verify(&headers, &body, now) else { return StatusCode::UNAUTHORIZED };
        let delivery = NewDelivery {
            sync: "predictions".to_owned(),
            delivery_id: verified.delivery_id,
            body_digest: [0; 32],
            received_at: now,
            event_type: "model.run.completed".to_owned(),
            secret: 0,
            decision: Decision::Run,
            model: Model::default(),
        };
        state.1.lock().await.record_delivery(delivery).await.expect("recorded");
        StatusCode::ACCEPTED
    };
    serve(Router::new().route("/v1/callbacks/predictions", post(receive)).with_state(state)).await
}

/// Verifies, inserts, commits, answers: nothing else.
async fn bare_receiver(folder: &Path) -> SocketAddr {
    let ledger = rusqlite::Connection::open(folder.join("bare.db")).expect("a file");
    ledger
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full;
             create table deliveries (id text primary key, body blob) without rowid;",
        )
        .expect("a table");
    let state = Arc::new((verifier(folder), Mutex::new(ledger), Clock::system()));
    let receive = async |State(state): State<Arc<(Verifier, Mutex<rusqlite::Connection>, Clock)>>,
                         headers: HeaderMap,
                         body: Bytes| {
        let Ok(verified) = state.0.verify(&headers, &body, state.2.now()) else {
            return StatusCode::UNAUTHORIZED;
        };
        let insert = move || {
            let ledger = state.1.lock().expect("unpoisoned");
            ledger
                .prepare_cached("insert into deliveries values (?1, ?2)")
                .and_then(|mut insert| insert.execute(rusqlite::params![verified.delivery_id, &body[..]]))
        };
        tokio::task::spawn_blocking(insert).await.expect("no panic").expect("inserted");
        StatusCode::ACCEPTED
    };
    serve(Router::new().route("/v1/callbacks/predictions", post(receive)).with_state(state)).await
}

fn verifier(folder: &Path) -> Verifier {
    let secret = folder.join("callback");
    let callback = toml::from_str::<config::Callback>(&format!("secrets = [\"file:{}\"]", secret.display()));
    Verifier::new(&callback.expect("settings")).expect("a key")
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// The median of the rounds' ratios.
fn ratio(ours: &[Measured], theirs: &[Measured], of: fn(&Measured) -> f64) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)).collect())
}

struct Measured {
    per_sec: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Measured {
    fn median(all: &[Self]) -> Self {
        Self {
            per_sec: median(all.iter().map(|one| one.per_sec).collect()),
            p50_ms: median(all.iter().map(|one| one.p50_ms).collect()),
            p99_ms: median(all.iter().map(|one| one.p99_ms).collect()),
        }
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>8.0}  {:>6.1}  {:>6.1}", self.per_sec, self.p50_ms, self.p99_ms)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// 64 connections, shared out among these addresses, that post one callback after another for a round. Plain sockets: the sender shares the machine.
async fn measure(addrs: &[SocketAddr], name: &str) -> Measured {
    let began = Instant::now();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            tokio::spawn(send(addrs[number % addrs.len()], format!("{name}-{number}"), began + ROUND))
        })
        .collect();
    let mut waits = Vec::new();
    for sender in senders {
        waits.extend(sender.await.expect("no panic"));
    }
    let secs = began.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)] * 1e3;
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let per_sec = waits.len() as f64 / secs;
    Measured { per_sec, p50_ms: at(50), p99_ms: at(99) }
}

async fn send(addr: SocketAddr, name: String, until: Instant) -> Vec<f64> {
    let (secret, clock) = (SecretString::from(SECRET), Clock::system());
    let mut connection = TcpStream::connect(addr).await.expect("a connection");
    connection.set_nodelay(true).expect("an option");
    let (mut waits, mut answer) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        let id = format!("{name}-{}", waits.len());
        let headers = callback::sign(&secret, &id, clock.now(), BODY.as_bytes()).expect("the secret signs");
        let mut request = format!(
            "POST /v1/callbacks/predictions HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n",
            BODY.len()
        );
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        request += BODY;
        let began = Instant::now();
        connection.write_all(request.as_bytes()).await.expect("sent");
        hear(&mut connection, &mut answer).await;
        waits.push(began.elapsed().as_secs_f64());
    }
    waits
}

/// One answer to its end, which must be 202.
async fn hear(connection: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        assert!(connection.read_buf(answer).await.expect("an answer") > 0, "the connection stays");
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).expect("ASCII").to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        if answer.len() >= head + 4 + length.map_or(0, |length| length.parse().expect("a length")) {
            assert!(text.starts_with("http/1.1 202"), "{text}");
            return;
        }
    }
}
