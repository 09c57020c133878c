//! Braze at a distance: 3,000 requests in 3 seconds, each answered after some time. How near the product comes to the
//! limit, whether it ever goes over it, and how much of a core that takes.

use std::time::Duration;

use crate::child::Cost;
use crate::stage::{Stage, setting};
use crate::table::median;

/// Braze's limit. Source: Braze docs, Rate limits.
const REQUESTS_PER_3S: u32 = 3_000;
/// Updates of one request. Source: Braze docs, User track.
const BATCH: f64 = 75.0;

pub fn measure() {
    let (customers, rounds) = (setting("customers", 1_000_000), setting("rounds", 5));
    for latency_ms in [50, 100] {
        let (per_3s, latency) = (REQUESTS_PER_3S.to_string(), latency_ms.to_string());
        let sandbox = ["--per-3s", &per_3s, "--latency-ms", &latency];
        let stage = Stage::set_with(customers, &sandbox, REQUESTS_PER_3S);
        stage.begin_round();
        let mut runs: Vec<(Duration, Cost)> = Vec::new();
        for _ in 1..=rounds {
            stage.forget();
            let (cost, run) = stage.product_with_run();
            runs.push((run_time(&run), cost));
        }
        let limit = f64::from(REQUESTS_PER_3S) / 3.0 * BATCH;
        let share = median(runs.iter().map(|(time, _)| f64::from(customers) / time.as_secs_f64() / limit));
        let cores = median(runs.iter().map(|(_, cost)| cost.cpu.as_secs_f64() / cost.wall.as_secs_f64()));
        let limited = &stage.stats()["by_status"]["429"];
        println!(
            "{latency_ms:>3} ms: {share:.3} of {limit} customers/s from start to outcome, {cores:.2} core, \
             429 answers in all rounds: {}",
            limited.as_u64().unwrap_or(0)
        );
    }
}

/// From the claim to the outcome.
fn run_time(run: &serde_json::Value) -> Duration {
    let at = |name: &str| {
        let text = run[name].as_str().expect("an instant");
        chrono::DateTime::parse_from_rfc3339(text).expect("an instant")
    };
    (at("finished_at") - at("started_at")).to_std().expect("it ends after it starts")
}
