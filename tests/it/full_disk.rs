//! A disk that is full: nothing is acknowledged that is not kept, and the service goes on once there is room.

use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use crate::support::app::{Setup, TestApp, http_client};
use crate::support::process::Service;

/// From now on no file of the process may grow past `bytes`: what a full disk looks like to it.
fn limit(service: &Service, bytes: &str) {
    let limit = format!("--fsize={bytes}");
    let set = Command::new("prlimit").args(["--pid", &service.pid().to_string(), &limit]).status();
    assert!(set.expect("prlimit runs").success());
}

async fn finish_run_of(service: &Service, answer: Option<reqwest::Response>) -> serde_json::Value {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let said: serde_json::Value = answer.json().await.expect("JSON");
    service.finished(said["run_id"].as_str().expect("a run")).await;
    said
}

/// Asks whether it is ready until it says `status`: what it says may be a second old.
async fn is_ready(service: &Service, status: StatusCode) {
    let asking = async {
        while http_client().get(service.url("/readyz")).send().await.expect("an answer").status() != status {}
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("it says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_is_over_when_there_is_room() {
    let mut app = TestApp::start(Setup::customers(3)).await;
    app.drain().await;
    let service = Service::start_where_files_may_be_full(&app.config_path()).await;
    finish_run_of(&service, service.deliver("evt-before").await).await;

    limit(&service, "4096:unlimited");
    for number in 0..3 {
        let refused = service.deliver(&format!("evt-full-{number}")).await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"), "the sender is told to come again");
    }
    is_ready(&service, StatusCode::SERVICE_UNAVAILABLE).await;
    limit(&service, "unlimited:unlimited");

    let again = finish_run_of(&service, service.deliver("evt-full-0").await).await;
    assert_eq!(again["duplicate"], false, "it was not kept before, for nobody was told so");
    is_ready(&service, StatusCode::OK).await;
}
