//! A PostgreSQL ledger restarted again and again under twenty deliveries a second: every sender comes to its answer, and
//! nothing is lost that was acknowledged.
//!
//! `PEAK_BRAZE_RESTARTS=20` makes it long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use peak_braze::ledger::RunFilter;
use peak_braze::run::RunState;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::app::{Setup, TestApp, ago, assert_identities};
use crate::support::postgres::Postgres;

/// Restarts in the suite: one as an operator does it, one as a crash.
const RESTARTS: u64 = 2;
/// Time between two deliveries: twenty a second.
const EVERY: Duration = Duration::from_millis(50);
/// How long a sender waits before it comes again.
const COME_AGAIN: Duration = Duration::from_millis(500);
/// Deliveries taken between two restarts, at least.
const BETWEEN: usize = 20;

/// What became of the deliveries: the run of each that was acknowledged, and how many answers were 503.
#[derive(Default)]
struct Books {
    runs: BTreeMap<String, String>,
    refused: u64,
}

/// Delivers until told, each delivery until it is taken.
async fn deliver_on(app: Arc<TestApp>, books: watch::Sender<Books>, stop: watch::Receiver<bool>) {
    let (mut senders, mut ticks) = (JoinSet::new(), tokio::time::interval(EVERY));
    for number in 0.. {
        ticks.tick().await;
        if *stop.borrow() {
            break;
        }
        let (app, books) = (app.clone(), books.clone());
        senders.spawn(async move {
            let id = format!("evt-{number}");
            loop {
                let answer = app.post_callback(&id, &json!({"type": "model.run.completed"})).await;
                if answer.status() == 202 {
                    let answer: Value = answer.json().await.expect("JSON");
                    let run = answer["run_id"].as_str().expect("its run").to_owned();
                    books.send_modify(|books| drop(books.runs.insert(id.clone(), run)));
                    return;
                }
                assert_eq!(answer.status(), 503);
                books.send_modify(|books| books.refused += 1);
                tokio::time::sleep(COME_AGAIN).await;
            }
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.expect("every sender comes to its answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_under_deliveries_it_loses_none() {
    let restarts =
        std::env::var("PEAK_BRAZE_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(RESTARTS);
    let postgres = Postgres::start();
    let mut setup = Setup::customers(500).on_postgres(&postgres.url());
    setup.ledger += "\nlease_secs = 5";
    setup.destination = "request_timeout_secs = 2".to_owned();
    let app = Arc::new(TestApp::start(setup).await);
    let (books, stop) = (watch::Sender::new(Books::default()), watch::Sender::new(false));
    let delivering = tokio::spawn(deliver_on(app.clone(), books.clone(), stop.subscribe()));
    let mut taken = books.subscribe();
    for restart in 0..restarts {
        let enough = taken.borrow().runs.len() + BETWEEN;
        let more = taken.wait_for(|books| books.runs.len() >= enough);
        drop(
            tokio::time::timeout(Duration::from_secs(60), more)
                .await
                .expect("it takes more")
                .expect("they run"),
        );
        app.warehouse(&format!("update predictions set churn = churn + 1, updated_at = '{}'", ago(0)));
        postgres.stop_as(if restart % 2 == 0 { "fast" } else { "immediate" });
        postgres.restart();
    }
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(60), delivering).await.expect("in time").expect("they end well");

    let (acknowledged, refused) = (books.borrow().runs.clone(), books.borrow().refused);
    for (id, run) in &acknowledged {
        let again = app.post_callback(id, &json!({"type": "model.run.completed"})).await;
        assert_eq!(again.status(), 202);
        let again: Value = again.json().await.expect("JSON");
        assert_eq!(
            (&again["duplicate"], again["run_id"].as_str()),
            (&json!(true), Some(run.as_str())),
            "{id}"
        );
        let run = app.finished(run.parse().expect("an id")).await;
        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
        assert_identities(&run);
    }
    let last = app.column::<f64>("select churn from predictions where customer_id = 'c-500'")[0];
    assert_eq!(app.in_braze("c-500", "peak_churn").await, Some(json!(last)));
    let runs = app.app().ledger().runs(&RunFilter::default(), 200, None).await.expect("a list").items;
    println!(
        "{restarts} restarts, {} deliveries acknowledged, 0 lost, {refused} answers 503, {} runs",
        acknowledged.len(),
        runs.len()
    );
    assert!(acknowledged.len() >= BETWEEN * usize::try_from(restarts).expect("a few"));
}
