//! The bare receivers, each a program of its own: what speed costs without any promise.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use peak_braze::callback::Verifier;
use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::ledger::{Decision, Ledger, NewDelivery};
use peak_braze::run::Model;

use crate::group_commit;

/// The arguments that make this file one of them.
pub const SAME_LEDGER: &str = "same-ledger";
pub const ALONE: &str = "bare-receiver";
pub const SHARED: &str = "bare-receiver-sharing-commits";

/// The receiver of this name.
pub async fn router(program: &str, folder: &Path) -> Option<Router> {
    Some(match program {
        SAME_LEDGER => one_at_a_time(folder).await,
        ALONE => bare_receiver(folder),
        SHARED => group_commit::receiver(folder),
        _ => return None,
    })
}

/// Serves on a free port, and says on which, until it is killed.
pub async fn serve(router: Router) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, router).await.expect("it serves");
}

/// The service's own ledger, recording one delivery at a time: what it would be without shared commits.
async fn one_at_a_time(folder: &Path) -> Router {
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
    Router::new().route("/v1/callbacks/predictions", post(receive)).with_state(state)
}

/// Verifies, inserts, commits, answers: nothing else.
fn bare_receiver(folder: &Path) -> Router {
    let ledger = ledger(&folder.join("bare.db"));
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
    Router::new().route("/v1/callbacks/predictions", post(receive)).with_state(state)
}

/// The least that keeps a delivery: its id and its body.
pub fn ledger(path: &Path) -> rusqlite::Connection {
    let ledger = rusqlite::Connection::open(path).expect("a file");
    ledger
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full;
             create table deliveries (id text primary key, body blob) without rowid;",
        )
        .expect("a table");
    ledger
}

fn verifier(folder: &Path) -> Verifier {
    let secret = folder.join("callback");
    let callback = toml::from_str::<config::Callback>(&format!("secrets = [\"file:{}\"]", secret.display()));
    Verifier::new(&callback.expect("settings")).expect("a key")
}
