//! The lean program: reads in key order, merges with what it remembers, encodes what differs, posts, stores. No
//! verdicts, no retries, no budget, no leases, no receipt: what speed costs without any promise but the diff.

use std::hash::Hasher as _;
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use siphasher::sip::SipHasher13;
use tokio::sync::{Semaphore, mpsc};

use crate::stage::{COLUMNS, IN_FLIGHT};

/// The argument that makes this file the lean program.
pub const PROGRAM: &str = "lean-program";
/// Updates of one request. Source: Braze docs, User track.
const BATCH: usize = 75;
/// Rows stored in one transaction.
const STORED_TOGETHER: usize = 7_500;

/// A request's body, and the rows to store once it is answered: keys and packed digests.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    rows: Vec<(String, Vec<u8>)>,
}

/// Runs it: `lean-program WAREHOUSE LEDGER ENDPOINT`.
pub fn main(arguments: &[String]) {
    let [warehouse, ledger, endpoint] = arguments else { panic!("WAREHOUSE LEDGER ENDPOINT") };
    let (warehouse, ledger) = (warehouse.clone(), ledger.clone());
    open(Path::new(&ledger));
    let (batches, to_post) = mpsc::channel::<Batch>(IN_FLIGHT);
    let (rows, to_store) = mpsc::channel::<Vec<(String, Vec<u8>)>>(IN_FLIGHT);
    let stored = ledger.clone();
    let reading = std::thread::spawn(move || read(Path::new(&warehouse), Path::new(&ledger), &batches));
    let storing = std::thread::spawn(move || store(Path::new(&stored), to_store));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(post(format!("{endpoint}/users/track"), to_post, rows));
    reading.join().expect("read to the end");
    storing.join().expect("stored to the end");
}

fn open(ledger: &Path) -> Connection {
    let ledger = Connection::open(ledger).expect("a file");
    ledger
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full;
             create table if not exists sent (customer_id text primary key not null, digests blob not null) without rowid;",
        )
        .expect("a table");
    ledger
}

/// Walks both in key order, so that what is remembered of a customer is always the next row.
fn read(warehouse: &Path, ledger: &Path, batches: &mpsc::Sender<Batch>) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let warehouse = Connection::open_with_flags(warehouse, flags).expect("the warehouse");
    let ledger = Connection::open_with_flags(ledger, flags).expect("the ledger");
    let columns: Vec<&str> = COLUMNS.iter().map(|(column, _)| *column).collect();
    let sql =
        format!("select customer_id, {} from customer_predictions order by customer_id", columns.join(", "));
    let mut select = warehouse.prepare(&sql).expect("SQL");
    let mut rows = select.query([]).expect("SQL");
    let mut select =
        ledger.prepare("select customer_id, digests from sent order by customer_id").expect("SQL");
    let mut remembered = select.query([]).expect("SQL");
    let mut known = remembered.next().expect("a row");
    let mut batch = Batch::default();
    let mut encoder = Encoder::new();
    while let Some(row) = rows.next().expect("a row") {
        let key = row.get_ref(0).expect("a key").as_str().expect("text");
        while known.is_some_and(|known| known.get_ref(0).expect("a key").as_str().expect("text") < key) {
            known = remembered.next().expect("a row");
        }
        let before = known
            .filter(|known| known.get_ref(0).expect("a key").as_str() == Ok(key))
            .map_or(&[][..], |known| known.get_ref(1).expect("digests").as_blob().expect("a blob"));
        if let Some(digests) = encoder.encode(row, key, before, &mut batch.body) {
            batch.rows.push((key.to_owned(), digests));
            if batch.rows.len() == BATCH {
                hand_on(&mut batch, batches);
            }
        }
    }
    if !batch.rows.is_empty() {
        hand_on(&mut batch, batches);
    }
}

fn hand_on(batch: &mut Batch, batches: &mpsc::Sender<Batch>) {
    batch.body.extend_from_slice(b"]}");
    batches.blocking_send(std::mem::take(batch)).expect("posted to the end");
}

struct Encoder {
    names: Vec<Vec<u8>>,
    value: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        let names = COLUMNS.iter().map(|(column, _)| format!(",\"peak_{column}\":").into_bytes()).collect();
        Self { names, value: Vec::new() }
    }

    /// Appends the customer's object with the values that differ; gives the digests to store, if any do.
    fn encode(
        &mut self,
        row: &rusqlite::Row<'_>,
        key: &str,
        before: &[u8],
        body: &mut Vec<u8>,
    ) -> Option<Vec<u8>> {
        let start = body.len();
        body.extend_from_slice(if start == 0 { b"{\"attributes\":[" } else { b"," });
        body.extend_from_slice(b"{\"_update_existing_only\":true,\"external_id\":");
        serde_json::to_writer(&mut *body, key).expect("a text is JSON");
        let mut digests = Vec::with_capacity(COLUMNS.len() * 8);
        let mut differs = false;
        for (index, (_, declared)) in COLUMNS.iter().enumerate() {
            self.value.clear();
            write(row.get_ref(index + 1).expect("a value"), declared, &mut self.value);
            let mut hasher = SipHasher13::new_with_keys(1, 2);
            hasher.write(&self.value);
            let digest = hasher.finish().to_le_bytes();
            digests.extend_from_slice(&digest);
            let unchanged = match before.get(index * 8..index * 8 + 8) {
                Some(before) => before == digest,
                None => self.value == b"null",
            };
            if !unchanged {
                differs = true;
                body.extend_from_slice(&self.names[index]);
                body.extend_from_slice(&self.value);
            }
        }
        if !differs {
            body.truncate(start);
            return None;
        }
        body.push(b'}');
        Some(digests)
    }
}

fn write(value: ValueRef<'_>, declared: &str, json: &mut Vec<u8>) {
    let written = match value {
        ValueRef::Null => serde_json::to_writer(json, &()),
        ValueRef::Integer(flag) if declared == "boolean" => serde_json::to_writer(json, &(flag != 0)),
        ValueRef::Integer(number) => serde_json::to_writer(json, &number),
        ValueRef::Real(number) => serde_json::to_writer(json, &number),
        ValueRef::Text(text) => serde_json::to_writer(json, std::str::from_utf8(text).expect("UTF-8")),
        ValueRef::Blob(_) => panic!("no column holds blobs"),
    };
    written.expect("a scalar is JSON");
}

/// Posts with so many requests in flight, and hands the rows of each answered one to the store.
async fn post(url: String, mut batches: mpsc::Receiver<Batch>, rows: mpsc::Sender<Vec<(String, Vec<u8>)>>) {
    let client = peak_braze::http::client(true).build().expect("a client");
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    while let Some(batch) = batches.recv().await {
        let turn = in_flight.clone().acquire_owned().await.expect("never closed");
        let request = client.post(&url).header("content-type", "application/json").body(batch.body);
        let rows = rows.clone();
        tokio::spawn(async move {
            let answer =
                request.bearer_auth("the-rest-api-key-of-a-workspace").send().await.expect("an answer");
            assert_eq!(answer.status(), 201);
            answer.bytes().await.expect("its body");
            rows.send(batch.rows).await.expect("stored to the end");
            drop(turn);
        });
    }
    let all = u32::try_from(IN_FLIGHT).expect("a small number");
    drop(in_flight.acquire_many(all).await.expect("never closed"));
}

fn store(ledger: &Path, mut batches: mpsc::Receiver<Vec<(String, Vec<u8>)>>) {
    let ledger = open(ledger);
    let mut rows = Vec::new();
    while let Some(batch) = batches.blocking_recv() {
        rows.extend(batch);
        if rows.len() >= STORED_TOGETHER {
            commit(&ledger, &mut rows);
        }
    }
    commit(&ledger, &mut rows);
}

/// Rows of one statement.
const ROWS_OF_A_STATEMENT: usize = 500;

fn commit(ledger: &Connection, rows: &mut Vec<(String, Vec<u8>)>) {
    ledger.execute_batch("begin immediate").expect("begun");
    for some in rows.chunks(ROWS_OF_A_STATEMENT) {
        let values = vec!["(?, ?)"; some.len()].join(", ");
        let sql = format!(
            "insert into sent values {values} on conflict (customer_id) do update set digests = excluded.digests"
        );
        let mut upsert = ledger.prepare_cached(&sql).expect("SQL");
        let values = some.iter().flat_map(|(key, digests)| [key as &dyn rusqlite::ToSql, digests]);
        upsert.execute(rusqlite::params_from_iter(values)).expect("stored");
    }
    ledger.execute_batch("commit").expect("committed");
    rows.clear();
}
