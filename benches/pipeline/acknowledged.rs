//! From a callback's 202 to the first request at Braze, where the source is large and little of it is selected.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use peak_braze::callback;
use peak_braze::clock::Clock;

use crate::stage::{SECRET, Stage, UNLIMITED, setting};
use crate::table::median;

const BODY: &str =
    r#"{"type":"model.run.completed","timestamp":"2026-11-01T00:00:00Z","data":{"model":"churn"}}"#;
/// Longer than this, and something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// A run sends something more often than this.
const SILENCE: Duration = Duration::from_secs(3);

pub fn measure() {
    let (customers, rounds) = (setting("customers", 1_000_000), setting("rounds", 5));
    let braze = Braze::listen();
    let stage = Stage::before(customers, &braze.endpoint, UNLIMITED);
    stage.begin_round();
    stage.product();
    let service = stage.serve();
    let mut waits = Vec::new();
    for round in 1..=rounds {
        stage.change_some();
        braze.arrivals.try_iter().for_each(drop);
        deliver(service.addr, round);
        let acknowledged = Instant::now();
        let first = braze.arrivals.recv_timeout(PATIENCE).expect("a request");
        waits.push(first.saturating_duration_since(acknowledged).as_secs_f64() * 1e3);
        // The run is over when nothing more comes.
        while braze.arrivals.recv_timeout(SILENCE).is_ok() {}
    }
    println!(
        "acknowledged to first request: median {:.0} ms of {customers} customers, 1 % selected",
        median(waits.into_iter())
    );
}

fn deliver(service: SocketAddr, round: u32) {
    let (id, now) = (format!("round-{round}"), Clock::system().now());
    let headers =
        callback::sign(&SECRET.to_owned().into(), &id, now, BODY.as_bytes()).expect("the secret signs");
    let mut request = format!(
        "POST /v1/callbacks/predictions HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n",
        BODY.len()
    );
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    request += "\r\n";
    request += BODY;
    let mut connection = TcpStream::connect(service).expect("it listens");
    connection.write_all(request.as_bytes()).expect("sent");
    let mut status = String::new();
    BufReader::new(connection).read_line(&mut status).expect("an answer");
    assert!(status.starts_with("HTTP/1.1 202"), "{status}");
}

/// Tells when requests arrive, and takes everything.
struct Braze {
    endpoint: String,
    arrivals: mpsc::Receiver<Instant>,
}

impl Braze {
    fn listen() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (told, arrivals) = mpsc::channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, told) = (connection.expect("a connection"), told.clone());
                std::thread::spawn(move || answer(connection, &told));
            }
        });
        Self { endpoint, arrivals }
    }
}

/// One connection's requests, until it is closed.
fn answer(mut connection: TcpStream, told: &mpsc::Sender<Instant>) {
    let mut input = BufReader::new(connection.try_clone().expect("a handle"));
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if input.read_line(&mut line).is_ok_and(|read| read == 0) {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let arrived = Instant::now();
        let mut body = vec![0; length];
        input.read_exact(&mut body).expect("a whole body");
        let objects = String::from_utf8(body).expect("UTF-8").matches("\"external_id\":").count();
        let said = format!(r#"{{"message":"success","attributes_processed":{objects}}}"#);
        let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length";
        // In one piece: a second one would wait for the first to be acknowledged.
        let answer = format!("{head}: {}\r\n\r\n{said}", said.len());
        connection.write_all(answer.as_bytes()).expect("answered");
        // Whoever measured may be done.
        let _ = told.send(arrived);
    }
}
