//! Real budgets that share one table: each paced, all together within the limit.

use proptest::prelude::*;

use super::tests::most_in;
use super::*;
use crate::share::Table;

const EXACT_WINDOW: Duration = Duration::from_secs(3);
const LASTS: Duration = Duration::from_secs(6);
const RENEW: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(1);

/// A replica that sends as much as it may while it is `busy`, and asks as the app does.
struct Replica {
    budget: Budget,
    next_ask: Option<Instant>,
    busy: bool,
    starts: Vec<Instant>,
}

impl Replica {
    fn new(limit: u32, busy: bool) -> Self {
        let now = Instant::now();
        Self { budget: Budget::shared(limit, None, now), next_ask: None, busy, starts: Vec::new() }
    }

    fn step(&mut self, table: &mut Table, now: Instant, wall: DateTime<Utc>) {
        while self.busy {
            match self.budget.take(now, 0) {
                Leave::Granted => self.starts.push(now),
                Leave::NoShare => {
                    self.next_ask = self.next_ask.or(Some(now));
                    break;
                }
                _ => break,
            }
        }
        ask(&self.budget, &mut self.next_ask, table, now, wall);
    }
}

/// Asks the table as the app does; says whether it was time to.
pub(super) fn ask(
    budget: &Budget,
    next_ask: &mut Option<Instant>,
    table: &mut Table,
    now: Instant,
    wall: DateTime<Utc>,
) -> bool {
    if next_ask.is_none_or(|at| at > now) {
        return false;
    }
    let ask = budget.ask(None, now).expect("shared");
    let dealt = table.deal(&ask, LASTS, wall);
    *next_ask = match budget.dealt(&dealt, Moment::now(), now) {
        Standing::Lowered => Some(now),
        Standing::Short => Some(now + RENEW / 4),
        Standing::Served => Some(now + RENEW),
        Standing::Idle => None,
    };
    true
}

async fn run(replicas: &mut [Replica], table: &mut Table, time: Duration, wall: &mut DateTime<Utc>) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for replica in &mut *replicas {
            replica.step(table, Instant::now(), *wall);
        }
        tokio::time::advance(TICK).await;
        *wall += TICK;
    }
}

fn all(replicas: &[Replica]) -> Vec<Instant> {
    let mut starts: Vec<Instant> =
        replicas.iter().flat_map(|replica| replica.starts.iter().copied()).collect();
    starts.sort();
    starts
}

#[tokio::test(start_paused = true)]
async fn a_lone_busy_replica_has_nearly_all_of_it() {
    for limit in [3, 30, 3_000] {
        let (mut table, mut wall) = (Table::default(), DateTime::<Utc>::UNIX_EPOCH);
        let mut replicas = [Replica::new(limit, true), Replica::new(limit, false)];
        run(&mut replicas, &mut table, Duration::from_secs(31), &mut wall).await;
        let sent = all(&replicas).len();
        assert!(sent >= limit as usize * 10 * 95 / 100, "{sent} of {limit}");
        assert!(most_in(&all(&replicas), EXACT_WINDOW) <= limit as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn who_needs_little_leaves_the_rest() {
    let (mut table, mut wall) = (Table::default(), DateTime::<Utc>::UNIX_EPOCH);
    let mut replicas = [Replica::new(300, true), Replica::new(300, false)];
    run(&mut replicas, &mut table, Duration::from_secs(10), &mut wall).await;
    // One request every half second, beside one that sends all it may.
    for _ in 0..40 {
        replicas[1].busy = true;
        let before = replicas[1].starts.len();
        while replicas[1].starts.len() == before {
            run(&mut replicas, &mut table, TICK, &mut wall).await;
        }
        replicas[1].busy = false;
        run(&mut replicas, &mut table, Duration::from_millis(500), &mut wall).await;
    }
    let from = Instant::now() - Duration::from_secs(9);
    let sent = replicas[0].starts.iter().filter(|start| **start >= from).count();
    assert!(sent >= 750, "{sent} of 900");
    assert!(most_in(&all(&replicas), EXACT_WINDOW) <= 300);
}

#[tokio::test(start_paused = true)]
async fn who_gives_back_asks_for_nothing() {
    let (mut table, mut wall) = (Table::default(), DateTime::<Utc>::UNIX_EPOCH);
    let mut replicas = [Replica::new(300, true), Replica::new(300, true)];
    run(&mut replicas, &mut table, Duration::from_secs(10), &mut wall).await;
    let budget = &replicas[0].budget;
    budget.give_back();
    let ask = budget.ask(None, Instant::now()).expect("shared");
    assert_eq!((ask.keeping, ask.wants), (0, 0));
    let dealt = table.deal(&ask, LASTS, wall);
    assert_eq!((dealt.share, dealt.due), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn together_they_never_go_over(limit in 1_u32..400, turns in prop::collection::vec((0_usize..3, any::<bool>(), 50_u64..4_000), 8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let starts = runtime.block_on(async {
            let (mut table, mut wall) = (Table::default(), DateTime::<Utc>::UNIX_EPOCH);
            let mut replicas = [(); 3].map(|()| Replica::new(limit, true));
            for (which, busy, millis) in turns {
                replicas[which].busy = busy;
                run(&mut replicas, &mut table, Duration::from_millis(millis), &mut wall).await;
            }
            all(&replicas)
        });
        prop_assert!(most_in(&starts, EXACT_WINDOW) <= limit as usize);
    }
}
