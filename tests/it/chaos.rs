//! kill -9 at random moments, with a writer changing the source all the while: nothing lost, nothing stale.
//!
//! `PEAK_BRAZE_KILLS=50` (or 200, with `PEAK_BRAZE_FAULTS=1`) makes it long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use peak_braze::sandbox::{Announce, Answer, Rule};

use crate::support::app::{Setup, TestApp, ago, assert_identities};
use crate::support::process::Service;

const CUSTOMERS: u32 = 3_000;
/// Kills in the suite: enough to meet reading, sending and recording.
const KILLS: u64 = 6;
/// Requests in flight at most, as configured below.
const IN_FLIGHT: u64 = 16;

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

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
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
    let answer = match chance.below(5) {
        0 => Answer::Status { status: 503 },
        1 => Answer::ResetAfterApply,
        2 => Answer::ResetBeforeApply,
        3 => Answer::RateLimited { announce: Announce::SecondsLeft { secs: 1 } },
        _ => Answer::Html { status: 502 },
    };
    Rule::new(answer).times(1 + chance.below(3)).after(chance.below(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_lost_and_nothing_stale() {
    let (kills, has_faults) = (from_env("PEAK_BRAZE_KILLS", KILLS), from_env("PEAK_BRAZE_FAULTS", 0) > 0);
    let mut setup = Setup::customers(CUSTOMERS);
    setup.seed += "update predictions set churn = 1;";
    setup.destination = format!("max_in_flight = {IN_FLIGHT}\nretry_base_ms = 20");
    setup.sandbox.latency = Duration::from_millis(5);
    let mut app = TestApp::start(setup).await;
    app.drain().await;
    app.braze.watch_version("peak_churn");
    let (stop, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = write_on(app.path("warehouse.db"), stop.clone(), changes.clone());

    let mut chance = Chance(from_env("PEAK_BRAZE_SEED", 42));
    for _ in 0..kills {
        if has_faults {
            app.braze.rule(fault(&mut chance));
        }
        let mut service = Service::start(&app.config_path()).await;
        service.trigger().await;
        // The moment of death is the point; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(chance.below(250))).await;
        service.kill();
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("the writer ends well");
    app.braze.clear_rules();

    let service = Service::start(&app.config_path()).await;
    let left_over = service.trigger().await;
    service.finished(&left_over).await;
    let last = service.trigger().await;
    let last = service.finished(&last).await;
    assert_identities(&last);
    app.braze.settle().await;

    let source: Vec<(String, f64)> = {
        let warehouse = rusqlite::Connection::open(app.path("warehouse.db")).expect("the warehouse");
        let mut rows = warehouse.prepare("select customer_id, churn from predictions").expect("SQL");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("SQL");
        rows.map(|row| row.expect("a row")).collect()
    };
    let mut wrong = Vec::new();
    for (customer, churn) in source {
        let there = app.braze.user(&customer).and_then(|user| user.get("peak_churn")?.as_f64());
        if there != Some(churn) {
            wrong.push((customer, churn, there));
        }
    }
    assert_eq!(wrong, [], "the source's last value of every customer is in Braze");
    assert_eq!(app.braze.violations(), Vec::<String>::new());
    let stats = app.braze.stats();
    println!(
        "{kills} kills, {} changes in the source, {} objects sent, {} values of them Braze already had",
        changes.load(Ordering::Relaxed),
        stats.objects,
        stats.values_unchanged
    );
    // What is sent again is what was under way: two values a customer.
    assert!(
        stats.values_unchanged <= (kills + 1) * IN_FLIGHT * 75 * 2 * if has_faults { 4 } else { 1 },
        "{stats:?}"
    );
}
