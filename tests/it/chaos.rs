//! kill -9 at random moments, with a writer changing the source all the while: nothing lost, nothing stale, and no
//! callback forgotten that was acknowledged.
//!
//! `PEAK_BRAZE_KILLS=50` (or 200, with `PEAK_BRAZE_FAULTS=1`) makes it long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use peak_braze::run::RunState;
use peak_braze::sandbox::{Announce, Answer, Rule, Sandbox};

use crate::support::app::{Setup, TestApp, ago, assert_identities, from_env};
use crate::support::process::Service;

const CUSTOMERS: u32 = 3_000;
/// Kills in the suite: enough to meet reading, sending and recording.
const KILLS: u64 = 6;
/// Requests in flight at most, as configured below.
const IN_FLIGHT: u64 = 16;
/// Customers of one request at most, as Braze has it.
const BATCH: u64 = 75;

/// A small generator, so that a failure can be told again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Changes random customers' versions until told to stop; a version only grows. Returns how many changes were made.
fn write_on(
    path: std::path::PathBuf,
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut warehouse = rusqlite::Connection::open(path).expect("the warehouse");
        warehouse.busy_timeout(Duration::from_secs(10)).expect("a timeout");
        let mut chance = Chance(7);
        while !stop.load(Ordering::Relaxed) {
            let transaction = warehouse.transaction().expect("a transaction");
            for _ in 0..20 {
                let id = format!("c-{}", chance.below(u64::from(CUSTOMERS)) + 1);
                transaction
                    .execute(
                        "update predictions set churn = churn + 1, updated_at = ?1 where customer_id = ?2",
                        [ago(0), id],
                    )
                    .expect("an update");
                changes.fetch_add(1, Ordering::Relaxed);
            }
            transaction.commit().expect("a commit");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    })
}

fn fault(chance: &mut Chance) -> Rule {
    let answer = match chance.below(7) {
        0 => Answer::Status { status: 503 },
        1 => Answer::ResetAfterApply,
        2 => Answer::ResetBeforeApply,
        3 => Answer::RateLimited { announce: Announce::SecondsLeft { secs: 1 } },
        4 => Answer::SlowBody { every_ms: 20 },
        5 => Answer::Pass,
        _ => Answer::Html { status: 502 },
    };
    let slow = if answer == Answer::Pass { 150 } else { 0 };
    Rule { delay_ms: slow, ..Rule::new(answer) }.times(1 + chance.below(3)).after(chance.below(20))
}

/// A moment to die at: by turns at any time, and in the middle of one of the next requests.
async fn moment(braze: &Sandbox, round: u64, chance: &mut Chance) {
    let (by_clock, requests) = (Duration::from_millis(chance.below(400)), 1 + chance.below(4));
    if round.is_multiple_of(2) {
        let seen = braze.stats().requests;
        let by_request = braze.wait_for(|stats| stats.requests >= seen + requests);
        // A fault may keep requests back for longer.
        let _ = tokio::time::timeout(Duration::from_secs(3), by_request).await;
    } else {
        // The moment of death is the point; nothing is waited for.
        tokio::time::sleep(by_clock).await;
    }
}

/// Delivers callbacks for as long as somebody answers, and keeps the ids of those that were acknowledged.
async fn call(service: &Service, round: u64, acknowledged: &mut Vec<String>) {
    for number in 0..30 {
        let id = format!("evt-{round}-{number}");
        match service.deliver(&id).await {
            Some(answer) if answer.status() == reqwest::StatusCode::ACCEPTED => acknowledged.push(id),
            other => panic!("neither recorded nor killed: {other:?}"),
        }
    }
    std::future::pending().await
}

/// Customers announced as in flight whose verdicts were not recorded.
fn left_in_flight(app: &TestApp) -> u64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let ledger = rusqlite::Connection::open_with_flags(app.path("ledger.db"), flags).expect("the ledger");
    let sql = "select coalesce(sum(json_array_length(cast(customers as text))), 0) from in_flight";
    let left: i64 = ledger.query_row(sql, [], |row| row.get(0)).expect("a sum");
    left.unsigned_abs()
}

/// Customers whose value in Braze is not the source's: (customer, source, Braze).
fn wrong(app: &TestApp) -> Vec<(String, f64, Option<f64>)> {
    let warehouse = rusqlite::Connection::open(app.path("warehouse.db")).expect("the warehouse");
    let mut rows = warehouse.prepare("select customer_id, churn from predictions").expect("SQL");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("SQL");
    let mut wrong = Vec::new();
    for row in rows {
        let (customer, churn): (String, f64) = row.expect("a row");
        let there = app.braze.user(&customer).and_then(|user| user.get("peak_churn")?.as_f64());
        if there != Some(churn) {
            wrong.push((customer, churn, there));
        }
    }
    wrong
}

async fn start() -> TestApp {
    let mut setup = Setup::customers(CUSTOMERS);
    setup.seed += "update predictions set churn = 1;";
    setup.destination = format!("max_in_flight = {IN_FLIGHT}\nretry_base_ms = 20");
    setup.sandbox.latency = Duration::from_millis(5);
    let mut app = TestApp::start(setup).await;
    app.run("delta").await;
    app.drain().await;
    app.braze.watch_version("peak_churn");
    app
}

/// Runs until nothing is left to do, and looks at how the last run ended and what became of the callbacks.
async fn bring_to_an_end(app: &TestApp, acknowledged: &[String]) {
    let service = Service::start(&app.config_path()).await;
    let left_over = service.trigger().await;
    service.finished(&left_over).await;
    let last = service.trigger().await;
    assert_identities(&service.finished(&last).await);
    app.braze.settle().await;
    for id in acknowledged {
        let again = service.deliver(id).await.expect("an answer");
        let again: serde_json::Value = again.json().await.expect("JSON");
        assert_eq!(again["duplicate"], true, "{id} was acknowledged, so it is known: {again}");
        let run = service.run(again["run_id"].as_str().expect("its run")).await;
        // Five kills are the end of a run, and the next one takes over what it left.
        let error = run.error.map(|error| error.code);
        assert!(run.state == RunState::Succeeded || error.as_deref() == Some("crashed"), "{id}: {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_lost_and_nothing_stale() {
    let (kills, has_faults) = (from_env("PEAK_BRAZE_KILLS", KILLS), from_env("PEAK_BRAZE_FAULTS", 0) > 0);
    let app = start().await;
    let before = app.braze.stats();
    let (stop, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = write_on(app.path("warehouse.db"), stop.clone(), changes.clone());

    let mut chance = Chance(from_env("PEAK_BRAZE_SEED", 42));
    let (mut acknowledged, mut in_flight, mut midway) = (Vec::new(), 0, 0);
    for round in 0..kills {
        if has_faults {
            app.braze.rule(fault(&mut chance));
        }
        let mut service = Service::start(&app.config_path()).await;
        service.trigger().await;
        tokio::select! {
            () = moment(&app.braze, round, &mut chance) => {}
            () = call(&service, round, &mut acknowledged) => {}
        }
        service.kill();
        let left = left_in_flight(&app);
        (in_flight, midway) = (in_flight + left, midway + u64::from(left > 0));
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("the writer ends well");
    app.braze.clear_rules();

    bring_to_an_end(&app, &acknowledged).await;
    assert_eq!(wrong(&app), [], "the source's last value of every customer is in Braze");
    // A 429 whose hearer was killed before it could say so is known to nobody; all others are kept.
    let mut violations = app.braze.violations();
    violations.retain(|violation| !has_faults || !violation.starts_with("before_reset"));
    assert_eq!(violations, Vec::<String>::new());
    let stats = app.braze.stats();
    println!(
        "{kills} kills ({midway} with customers in flight, {in_flight} in all), {} changes in the source, {} callbacks \
         acknowledged, {} faults, {} objects sent, {} values of them Braze already had",
        changes.load(Ordering::Relaxed),
        acknowledged.len(),
        stats.faults,
        stats.objects - before.objects,
        stats.values_unchanged - before.values_unchanged
    );
    assert!(midway > 0 && !acknowledged.is_empty(), "the kills met nothing: the story has lost its point");
    // Two values a customer: sent again is what was in flight at a kill, and what a fault left without a verdict.
    let again = stats.values_unchanged - before.values_unchanged;
    assert!(again <= 2 * (in_flight + stats.faults * BATCH), "{stats:?}");
    assert!(again <= 2 * (kills * IN_FLIGHT + stats.faults) * BATCH, "{stats:?}");
}
