//! Callbacks acknowledged per second over 64 connections, each durable before it is answered: the service, beside the
//! same ledger with one commit per request, a bare receiver that does nothing but verify, insert and commit, a bare
//! receiver that shares commits, FastAPI, and the same service with its ledger on PostgreSQL, alone and as two replicas.
//! Each is a process of its own, as is whoever posts. They take turns in one run; medians and their ratios count.
//!
//! `cargo bench --bench callbacks` · `cargo bench --bench callbacks -- service "bare receiver, shared commits"` for some

#[path = "callbacks/bare.rs"]
mod bare;
#[path = "callbacks/group_commit.rs"]
mod group_commit;
#[path = "../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod postgres;
#[path = "callbacks/receiver.rs"]
mod receiver;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use peak_braze::callback;
use peak_braze::clock::Clock;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use receiver::Receiver;

/// The service's own, as shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "a-token-of-twenty-four-bytes-or-more";
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The bare receivers are this very file, started anew.
    if let [program, folder] = arguments.as_slice()
        && let Some(router) = bare::router(program, Path::new(folder)).await
    {
        return bare::serve(router).await;
    }
    let folder = tempfile::tempdir().expect("a temp dir");
    // As a real server: a commit is on disk before it is answered.
    let cluster = postgres::Postgres::start_with("-c fsync=on -c autovacuum=on");
    write_configs(folder.path(), &cluster.url());
    let service = |config: &str| Receiver::service(&folder.path().join(config));
    let bare = |program: &str| Receiver::bare(program, folder.path());
    let on_sqlite = service("sqlite.toml");
    let replicas = [service("postgres.toml"), service("postgres.toml")];
    let bare_ones = [bare(bare::SAME_LEDGER), bare(bare::ALONE), bare(bare::SHARED)];
    let fast_api = Receiver::fast_api(folder.path());
    let mut receivers = vec![
        ("service", vec![on_sqlite.addr]),
        ("same ledger, one commit per request", vec![bare_ones[0].addr]),
        ("bare receiver, one commit per request", vec![bare_ones[1].addr]),
        ("bare receiver, shared commits", vec![bare_ones[2].addr]),
        ("service, ledger on PostgreSQL", vec![replicas[0].addr]),
        ("two replicas, ledger on PostgreSQL", replicas.iter().map(|replica| replica.addr).collect()),
    ];
    receivers
        .extend(fast_api.iter().map(|fast_api| ("FastAPI, one commit per request", vec![fast_api.addr])));
    let wanted: Vec<&String> = arguments.iter().filter(|name| !name.starts_with("--")).collect();
    receivers.retain(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| *one == name));
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
}

/// Of the service, with its ledger here and there.
fn write_configs(folder: &Path, postgres: &str) {
    let elsewhere = format!("url = \"{postgres}\"\ndigest_key = \"file:braze\"");
    let files = [
        ("token", TOKEN),
        ("braze", "the-rest-api-key-of-a-workspace"),
        ("callback", SECRET),
        ("sqlite.toml", CONFIG),
        ("postgres.toml", &CONFIG.replace("url = \"sqlite://ledger.db\"", &elsewhere)),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file");
    }
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
