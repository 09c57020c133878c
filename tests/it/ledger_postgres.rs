//! A ledger on PostgreSQL: the suite, and what replicas that share one can do to each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use peak_braze::clock::Clock;
use peak_braze::config::{self, NotifyEvent};
use peak_braze::customer::{ChunkBuilder, Value, Zone};
use peak_braze::ledger::{Finish, Group, Ledger, LedgerError, Notice, Recorded, Subscriber};
use peak_braze::run::{Mode, Progress, RunState};
use peak_braze::share::Ask;
use sqlx::PgPool;
use uuid::Uuid;

use crate::ledger_suite::{
    LEASE_SECS, SYNC, Time, checkpoint, claim, deliver, delivery, ending, finish, is_lost, outlast_the_lease,
    queue, start, state, try_claim,
};
use crate::support::postgres::Postgres;

/// A ledger in a cluster of its own.
struct Bed {
    ledger: Ledger,
    time: Time,
    url: String,
    folder: tempfile::TempDir,
    postgres: Postgres,
}

impl Bed {
    /// Another replica on the same database.
    async fn replica(&self) -> Ledger {
        let settings = settings(&self.folder, &self.url);
        Ledger::open(&settings, self.time.clock.clone()).await.expect("a second replica")
    }
}

async fn bed() -> Bed {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("key"), "a key of thirty-two bytes or more").expect("written");
    let url = postgres.url();
    let clock = Clock::manual(start());
    let ledger = Ledger::open(&settings(&folder, &url), clock.clone()).await.expect("a new ledger");
    let time = Time::of_the_database(clock, PgPool::connect_lazy(&url).expect("an address")).await;
    Bed { ledger, time, url, folder, postgres }
}

fn settings(folder: &tempfile::TempDir, url: &str) -> config::Ledger {
    config::Ledger {
        url: url.to_owned(),
        lease_secs: LEASE_SECS,
        digest_key: Some(config::SecretRef::File(folder.path().join("key"))),
        retention_days: 7,
    }
}

mod suite {
    crate::ledger_suite::told_by!(crate::ledger_postgres::bed);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_replicas_one_has_the_run() {
    let bed = bed().await;
    let replicas = [bed.ledger.clone(), bed.replica().await, bed.replica().await];
    for _ in 0..10 {
        queue(&bed.ledger, Mode::Delta).await;
        let claims = join_all(replicas.iter().map(try_claim)).await;
        let mut leases: Vec<_> = claims.into_iter().flatten().collect();
        assert_eq!(leases.len(), 1);
        finish(&replicas[1], leases.remove(0), RunState::Succeeded).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_starts_leaves_the_others_their_runs() {
    let bed = bed().await;
    let run = queue(&bed.ledger, Mode::Delta).await;
    let mut lease = claim(&bed.ledger).await;
    let late = bed.replica().await;
    assert!(try_claim(&late).await.is_none());
    bed.ledger.heartbeat(&mut lease).await.expect("still its own");
    assert_eq!(state(&late, run).await, RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_slept_past_its_lease_changes_nothing() {
    let bed = bed().await;
    let (sleeper, other) = (bed.ledger.clone(), bed.replica().await);
    let run = queue(&sleeper, Mode::Delta).await;
    let mut slept = claim(&sleeper).await;
    outlast_the_lease(&bed.time).await;
    let taken_over = claim(&other).await;
    let target = sleeper.target(SYNC, "braze", &["churn"]).await.expect("a target").number;

    assert!(is_lost(sleeper.heartbeat(&mut slept).await));
    assert!(is_lost(sleeper.mark_in_flight(&slept, target, &["c-1"]).await));
    assert!(is_lost(sleeper.finish(slept, ending(RunState::Succeeded)).await));
    assert_eq!(state(&sleeper, run).await, RunState::Running);
    finish(&other, taken_over, RunState::Partial).await;
    assert_eq!(state(&sleeper, run).await, RunState::Partial);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_a_failover_forgot_changes_nothing() {
    let bed = bed().await;
    let run = queue(&bed.ledger, Mode::Delta).await;
    let mut forgotten = claim(&bed.ledger).await;
    let database = PgPool::connect_lazy(&bed.url).expect("an address");
    // As the standby has it that was promoted before it heard of the claim.
    sqlx::query(
        "update peak_braze.runs set state = 'queued', attempt = 0, epoch = 0, lease_expires_at = null",
    )
    .execute(&database)
    .await
    .expect("set back");
    let other = claim(&bed.replica().await).await;
    assert_eq!((other.run.id, other.run.attempt), (run, 1));
    assert_ne!(other.epoch, forgotten.epoch);
    assert!(is_lost(bed.ledger.heartbeat(&mut forgotten).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_run_sent_last_is_the_same_moment_by_every_replicas_clock() {
    let bed = bed().await;
    queue(&bed.ledger, Mode::Delta).await;
    let lease = claim(&bed.ledger).await;
    let target = bed.ledger.target(SYNC, "braze", &["churn"]).await.expect("a target").number;
    // The database's clock stays where it is: the sender's is ten minutes ahead, the next one's is right.
    bed.time.clock.advance(TimeDelta::minutes(10));
    let kept = checkpoint(1);
    let group = Group {
        in_flight: None,
        sent: Vec::new(),
        rejections: Vec::new(),
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &kept,
        progress: Progress::default(),
        sent_at: Some(bed.time.now() - TimeDelta::seconds(2)),
    };
    bed.ledger.record_group(&lease, target, group).await.expect("recorded");
    bed.time.clock.set(start());
    let last_sent = bed.ledger.sync_state(SYNC).await.expect("a ledger").last_sent;
    assert_eq!(last_sent, Some((start() - TimeDelta::seconds(2), lease.number)));
    bed.time.clock.advance(TimeDelta::minutes(-10));
    let by_one_behind = bed.ledger.sync_state(SYNC).await.expect("a ledger").last_sent;
    assert_eq!(by_one_behind.map(|(at, _)| bed.time.now() - at), Some(TimeDelta::seconds(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_ahead_prunes_nothing_before_its_time() {
    let bed = bed().await;
    let run = queue(&bed.ledger, Mode::Delta).await;
    finish(&bed.ledger, claim(&bed.ledger).await, RunState::Succeeded).await;
    bed.time.clock.advance(TimeDelta::days(400));
    assert_eq!(bed.ledger.prune().await.expect("pruned").rows, 0);
    assert_eq!(state(&bed.ledger, run).await, RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_deliveries_to_two_replicas_are_one_run() {
    let bed = bed().await;
    let replicas = [bed.ledger.clone(), bed.replica().await];
    let all = (0..200).map(|number| replicas[number % 2].record_delivery(delivery("evt-1", 1)));
    let mut runs = Vec::new();
    let mut accepted = 0;
    for recorded in join_all(all).await {
        match recorded.expect("recorded") {
            Recorded::Accepted { run_id, .. } => {
                accepted += 1;
                runs.push(run_id);
            }
            Recorded::Duplicate { run: Some((run_id, _)), .. } => runs.push(run_id),
            other => panic!("{other:?}"),
        }
    }
    runs.dedup();
    assert_eq!((accepted, runs.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_queued_at_one_replica_wakes_the_others() {
    let bed = bed().await;
    let other = bed.replica().await;
    let woken = other.wake();
    // A wake-up that came while nobody listened yet is made up for by the poll; here one comes at every try.
    let heard = async {
        loop {
            let notified = woken.notified();
            let run = queue(&bed.ledger, Mode::Delta).await;
            if tokio::time::timeout(Duration::from_secs(1), notified).await.is_ok() {
                return;
            }
            bed.ledger.cancel(run).await.expect("cancelled, so that the next one is new");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("it hears");
}

fn ask(number: u64, keeping: u32, wants: u32) -> Ask {
    let holder = Uuid::from_u64_pair(0, number);
    Ask { holder, keeping, wants, limit: 300, hour: None, hold: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_moves_once_it_can_no_longer_be_used_and_a_hold_is_everybodys() {
    let bed = bed().await;
    let (one, other) = (bed.ledger.clone(), bed.replica().await);
    let deal = async |ledger: &Ledger, ask: Ask| ledger.deal("a budget", &ask).await.expect("dealt");
    assert_eq!(deal(&one, ask(1, 0, 300)).await.share, 300);
    let calls = one.share_calls();
    let called = calls.notified();
    let waits = deal(&other, ask(2, 0, 300)).await;
    assert_eq!((waits.share, waits.due), (0, 150));
    tokio::time::timeout(Duration::from_secs(30), called).await.expect("who holds it all is called");
    assert_eq!(deal(&one, ask(1, 300, 300)).await.share, 150);
    assert_eq!(deal(&other, ask(2, 0, 300)).await.share, 0, "it may not have heard");
    assert_eq!(deal(&one, ask(1, 150, 300)).await.share, 150);
    assert_eq!(deal(&other, ask(2, 0, 300)).await.share, 0, "a window has to pass");
    bed.time.advance(TimeDelta::milliseconds(3_200)).await;
    assert_eq!(deal(&other, ask(2, 0, 300)).await.share, 150);
    assert_eq!(
        one.deal("another", &ask(1, 0, 300)).await.expect("dealt").share,
        300,
        "that is another budget"
    );

    let held = Some(Duration::from_secs(60));
    deal(&one, Ask { hold: held, ..ask(1, 150, 300) }).await;
    bed.time.advance(TimeDelta::seconds(5)).await;
    let hold = deal(&other, ask(2, 0, 300)).await.hold.expect("everybody's");
    assert!(hold < Duration::from_secs(56) && hold > Duration::from_secs(30), "{hold:?}");
    // The first has been silent past its share's end and a window; what it had is free again.
    bed.time.advance(TimeDelta::seconds(5)).await;
    assert_eq!(deal(&other, ask(2, 150, 300)).await.share, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_told_is_dealt_to_everybody_and_gets_no_shorter() {
    let bed = bed().await;
    let deal = async |number| bed.ledger.deal("a budget", &ask(number, 0, 300)).await.expect("dealt");
    assert_eq!(deal(1).await.hold, None);
    bed.ledger.tell_hold("a budget", Duration::from_secs(60)).await.expect("told");
    bed.time.advance(TimeDelta::seconds(5)).await;
    assert_eq!(deal(2).await.hold, Some(Duration::from_secs(55)));
    // A shorter one leaves it.
    bed.ledger.tell_hold("a budget", Duration::from_secs(1)).await.expect("told");
    assert_eq!(deal(2).await.hold, Some(Duration::from_secs(55)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_a_large_table_reads_some_of_it_and_of_a_small_target_all() {
    let bed = bed().await;
    let database = PgPool::connect_lazy(&bed.url).expect("an address");
    let fill = "insert into peak_braze.sent (target, customer_id, packed)
                  select 1, 'c-' || n, '\\x00'::bytea from generate_series(1, 60000) as n
                  union all select 2, 'd-' || n, '\\x00'::bytea from generate_series(1, 30) as n;
                analyze peak_braze.sent";
    sqlx::raw_sql(fill).execute(&database).await.expect("filled");
    let drawn = async |target| {
        let sample = bed.ledger.sample(target, 100).await.expect("a sample");
        sample.into_iter().map(|one| one.customer_id).collect::<BTreeSet<_>>()
    };
    let (large, again, small) = (drawn(1).await, drawn(1).await, drawn(2).await);
    assert_eq!((large.len(), again.len(), small.len()), (100, 100, 30));
    assert_ne!(large, again, "another one each time");
    assert!(large.iter().all(|id| id.starts_with("c-")) && small.iter().all(|id| id.starts_with("d-")));
}

/// Scans of the table with which migrations make its indexes.
const OF_MIGRATIONS: i64 = 2;

/// Nor one that was never counted, and of which the planner believes what it likes.
#[tokio::test(flavor = "multi_thread")]
async fn no_table_is_scanned_for_a_look_up() {
    let bed = bed().await;
    let database = PgPool::connect_lazy(&bed.url).expect("an address");
    let fill = "alter table peak_braze.sent set (autovacuum_enabled = off);
                insert into peak_braze.sent (target, customer_id, packed)
                  select 1, lpad(n::text, 6, '0'), '\\x00'::bytea from generate_series(0, 59999) as n";
    sqlx::raw_sql(fill).execute(&database).await.expect("filled");
    let (together, apart): (Vec<u32>, Vec<u32>) = ((0..2_000).collect(), (0..60_000).step_by(30).collect());
    for asked in [together, apart] {
        let mut builder = ChunkBuilder::new([].into(), Zone::utc());
        for number in &asked {
            let key = format!("{number:06}");
            builder.push(Value::Text(key.as_bytes()), Value::Instant(1), |_| Value::Null);
        }
        let found = bed.ledger.look_up(1, Arc::new(builder.take()), |_, found| found).await.expect("found");
        assert!((0..asked.len()).all(|index| found.get(index).is_some()));
    }
    // What a connection did is counted once it has gone. Those that the first stretch reached were not looked for.
    bed.ledger.close().await;
    let scans = "select seq_scan, idx_scan from pg_stat_user_tables where relname = 'sent'";
    let mut counted: (i64, i64) = (0, 0);
    while counted.0 <= OF_MIGRATIONS && counted.1 < 1_900 {
        counted = sqlx::query_as(scans).fetch_one(&database).await.expect("statistics");
    }
    assert!(counted.0 <= OF_MIGRATIONS, "{} scans", counted.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_replicas_one_tells() {
    let bed = bed().await;
    let replicas = [bed.ledger.clone(), bed.replica().await, bed.replica().await];
    let everything = NotifyEvent::ALL.to_vec();
    for replica in &replicas {
        let subscriber = Subscriber { receiver: "hook".to_owned(), on: everything.clone(), syncs: None };
        replica.subscribe(vec![subscriber]);
    }
    for replica in &replicas {
        queue(&bed.ledger, Mode::Delta).await;
        let end = Finish { watermark: Some(start()), ..ending(RunState::Succeeded) };
        replica.finish(claim(replica).await, end).await.expect("finished");
    }
    bed.time.advance(TimeDelta::hours(2)).await;
    let hour = Duration::from_secs(3_600);
    for looked in join_all(replicas.iter().map(|replica| replica.note_staleness(SYNC, hour))).await {
        looked.expect("a look");
    }
    let claims = join_all(replicas.iter().map(|replica| replica.claim_notices("hook", 9, &[]))).await;
    let notices: Vec<Notice> = claims.into_iter().flat_map(|notices| notices.expect("a look")).collect();
    let mut events: Vec<NotifyEvent> = notices.iter().map(|notice| notice.event).collect();
    events.sort();
    let succeeded = NotifyEvent::Succeeded;
    assert_eq!(events, [NotifyEvent::Stale, succeeded, succeeded, succeeded]);
    replicas[2].settle_notice(&notices[0]).await.expect("settled");
    assert_eq!(replicas[0].backlog().await.expect("counted").pending, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_away_is_written_again_once_it_is_back() {
    let bed = bed().await;
    let first = deliver(&bed.ledger, "evt-1").await;
    bed.postgres.stop();
    let refused = bed.ledger.record_delivery(delivery("evt-2", 1)).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable { .. })), "{refused:?}");
    assert!(bed.ledger.probe().await.is_err());
    bed.postgres.restart();
    let back = async { while bed.ledger.probe().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("it comes back by itself");
    assert_eq!(deliver(&bed.ledger, "evt-2").await, first, "it joins the run that is still queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_commits_stay_no_more_than_were_under_way_at_once() {
    let bed = bed().await;
    for number in 0..20 {
        deliver(&bed.ledger, &format!("evt-{number}")).await;
    }
    let database = PgPool::connect(&bed.url).await.expect("a connection");
    let marks: (i64, bool) = sqlx::query_as("select count(*), bool_and(stands) from peak_braze.commits")
        .fetch_one(&database)
        .await
        .expect("an answer");
    assert!((1..=5).contains(&marks.0) && marks.1, "{marks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_digest_key_is_refused() {
    let bed = bed().await;
    std::fs::write(bed.folder.path().join("key"), "another key of thirty-two bytes or more")
        .expect("written");
    let refused = Ledger::open(&settings(&bed.folder, &bed.url), Clock::system()).await;
    let error = refused.map(drop).expect_err("digests would mean nothing");
    assert!(error.to_string().contains("ledger.digest_key: not the key"), "{error}");
}
