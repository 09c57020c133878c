use super::hour::HOUR_SECS;
use super::*;
use crate::braze::announced::Announced;
use crate::share::HourDealt;

const EXACT_WINDOW: Duration = Duration::from_secs(3);

/// Starts as many requests as it may for `secs`; the timer fires every `tick`.
async fn starts(budget: &Budget, secs: u64, tick: Duration) -> Vec<Instant> {
    let (mut starts, end) = (Vec::new(), Instant::now() + Duration::from_secs(secs));
    while Instant::now() < end {
        while budget.take(Instant::now(), 0) == Leave::Granted {
            starts.push(Instant::now());
        }
        tokio::time::sleep(tick).await;
    }
    starts
}

pub(super) fn most_in(starts: &[Instant], window: Duration) -> usize {
    let mut first = 0;
    let up_to = |last: usize| {
        while starts[last] - starts[first] >= window {
            first += 1;
        }
        last + 1 - first
    };
    (0..starts.len()).map(up_to).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn no_window_ever_holds_more_than_the_limit() {
    for (limit, tick) in [(1, 1), (7, 1), (30, 3), (3_000, 1), (3_000, 20)] {
        let budget = Budget::new(limit, None, Instant::now());
        let starts = starts(&budget, 12, Duration::from_millis(tick)).await;
        assert!(most_in(&starts, EXACT_WINDOW) <= limit as usize, "{limit} {tick}");
        assert!(!starts.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_a_second_flow_evenly() {
    let budget = Budget::new(3_000, None, Instant::now());
    let starts = starts(&budget, 10, Duration::from_millis(1)).await;
    assert!(starts.len() >= 9_900, "{}", starts.len());
    assert!(most_in(&starts, Duration::from_millis(100)) <= 130);
}

#[tokio::test(start_paused = true)]
async fn after_rest_there_is_no_rush() {
    let budget = Budget::new(3_000, None, Instant::now());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let starts = starts(&budget, 4, Duration::from_millis(1)).await;
    assert!(most_in(&starts, Duration::from_millis(5)) <= 32);
    assert!(most_in(&starts, EXACT_WINDOW) <= 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_new_process_keeps_its_predecessors_window() {
    for limit in [3, 30, 3_000] {
        let before = Budget::new(limit, None, Instant::now());
        let mut all = starts(&before, 10, Duration::from_millis(1)).await;
        let after = Budget::new(limit, None, Instant::now());
        all.extend(starts(&after, 10, Duration::from_millis(1)).await);
        let burst = (limit / 100) as usize + 1;
        assert!(most_in(&all, EXACT_WINDOW) <= limit as usize + burst, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_hour_holds_more_than_its_share() {
    let budget = Budget::new(3_000, Some(500), Instant::now());
    let starts = starts(&budget, 3 * 3_600, Duration::from_millis(250)).await;
    assert_eq!(most_in(&starts, Duration::from_secs(HOUR_SECS)), 500);
    assert_eq!(starts.len(), 1_500);
    assert!(matches!(budget.take(Instant::now(), 0), Leave::Granted | Leave::HourSpent(_)));
}

#[tokio::test(start_paused = true)]
async fn other_limits_count_what_was_started_before() {
    let budget = Budget::new(3_000, Some(100), Instant::now());
    let mut all = starts(&budget, 1, Duration::from_millis(1)).await;
    assert_eq!(all.len(), 100);
    budget.keep_to(30, Some(400), Instant::now());
    all = starts(&budget, 9, Duration::from_millis(1)).await;
    assert!((60..=90).contains(&all.len()) && most_in(&all, EXACT_WINDOW) <= 30, "{}", all.len());
    budget.keep_to(3_000, Some(400), Instant::now());
    let more = starts(&budget, 10, Duration::from_millis(1)).await;
    assert_eq!(100 + all.len() + more.len(), 400);
}

fn told(limit: u32, remaining: u32, reset_secs: u64) -> Told {
    Told { limit: Some(limit), remaining, reset: Announced::In(Duration::from_secs(reset_secs)) }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_what_may_still_start() {
    let budget = Budget::new(30, Some(100), Instant::now());
    assert_eq!(budget.left(Instant::now()), [("3s", 0), ("hour", 100)]);
    tokio::time::sleep(WINDOW).await;
    assert_eq!(budget.left(Instant::now()), [("3s", 30), ("hour", 100)]);
    assert_eq!(budget.take(Instant::now(), 0), Leave::Granted);
    budget.learn(&told(30, 7, 3), Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
    assert_eq!(budget.left(Instant::now()), [("3s", 29), ("hour", 99), ("told", 7)]);
    tokio::time::sleep(Duration::from_secs(HOUR_SECS + 1)).await;
    assert_eq!(budget.left(Instant::now()), [("3s", 30), ("hour", 100)]);
    let shared = Budget::shared(30, Some(100), Instant::now());
    assert_eq!(shared.left(Instant::now()), [("3s", 0), ("hour", 0)], "nothing before a share is dealt");
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_when_nothing_remains() {
    let budget = Budget::new(3_000, None, Instant::now());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (now, wall) = (Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
    budget.learn(&told(100_000, 5, 600), now, wall);
    assert_eq!(budget.take(now, 4), Leave::Granted);
    let reset = now + Duration::from_secs(600);
    assert_eq!(budget.take(now, 5), Leave::MayBeTaken(reset));
    budget.learn(&told(100_000, 0, 600), now, wall);
    budget.learn(&told(100_000, 3, 600), now, wall);
    assert_eq!(budget.take(now, 0), Leave::NothingRemains(reset));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(budget.take(Instant::now(), 0), Leave::Granted);
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_told_is_kept_to() {
    let budget = Budget::new(3_000, None, Instant::now());
    budget.learn(&told(300, 299, 3), Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let starts = starts(&budget, 9, Duration::from_millis(1)).await;
    assert!(most_in(&starts, EXACT_WINDOW) <= 300);
    assert!(starts.len() >= 880, "{}", starts.len());
}

fn dealt(share: u32, lasts_secs: u64) -> Dealt {
    Dealt { share, due: share, lasts: Duration::from_secs(lasts_secs), hour: None, hold: None }
}

#[tokio::test(start_paused = true)]
async fn of_a_shared_budget_nothing_starts_without_a_share_or_once_it_has_run_out() {
    let budget = Budget::shared(3_000, None, Instant::now());
    assert_eq!(budget.take(Instant::now(), 0), Leave::NoShare);
    let ask = budget.ask(None, Instant::now()).expect("shared");
    assert_eq!((ask.keeping, ask.wants, ask.limit), (0, 3_000, 3_000));
    assert_eq!(budget.dealt(&dealt(300, 6), Moment::now(), Instant::now()), Standing::Served);
    let starts = starts(&budget, 60, Duration::from_millis(1)).await;
    // Its own clock ends it before the table's does.
    let last = *starts.last().expect("some");
    let first = starts[0];
    assert!(last - first < Duration::from_secs(6) - crate::share::MARGIN);
    assert!(starts.len() > 500 && most_in(&starts, EXACT_WINDOW) <= 300, "{}", starts.len());
    assert_eq!(budget.ask(None, Instant::now()).expect("shared").keeping, 0);
}

#[tokio::test(start_paused = true)]
async fn of_a_shared_budget_more_is_asked_for_only_by_who_waits_for_it() {
    let budget = Budget::shared(300, None, Instant::now());
    budget.take(Instant::now(), 0);
    budget.ask(None, Instant::now());
    budget.dealt(&dealt(300, 60), Moment::now(), Instant::now());
    starts(&budget, 4, Duration::from_millis(1)).await;
    let ask = budget.ask(None, Instant::now()).expect("shared");
    assert_eq!(ask.wants, 300, "it waits nearly all the time");
    tokio::time::sleep(Duration::from_secs(4)).await;
    // Ten requests a second, as fast as they are answered.
    for _ in 0..40 {
        assert_eq!(budget.take(Instant::now(), 0), Leave::Granted);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ask = budget.ask(None, Instant::now()).expect("shared");
    assert!((31..=60).contains(&ask.wants), "{ask:?}");
    assert_eq!(budget.dealt(&dealt(45, 60), Moment::now(), Instant::now()), Standing::Lowered);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let ask = budget.ask(None, Instant::now()).expect("shared");
    assert_eq!((ask.keeping, ask.wants), (45, 0));
    assert_eq!(budget.dealt(&dealt(0, 60), Moment::now(), Instant::now()), Standing::Lowered);
    budget.ask(None, Instant::now());
    assert_eq!(budget.dealt(&dealt(0, 60), Moment::now(), Instant::now()), Standing::Idle);
    assert_eq!(budget.take(Instant::now(), 0), Leave::NoShare);
}

#[tokio::test(start_paused = true)]
async fn of_a_shared_hour_no_more_is_started_than_was_dealt() {
    let budget = Budget::shared(300, Some(100), Instant::now());
    budget.take(Instant::now(), 0);
    let ask = budget.ask(None, Instant::now()).expect("shared").hour.expect("it has a limit");
    assert_eq!((ask.limit, ask.used, ask.keeping), (100, 0, 0));
    let hour = |up_to, more_in| Some(HourDealt { up_to, more_in });
    let some = Dealt { hour: hour(40, None), ..dealt(300, 60) };
    budget.dealt(&some, Moment::now(), Instant::now());
    assert_eq!(starts(&budget, 5, Duration::from_millis(1)).await.len(), 40);
    assert_eq!(budget.take(Instant::now(), 0), Leave::NoShare, "until it asks again");
    let ask = budget.ask(None, Instant::now()).expect("shared").hour.expect("it has a limit");
    assert_eq!((ask.used, ask.keeping), (40, 40));
    let wait = Duration::from_secs(1_000);
    let none = Dealt { hour: hour(40, Some(wait)), ..dealt(300, 60) };
    let now = Instant::now();
    budget.dealt(&none, Moment::now(), now);
    assert_eq!(budget.take(now, 0), Leave::HourSpent(now + wait));
}
