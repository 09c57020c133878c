//! The bare receiver that shares commits: axum and one writer, nothing else. It verifies nothing, queues no run and
//! finds no duplicate by itself; a full queue or a failing disk is not provided for.

use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::sync::{mpsc, oneshot};

use crate::bare;

/// Deliveries of one commit at most, as in the service.
const MOST_TOGETHER: usize = 512;

struct Arrived {
    id: String,
    body: Bytes,
    committed: oneshot::Sender<()>,
}

/// What it answers with.
pub fn receiver(folder: &Path) -> Router {
    let ledger = bare::ledger(&folder.join("group.db"));
    let (sender, arrived) = mpsc::channel(4_096);
    std::thread::spawn(move || write(&ledger, arrived));
    let receive = async |State(sender): State<mpsc::Sender<Arrived>>, headers: HeaderMap, body: Bytes| {
        let id = headers["webhook-id"].to_str().expect("ASCII").to_owned();
        let (committed, is_committed) = oneshot::channel();
        sender.send(Arrived { id, body, committed }).await.expect("the writer lives");
        is_committed.await.expect("committed");
        StatusCode::ACCEPTED
    };
    Router::new().route("/v1/callbacks/predictions", post(receive)).with_state(sender)
}

fn write(ledger: &rusqlite::Connection, mut arrived: mpsc::Receiver<Arrived>) {
    let mut together = Vec::new();
    while arrived.blocking_recv_many(&mut together, MOST_TOGETHER) > 0 {
        ledger.execute_batch("begin immediate").expect("begun");
        for one in &together {
            ledger
                .prepare_cached("insert into deliveries values (?1, ?2) on conflict (id) do nothing")
                .and_then(|mut insert| insert.execute(rusqlite::params![one.id, &one.body[..]]))
                .expect("inserted");
        }
        ledger.execute_batch("commit").expect("committed");
        for one in together.drain(..) {
            // Whoever asked may be gone.
            let _ = one.committed.send(());
        }
    }
}
