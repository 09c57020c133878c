//! A day of runs on a PostgreSQL ledger: where one customer in a hundred changes at every run, its tables do not grow.
//!
//! `PEAK_BRAZE_DAY_CUSTOMERS=1000000` makes it long, and prints what it came to.

use std::fmt::Write as _;

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::ledger::{Flag, Group, Ledger, SentRow};
use peak_braze::run::{Mode, Progress, RunState};
use sqlx::{Connection, PgConnection};

use crate::ledger_suite::{SYNC, checkpoint, claim, deliver, finish, queue};
use crate::support::postgres::Postgres;

const CUSTOMERS: u32 = 30_000;
/// Every quarter of an hour.
const RUNS: u32 = 96;
/// Nine attributes, as the sample warehouse has them, sent by one run.
const DIGEST_BYTES: usize = 9 * 8 + 5;
/// Customers of one group, as the service records them.
const GROUP: usize = 7_500;

async fn record(ledger: &Ledger, target: i64, customers: &[String], stamp: u8) {
    let mut lease = claim(ledger).await;
    let digests = vec![stamp; DIGEST_BYTES];
    for (number, some) in customers.chunks(GROUP).enumerate() {
        let keys: Vec<&str> = some.iter().map(String::as_str).collect();
        let mark = ledger.mark_in_flight(&lease, target, &keys).await.expect("marked");
        ledger.heartbeat(&mut lease).await.expect("its own");
        let rows =
            keys.iter().map(|id| SentRow { customer_id: id, digests: &digests, flag: Flag::default() });
        let group = Group {
            in_flight: Some(mark),
            sent: rows.collect(),
            rejections: Vec::new(),
            cleared: Vec::new(),
            next: Vec::new(),
            checkpoint: &checkpoint(number as u64),
            progress: Progress::default(),
            sent_at: Some(Clock::system().now()),
        };
        ledger.record_group(&lease, target, group).await.expect("recorded");
        ledger.probe().await.expect("ready");
    }
    finish(ledger, lease, RunState::Succeeded).await;
}

#[derive(Debug, sqlx::FromRow)]
struct Table {
    name: String,
    updates: i64,
    hot: i64,
    dead: i64,
    bytes: i64,
}

/// How the tables stand, once every connection has said what it did.
async fn tables(postgres: &Postgres) -> Vec<Table> {
    let mut connection = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let others = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.expect("counted") > 0 {}
    let sql = "select relname::text as name, n_tup_upd as updates, n_tup_hot_upd as hot, n_dead_tup as dead,
                 pg_total_relation_size(relid) as bytes
               from pg_stat_user_tables where schemaname = 'peak_braze' order by bytes desc";
    sqlx::query_as(sql).fetch_all(&mut connection).await.expect("statistics")
}

fn of<'t>(tables: &'t [Table], name: &str) -> &'t Table {
    tables.iter().find(|table| table.name == name).expect("a table of the ledger")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_runs_leaves_the_tables_their_size() {
    let customers: u32 = std::env::var("PEAK_BRAZE_DAY_CUSTOMERS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(CUSTOMERS);
    // No vacuum at all: what the server's own would do comes on top.
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "a key of thirty-two bytes or more").expect("written");
    let settings = config::Ledger {
        url: postgres.url(),
        digest_key: Some(config::SecretRef::File(folder.path().join("key"))),
        ..config::Ledger::default()
    };
    let ledger = Ledger::open(&settings, Clock::system()).await.expect("a ledger");
    let target = ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    let all: Vec<String> = (0..customers).map(|number| format!("customer-{number:08}")).collect();
    queue(&ledger, Mode::Full).await;
    record(&ledger, target, &all, 0).await;
    ledger.close().await;
    let before = tables(&postgres).await;

    let ledger = Ledger::open(&settings, Clock::system()).await.expect("a ledger");
    for run in 1..=RUNS {
        deliver(&ledger, &format!("evt-{run}")).await;
        // Another hundredth each time, spread over the whole table.
        let changed = all.iter().skip(run as usize * 37 % 100).step_by(100).cloned();
        record(&ledger, target, &changed.collect::<Vec<_>>(), run as u8).await;
    }
    ledger.close().await;
    let after = tables(&postgres).await;

    let mut told = String::new();
    for table in after.iter().filter(|table| table.updates > 0 || table.bytes > 100_000) {
        let Table { name, updates, hot, dead, bytes } = table;
        let grown = bytes - of(&before, name).bytes;
        writeln!(
            told,
            "{name}: {updates} updates, {hot} of them HOT, {dead} dead, {bytes} bytes, {grown} more"
        )
        .expect("a string takes every write");
    }
    println!("{customers} customers, {RUNS} runs\n{told}");
    let (sent, runs) = (of(&after, "sent"), of(&after, "runs"));
    assert!(sent.hot * 100 >= sent.updates * 95, "{told}");
    assert!(runs.hot * 100 >= runs.updates * 50, "{told}");
    assert!(sent.bytes * 100 <= of(&before, "sent").bytes * 110, "{told}");
}
