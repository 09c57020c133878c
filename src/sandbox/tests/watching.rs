//! What the sandbox notes of its client, and its life as a server.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::sandbox::{Announce, Answer};

fn kinds(bench: &Bench) -> Vec<String> {
    bench
        .sandbox
        .violations()
        .iter()
        .map(|text| text.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn a_customer_in_two_requests_at_once_is_noted() {
    let bench = Bench::with_rule(Rule::new(Answer::Pass).hold("first").times(1)).await;
    let body = json!({"attributes": objects(1)}).to_string();
    let first = tokio::spawn(bench.post("/users/track").body(body).send());
    bench.sandbox.wait_for(|stats| stats.held == 1).await;
    bench.track(objects(1)).await;
    bench.sandbox.release("first");
    first.await.expect("no panic").expect("an answer");
    assert_eq!(kinds(&bench), ["two_requests_at_once"]);
    assert_eq!(bench.sandbox.stats().max_in_flight, 2);
}

#[tokio::test]
async fn sending_again_after_giving_up_is_no_violation() {
    let bench = Bench::with_rule(Rule::new(Answer::Pass).hold("first").times(1)).await;
    let body = json!({"attributes": objects(1)}).to_string();
    let first = tokio::spawn(bench.post("/users/track").body(body).send());
    bench.sandbox.wait_for(|stats| stats.held == 1).await;
    bench.track(objects(1)).await;
    first.abort();
    bench.sandbox.wait_for(|stats| stats.lost == 1).await;
    assert_eq!(kinds(&bench), [""; 0]);
}

#[tokio::test]
async fn a_customer_twice_in_one_request_is_noted() {
    let bench = Bench::plain().await;
    bench.track(json!([{"external_id": "c", "x": 1}, {"external_id": "c", "x": 2}])).await;
    bench.track(json!([{"external_id": "c", "x": 3}])).await;
    assert_eq!(kinds(&bench), ["twice_in_one_request"]);
}

#[tokio::test]
async fn a_request_before_the_announced_reset_is_noted() {
    let bench = Bench::new(Settings { reset_grace: Duration::ZERO, ..Settings::default() }).await;
    let announce = Announce::RetryAfter { secs: 600 };
    bench.sandbox.rule(Rule::new(Answer::RateLimited { announce }).times(1));
    assert_eq!(bench.track(objects(1)).await.0, 429);
    assert_eq!(bench.track(objects(1)).await.0, 201);
    assert_eq!(
        (kinds(&bench), bench.sandbox.stats().requests_before_reset),
        (vec!["before_reset".into()], 1)
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    assert_eq!(bench.track(objects(1)).await.0, 201);
    assert_eq!(bench.sandbox.stats().requests_before_reset, 1);
}

#[tokio::test]
async fn a_watched_value_must_not_go_down() {
    let bench = Bench::plain().await;
    bench.sandbox.watch_version("v");
    for version in [1, 3, 3] {
        bench.track(json!([{"external_id": "c", "v": version}])).await;
    }
    assert_eq!(kinds(&bench), [""; 0]);
    bench.track(json!([{"external_id": "c", "v": 2}, {"external_id": "d", "v": 1}])).await;
    assert_eq!(kinds(&bench), ["went_backwards"]);
}

#[tokio::test]
async fn the_log_holds_what_was_sent_but_no_key() {
    let bench = Bench::plain().await;
    let request = bench.post("/users/track").header("X-Braze-Bulk", "true");
    request.body(json!({"attributes": objects(2)}).to_string()).send().await.expect("an answer");
    let log = bench.sandbox.requests();
    assert_eq!((log[0].bulk_header.as_deref(), log[0].objects, log[0].status), (Some("true"), 2, Some(201)));
    assert_eq!(log[0].external_ids, ["c-0", "c-1"]);
    assert_eq!(log[0].headers["authorization"], "[redacted]");
    assert_eq!(log[0].body, Some(json!({"attributes": objects(2)})));
}

#[tokio::test]
async fn only_the_last_bodies_are_kept() {
    let bench = Bench::new(Settings { bodies_kept: 1, ..Settings::default() }).await;
    bench.track(objects(1)).await;
    bench.track(objects(2)).await;
    let kept: Vec<bool> = bench.sandbox.requests().iter().map(|record| record.body.is_some()).collect();
    assert_eq!(kept, [false, true]);
}

#[tokio::test]
async fn bursts_are_measured() {
    let bench = Bench::plain().await;
    for _ in 0..5 {
        bench.track(objects(1)).await;
    }
    let stats = bench.sandbox.stats();
    assert_eq!((stats.requests, stats.max_requests_in_any_3s, stats.max_in_flight), (5, 5, 1));
    assert_eq!(stats.by_status, [(201, 5)].into());
}

#[tokio::test]
async fn a_stopped_or_dropped_sandbox_answers_no_more() {
    let bench = Bench::plain().await;
    let url = bench.sandbox.url();
    bench.sandbox.stop().await;
    assert!(bench.client.get(url).send().await.is_err());
}

#[tokio::test]
async fn an_unknown_certificate_is_the_clients_to_refuse() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    rustls::crypto::ring::default_provider().install_default().ok();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = rustls::ServerConfig::builder().with_no_client_auth();
    let tls = tls.with_single_cert(vec![made.cert.der().clone()], key.into()).expect("a matching pair");
    let sandbox = Sandbox::start_tls(LOOPBACK, Settings::default(), tls).await.expect("a free port");
    let url = format!("https://localhost:{}/_sandbox/stats", sandbox.addr().port());
    let client =
        |roots| reqwest::Client::builder().tls_certs_only(roots).no_proxy().build().expect("a client");
    let trusted = reqwest::Certificate::from_der(made.cert.der()).expect("a certificate");
    let known = client(vec![trusted]).get(&url).send().await.expect("an answer");
    assert_eq!(known.status(), 200);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = reqwest::Certificate::from_der(other.cert.der()).expect("a certificate");
    client(vec![other]).get(&url).send().await.expect_err("refused");
    sandbox.wait_for(|stats| stats.tls_failures == 1).await;
    assert!(sandbox.url().starts_with("https://127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_are_all_counted() {
    let bench = Arc::new(Bench::plain().await);
    let sends: Vec<_> = (0..20)
        .map(|client: usize| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                bench.track(json!([{"external_id": format!("c-{client}"), "x": 1}])).await.0
            })
        })
        .collect();
    for send in sends {
        assert_eq!(send.await.expect("no panic"), 201);
    }
    assert_eq!((bench.sandbox.users(), bench.sandbox.stats().finished), (20, 20));
    assert_eq!(kinds(&bench), [""; 0]);
}
