//! Delivery of notices: none is lost and none is doubled, whatever receivers and processes do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use peak_braze::clock::Clock;
use peak_braze::config::{self, Config, NotifyEvent};
use peak_braze::ledger::{Checkpoint, Finish, Ledger, NewRun, Subscriber};
use peak_braze::notify::{self, Receiver};
use peak_braze::run::{DataPoints, Mode, RunState, Tally, TriggerKind};
use peak_braze::sync::Rooms;
use peak_braze::telemetry;
use peak_braze::worker::{Syncs, Worker};
use tokio_util::sync::CancellationToken;

use crate::notices::{SECRET, kinds, table, told_of, verified};
use crate::support::app::{SYNC, TestApp};
use crate::support::hook::{Hook, Post};

/// Moves the clock, and has everybody look at it.
fn later(app: &TestApp, clock: &Clock, by: TimeDelta) {
    clock.advance(by);
    app.app().ledger().wake().notify_waiters();
}

/// Waits until so many notices came to this.
async fn counted(event: &str, outcome: &str, count: u64) {
    let metrics = telemetry::metrics().expect("this process's own");
    let line = format!("peak_braze_notices_total{{event=\"{event}\",outcome=\"{outcome}\"}} {count}\n");
    let counting = async {
        while !metrics.render().contains(&line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counting).await.unwrap_or_else(|_| panic!("never {line}"));
}

fn ids(posts: &[Post]) -> BTreeSet<String> {
    posts.iter().map(|post| post.header("webhook-id").to_owned()).collect()
}

fn subscribers(config: &Config) -> Vec<Subscriber> {
    let receivers = notify::receivers(&config.notify).expect("receivers");
    let subscriber = |receiver: &Arc<Receiver>| Subscriber {
        receiver: receiver.name.clone(),
        on: receiver.on.clone(),
        syncs: receiver.syncs.clone(),
    };
    receivers.iter().map(subscriber).collect()
}

/// A run that begins and ends in the ledger alone.
async fn run_by_hand(ledger: &Ledger) {
    let run = NewRun {
        sync: SYNC.to_owned(),
        mode: Mode::Delta,
        kind: TriggerKind::Manual,
        actor: None,
        reason: None,
        retrigger_of: None,
        customers: None,
        idempotency: None,
    };
    ledger.enqueue(run).await.expect("queued");
    let lease = ledger.claim(&[SYNC.to_owned()]).await.expect("a ledger").expect("a run");
    let checkpoint = Checkpoint {
        fingerprint: "braze:1".to_owned(),
        position: None,
        ceiling: lease.run.created_at,
        newest: None,
        tally: Tally::default(),
        data_points: DataPoints::default(),
        complete: true,
    };
    let finish = Finish {
        state: RunState::Succeeded,
        checkpoint: Some(checkpoint),
        error: None,
        watermark: None,
        was_full: false,
        blocks: false,
    };
    ledger.finish(lease, finish).await.expect("finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_down_hears_of_it_once_it_is_up() {
    let receiver = Hook::start().await;
    let setup = told_of("succeeded", &receiver);
    let clock = setup.clock.clone();
    let app = TestApp::start(setup).await;
    let addr = receiver.addr();
    receiver.stop().await;
    app.run("delta").await;
    counted("succeeded", "retried", 1).await;
    let receiver = Hook::at(addr).await;
    assert_eq!(app.app().ledger().backlog().await.expect("counted").pending, 1);
    later(&app, &clock, TimeDelta::seconds(6));
    assert_eq!(kinds(&receiver.after(1).await), ["run.succeeded"]);
    counted("succeeded", "delivered", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_has_the_same_id_and_a_signature_of_its_own() {
    let receiver = Hook::start().await;
    receiver.answers([(500, None), (302, Some(("location", receiver.url())))]);
    let setup = told_of("succeeded", &receiver);
    let clock = setup.clock.clone();
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    counted("succeeded", "retried", 1).await;
    later(&app, &clock, TimeDelta::seconds(6));
    counted("succeeded", "retried", 2).await;
    later(&app, &clock, TimeDelta::minutes(6));
    counted("succeeded", "delivered", 1).await;
    let posts = receiver.posts();
    assert_eq!((posts.len(), ids(&posts).len()), (3, 1), "no redirection is followed");
    assert!(posts.iter().all(|post| post.body == posts[0].body));
    let stamps: BTreeSet<&str> = posts.iter().map(|post| post.header("webhook-timestamp")).collect();
    assert_eq!(stamps.len(), 3);
    verified(&app, &posts[2], &clock).expect("signed anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_tries_a_notice_is_given_up() {
    let receiver = Hook::start().await;
    receiver.answers((0..10).map(|_| (500, None)));
    let setup = told_of("succeeded", &receiver);
    let clock = setup.clock.clone();
    let mut app = TestApp::start(setup).await;
    app.run("delta").await;
    for tries in 1..10 {
        counted("succeeded", "retried", tries).await;
        later(&app, &clock, TimeDelta::hours(27));
    }
    counted("succeeded", "given_up", 1).await;
    let ledger = app.app().ledger().clone();
    while ledger.backlog().await.expect("counted").pending > 0 {
        tokio::task::yield_now().await;
    }
    app.drain().await;
    assert_eq!(receiver.posts().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_left_alone_until_the_config_is_read_again() {
    let receiver = Hook::start().await;
    receiver.answers([(410, None)]);
    let setup = told_of("succeeded", &receiver);
    let clock = setup.clock.clone();
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    counted("succeeded", "retried", 1).await;
    app.run("delta").await;
    later(&app, &clock, TimeDelta::hours(1));
    app.run("delta").await;
    let backlog = app.app().ledger().backlog().await.expect("counted");
    assert_eq!((backlog.pending, receiver.posts().len()), (3, 1));
    app.app().reload().await.expect("the same config");
    counted("succeeded", "delivered", 3).await;
    let posts = receiver.after(4).await;
    assert_eq!((posts.len(), ids(&posts).len()), (4, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_is_given_it_and_nobody_else_waits() {
    let (busy, other) = (Hook::start().await, Hook::start().await);
    busy.answers([(429, Some(("retry-after", "600".to_owned())))]);
    let mut setup = told_of("succeeded", &busy);
    setup.notify += &table(&other.url(), "succeeded", "secret = \"file:notify\"");
    let clock = setup.clock.clone();
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    counted("succeeded", "retried", 1).await;
    other.after(1).await;
    later(&app, &clock, TimeDelta::seconds(599));
    app.run("delta").await;
    // Whoever told this one looked at the other too.
    other.after(2).await;
    assert_eq!(busy.posts().len(), 1, "neither the first nor the second");
    later(&app, &clock, TimeDelta::seconds(62));
    assert_eq!(ids(&busy.after(3).await).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_recorded_by_a_process_that_fell_is_told_by_the_next() {
    let receiver = Hook::start().await;
    let setup = told_of("succeeded", &receiver);
    let clock = setup.clock.clone();
    let mut app = TestApp::start(setup).await;
    app.drain().await;
    let config = config::load(&app.config_path()).expect("the config");
    let ledger = Ledger::open(&config.ledger, clock.clone()).await.expect("the ledger");
    ledger.subscribe(subscribers(&config));
    run_by_hand(&ledger).await;
    run_by_hand(&ledger).await;
    // One of them was even claimed.
    let name = subscribers(&config).remove(0).receiver;
    assert_eq!(ledger.claim_notices(&name, 1, &[]).await.expect("claimed").len(), 1);
    ledger.close().await;
    drop(ledger);
    assert_eq!(receiver.posts().len(), 0);
    app.boot().await;
    receiver.after(1).await;
    later(&app, &clock, TimeDelta::seconds(61));
    assert_eq!(ids(&receiver.after(2).await).len(), 2);
}

/// Receivers alone.
struct Told(Vec<Arc<Receiver>>);

impl Syncs for Told {
    fn ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn cadences(&self) -> Vec<(String, config::Cadence)> {
        Vec::new()
    }

    fn rooms(&self, _: &str) -> Result<Rooms, String> {
        Err("there are no syncs here".to_owned())
    }

    fn receivers(&self) -> Vec<Arc<Receiver>> {
        self.0.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_share_a_ledger_tell_everything_once() {
    let receiver = Hook::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("notify"), SECRET).expect("a secret file");
    let text = table(&receiver.url(), "succeeded", "secret = \"file:notify\"");
    std::fs::write(folder.path().join("peak-braze.toml"), text).expect("a config file");
    let config = config::load(&folder.path().join("peak-braze.toml")).expect("the config");
    let clock = Clock::system();
    let ledger = Ledger::open(&config.ledger, clock.clone()).await.expect("a new ledger");
    ledger.subscribe(subscribers(&config));
    let (draining, lease) = (CancellationToken::new(), Duration::from_secs(20));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let told = Arc::new(Told(notify::receivers(&config.notify).expect("receivers")));
            let worker = Worker::new(ledger.clone(), told, clock.clone(), lease, draining.clone());
            tokio::spawn(worker.work())
        })
        .collect();
    for _ in 0..60 {
        run_by_hand(&ledger).await;
    }
    receiver.after(60).await;
    draining.cancel();
    for worker in workers {
        worker.await.expect("it never panics");
    }
    let posts = receiver.posts();
    assert_eq!((posts.len(), ids(&posts).len()), (60, 60));
    assert_eq!(ledger.backlog().await.expect("counted").pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_keeps_nobody_waiting() {
    let (silent, other) = (Hook::start().await, Hook::start().await);
    silent.answers((0..9).map(|_| (0, None)));
    let mut setup = told_of("succeeded", &silent);
    setup.notify += &table(&other.url(), "succeeded", "secret = \"file:notify\"");
    let mut app = TestApp::start(setup).await;
    for _ in 0..6 {
        app.run("delta").await;
    }
    other.after(6).await;
    // Deliveries under way are let go in time.
    app.drain().await;
    assert_eq!((silent.posts().len(), other.posts().len()), (4, 6), "four at a time");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_notices_the_oldest_go() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ledger.db");
    let settings =
        config::Ledger { url: format!("sqlite://{}", file.display()), ..config::Ledger::default() };
    let clock = Clock::manual("2026-11-01T00:00:00Z".parse().expect("a time"));
    let ledger = Ledger::open(&settings, clock).await.expect("a new ledger");
    // Another process on the file, which our lock does not keep out.
    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10003)
        insert into notices (id, receiver, event, sync, occasion, data, at, next_try_at)
        select randomblob(16), 'hook', case when i <= 3 then 'failed' else 'succeeded' end, 's', i, '{}',
          unixepoch('2026-11-01') * 1000000, 0 from n
        union all select randomblob(16), 'other', 'partial', 's', 'x', '{}', unixepoch('2026-11-01') * 1000000, 0";
    rusqlite::Connection::open(&file).expect("the file").execute_batch(rows).expect("inserted");
    let dropped = ledger.sweep_notices(&["hook".to_owned(), "other".to_owned()]).await.expect("swept");
    assert_eq!(dropped, [NotifyEvent::Failed; 3]);
    assert_eq!(ledger.backlog().await.expect("counted").pending, 10_001);
    // What this version cannot read hinders nobody, and waits for one that can.
    assert_eq!(ledger.claim_notices("other", 9, &[]).await.expect("claimed"), []);
    assert_eq!(ledger.backlog().await.expect("counted").pending, 10_001);
}
