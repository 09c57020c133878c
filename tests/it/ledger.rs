//! A SQLite file as the ledger: the suite, and what only SQLite and its file can do to us.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::ledger::{Flag, Group, Ledger, LedgerError, NewRejection, NewRun, Recorded, SentRow};
use peak_braze::run::{Mode, Progress, RunState};

use crate::ledger_suite::{
    LEASE_SECS, SYNC, Time, checkpoint, claim, deliver, delivery, finish, new_run, queue, start, state,
};

/// A ledger file in a folder of its own.
struct Bed {
    ledger: Ledger,
    time: Time,
    folder: tempfile::TempDir,
}

async fn bed() -> Bed {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::manual(start());
    let ledger = Ledger::open(&settings(&folder), clock.clone()).await.expect("a new ledger");
    Bed { ledger, time: Time::of_this_process(clock), folder }
}

fn settings(folder: &tempfile::TempDir) -> config::Ledger {
    config::Ledger {
        url: format!("sqlite://{}", folder.path().join("ledger.db").display()),
        lease_secs: LEASE_SECS,
        digest_key: None,
        retention_days: 7,
    }
}

impl Bed {
    fn path(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("ledger.db{ending}"))
    }

    async fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&settings(&self.folder), self.time.clock.clone()).await
    }

    /// Another process on the file, which our lock does not keep out.
    fn intruder(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("")).expect("the file")
    }

    /// The process dies: nothing is given back, and another one starts.
    async fn restart(self) -> Self {
        let Self { ledger, time, folder } = self;
        drop(ledger);
        let ledger = loop {
            // Let go of once the dropped ledger's last task has ended.
            match Ledger::open(&settings(&folder), time.clock.clone()).await {
                Err(LedgerError::InUse { .. }) => tokio::task::yield_now().await,
                opened => break opened.expect("the same ledger"),
            }
        };
        Self { ledger, time, folder }
    }
}

/// A commit takes several hand-overs: after each, a task would wait for its turn behind all that connections have to do.
#[test]
fn deliveries_are_committed_though_no_task_gets_a_turn() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Nothing it was given gets a turn but while it is waited on.
    let (idle, asking) = (runtime(), runtime());
    let bed = idle.block_on(async {
        let bed = bed().await;
        // By the connection that opening it gives back, which takes a turn.
        deliver(&bed.ledger, "evt-0").await;
        bed
    });
    let recorded = asking.block_on(async {
        let recording = bed.ledger.record_delivery(delivery("evt-1", 1));
        tokio::time::timeout(Duration::from_secs(30), recording).await.expect("in time")
    });
    assert!(matches!(recorded, Ok(Recorded::Accepted { .. })), "{recorded:?}");
    idle.block_on(bed.ledger.close());
}

async fn refusal(opened: Result<Ledger, LedgerError>) -> String {
    match opened {
        Err(error @ LedgerError::Unusable(_)) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

mod suite {
    crate::ledger_suite::told_by!(crate::ledger::bed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_until_the_first_lets_go() {
    let bed = bed().await;
    match bed.open().await {
        Err(LedgerError::InUse { path }) => assert!(path.ends_with("ledger.db")),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was opened twice"),
    }
    deliver(&bed.ledger, "evt-1").await;
    bed.ledger.close().await;
    let again = bed.open().await.expect("let go, though the first is not dropped");
    assert!(bed.ledger.record_delivery(delivery("evt-2", 1)).await.is_err());
    assert_eq!(again.deliveries(None, 9, None).await.expect("a list").items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_its_run_claimable_and_its_sends_in_doubt() {
    let bed = bed().await;
    let id = deliver(&bed.ledger, "evt-1").await;
    let lease = claim(&bed.ledger).await;
    let target = bed.ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    bed.ledger.mark_in_flight(&lease, target, &["c-1"]).await.expect("marked");
    let bed = bed.restart().await;
    let next = claim(&bed.ledger).await;
    assert_eq!((next.run.id, next.run.attempt, next.epoch > lease.epoch), (id, 2, true));
    bed.ledger.doubt_in_flight(&next, target).await.expect("doubted");
    assert_eq!(bed.ledger.flagged(target, 9).await.expect("a list"), ["c-1"]);
    assert!(matches!(
        bed.ledger.finish(lease, crate::ledger_suite::ending(RunState::Succeeded)).await,
        Err(LedgerError::LeaseLost(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_takes_long_to_record_was_sent_no_earlier_than_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::system();
    let ledger = Ledger::open(&settings(&folder), clock.clone()).await.expect("a new ledger");
    queue(&ledger, Mode::Delta).await;
    let lease = claim(&ledger).await;
    let target = ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    let ids: Vec<String> = (0..5_000).map(|number| format!("c-{number}")).collect();
    let flag = Flag { in_doubt: true, rejected: false };
    let sent_at = clock.now();
    let group = Group {
        in_flight: None,
        sent: ids.iter().map(|id| SentRow { customer_id: id, digests: &[], flag }).collect(),
        rejections: Vec::new(),
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &checkpoint(1),
        progress: Progress::default(),
        sent_at: Some(sent_at),
    };
    ledger.record_group(&lease, target, group).await.expect("recorded");
    let (last_sent, _) = ledger.sync_state(SYNC).await.expect("a ledger").last_sent.expect("it was sent");
    assert!(last_sent >= sent_at, "{last_sent} is before {sent_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_nul_byte_is_in_doubt_and_forgotten_like_any_other() {
    let bed = bed().await;
    queue(&bed.ledger, Mode::Delta).await;
    let lease = claim(&bed.ledger).await;
    let target = bed.ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    let keys = ["customer-to-be\0forgotten", "customer-to-be"];
    bed.ledger.mark_in_flight(&lease, target, &keys).await.expect("marked");
    bed.ledger.release(lease, None, false, None).await.expect("put down");
    bed.ledger.forget(SYNC, "customer-to-be").await.expect("forgotten");
    let lease = claim(&bed.ledger).await;
    bed.ledger.doubt_in_flight(&lease, target).await.expect("doubted");
    assert_eq!(bed.ledger.flagged(target, 9).await.expect("a list"), keys[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_count_as_crashes_only_where_the_run_was_not_put_down() {
    let mut bed = bed().await;
    let id = queue(&bed.ledger, Mode::Delta).await;
    for _ in 0..6 {
        bed.ledger.release(claim(&bed.ledger).await, None, false, None).await.expect("put down");
        bed = bed.restart().await;
    }
    for _ in 0..5 {
        claim(&bed.ledger).await;
        bed = bed.restart().await;
    }
    assert!(bed.ledger.claim(&[SYNC.to_owned()]).await.expect("a ledger").is_none());
    assert_eq!(state(&bed.ledger, id).await, RunState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_somebody_else_holds_is_unavailable_and_then_available_again() {
    let bed = bed().await;
    let intruder = bed.intruder();
    intruder.execute_batch("begin immediate").expect("held");
    let (recorded, probed) =
        tokio::join!(bed.ledger.record_delivery(delivery("evt-1", 1)), bed.ledger.probe());
    for error in [recorded.map(drop).expect_err("no commit, no answer"), probed.expect_err("not writable")] {
        assert!(matches!(error, LedgerError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    }
    assert!(bed.ledger.deliveries(None, 9, None).await.expect("reading goes on").items.is_empty());
    intruder.execute_batch("rollback").expect("let go");
    deliver(&bed.ledger, "evt-1").await;
    bed.ledger.probe().await.expect("writable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_acknowledges_nobody_and_leaves_nothing() {
    let bed = bed().await;
    // As where the disk is full: the last statement before the commit cannot be written.
    let intruder = bed.intruder();
    intruder
        .execute_batch(
            "create trigger full before insert on deliveries begin select raise(abort, 'full'); end",
        )
        .expect("a trigger");
    let recorded = bed.ledger.record_delivery(delivery("evt-1", 1)).await;
    assert!(matches!(recorded, Err(LedgerError::Unavailable { .. })), "{recorded:?}");
    assert!(bed.ledger.deliveries(None, 9, None).await.expect("a list").items.is_empty());
    assert!(bed.ledger.claim(&[SYNC.to_owned()]).await.expect("a ledger").is_none());
    intruder.execute_batch("drop trigger full").expect("dropped");
    deliver(&bed.ledger, "evt-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_sqlite_itself_rolled_back_is_no_end() {
    let bed = bed().await;
    let intruder = bed.intruder();
    // As SQLite does where the disk is full or fails: the whole transaction is gone before we roll it back.
    for table in ["deliveries", "facts", "runs"] {
        let full = format!(
            "create trigger {table}_full before insert on {table} begin select raise(rollback, 'full'); end"
        );
        intruder.execute_batch(&full).expect("a trigger");
    }
    for round in 0..3 {
        let recorded = bed.ledger.record_delivery(delivery("evt-1", 1)).await;
        assert!(matches!(recorded, Err(LedgerError::Unavailable { .. })), "round {round}: {recorded:?}");
        assert!(bed.ledger.probe().await.expect_err("full").is_retryable());
        assert!(bed.ledger.enqueue(new_run(Mode::Delta)).await.expect_err("full").is_retryable());
    }
    assert!(bed.ledger.deliveries(None, 9, None).await.expect("a list").items.is_empty());
    intruder
        .execute_batch("drop trigger deliveries_full; drop trigger facts_full; drop trigger runs_full")
        .expect("dropped");
    deliver(&bed.ledger, "evt-1").await;
    bed.ledger.probe().await.expect("writable");
    finish(&bed.ledger, claim(&bed.ledger).await, RunState::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_no_ledger_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ledger.db");
    let warehouse = rusqlite::Connection::open(&file).expect("a file");
    warehouse.execute_batch("create table predictions (customer_id text)").expect("a table");
    drop(warehouse);
    let before = std::fs::read(&file).expect("read");
    let error = refusal(Ledger::open(&settings(&folder), Clock::system()).await).await;
    assert!(error.contains("ledger.url") && error.contains("not a ledger"), "{error}");
    assert_eq!(std::fs::read(&file).expect("read"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ledger.db");
    let garbage = b"this is no database, however long it may be ".repeat(200);
    std::fs::write(&file, &garbage).expect("written");
    let error = refusal(Ledger::open(&settings(&folder), Clock::system()).await).await;
    assert!(error.contains("ledger.url") && error.contains("damaged"), "{error}");
    assert_eq!(std::fs::read(&file).expect("read"), garbage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_from_the_future_is_refused() {
    let bed = bed().await;
    bed.ledger.close().await;
    let sql = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
               values (9999, 'later', 1, x'00', 0)";
    bed.intruder().execute_batch(sql).expect("a later version");
    // All of it in the file itself: else whoever closes the log last moves it there.
    let moved = "pragma wal_checkpoint(truncate)";
    let is_busy = bed.intruder().query_row(moved, [], |row| row.get::<_, bool>(0)).expect("an answer");
    assert!(!is_busy, "somebody else is in the file");
    let before = std::fs::read(bed.path("")).expect("read");
    let error = refusal(bed.open().await).await;
    assert!(error.contains("9999") && error.contains("newer"), "{error}");
    // Nor is anything in a log that would be moved there later.
    bed.intruder().query_row(moved, [], |_| Ok(())).expect("an answer");
    assert!(std::fs::read(bed.path("")).expect("read") == before, "the file was written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_only_added_something_is_no_hindrance() {
    let bed = bed().await;
    deliver(&bed.ledger, "evt-1").await;
    bed.ledger.close().await;
    let sql = "alter table runs add column later text; create table later (name text);
               insert into _sqlx_migrations (version, description, success, checksum, execution_time)
               values (1999, 'later', 1, x'00', 0)";
    bed.intruder().execute_batch(sql).expect("a later version");
    let older = bed.open().await.expect("an older binary goes on");
    finish(&older, claim(&older).await, RunState::Succeeded).await;
    deliver(&older, "evt-2").await;
}

/// Before runs were shared, digests stood in another column, twelve bytes for each.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_sent_is_still_known() {
    let bed = bed().await;
    let target =
        bed.ledger.target("predictions", "braze", &["churn", "value"]).await.expect("a target").number;
    bed.ledger.close().await;
    let sql = format!(
        "alter table sent rename column packed to digests;
         delete from _sqlx_migrations where version >= 1000;
         insert into sent values ({target}, 'c-2', x'090000000000000004000000080000000000000005000000', 1, 0)"
    );
    bed.intruder().execute_batch(&sql).expect("an older version");
    let ledger = bed.open().await.expect("brought up to date");
    let known = ledger.customer(target, "c-2").await.expect("read").expect("known");
    let attributes: Vec<&str> = known.attributes.iter().map(|known| known.attribute.as_str()).collect();
    assert_eq!((attributes, known.in_doubt), (vec!["churn", "value"], true));
    ledger.close().await;
    let older = bed.intruder().prepare("select digests from sent").map(drop);
    assert!(older.is_err(), "an older binary finds nothing to read amiss");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_their_owner_alone() {
    let bed = bed().await;
    deliver(&bed.ledger, "evt-1").await;
    for ending in ["", "-wal", "-shm", ".key", ".lock"] {
        let file = std::fs::metadata(bed.path(ending)).expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "ledger.db{ending}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_outlive_a_restart_and_another_key_is_refused() {
    let bed = bed().await.restart().await;
    let digest = bed.ledger.hasher().customer(b"c-1").digest(0, b"0.5");
    let bed = bed.restart().await;
    assert_eq!(bed.ledger.hasher().customer(b"c-1").digest(0, b"0.5"), digest);
    bed.ledger.close().await;

    let key = std::fs::read(bed.path(".key")).expect("a key");
    std::fs::write(bed.path(".key"), "another key, and long enough").expect("written");
    assert!(refusal(bed.open().await).await.contains("ledger.digest_key"));
    std::fs::remove_file(bed.path(".key")).expect("removed");
    let error = refusal(bed.open().await).await;
    assert!(error.contains("ledger.digest_key") && error.contains("gone"), "{error}");
    assert!(!bed.path(".key").exists(), "no other key in its place");

    std::fs::write(bed.path(".given"), [&key[..], b"\n"].concat()).expect("written");
    let given = config::SecretRef::File(bed.path(".given"));
    let settings = config::Ledger { digest_key: Some(given), ..settings(&bed.folder) };
    let ledger = Ledger::open(&settings, Clock::system()).await.expect("the same key, given");
    assert_eq!(ledger.hasher().customer(b"c-1").digest(0, b"0.5"), digest);
}

/// Whether the bytes of `text` stand in the file or in its log.
fn stands_in_the_file(bed: &Bed, text: &str) -> bool {
    ["", "-wal"].iter().any(|ending| {
        let bytes = std::fs::read(bed.path(ending)).expect("read");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_customer_is_in_no_byte_of_the_file() {
    let bed = bed().await;
    let ledger = &bed.ledger;
    let target = ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    let id = "customer-to-be-forgotten-0001";
    let chosen = Some(vec![id.to_owned(), "another".to_owned()]);
    ledger.enqueue(NewRun { customers: chosen, ..new_run(Mode::Force) }).await.expect("queued");
    let lease = claim(ledger).await;
    let mut stopped_at_it = checkpoint(1);
    stopped_at_it.position = Some(peak_braze::customer::Position::Text(id.to_owned()));
    let group = Group {
        in_flight: None,
        sent: vec![SentRow { customer_id: id, digests: &[7; 12], flag: Flag::default() }],
        rejections: vec![NewRejection {
            customer_id: id,
            attribute: None,
            code: peak_braze::customer::Code::Unknown,
        }],
        cleared: Vec::new(),
        next: Vec::new(),
        checkpoint: &stopped_at_it,
        progress: Progress::default(),
        sent_at: None,
    };
    ledger.record_group(&lease, target, group).await.expect("recorded");
    ledger.mark_in_flight(&lease, target, &["another", id]).await.expect("marked");
    assert!(stands_in_the_file(&bed, id));
    ledger.release(lease, None, false, None).await.expect("put down");
    assert_eq!(ledger.forget(SYNC, id).await.expect("forgotten"), 2);
    assert!(!stands_in_the_file(&bed, id));
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_forgotten_after_pages_were_split_leave_nothing_either() {
    let bed = bed().await;
    let (ledger, counted) = (&bed.ledger, checkpoint(1));
    let target = ledger.target(SYNC, "braze", &["a"]).await.expect("a target").number;
    queue(ledger, Mode::Delta).await;
    let lease = claim(ledger).await;
    // Rows that grow and move: pages split, and keep copies of what moved away.
    let id = |number: u64| format!("customer-{:020}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for round in 1..=6 {
        let ids: Vec<String> = (0..3_000).filter(|number| number % round == 0).map(id).collect();
        let digests: Vec<u8> = vec![round as u8; 60 * round as usize];
        let sent = ids
            .iter()
            .map(|id| SentRow { customer_id: id, digests: &digests, flag: Flag::default() })
            .collect();
        let group = Group {
            in_flight: None,
            sent,
            rejections: Vec::new(),
            cleared: Vec::new(),
            next: Vec::new(),
            checkpoint: &counted,
            progress: Progress::default(),
            sent_at: None,
        };
        ledger.record_group(&lease, target, group).await.expect("recorded");
    }
    finish(ledger, lease, RunState::Succeeded).await;
    bed.intruder().execute_batch("pragma wal_checkpoint(truncate)").expect("all in the file");
    let bytes = std::fs::read(bed.path("")).expect("read");
    let mut copies = std::collections::BTreeMap::<&[u8], u32>::new();
    for copy in bytes.windows(id(0).len()).filter(|window| window.starts_with(b"customer-")) {
        *copies.entry(copy).or_default() += 1;
    }
    // A row stands in one place: a second one is what it left behind when it moved.
    let moved = |id: &String| copies.get(id.as_bytes()).is_some_and(|copies| *copies > 1);
    let moved: Vec<String> = (0..3_000).map(id).filter(moved).take(3).collect();
    assert!(!moved.is_empty(), "nothing moved: the story has lost its point");
    for id in &moved {
        assert_eq!(ledger.forget(SYNC, id).await.expect("forgotten"), 1);
        assert!(!stands_in_the_file(&bed, id));
    }
    let other = (0..3_000).map(id).find(|id| !moved.contains(id)).expect("a customer");
    assert!(stands_in_the_file(&bed, &other), "the others are still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_hears_of_every_change() {
    let bed = bed().await;
    let mut watch = bed.ledger.watch();
    let wake = bed.ledger.wake();
    let rung = wake.notified();
    let id = deliver(&bed.ledger, "evt-1").await;
    rung.await;
    let lease = claim(&bed.ledger).await;
    finish(&bed.ledger, lease, RunState::Succeeded).await;
    for _ in 0..3 {
        assert_eq!(watch.recv().await.expect("told"), id);
    }
}
