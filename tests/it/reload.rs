//! SIGHUP: what a reload changes at once, and what it must not tear apart.

use peak_braze::app::{App, Options};
use peak_braze::clock::Clock;
use peak_braze::run::RunState;
use peak_braze::sandbox::{Announce, Answer, Rule};
use serde_json::json;

use crate::support::app::{BRAZE_KEY, SYNC, Setup, TestApp};
use crate::support::process::Service;

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_sync_is_tried_at_once_when_the_config_is_read_again() {
    let mut app = TestApp::start(Setup::customers(10)).await;
    app.drain().await;
    std::fs::write(app.path("braze"), "another-key-of-another-workspace").expect("a secret file");
    let service = Service::start(&app.config_path()).await;
    let failed = service.trigger().await;
    assert_eq!(service.finished(&failed).await.error.expect("why").code, "braze_unauthorized");
    assert_eq!(service.get(&format!("/v1/syncs/{SYNC}")).await["blocked"], true);
    let asked = app.braze.stats().requests;

    // With the key still wrong, a reload tries and nothing else happens.
    service.ask_to_reload();
    app.braze.wait_for(|stats| stats.finished > asked).await;
    service.says("still blocked").await;
    std::fs::write(app.path("braze"), BRAZE_KEY).expect("a secret file");
    service.ask_to_reload();
    service.says("Braze takes the key again").await;
    let runs = service.get("/v1/runs").await;
    let run = &runs["runs"][0];
    assert_eq!(
        (&run["trigger"]["kind"], &run["trigger"]["reason"]),
        (&json!("schedule"), &json!("unblocked"))
    );
    let run = service.finished(run["id"].as_str().expect("an id")).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 10));
    assert_eq!(service.get(&format!("/v1/syncs/{SYNC}")).await["blocked"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_braze_announces_to_a_run_under_way_holds_after_a_reload() {
    let app = TestApp::start(Setup::customers(10)).await;
    let limited = Answer::RateLimited { announce: Announce::RetryAfter { secs: 3 } };
    app.braze.rule(Rule::new(limited).hold_before_apply("late").times(1));
    let first = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    app.app().reload().await.expect("the same config");
    app.braze.release("late");
    app.when(first, |run| run.state == RunState::Waiting).await;
    let (status, _) = app.post(&format!("/v1/runs/{first}/cancel"), &json!({})).await;
    assert_eq!(status, 202);
    assert_eq!(app.finished(first).await.state, RunState::Cancelled);
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
    assert_eq!(app.braze.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_serve_sends_nothing() {
    let mut app = TestApp::start(Setup::customers(10)).await;
    app.post(&format!("/v1/syncs/{SYNC}/pause"), &json!({})).await;
    app.trigger(&json!({})).await;
    app.app().ledger().set_paused(SYNC, false).await.expect("the ledger answers");
    app.drain().await;
    let sent = app.braze.stats().requests;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = Some(taken.local_addr().expect("bound"));
    let options = Options { clock: Clock::system(), serve: true, listen, plans_only: false };
    let refused = App::start(&app.config_path(), options).await.map(drop).expect_err("the port is taken");
    assert!(format!("{refused:#}").contains("server.listen"), "{refused:#}");
    assert_eq!(app.braze.stats().requests, sent);
}
