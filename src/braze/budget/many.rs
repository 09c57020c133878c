//! Fifty syncs on five replicas that share ten workspaces, by the real cadence, budgets and tables: how long they take
//! beside what the limits alone would allow. `deploy/SIZING.md` quotes what this prints.

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::tests::most_in;
use super::together::ask;
use super::*;
use crate::cadence;
use crate::share::Table;

const WORKSPACES: usize = 10;
const SYNCS: usize = 50;
const REPLICAS: usize = 5;
/// Braze's limit of a workspace. Source: Braze docs, User track: 3,000 requests per 3 seconds.
const LIMIT: u32 = 3_000;
const EXACT_WINDOW: Duration = Duration::from_secs(3);
/// A lease, and how often the queue is looked at.
const LEASE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(4);
/// Requests a replica's machine prepares in a tick: 300,000 customers a second on two cores, 75 in each.
const PREPARED: usize = 16;
const PATIENCE: Duration = Duration::from_secs(600);

struct Sync {
    workspace: usize,
    requests: u32,
    due: DateTime<Utc>,
    claim: Claim,
}

#[derive(Clone, Copy, PartialEq)]
enum Claim {
    Queued,
    /// By this replica.
    Running(usize),
    /// Its replica died then.
    Orphaned(Instant),
    Done(Instant),
}

/// What one replica has of one workspace.
struct Place {
    budget: Budget,
    next_ask: Option<Instant>,
    turn: usize,
}

struct Model {
    syncs: Vec<Sync>,
    tables: Vec<Table>,
    /// By replica and workspace; none for a replica that is dead.
    places: Vec<Option<Vec<Place>>>,
    starts: Vec<Vec<Instant>>,
    asks: usize,
    chance: TestRng,
    began: Instant,
    wall: DateTime<Utc>,
}

impl Model {
    fn new(seed: u8) -> Self {
        let now = Instant::now();
        let mut chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let eve = "2026-03-01T05:59:59Z".parse().expect("an instant");
        let due = cadence::next_after("0 6 * * *", "UTC", eve).expect("comes round");
        let syncs = (0..SYNCS).map(|number| Sync {
            workspace: number % WORKSPACES,
            // A tenth of a million to two millions of changed customers.
            requests: 1_334 + chance.next_u32() % 25_333,
            due,
            claim: Claim::Queued,
        });
        let syncs = syncs.collect();
        let place = || Place { budget: Budget::shared(LIMIT, None, now), next_ask: None, turn: 0 };
        let places = (0..REPLICAS).map(|_| Some((0..WORKSPACES).map(|_| place()).collect())).collect();
        Self {
            syncs,
            tables: vec![Table::default(); WORKSPACES],
            places,
            starts: vec![Vec::new(); WORKSPACES],
            asks: 0,
            chance,
            began: now,
            wall: eve,
        }
    }

    /// Whoever is first to look has it: by chance.
    fn claim(&mut self, now: Instant) {
        let alive: Vec<usize> = (0..REPLICAS).filter(|replica| self.places[*replica].is_some()).collect();
        for sync in &mut self.syncs {
            let is_free = match sync.claim {
                Claim::Queued => sync.due <= self.wall,
                Claim::Orphaned(died) => died + LEASE <= now,
                Claim::Running(_) | Claim::Done(_) => false,
            };
            if is_free {
                sync.claim = Claim::Running(alive[self.chance.next_u32() as usize % alive.len()]);
            }
        }
    }

    fn kill(&mut self, replica: usize, now: Instant) {
        self.places[replica] = None;
        let lost = self.syncs.iter_mut().filter(|sync| sync.claim == Claim::Running(replica));
        lost.for_each(|sync| sync.claim = Claim::Orphaned(now));
    }

    fn step(&mut self, now: Instant) {
        for replica in 0..REPLICAS {
            let Some(places) = &mut self.places[replica] else { continue };
            let mut prepared = PREPARED;
            for (workspace, place) in places.iter_mut().enumerate() {
                let of_it =
                    |sync: &&mut Sync| sync.claim == Claim::Running(replica) && sync.workspace == workspace;
                let mut runs: Vec<&mut Sync> = self.syncs.iter_mut().filter(of_it).collect();
                prepared -= send(place, &mut runs, prepared, now, &mut self.starts[workspace]);
                let table = &mut self.tables[workspace];
                let asked = ask(&place.budget, &mut place.next_ask, table, now, self.wall);
                self.asks += usize::from(asked);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.syncs.iter().all(|sync| matches!(sync.claim, Claim::Done(_)))
    }

    fn print(&self, story: &str) -> f64 {
        println!("{story}:");
        println!("workspace  customers  at the limit  took    of the limit  most in 3 s");
        let mut worst = 1.0_f64;
        for workspace in 0..WORKSPACES {
            let syncs = || self.syncs.iter().filter(|sync| sync.workspace == workspace);
            let requests = self.starts[workspace].len();
            let ideal = requests as f64 * EXACT_WINDOW.as_secs_f64() / f64::from(LIMIT);
            let ends = syncs().filter_map(|sync| match sync.claim {
                Claim::Done(at) => Some(at - self.began - Duration::from_secs(1)),
                _ => None,
            });
            let took = ends.max().unwrap_or_default().as_secs_f64();
            let most = most_in(&self.starts[workspace], EXACT_WINDOW);
            assert!(most <= LIMIT as usize, "{most} requests in one window of workspace {workspace}");
            worst = worst.min(ideal / took);
            let (share, customers) = (100.0 * ideal / took, requests * 75);
            println!(
                "{workspace:>9}  {customers:>9}  {ideal:>10.1} s  {took:>5.1} s  {share:>10.1} %  {most:>11}"
            );
        }
        let secs = (Instant::now() - self.began).as_secs_f64();
        println!("asks of the ledger: {} in {secs:.0} s, {:.1} a second", self.asks, self.asks as f64 / secs);
        worst
    }
}

/// Sends what the budget and the machine let go, a request of each run in turn.
fn send(
    place: &mut Place,
    runs: &mut [&mut Sync],
    prepared: usize,
    now: Instant,
    starts: &mut Vec<Instant>,
) -> usize {
    let mut sent = 0;
    while sent < prepared && runs.iter().any(|run| run.requests > 0) {
        match place.budget.take(now, 0) {
            Leave::Granted => {}
            Leave::NoShare => {
                place.next_ask = place.next_ask.or(Some(now));
                break;
            }
            _ => break,
        }
        sent += 1;
        starts.push(now);
        let (before, after) = runs.split_at_mut(place.turn % runs.len());
        let run = after.iter_mut().chain(before).find(|run| run.requests > 0).expect("one has some left");
        run.requests -= 1;
        if run.requests == 0 {
            run.claim = Claim::Done(now);
        }
        place.turn += 1;
    }
    sent
}

/// Runs the model to the end, killing replica 0 after `dies`.
async fn run(seed: u8, dies: Option<Duration>) -> Model {
    let mut model = Model::new(seed);
    let mut looked = model.began;
    let mut dies = dies;
    while !model.is_done() {
        let now = Instant::now();
        assert!(now - model.began < PATIENCE, "not done");
        if dies.is_some_and(|after| now - model.began >= after) {
            model.kill(0, now);
            dies = None;
        }
        if now >= looked {
            model.claim(now);
            looked = now + LOOK;
        }
        model.step(now);
        tokio::time::advance(TICK).await;
        model.wall += TICK;
    }
    model
}

#[tokio::test(start_paused = true)]
async fn fifty_syncs_on_five_replicas_take_little_longer_than_the_limits_of_ten_workspaces_allow() {
    let used = run(1, None).await.print("Five replicas, all alive");
    assert!(used > 0.7, "{used}");
    let used = run(2, Some(Duration::from_secs(10))).await.print("One of five killed after 10 s");
    assert!(used > 0.5, "{used}");
}
