//! The budget that processes on one ledger have together: never more than the limit in any three seconds, whoever
//! dies or joins; and what Braze says to one holds for all.
//!
//! `PEAK_BRAZE_BUDGET_SECS=60` makes it long.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use peak_braze::clock::Clock;
use peak_braze::sandbox::{Announce, Answer, Rate, RequestRecord, Rule, Settings};

use crate::support::app::from_env;
use crate::support::replicas::{Replicas, Setup};

const LEASE_SECS: u64 = 3;
/// Requests per three seconds of all together.
const LIMIT: usize = 300;
const SYNCS: [&str; 3] = ["north", "south", "west"];

fn setup(secs: u64, sandbox: Settings) -> Setup {
    // More work than even one of them could do alone in that time.
    let customers = u32::try_from(LIMIT as u64 * (secs + 10) / 3).expect("small");
    Setup {
        sandbox: Settings { latency: Duration::from_millis(5), ..sandbox },
        syncs: SYNCS.map(|sync| (sync, customers)).to_vec(),
        lease_secs: LEASE_SECS,
        destination: format!("batch_size = 1\nrequests_per_3s = {LIMIT}\nmax_in_flight = 16"),
    }
}

/// Most arrivals in any three seconds.
fn most(requests: &[RequestRecord]) -> usize {
    let mut times: Vec<f64> = requests.iter().map(|request| request.arrived_at).collect();
    times.sort_by(f64::total_cmp);
    let (mut first, mut most) = (0, 0);
    for (last, time) in times.iter().enumerate() {
        while times[first] + 3.0 <= *time {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most
}

fn by_sync(requests: &[RequestRecord]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        let id = request.external_ids.first().expect("a customer");
        *counts.entry(id.split('-').next().expect("its sync")).or_insert(0) += 1;
    }
    counts
}

fn between(requests: &[RequestRecord], from: f64, to: f64) -> Vec<RequestRecord> {
    requests.iter().filter(|request| (from..to).contains(&request.arrived_at)).cloned().collect()
}

/// Lets the processes send for so long: the passing of time is the story.
async fn let_them_send(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_come_and_go_never_send_more_than_the_limit_together() {
    let secs = from_env("PEAK_BRAZE_BUDGET_SECS", 18);
    let third = Duration::from_secs(secs) / 3;
    let replicas = Replicas::prepare(setup(secs, Settings { rate: Rate::Off, ..Settings::default() })).await;
    let mut services = Vec::new();
    for sync in SYNCS {
        let service = replicas.start(sync, &[sync], true).await;
        service.trigger_mode(sync, "force").await;
        services.push(service);
    }
    let all_send = async {
        while by_sync(&replicas.braze.requests()).len() < SYNCS.len() {
            let seen = replicas.braze.stats().requests;
            replicas.braze.wait_for(|stats| stats.requests > seen).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_send).await.expect("each gets its share");
    let begun = replicas.braze.requests().last().expect("some").arrived_at;
    let_them_send(third).await;
    let killed = replicas.braze.requests().last().expect("some").arrived_at;
    services[2].kill();
    let joined = replicas.start("late", &[SYNCS[2]], true).await;
    let_them_send(third * 2).await;
    let requests = replicas.braze.requests();
    let ended = requests.last().expect("some").arrived_at;
    drop((services, joined));

    let (whole, calm) = (between(&requests, begun, ended), between(&requests, begun + 4.0, killed));
    let after = between(&requests, ended - third.as_secs_f64() / 2.0, ended);
    let used = |requests: &[RequestRecord], secs: f64| requests.len() as f64 / (LIMIT as f64 * secs / 3.0);
    println!(
        "most in any 3 s: {} of {LIMIT}, over {:.0} s with a kill and a join; used {:.1} % of it; by sync {:?}, at the \
         end {:?}",
        most(&requests),
        ended - begun,
        100.0 * used(&whole, ended - begun),
        by_sync(&whole),
        by_sync(&after)
    );
    assert!(most(&requests) <= LIMIT, "{}", most(&requests));
    assert!(used(&whole, ended - begun) > 0.5, "the story has lost its point");
    for share in by_sync(&calm).values() {
        assert!(*share * SYNCS.len() * 2 > calm.len(), "no process goes without: {:?}", by_sync(&calm));
    }
    assert_eq!(by_sync(&after).len(), SYNCS.len(), "who joined has its share, too: {:?}", by_sync(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_braze_announces_to_one_process_holds_for_all() {
    // A busy machine takes its time, and requests were on their way.
    let sandbox =
        Settings { rate: Rate::Off, reset_grace: Duration::from_millis(750), ..Settings::default() };
    let replicas = Replicas::prepare(setup(10, sandbox)).await;
    let mut services = Vec::new();
    for sync in &SYNCS[..2] {
        let service = replicas.start(sync, &[sync], true).await;
        service.trigger_mode(sync, "force").await;
        services.push(service);
    }
    let both_send = async {
        while by_sync(&replicas.braze.requests()).len() < 2 {
            let seen = replicas.braze.stats().requests;
            replicas.braze.wait_for(|stats| stats.requests > seen).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both_send).await.expect("each gets its share");
    let limited = Answer::RateLimited { announce: Announce::SecondsLeft { secs: 3 } };
    replicas.braze.rule(Rule::new(limited).times(1));
    replicas.braze.wait_for(|stats| stats.by_status.contains_key(&429)).await;
    let heard = |requests: &[RequestRecord]| {
        let refused = requests.iter().find(|request| request.status == Some(429)).expect("it was refused");
        refused.finished_at.expect("it was answered")
    };
    let until = heard(&replicas.braze.requests()) + 3.0;
    let both_again = async {
        while by_sync(&between(&replicas.braze.requests(), until, f64::MAX)).len() < 2 {
            let seen = replicas.braze.stats().requests;
            replicas.braze.wait_for(|stats| stats.requests > seen).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both_again).await.expect("they go on afterwards");
    let requests = replicas.braze.requests();
    let late = between(&requests, until - 3.0, until - 0.01);
    let last = late.last().map_or(0.0, |request| request.arrived_at - (until - 3.0));
    println!("after a 429 that one heard, the last request of all came {:.0} ms later", last * 1_000.0);
    assert!(last < 0.75, "{last}");
    assert_eq!(replicas.braze.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_braze_announced_is_everybodys_once_the_run_is_shown_waiting() {
    let setup = setup(30, Settings { rate: Rate::Off, ..Settings::default() });
    // A share lasts a third of it: long enough for the request that hears of the wait.
    let replicas = Replicas::prepare(Setup { lease_secs: 20, ..setup }).await;
    let service = replicas.start(SYNCS[0], &SYNCS[..1], true).await;
    let run = service.trigger_mode(SYNCS[0], "force").await;
    replicas.braze.wait_for(|stats| stats.requests > 0).await;
    let database = sqlx::PgPool::connect_lazy(&replicas.postgres.url()).expect("an address");
    // Whoever keeps the shares gets no word through any more.
    let refusing = "create function peak_braze.refuse() returns trigger language plpgsql
                      as $$ begin raise exception 'not now'; end $$;
                    create trigger refuse before insert or update on peak_braze.budget_shares
                      for each row execute function peak_braze.refuse()";
    sqlx::raw_sql(refusing).execute(&database).await.expect("refused from now on");
    let secs = 30_u32;
    let reset = Clock::system().now() + TimeDelta::seconds(secs.into());
    let announce = Announce::SecondsLeft { secs: secs.into() };
    replicas.braze.rule(Rule::new(Answer::RateLimited { announce }).times(1));
    service.when(&run, |run| run.throttled_until.is_some_and(|at| at >= reset)).await;
    let known: Option<DateTime<Utc>> = sqlx::query_scalar("select max(held_until) from peak_braze.budgets")
        .fetch_one(&database)
        .await
        .expect("a budget");
    assert!(known.is_some_and(|at| at >= reset), "{known:?} for {reset}");
}
