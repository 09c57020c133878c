//! A panic in a run is that run's alone: counted, tried again, and given up after five.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::ledger::{Ledger, NewRun};
use peak_braze::run::{Mode, Run, RunId, RunState, TriggerKind};
use peak_braze::sync::Rooms;
use peak_braze::worker::{Syncs, Worker};
use tokio_util::sync::CancellationToken;

const POISONED: &str = "poisoned";
const HEALTHY: &str = "healthy";

/// Syncs of which one panics as soon as it is looked at.
#[derive(Default)]
struct Panicking(AtomicU32);

impl Syncs for Panicking {
    fn ids(&self) -> Vec<String> {
        vec![POISONED.to_owned(), HEALTHY.to_owned()]
    }

    fn cadences(&self) -> Vec<(String, config::Cadence)> {
        Vec::new()
    }

    fn rooms(&self, sync: &str) -> Result<Rooms, String> {
        if sync == POISONED {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("a story's own panic");
        }
        Err("nothing to work with".to_owned())
    }
}

async fn queue(ledger: &Ledger, sync: &str) -> RunId {
    let run = NewRun {
        sync: sync.to_owned(),
        mode: Mode::Delta,
        kind: TriggerKind::Manual,
        actor: None,
        reason: None,
        retrigger_of: None,
        customers: None,
        idempotency: None,
    };
    ledger.enqueue(run).await.expect("queued").run_id
}

async fn when(ledger: &Ledger, id: RunId, is: impl Fn(&Run) -> bool) -> Run {
    let mut changes = ledger.watch();
    let waiting = async {
        loop {
            let run = ledger.run(id).await.expect("the ledger answers").expect("the run is there");
            if is(&run) {
                return run;
            }
            let _ = changes.recv().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it comes to that")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_panics_is_tried_five_times_and_the_process_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = config::Ledger {
        url: format!("sqlite://{}", folder.path().join("ledger.db").display()),
        lease_secs: 20,
        digest_key: None,
        retention_days: 7,
    };
    let clock = Clock::manual(Clock::system().now());
    let ledger = Ledger::open(&settings, clock.clone()).await.expect("a new ledger");
    let (syncs, draining) = (Arc::new(Panicking::default()), CancellationToken::new());
    let lease = Duration::from_secs(20);
    let worker = Worker::new(ledger.clone(), syncs.clone(), clock.clone(), lease, draining.clone());
    let worked = tokio::spawn(worker.work());

    let poisoned = queue(&ledger, POISONED).await;
    for attempt in 1..=5 {
        let fallen = when(&ledger, poisoned, |run| {
            run.attempt == attempt && run.state == RunState::Waiting && run.error.is_some()
        })
        .await;
        let error = fallen.error.expect("why");
        assert_eq!((error.code.as_str(), error.retryable), ("crashed", true));
        assert!(!error.message.contains("own panic"), "a panic may speak of anything: {}", error.message);
        // Another sync's run meets nothing of it.
        let other = queue(&ledger, HEALTHY).await;
        let other = when(&ledger, other, |run| run.state.is_final()).await;
        assert_eq!(other.error.expect("why").code, "schema_mismatch");
        clock.advance(TimeDelta::seconds(6));
        ledger.wake().notify_waiters();
    }
    let ended = when(&ledger, poisoned, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.error.expect("why").code), (RunState::Failed, "crashed".to_owned()));
    assert_eq!(syncs.0.load(Ordering::SeqCst), 5);
    draining.cancel();
    worked.await.expect("the worker never panics");
}
