//! Each stage on its own, on data in memory or in a fresh file: where the time of a run goes.
//!
//! `cargo bench --bench stages`

use std::path::Path;
use std::sync::Arc;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use peak_braze::braze::{Batch, Braze, Template, Verdict};
use peak_braze::callback::{self, Callback, Verifier};
use peak_braze::clock::Clock;
use peak_braze::config::{self, Identifier};
use peak_braze::customer::{
    Attribute, Chunk, ChunkBuilder, Hasher, Kind, OnLong, OnNull, Packer, Stamp, Value, Zone,
};
use peak_braze::ledger::{Checkpoint, Flag, Group, Lease, Ledger, NewRun, SentRow};
use peak_braze::run::{DataPoints, Mode, Progress, Tally, TriggerKind};
use peak_braze::sandbox::{self, warehouse};
use peak_braze::source::{Rows, Selection, Source};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Customers of one chunk, as sources hand them over.
const CHUNK: u32 = 4_000;
/// Customers of one recorded group: 100 requests of 75.
const GROUP: usize = 7_500;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"type":"model.run.completed","timestamp":"2026-11-01T00:00:00Z","data":{"tenant":"acme",
    "workflow_id":"wf-1","execution_id":"ex-1","run_id":"run-1","model":"churn","model_version":"7",
    "output_table":"PUBLISH.CUSTOMER_PREDICTIONS","rows_updated":1000000}}"#;

fn main() {
    divan::main();
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temp dir")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let folder = folder();
    let config = config_of(folder.path());
    let settings = config.syncs[0].callback.as_ref().expect("a callback");
    let verifier = Verifier::new(settings).expect("a verifier");
    let now = Clock::system().now();
    let headers = callback::sign(&SECRET.to_owned().into(), "evt-1", now, BODY.as_bytes()).expect("signed");
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
    let headers = axum::http::HeaderMap::from_iter(headers);
    bencher
        .bench(|| verifier.verify(black_box(&headers), black_box(BODY.as_bytes()), now).expect("verified"));
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Callback::parse(black_box(BODY.as_bytes())).expect("a callback"));
}

/// A SQLite warehouse, in key order, folded and encoded.
#[divan::bench(args = [100_000], sample_count = 5, sample_size = 1)]
fn read(bencher: Bencher<'_, '_>, customers: u32) {
    let (folder, runtime) = (folder(), runtime());
    warehouse::write(&folder.path().join("warehouse.db"), customers, 1).expect("a warehouse");
    let config = config_of(folder.path());
    let source =
        Source::open(&config.sources["warehouse"], &config.syncs[0], Clock::system()).expect("a source");
    bencher.counter(ItemsCount::new(customers)).bench(|| {
        runtime.block_on(async {
            let selection = Selection { rows: Rows::All, after: None, digester: None };
            let mut reading = source.read(selection).await.expect("it reads");
            let mut read = 0;
            while let Some(chunk) = reading.next().await.expect("a chunk") {
                read += chunk.len();
            }
            assert_eq!(read, customers as usize);
        });
    });
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(CHUNK)).bench(|| chunk(0));
}

#[divan::bench]
fn digest(bencher: Bencher<'_, '_>) {
    let (hasher, chunk) = (Hasher::new(&[7; 16]), chunk(0));
    bencher.counter(ItemsCount::new(CHUNK)).bench(|| {
        (0..chunk.len()).fold(0, |sum, index| {
            let customer = hasher.customer(chunk.key(index).as_bytes());
            let digests = chunk.cells(index).iter().enumerate().map(|(slot, cell)| match chunk.json(*cell) {
                Some(json) => customer.digest(slot, json),
                None => 0,
            });
            sum ^ digests.fold(0, |sum, digest| sum ^ digest)
        })
    });
}

/// Whole requests of 75, every value changed.
#[divan::bench]
fn batch(bencher: Bencher<'_, '_>) {
    let chunk = chunk(0);
    let names: Vec<String> = attributes().iter().map(|attribute| attribute.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let template = Template::new(&Identifier::ExternalId, true, &names);
    let bytes: usize = batches(&chunk, &template).iter().map(Batch::bytes).sum();
    bencher
        .counter(ItemsCount::new(CHUNK))
        .counter(BytesCount::new(bytes))
        .bench(|| batches(&chunk, &template));
}

fn batches(chunk: &Chunk, template: &Template) -> Vec<Batch> {
    let mut batches = vec![Batch::new()];
    for index in 0..chunk.len() {
        if batches.last().is_some_and(|batch| batch.len() == 75) {
            batches.push(Batch::new());
        }
        let batch = batches.last_mut().expect("never empty");
        batch.begin(template, chunk.key(index));
        for (attribute, cell) in chunk.cells(index).iter().enumerate() {
            if let Some(json) = chunk.json(*cell) {
                batch.set(template, attribute, json);
            }
        }
        batch.end();
    }
    batches.iter_mut().for_each(Batch::seal);
    batches
}

/// One request of 75 to a counting sandbox on loopback, its answer read, and a verdict for each update.
#[divan::bench]
fn verdict(bencher: Bencher<'_, '_>) {
    let (folder, runtime) = (folder(), runtime());
    let settings =
        sandbox::Settings { counting_only: true, rate: sandbox::Rate::Off, ..sandbox::Settings::default() };
    let listen = ([127, 0, 0, 1], 0).into();
    let sandbox = runtime.block_on(sandbox::Sandbox::start(listen, settings)).expect("a sandbox");
    let mut destination = config_of(folder.path()).destinations["braze"].clone();
    destination.endpoint = sandbox.url();
    destination.requests_per_3s = 1_000_000;
    let key = "the-rest-api-key-of-a-workspace".to_owned().into();
    let braze = Arc::new(Braze::new("braze", &destination, key, Clock::system()).expect("a destination"));
    let pusher = braze.pusher(Arc::new(|| true), CancellationToken::new());
    let names: Vec<String> = attributes().iter().map(|attribute| attribute.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let template = Template::new(&Identifier::ExternalId, true, &names);
    let batch = batches(&chunk(0), &template).swap_remove(0);
    bencher.counter(ItemsCount::new(batch.len())).bench(|| {
        let pushed = runtime.block_on(pusher.push(&batch)).expect("answered");
        assert!(pushed.verdicts.iter().all(|verdict| *verdict == Verdict::Accepted));
    });
    runtime.block_on(sandbox.stop());
}

/// What is remembered of a chunk: the ledger knows one customer in `args` of those it is asked for, and as many more.
#[divan::bench(args = [1, 100])]
fn look_up(bencher: Bencher<'_, '_>, one_in: u32) {
    let (folder, runtime) = (folder(), runtime());
    let ledger = runtime.block_on(open(folder.path()));
    let (lease, target) = runtime.block_on(claim(&ledger));
    for first in (0..200_000).step_by(GROUP) {
        let keys: Vec<String> = (first..first + GROUP as u32).map(key).collect();
        runtime.block_on(record(&ledger, &lease, target, &keys));
    }
    let chunk = Arc::new(chunk_of((0..CHUNK).map(|number| number * one_in % 200_000)));
    bencher.counter(ItemsCount::new(CHUNK)).bench(|| {
        runtime.block_on(ledger.look_up(target, chunk.clone(), |_, found| found)).expect("looked up")
    });
    runtime.block_on(ledger.close());
}

/// A group of 100 requests: marked in flight, then its rows, counts and position recorded; two commits.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn record_group(bencher: Bencher<'_, '_>) {
    let (folder, runtime) = (folder(), runtime());
    let ledger = runtime.block_on(open(folder.path()));
    let (lease, target) = runtime.block_on(claim(&ledger));
    let mut first = 0;
    bencher
        .counter(ItemsCount::new(GROUP))
        .with_inputs(|| {
            first += GROUP as u32;
            (first..first + GROUP as u32).map(key).collect::<Vec<String>>()
        })
        .bench_local_refs(|keys| runtime.block_on(record(&ledger, &lease, target, keys)));
    runtime.block_on(ledger.close());
}

async fn record(ledger: &Ledger, lease: &Lease, target: i64, keys: &[String]) {
    let (mut packer, mut digests) = (Packer::default(), Vec::new());
    (0..9).for_each(|slot| packer.put(slot, Stamp { digest: 7, run: lease.number }));
    packer.pack(&mut digests);
    let flag = Flag { in_doubt: false, rejected: false };
    let sent = keys.iter().map(|key| SentRow { customer_id: key, digests: &digests, flag }).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mark = ledger.mark_in_flight(lease, target, &keys).await.expect("marked");
    let checkpoint = Checkpoint {
        fingerprint: "braze:1".to_owned(),
        position: None,
        ceiling: Clock::system().now(),
        newest: None,
        tally: Tally::default(),
        data_points: DataPoints::default(),
        complete: false,
    };
    let group = Group {
        in_flight: Some(mark),
        sent,
        rejections: Vec::new(),
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &checkpoint,
        progress: Progress::default(),
        sent_at: Some(Clock::system().now()),
    };
    ledger.record_group(lease, target, group).await.expect("recorded");
}

async fn open(folder: &Path) -> Ledger {
    let url = format!("sqlite://{}", folder.join("ledger.db").display());
    let settings = config::Ledger { url, ..config::Ledger::default() };
    Ledger::open(&settings, Clock::system()).await.expect("a ledger")
}

async fn claim(ledger: &Ledger) -> (Lease, i64) {
    let run = NewRun {
        sync: "predictions".to_owned(),
        mode: Mode::Full,
        kind: TriggerKind::Manual,
        actor: None,
        reason: None,
        retrigger_of: None,
        customers: None,
        idempotency: None,
    };
    ledger.enqueue(run).await.expect("queued");
    let lease = ledger.claim(&["predictions".to_owned()]).await.expect("a ledger").expect("a run");
    let target = ledger.target("predictions", "braze", &["a"]).await.expect("a target");
    (lease, target.number)
}

fn key(number: u32) -> String {
    format!("c-{number:07}")
}

fn chunk(first: u32) -> Chunk {
    chunk_of(first..first + CHUNK)
}

fn chunk_of(numbers: impl Iterator<Item = u32>) -> Chunk {
    let mut builder = ChunkBuilder::new(attributes(), Zone::utc());
    for number in numbers {
        let values = [
            Value::Float(f64::from(number) / 4_096.0),
            Value::Text(b"medium"),
            Value::Float(f64::from(number) * 1.25),
            Value::Text(b"silver"),
            Value::Text(b"2026-12-24"),
            Value::Float(f64::from(number) / 8_192.0),
            Value::Text(b"lapsing"),
            Value::Text(b"outdoor"),
            Value::Integer(i64::from(number % 2)),
        ];
        builder.push(Value::Text(key(number).as_bytes()), Value::Text(b"2026-11-01 06:00:00"), |index| {
            values[index]
        });
    }
    builder.take()
}

fn attributes() -> Arc<[Attribute]> {
    let kinds = [
        Kind::Number,
        Kind::String,
        Kind::Number,
        Kind::String,
        Kind::Date,
        Kind::Number,
        Kind::String,
        Kind::String,
        Kind::Boolean,
    ];
    let attribute = |(index, kind)| Attribute {
        column: format!("column_{index}"),
        name: format!("peak_attribute_{index}"),
        kind,
        round: Some(3).filter(|_| kind == Kind::Number),
        on_null: OnNull::Remove,
        on_long: OnLong::Reject,
        zone: Zone::utc(),
    };
    kinds.into_iter().enumerate().map(attribute).collect()
}

fn config_of(folder: &Path) -> config::Config {
    for (name, text) in [
        ("token", "a-token-of-twenty-four-bytes-or-more"),
        ("braze", "the-rest-api-key-of-a-workspace"),
        ("callback", SECRET),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let path = folder.join("peak-braze.toml");
    let text = "[[tokens]]\nname = \"ops\"\ntoken = \"file:token\"\nscopes = [\"read\"]\n\
         [sources.warehouse]\nkind = \"sqlite\"\nurl = \"sqlite://warehouse.db\"\n\
         [destinations.braze]\nendpoint = \"http://127.0.0.1:9\"\napi_key = \"file:braze\"\n\
         [[syncs]]\nid = \"predictions\"\nsource = \"warehouse\"\ndestination = \"braze\"\n\
         table = \"customer_predictions\"\nkey = \"customer_id\"\nupdated_at = \"updated_at\"\n\
         [syncs.callback]\nsecrets = [\"file:callback\"]\n\
         [[syncs.attributes]]\ncolumn = \"churn_probability\"\ntype = \"number\"\nround = 3\n\
         [[syncs.attributes]]\ncolumn = \"churn_risk_band\"\n\
         [[syncs.attributes]]\ncolumn = \"predicted_clv_12m\"\ntype = \"number\"\n\
         [[syncs.attributes]]\ncolumn = \"next_purchase_date\"\ntype = \"date\"\n\
         [[syncs.attributes]]\ncolumn = \"is_reactivation_candidate\"\ntype = \"boolean\"\n";
    std::fs::write(&path, text).expect("a file");
    config::load(&path).expect("a config")
}
