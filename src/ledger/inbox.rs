//! Group commit: whoever waits to record a delivery shares the next transaction, and hears only after its commit.

mod repeats;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::column::{At, Json, Key};
use super::dialect::{Text, text};
use super::postgres::{Session, answered};
use super::queue::join_or_queue;
use super::statement::{execute, fetch_all};
use super::store::{Side, Store, Tx};
use super::{Decision, Enqueued, LedgerError, NewDelivery, NewRun, Recorded};
use crate::run::{Mode, RunId, RunState, TriggerKind};
use crate::telemetry::trace;
use repeats::count_repeats;

/// Deliveries that may wait for a commit; further ones are told to come again.
const MOST_WAITING: usize = 4_096;
/// Most deliveries of one commit: bounds how long the first of them waits.
const MOST_TOGETHER: usize = 512;

/// A delivery, and where its trace stands.
type Arrived = (NewDelivery, Option<String>);
type Answer = oneshot::Sender<Result<Recorded, LedgerError>>;

/// Takes deliveries to the task that commits them together.
pub(super) struct Inbox {
    waiting: Mutex<Option<mpsc::Sender<(Arrived, Answer)>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Inbox {
    pub(super) fn start(store: Arc<Store>) -> Self {
        let (sender, waiting) = mpsc::channel(MOST_WAITING);
        let clerk = Clerk { store };
        Self { waiting: Mutex::new(Some(sender)), task: Mutex::new(Some(tokio::spawn(clerk.work(waiting)))) }
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
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
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
        let during = LedgerError::during("record deliveries");
        let deliveries: Vec<Identified> = deliveries.into_iter().map(Identified::new).collect();
        let mut tx = self.store.begin("record deliveries").await?;
        let fresh = insert(&mut tx, &deliveries).await.map_err(&during)?;
        let runs = runs(&mut tx, &deliveries, &fresh).await?;
        let known = known(&mut tx, &deliveries, &fresh).await.map_err(&during)?;
        let recorded: Vec<Recorded> = (0..deliveries.len())
            .map(|index| answer(&deliveries[index], fresh.contains(&index), &runs, &known))
            .collect();
        count_repeats(&mut tx, &deliveries, &recorded).await.map_err(during)?;
        for queued in runs.values() {
            tx.tell(queued.run_id);
            tx.ring();
        }
        // Whether a commit stands whose answer is lost shows when the sender comes again: as a duplicate, or as new.
        tx.commit("record deliveries").await?;
        Ok(recorded)
    }
}

const TIE: Text = text! {
    "-- inbox::tie
     update deliveries set run_id = $1
     where sync = $2 and outcome in ('accepted', 'ignored') and delivery_id in "
    [texts "$3"]
};

/// Queues or joins one run per sync that has a fresh delivery to answer for, and ties them together. Sync by sync in
/// one order, so that two replicas cannot wait for each other.
async fn runs(
    tx: &mut Tx,
    deliveries: &[Identified],
    fresh: &HashSet<usize>,
) -> Result<BTreeMap<String, Enqueued>, LedgerError> {
    let mut latest: BTreeMap<&str, &Identified> = BTreeMap::new();
    for (index, delivery) in deliveries.iter().enumerate() {
        if fresh.contains(&index) && delivery.new.decision == Decision::Run {
            latest.insert(&delivery.new.sync, delivery);
        }
    }
    let mut runs = BTreeMap::new();
    if latest.is_empty() {
        return Ok(runs);
    }
    let now = tx.now("record deliveries").await?;
    for (sync, delivery) in latest {
        let queued =
            join_or_queue(tx, &new_run(sync), Some(&delivery.new.model), delivery.traceparent.clone(), now)
                .await?;
        let ids: Vec<&str> = deliveries
            .iter()
            .enumerate()
            .filter(|(index, other)| fresh.contains(index) && other.new.sync == sync && other.runs())
            .map(|(_, other)| other.id.as_str())
            .collect();
        execute!(tx, TIE, queued.run_id.0, sync, Json(ids))
            .map_err(LedgerError::during("record deliveries"))?;
        runs.insert(sync.to_owned(), queued);
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

    fn row(&self) -> (&str, &str, &str, String, i64, &str, Option<&str>, u32) {
        let (outcome, reason) = self.outcome();
        let digest = self.new.body_digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes every write");
            hex
        });
        let received_at = self.new.received_at.timestamp_micros();
        (
            &self.new.sync,
            &self.id,
            outcome,
            digest,
            received_at,
            &self.new.event_type,
            reason,
            self.new.secret,
        )
    }

    fn key(&self) -> (String, String) {
        (self.new.sync.clone(), self.id.clone())
    }
}

/// Inserts the deliveries whose ids are new; gives the indexes of those. The unique index decides, not a check.
async fn insert(tx: &mut Tx, deliveries: &[Identified]) -> Result<HashSet<usize>, sqlx::Error> {
    let inserted = match tx.side() {
        Side::Sqlite(connection) => insert_sqlite(connection, deliveries).await?,
        Side::Postgres(session) => insert_postgres(session, deliveries).await?,
    };
    let mut inserted: HashSet<(String, String)> =
        inserted.into_iter().map(|(sync, id)| (sync, id.0)).collect();
    // The same id twice in one commit: the first of them is the fresh one.
    Ok((0..deliveries.len()).filter(|index| inserted.remove(&deliveries[*index].key())).collect())
}

/// They go as one JSON text: the statement is the same however many there are, and is prepared once.
async fn insert_sqlite(
    connection: &mut SqliteConnection,
    deliveries: &[Identified],
) -> Result<Vec<(String, Key<String>)>, sqlx::Error> {
    let rows: Vec<_> = deliveries.iter().map(Identified::row).collect();
    sqlx::query_as(
        "-- inbox::insert
         insert into deliveries
           (sync, delivery_id, outcome, body_digest, received_at, event_type, reason, secret)
         select value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, value ->> 6,
           value ->> 7
         from json_each($1) where true
         on conflict do nothing returning sync, delivery_id",
    )
    .bind(Json(rows))
    .fetch_all(connection)
    .await
}

/// In the order of ids: replicas that record the same ones wait for each other in turn, and never in a circle.
async fn insert_postgres(
    session: &mut Session,
    deliveries: &[Identified],
) -> Result<Vec<(String, Key<String>)>, sqlx::Error> {
    let mut sorted: Vec<&Identified> = deliveries.iter().collect();
    sorted.sort_by_key(|delivery| (&delivery.new.sync, &delivery.id));
    let each = || sorted.iter();
    let (connection, line) = session.parts();
    let asked = sqlx::query_as(
        "-- inbox::insert
         insert into deliveries
           (sync, delivery_id, outcome, body_digest, received_at, event_type, reason, secret)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::text[],
           $7::text[], $8::bigint[])
         on conflict do nothing returning sync, delivery_id",
    )
    .bind(each().map(|one| one.new.sync.as_str()).collect::<Vec<_>>())
    .bind(each().map(|one| Key(one.id.as_str())).collect::<Vec<_>>())
    .bind(each().map(|one| one.outcome().0).collect::<Vec<_>>())
    .bind(each().map(|one| &one.new.body_digest[..]).collect::<Vec<_>>())
    .bind(each().map(|one| At(one.new.received_at)).collect::<Vec<_>>())
    .bind(each().map(|one| Key(one.new.event_type.as_str())).collect::<Vec<_>>())
    .bind(each().map(|one| one.outcome().1).collect::<Vec<_>>())
    .bind(each().map(|one| i64::from(one.new.secret)).collect::<Vec<_>>())
    .persistent(false)
    .fetch_all(connection);
    answered(line, asked).await
}

/// What an id that was not fresh is known for.
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
    deliveries: &[Identified],
    fresh: &HashSet<usize>,
) -> Result<HashMap<(String, String), Known>, sqlx::Error> {
    let asked: Vec<(String, String)> = (0..deliveries.len())
        .filter(|index| !fresh.contains(index))
        .map(|index| deliveries[index].key())
        .collect();
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
