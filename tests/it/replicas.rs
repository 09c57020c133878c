//! Processes that share a ledger on PostgreSQL: whoever is frozen past its lease does nothing once it wakes, and
//! whoever dies is replaced in time.
//!
//! `PEAK_BRAZE_ZOMBIES=50` and `PEAK_BRAZE_TAKEOVERS=50` make it long.

use std::time::Duration;

use peak_braze::clock::Clock;
use peak_braze::run::{Run, RunState};
use peak_braze::sandbox::{Announce, Answer, Rule, Settings};

use crate::support::app::{assert_identities, from_env};
use crate::support::process::Service;
use crate::support::replicas::{Replicas, Setup};

const SYNC: &str = "predictions";
const CUSTOMERS: u32 = 1_500;
const LEASE_SECS: u64 = 3;
/// What the contract allows on top of the lease.
const TAKEOVER: Duration = Duration::from_secs(LEASE_SECS + 2);

/// Two processes that know the same sync. One sends the bulk header, the other does not.
struct Pair {
    replicas: Replicas,
    services: [Service; 2],
}

impl Pair {
    async fn start() -> Self {
        let setup = Setup {
            sandbox: Settings { latency: Duration::from_millis(5), ..Settings::default() },
            syncs: vec![(SYNC, CUSTOMERS)],
            lease_secs: LEASE_SECS,
            // Some seconds of work for each run.
            destination: "batch_size = 5\nrequests_per_3s = 450\nmax_in_flight = 8".to_owned(),
        };
        let replicas = Replicas::prepare(setup).await;
        let services =
            [replicas.start("plain", &[SYNC], false).await, replicas.start("bulk", &[SYNC], true).await];
        Self { replicas, services }
    }

    /// Starts a run that sends everything; waits until some of it is sent, and says who has it.
    async fn begin(&self, round: u64) -> (String, usize) {
        let seen = self.replicas.braze.stats().requests;
        let asked = usize::try_from(round % 2).expect("0 or 1");
        let run = self.services[asked].trigger_mode(SYNC, "force").await;
        let who = usize::from(self.replicas.next_after(seen).await);
        self.replicas.braze.wait_for(|stats| stats.requests > seen + 5 + round % 60).await;
        (run, who)
    }

    /// Waits until the run has been claimed again.
    async fn taken_over(&self, run: &str, by: usize) -> Run {
        self.services[by].when(run, |run| run.attempt > 1).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_frozen_past_its_lease_sends_nothing_and_changes_nothing_once_it_wakes() {
    let zombies = from_env("PEAK_BRAZE_ZOMBIES", 2);
    let pair = Pair::start().await;
    let (mut after_the_fence, mut ended) = (0, Vec::new());
    for round in 0..zombies {
        let (run, zombie) = pair.begin(round).await;
        let other = 1 - zombie;
        let lost_before = pair.services[zombie].times_said("the lease was lost");
        pair.services[zombie].freeze();
        pair.taken_over(&run, other).await;
        // By turns it wakes while the other is at work, and once all is done.
        let wakes_late = round % 2 == 1;
        if wakes_late {
            pair.services[other].finished(&run).await;
        }
        let woken_at = pair.replicas.braze.stats().requests;
        pair.services[zombie].thaw();
        pair.services[zombie].says_more_often("the lease was lost", lost_before).await;
        let end = pair.services[other].finished(&run).await;
        let sent = pair.replicas.requests_of(zombie == 1);
        after_the_fence += sent.iter().filter(|request| request.number > woken_at).count();
        assert_eq!(end.state, RunState::Succeeded, "{end:?}");
        assert_identities(&end);
        ended.push(end);
    }
    let mut doubles = 0;
    for end in &ended {
        let now = pair.services[0].run(&end.id.to_string()).await;
        doubles += usize::from(now != *end);
    }
    println!(
        "{zombies} zombies: {after_the_fence} requests after the fence, {doubles} runs that ended twice"
    );
    assert_eq!((after_the_fence, doubles), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_is_replaced_within_its_lease_and_two_seconds() {
    let takeovers = from_env("PEAK_BRAZE_TAKEOVERS", 2);
    let mut pair = Pair::start().await;
    let (mut claims, mut sends, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..takeovers {
        let (run, victim) = pair.begin(round).await;
        let other = 1 - victim;
        // Every fifth dies while Braze keeps everybody waiting.
        let is_held = round % 5 == 1;
        if is_held {
            let limited = Answer::RateLimited { announce: Announce::SecondsLeft { secs: LEASE_SECS + 2 } };
            let reset = Clock::system().now() + Duration::from_secs(LEASE_SECS + 2);
            pair.replicas.braze.rule(Rule::new(limited).times(1));
            // Not a shorter wait of its own, after an answer that was late.
            pair.services[victim].when(&run, |run| run.throttled_until.is_some_and(|at| at >= reset)).await;
        }
        let killed_at = Clock::system().now();
        pair.services[victim].kill();
        let seen = pair.replicas.braze.stats().requests;
        let again = pair.taken_over(&run, other).await;
        let claimed_at = pair.services[other].said_at(&[&run, "attempt=2", "run claimed"]);
        claims.push((claimed_at - killed_at).to_std().expect("later"));
        assert_eq!(again.attempt, 2, "nobody else was at it");
        pair.replicas.braze.wait_for(|stats| stats.requests > seen).await;
        sends.push((Clock::system().now() - killed_at).to_std().expect("later"));
        let end = pair.services[other].finished(&run).await;
        assert_eq!(end.state, RunState::Succeeded, "{end:?}");
        assert_identities(&end);
        ended.push(end);
        let (name, bulk_header) = [("plain", false), ("bulk", true)][victim];
        pair.services[victim] = pair.replicas.start(name, &[SYNC], bulk_header).await;
    }
    let mut doubles = 0;
    for end in &ended {
        doubles += usize::from(pair.services[0].run(&end.id.to_string()).await != *end);
    }
    claims.sort();
    sends.sort();
    let (median, most) = (claims[claims.len() / 2], claims[claims.len() - 1]);
    println!(
        "{takeovers} takeovers with a lease of {LEASE_SECS} s: claimed after {median:?} (median), {most:?} (longest); \
         sending after {:?}, {:?}; {doubles} runs that ended twice",
        sends[sends.len() / 2],
        sends[sends.len() - 1],
    );
    assert_eq!(doubles, 0);
    assert!(most <= TAKEOVER, "{claims:?}");
    assert_eq!(pair.replicas.braze.violations(), Vec::<String>::new());
}
