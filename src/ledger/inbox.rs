//! Group commit: whoever waits to record a delivery shares the next transaction, and hears only after its commit.

mod insert;
mod repeats;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::column::{Json, Key};
use super::dialect::{Text, text};
use super::queue::join_or_queue;
use super::statement::fetch_all;
use super::store::{Database, Store, Tx};
use super::{Decision, Enqueued, LedgerError, NewDelivery, NewRun, Recorded};
use crate::run::{Mode, RunId, RunState, TriggerKind};
use crate::telemetry::trace;
use insert::insert;
use repeats::count_repeats;

/// Deliveries that may wait for a commit; further ones are told to come again.
const MOST_WAITING: usize = 4_096;
/// Most deliveries of one commit: bounds how long the first of them waits.
const MOST_TOGETHER: usize = 512;
/// Turns given to other tasks in which nobody arrives, before a commit begins. Of 64 callers that come again at once, four
/// let four fifths share a commit, none let half. On a thread of its own, where nobody else has turns, they take no time.
const IDLE_TURNS: usize = 4;
/// Times that a commit is tried which looks first what is known: each further one only because a replica recorded one of
/// the same ids meanwhile.
const MOST_LOOKS: usize = 32;

/// A delivery, and where its trace stands.
type Arrived = (NewDelivery, Option<String>);
type Answer = oneshot::Sender<Result<Recorded, LedgerError>>;

/// Takes deliveries to the clerk who commits them together.
pub(super) struct Inbox {
    waiting: Mutex<Option<mpsc::Sender<(Arrived, Answer)>>>,
    /// Closed once the clerk is done.
    at_work: Mutex<Option<oneshot::Receiver<Infallible>>>,
}

impl Inbox {
    /// On SQLite the clerk has a thread of its own: a commit takes several steps, each a hand-over to SQLite's thread
    /// and back, and as a task the clerk would wait after each for a turn behind all the connections that have something
    /// to do. A server on the other side of a socket is heard by the tasks' own threads, so there the clerk is a task.
    ///
    /// # Errors
    /// Where the system gives no further thread.
    pub(super) fn start(store: Arc<Store>) -> io::Result<Self> {
        let (sender, waiting) = mpsc::channel(MOST_WAITING);
        let (done, at_work) = oneshot::channel();
        let has_thread = matches!(store.database, Database::Sqlite(_));
        let work = async move {
            Clerk { store }.work(waiting).await;
            drop(done);
        };
        if has_thread {
            let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            std::thread::Builder::new().name("inbox".to_owned()).spawn(move || clock.block_on(work))?;
        } else {
            tokio::spawn(work);
        }
        Ok(Self { waiting: Mutex::new(Some(sender)), at_work: Mutex::new(Some(at_work)) })
    }

    pub(super) async fn record(&self, delivery: NewDelivery) -> Result<Recorded, LedgerError> {
        let full = || LedgerError::during("record a delivery")(sqlx::Error::PoolTimedOut);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        waiting.ok_or_else(full)?.try_send(((delivery, trace::traceparent()), answer)).map_err(|_| full())?;
        answered.await.map_err(|_| full())?
    }

    /// Commits what waits and takes no more.
    pub(super) async fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(at_work) = at_work {
            let _ = at_work.await;
        }
    }
}

struct Clerk {
    store: Arc<Store>,
}

impl Clerk {
    async fn work(self, mut waiting: mpsc::Receiver<(Arrived, Answer)>) {
        let mut together = Vec::new();
        while waiting.recv_many(&mut together, MOST_TOGETHER).await > 0 {
            gather(&mut waiting, &mut together).await;
            let (deliveries, answers): (Vec<_>, Vec<_>) = together.drain(..).unzip();
            match self.record(deliveries).await {
                Ok(recorded) => {
                    for (answer, recorded) in answers.into_iter().zip(recorded) {
                        // A client that went away meanwhile comes again, and finds a duplicate.
                        let _ = answer.send(Ok(recorded));
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "deliveries not recorded");
                    for answer in answers {
                        let _ = answer
                            .send(Err(LedgerError::during("record a delivery")(sqlx::Error::WorkerCrashed)));
                    }
                }
            }
        }
    }

    async fn record(&self, deliveries: Vec<Arrived>) -> Result<Vec<Recorded>, LedgerError> {
        let deliveries: Vec<Identified> = deliveries.into_iter().map(Identified::new).collect();
        // Few are sent twice: at first nobody looks whether one was.
        for looks in [false].into_iter().chain([true; MOST_LOOKS]) {
            if let Some(recorded) = self.try_to_record(&deliveries, looks).await? {
                return Ok(recorded);
            }
        }
        Err(LedgerError::during("record deliveries")(sqlx::Error::PoolTimedOut))
    }

    /// None, and nothing recorded, where an id taken for a new one is known: a run may have been queued for it alone.
    async fn try_to_record(
        &self,
        deliveries: &[Identified],
        looks: bool,
    ) -> Result<Option<Vec<Recorded>>, LedgerError> {
        let during = LedgerError::during("record deliveries");
        let mut tx = self.store.begin("record deliveries").await?;
        let asked = if looks { deliveries.iter().collect() } else { Vec::new() };
        let before = known(&mut tx, asked).await.map_err(&during)?;
        let is_fresh = are_fresh(deliveries, &before);
        let those = |are_fresh: bool| {
            let judged = deliveries.iter().zip(&is_fresh);
            judged.filter(|(_, is_fresh)| **is_fresh == are_fresh).map(|(delivery, _)| delivery).collect()
        };
        let fresh: Vec<&Identified> = those(true);
        let runs = runs(&mut tx, &fresh).await?;
        if insert(&mut tx, &fresh, &runs).await.map_err(&during)? < fresh.len() {
            return Ok(None);
        }
        let known = known(&mut tx, those(false)).await.map_err(&during)?;
        let judged = deliveries.iter().zip(is_fresh);
        let recorded: Vec<Recorded> =
            judged.map(|(delivery, is_fresh)| answer(delivery, is_fresh, &runs, &known)).collect();
        count_repeats(&mut tx, deliveries, &recorded).await.map_err(during)?;
        // Whether a commit stands whose answer is lost shows when the sender comes again: as a duplicate, or as new.
        tx.commit("record deliveries").await?;
        Ok(Some(recorded))
    }
}

/// Lets those join who are about to arrive: those answered last come again together, and the first of them would else have
/// a commit of its own while the others wait.
async fn gather(waiting: &mut mpsc::Receiver<(Arrived, Answer)>, together: &mut Vec<(Arrived, Answer)>) {
    let mut idle = 0;
    while idle < IDLE_TURNS && together.len() < MOST_TOGETHER {
        tokio::task::yield_now().await;
        let before = together.len();
        while together.len() < MOST_TOGETHER
            && let Ok(arrived) = waiting.try_recv()
        {
            together.push(arrived);
        }
        idle = if together.len() == before { idle + 1 } else { 0 };
    }
}

/// Which are the first of their id, where nothing but `before` is known. Of the same id twice in one commit the first
/// is the fresh one.
fn are_fresh(deliveries: &[Identified], before: &HashMap<(String, String), Known>) -> Vec<bool> {
    let mut seen = HashSet::new();
    deliveries
        .iter()
        .map(|delivery| {
            !before.contains_key(&delivery.key()) && seen.insert((&delivery.new.sync, &delivery.id))
        })
        .collect()
}

/// Queues or joins one run per sync that has a fresh delivery to answer for. Sync by sync in one order, so that two
/// replicas cannot wait for each other.
async fn runs(tx: &mut Tx, fresh: &[&Identified]) -> Result<BTreeMap<String, Enqueued>, LedgerError> {
    let asking = fresh.iter().filter(|delivery| delivery.runs());
    let latest: BTreeMap<&str, &Identified> =
        asking.map(|delivery| (delivery.new.sync.as_str(), *delivery)).collect();
    let mut runs = BTreeMap::new();
    if latest.is_empty() {
        return Ok(runs);
    }
    let now = tx.now("record deliveries").await?;
    for (sync, delivery) in latest {
        let (run, traceparent) = (new_run(sync), delivery.traceparent.clone());
        runs.insert(
            sync.to_owned(),
            join_or_queue(tx, &run, Some(&delivery.new.model), traceparent, now).await?,
        );
    }
    Ok(runs)
}

fn new_run(sync: &str) -> NewRun {
    NewRun {
        sync: sync.to_owned(),
        mode: Mode::Delta,
        kind: TriggerKind::Callback,
        actor: None,
        reason: None,
        retrigger_of: None,
        customers: None,
        idempotency: None,
    }
}

/// A delivery and the id it is kept under.
struct Identified {
    id: String,
    new: NewDelivery,
    traceparent: Option<String>,
}

impl Identified {
    fn new((new, traceparent): Arrived) -> Self {
        let id = new.delivery_id.clone().unwrap_or_else(|| RunId::new(new.received_at).to_string());
        Self { id, new, traceparent }
    }

    fn runs(&self) -> bool {
        self.new.decision == Decision::Run
    }

    /// What is kept of its decision.
    fn outcome(&self) -> (&'static str, Option<&'static str>) {
        match self.new.decision {
            Decision::Run => ("accepted", None),
            Decision::Ignored(reason) => ("ignored", Some(reason)),
        }
    }

    /// The run it is tied to.
    fn run_of(&self, runs: &BTreeMap<String, Enqueued>) -> Option<Uuid> {
        runs.get(&self.new.sync).filter(|_| self.runs()).map(|queued| queued.run_id.0)
    }

    fn key(&self) -> (String, String) {
        (self.new.sync.clone(), self.id.clone())
    }
}

/// What an id is known for.
struct Known {
    body_digest: Vec<u8>,
    run: Option<(RunId, RunState)>,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    sync: String,
    delivery_id: Key<String>,
    body_digest: Vec<u8>,
    run_id: Option<Uuid>,
    state: Option<String>,
}

const KNOWN: Text = text! {
    "-- inbox::known
     select deliveries.sync, delivery_id, body_digest, run_id, runs.state
     from deliveries left join runs on runs.id = deliveries.run_id
     where outcome in ('accepted', 'ignored') and (deliveries.sync, delivery_id) in "
    [pairs "$1"]
};

async fn known(
    tx: &mut Tx,
    deliveries: Vec<&Identified>,
) -> Result<HashMap<(String, String), Known>, sqlx::Error> {
    let asked: Vec<(String, String)> = deliveries.into_iter().map(Identified::key).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<KnownRow> = fetch_all!(tx, query_as(KNOWN, Json(asked)))?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let state = row.state.and_then(|state| state.parse().ok()).unwrap_or(RunState::Queued);
            let run = row.run_id.map(|run| (RunId(run), state));
            ((row.sync, row.delivery_id.0), Known { body_digest: row.body_digest, run })
        })
        .collect())
}

fn answer(
    delivery: &Identified,
    is_fresh: bool,
    runs: &BTreeMap<String, Enqueued>,
    known: &HashMap<(String, String), Known>,
) -> Recorded {
    let delivery_id = delivery.id.clone();
    if is_fresh {
        return match (&delivery.new.decision, runs.get(&delivery.new.sync)) {
            (Decision::Run, Some(queued)) => {
                Recorded::Accepted { delivery_id, run_id: queued.run_id, state: queued.state }
            }
            _ => Recorded::Ignored { delivery_id },
        };
    }
    match known.get(&delivery.key()) {
        Some(known) if known.body_digest == delivery.new.body_digest => {
            Recorded::Duplicate { delivery_id, run: known.run }
        }
        _ => Recorded::Conflict,
    }
}
