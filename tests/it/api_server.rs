//! The accept loop under clients that are slow, silent, many, or in the way of a drain.

use std::time::Duration;

use peak_braze::api::{Limits, Server};
use peak_braze::config::SecretRef;
use reqwest::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::support::api::{BODY, OLD_SECRET, OPS, OTHER, PATIENCE, SYNC, Service, Wire, send};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn slow_head_is_cut_off() {
    let service = Service::with(|limits, _| limits.header_timeout = SHORT).await;
    let mut slow = Wire::open(service.addr).await;
    slow.say("GET /livez HTTP/1.1\r\nhost: x\r\n").await;
    assert!(!slow.hear().await.contains("200"));
    let silent = Wire::open(service.addr).await;
    silent.hear().await;
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let service = Service::with(|limits, _| limits.header_timeout = SHORT).await;
    let mut idle = Wire::open(service.addr).await;
    idle.say("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.hear().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn slow_body_is_cut_off() {
    let service = Service::with(|limits, _| limits.body_timeout = SHORT).await;
    let mut slow = Wire::open(service.addr).await;
    slow.say("POST /v1/callbacks/segments HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{").await;
    let heard = slow.hear().await;
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("body_timeout"), "{heard}");
}

#[tokio::test]
async fn endless_chunks_stop_at_the_limit() {
    let service = Service::start().await;
    let mut endless = Wire::open(service.addr).await;
    endless
        .say("POST /v1/callbacks/segments HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    endless.say(&format!("1400\r\n{}\r\n", "x".repeat(0x1400))).await;
    let heard = endless.hear().await;
    assert!(heard.starts_with("HTTP/1.1 413"), "{heard}");
}

#[tokio::test]
async fn long_head_is_refused() {
    let service = Service::start().await;
    let mut long = Wire::open(service.addr).await;
    long.say(&format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(17 * 1024))).await;
    let heard = long.hear().await;
    assert!(heard.starts_with("HTTP/1.1 431"), "{heard}");
    let fits = service.request(Method::GET, "/livez").header("x-long", "x".repeat(15 * 1024));
    assert_eq!(send(fits).await.status, StatusCode::OK);
}

#[tokio::test]
async fn address_over_its_share_is_turned_away() {
    let service = Service::with(|limits, _| limits.connections_per_ip = 2).await;
    let mut held = vec![Wire::open(service.addr).await, Wire::open(service.addr).await];
    let refused = Wire::open(service.addr).await.hear().await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after"), "{refused}");
    let mut last = held.pop().expect("held");
    last.say("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(last.hear().await.starts_with("HTTP/1.1 200"), "those inside are served");
}

#[tokio::test]
async fn answer_nobody_takes_is_given_up() {
    let service = Service::with(|limits, _| limits.write_timeout = SHORT).await;
    let mut deaf = Wire::open(service.addr).await;
    let asked = deaf.say_while_taken("GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(asked.is_err(), "the server hangs up");
}

#[tokio::test]
async fn pipelined_requests_are_all_answered() {
    let service = Service::start().await;
    let mut wire = Wire::open(service.addr).await;
    wire.say(&"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(99)).await;
    wire.say("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(wire.hear().await.matches("HTTP/1.1 200").count(), 100);
}

#[tokio::test]
async fn http2_is_not_spoken() {
    let service = Service::start().await;
    let mut wire = Wire::open(service.addr).await;
    wire.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!wire.hear().await.contains("200"));
}

#[tokio::test]
async fn trace_connect_and_unknown_paths_are_refused() {
    let service = Service::start().await;
    let trace = send(service.request(Method::TRACE, "/livez").header("authorization", OPS)).await;
    trace.is_problem(405, "method_not_allowed");
    assert!(!trace.text.contains(OPS));
    let mut wire = Wire::open(service.addr).await;
    wire.say("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n").await;
    let heard = wire.hear().await;
    assert!(heard.starts_with("HTTP/1.1 405"), "{heard}");
    for path in ["/nowhere", "/v1", "/v1/callbacks", "/v1/runs/", "/livez/"] {
        service.get(OPS, path).await.is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn every_answer_has_an_id_and_its_problem_the_same() {
    let service = Service::start().await;
    let given = send(service.request(Method::GET, "/livez").header("x-request-id", "trace-1")).await;
    assert_eq!(given.header("x-request-id"), "trace-1");
    let odd = send(service.request(Method::GET, "/nowhere").header("x-request-id", "a b<c>")).await;
    assert_eq!(odd.json()["instance"], odd.header("x-request-id"));
    assert_eq!(odd.header("x-request-id").len(), 36, "an odd one is replaced");
    assert_eq!(odd.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn expectation_is_met_before_the_body_is_sent() {
    let service = Service::start().await;
    let request = service.callback(OTHER, OLD_SECRET, "evt_1", BODY).header("expect", "100-continue");
    assert_eq!(send(request).await.status, StatusCode::ACCEPTED);
}

/// With no bound but the drain's own, so that nothing else closes a connection.
async fn drained_within(drain_secs: u64) -> Service {
    let hour = Duration::from_secs(3600);
    Service::with(|limits, config| {
        (limits.header_timeout, limits.body_timeout) = (hour, hour);
        config.server.drain_secs = drain_secs;
    })
    .await
}

#[tokio::test]
async fn drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let service = drained_within(3600).await;
    let mut under_way = Wire::open(service.addr).await;
    under_way.say("POST /v1/callbacks/segments HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    under_way.wait_for("100 Continue\r\n\r\n").await;
    let _silent = Wire::open(service.addr).await;
    let mut half = Wire::open(service.addr).await;
    half.say("GET /livez HTTP/1.1\r\nhost").await;
    let mut idle = Wire::open(service.addr).await;
    idle.say("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.wait_for("ok\n").await;
    service.shutdown.cancel();
    assert_eq!(idle.hear().await, "", "an idle connection is closed");
    assert!(tokio::net::TcpStream::connect(service.addr).await.is_err(), "nobody listens");
    under_way.say("{}").await;
    let heard = under_way.hear().await;
    assert!(
        heard.contains("HTTP/1.1 503") && heard.contains("draining") && heard.contains("retry-after"),
        "{heard}"
    );
    tokio::time::timeout(PATIENCE, service.served).await.expect("the drain ends").expect("no panic");
}

#[tokio::test]
async fn drain_ends_in_time_whatever_clients_do() {
    let service = drained_within(0).await;
    let mut stuck = Wire::open(service.addr).await;
    stuck.say("POST /v1/callbacks/segments HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    stuck.wait_for("100 Continue\r\n\r\n").await;
    service.shutdown.cancel();
    tokio::time::timeout(PATIENCE, service.served).await.expect("the drain ends").expect("no panic");
    stuck.hear().await;
}

#[tokio::test]
async fn not_ready_while_the_ledger_is_out_of_reach() {
    let service = Service::start().await;
    service.ledger.close().await;
    let answer = send(service.request(Method::GET, "/readyz")).await;
    answer.is_problem(503, "ledger_unavailable");
    assert_eq!(send(service.request(Method::GET, "/livez")).await.status, StatusCode::OK);
    service.get(OPS, &format!("/v1/syncs/{SYNC}")).await.is_problem(503, "ledger_unavailable");
}

#[tokio::test]
async fn own_tls_is_spoken_where_it_is_configured() {
    let dir = tempfile::tempdir().expect("a temp dir");
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(dir.path().join("cert"), cert.pem()).expect("a file");
    std::fs::write(dir.path().join("key"), signing_key.serialize_pem()).expect("a file");
    let service = Service::start().await;
    let mut settings = service.config.server.clone();
    settings.tls_cert = Some(SecretRef::File(dir.path().join("cert")));
    assert!(Server::bind(&settings, Limits::default()).await.is_err(), "a certificate alone will not do");
    settings.tls_key = Some(SecretRef::File(dir.path().join("key")));
    let server = Server::bind(&settings, Limits::default()).await.expect("a server");
    let (addr, shutdown) = (server.local_addr(), CancellationToken::new());
    let served = tokio::spawn(server.serve(peak_braze::api::router(service.api.clone()), shutdown.clone()));
    let root = reqwest::Certificate::from_pem(cert.pem().as_bytes()).expect("a root");
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .resolve("localhost", addr)
        .build()
        .expect("a client");
    let answer =
        client.get(format!("https://localhost:{}/livez", addr.port())).send().await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, reqwest::Version::HTTP_11));
    let plain = Wire::open(addr).await;
    drop(plain);
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, served).await.expect("the drain ends").expect("no panic");
}
