//! What every ledger promises, told once and run against each database. A story takes an open ledger with nothing in
//! it, and the time that ledger goes by.

pub mod deliveries;
pub mod lease;
pub mod notices;
pub mod outcome;
pub mod queue;
pub mod sent;

use chrono::{DateTime, TimeDelta, Utc};
use peak_braze::clock::Clock;
use peak_braze::ledger::{
    Checkpoint, Decision, Finish, Idempotency, Lease, Ledger, LedgerError, NewDelivery, NewRun, Recorded,
};
use peak_braze::run::{DataPoints, Mode, Model, RunId, RunState, Tally, TriggerKind};

/// Gives each story a test of its own against the ledger that `$open` opens.
macro_rules! told_by {
    ($open:path) => {
        $crate::ledger_suite::each_story!($open;
            deliveries: a_hundred_identical_deliveries_are_one_run, deliveries_that_come_together_share_one_run,
                a_repeat_finds_the_first_run_and_another_body_conflicts,
                a_late_repeat_queues_nothing_alone_or_beside_a_new_delivery, ignored_deliveries_run_nothing,
                deliveries_without_an_id_are_never_duplicates, lists_page_through_every_delivery_once,
                a_run_shows_its_newest_hundred_deliveries,
                one_id_with_two_bodies_at_once_is_one_run_and_conflicts, deliveries_of_one_kind_are_listed_alone;
            queue: triggers_join_the_queued_run_and_widen_it, chosen_customers_gather_and_survive_a_retrigger,
                nothing_joins_a_run_that_was_claimed, workers_are_rung_for_a_new_run_and_not_when_one_is_joined,
                whoever_joined_in_a_race_is_covered_by_the_claim, plans_stand_outside_the_queue,
                an_idempotency_key_finds_its_run_for_a_day, a_hundred_requests_with_one_key_are_one_run,
                a_run_nobody_has_is_cancelled_at_once, a_paused_sync_starts_nothing_new,
                only_the_syncs_asked_for_are_claimed, a_slot_is_answered_for_once, runs_page_newest_first,
                a_list_tells_each_run_its_own_deliveries_and_may_leave_plans_out;
            lease: two_workers_never_have_the_same_run, a_lost_lease_changes_nothing, a_lost_plan_records_nothing,
                an_expired_lease_is_claimed_anew_and_goes_on, a_run_given_back_waits_until_it_is_due,
                the_fifth_crash_ends_the_run, waits_and_clean_stops_are_no_crashes,
                a_request_to_cancel_is_heard_with_the_heartbeat;
            outcome: the_watermark_never_goes_back, a_run_without_a_watermark_reaches_nowhere,
                a_failed_run_moves_nothing, a_plan_changes_nothing_but_itself,
                a_blocked_sync_is_freed_by_a_success, a_finished_run_never_changes,
                a_request_to_cancel_that_came_first_is_the_end,
                pruning_keeps_what_is_still_needed, pruning_goes_in_steps_to_the_end,
                an_id_that_comes_again_after_pruning_is_listed_with_its_new_run;
            notices: an_outcome_and_its_notice_are_one, plans_and_cancelled_runs_are_not_told,
                everybody_is_told_what_they_asked_for, a_notice_is_claimed_by_one,
                a_notice_comes_round_again_with_its_id, a_standstill_is_told_once_until_it_is_over,
                trouble_begins_and_ends_once,
                a_wait_set_by_a_clock_that_was_ahead_is_over, what_nobody_will_be_told_goes,
                a_receiver_that_another_process_was_just_given_is_told;
            sent: what_was_recorded_is_remembered, whoever_is_remembered_is_found_however_far_apart,
                what_was_left_in_flight_is_in_doubt,
                what_goes_next_is_in_flight_once_what_went_is_recorded,
                what_was_in_flight_to_another_workspace_is_in_doubt_there,
                a_plan_leaves_alone_what_an_active_run_has_in_flight, rejections_count_runs_and_begin_anew,
                a_second_attempt_settles_what_the_first_refused, bad_keys_not_seen_again_are_settled,
                cursors_of_other_lists_are_refused, holds_outlive_only_themselves, slots_are_never_reused,
                who_is_forgotten_is_nowhere;
        );
    };
}
pub(crate) use told_by;

macro_rules! each_story {
    ($open:path; $($room:ident: $($story:ident),+;)+) => { $(
        mod $room {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $story() {
                    let bed = $open().await;
                    $crate::ledger_suite::$room::$story(&bed.ledger, &bed.time).await;
                    bed.ledger.close().await;
                }
            )+
        }
    )+ };
}
pub(crate) use each_story;

/// The time a ledger goes by: our clock's, and that of the database where replicas share one.
pub struct Time {
    pub clock: Clock,
    database: Option<sqlx::PgPool>,
}

impl Time {
    pub fn of_this_process(clock: Clock) -> Self {
        Self { clock, database: None }
    }

    /// A database whose clock stands where this one does.
    pub async fn of_the_database(clock: Clock, database: sqlx::PgPool) -> Self {
        let time = Self { clock, database: Some(database) };
        time.set(time.now()).await;
        time
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn advance(&self, by: TimeDelta) {
        self.set(self.now() + by).await;
    }

    pub async fn set(&self, to: DateTime<Utc>) {
        self.clock.set(to);
        let Some(database) = &self.database else { return };
        let sql = format!(
            "create or replace function peak_braze.ledger_now() returns timestamptz language sql volatile
             as $$ select timestamptz '{}' $$",
            to.to_rfc3339()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(database).await.expect("its clock is set");
    }
}

pub const SYNC: &str = "predictions";

/// Seconds a claim lasts in these stories.
pub const LEASE_SECS: u64 = 20;

pub fn start() -> DateTime<Utc> {
    "2026-11-01T00:00:00Z".parse().expect("the suite's own time")
}

pub fn delivery(id: &str, body: u8) -> NewDelivery {
    NewDelivery {
        sync: SYNC.to_owned(),
        delivery_id: Some(id.to_owned()),
        body_digest: [body; 32],
        received_at: start(),
        event_type: "model.run.completed".to_owned(),
        secret: 0,
        decision: Decision::Run,
        model: Model { name: Some(format!("model of {id}")), ..Model::default() },
    }
}

pub async fn deliver(ledger: &Ledger, id: &str) -> RunId {
    match ledger.record_delivery(delivery(id, 1)).await.expect("recorded") {
        Recorded::Accepted { run_id, .. } => run_id,
        other => panic!("{id} is {other:?}"),
    }
}

pub fn new_run(mode: Mode) -> NewRun {
    NewRun {
        sync: SYNC.to_owned(),
        mode,
        kind: TriggerKind::Manual,
        actor: Some("ops".to_owned()),
        reason: None,
        retrigger_of: None,
        customers: None,
        idempotency: None,
    }
}

pub fn keyed(key: &str, body: u8) -> Option<Idempotency> {
    Some(Idempotency { scope: "ops".to_owned(), key: key.to_owned(), body_digest: [body; 32] })
}

pub async fn queue(ledger: &Ledger, mode: Mode) -> RunId {
    ledger.enqueue(new_run(mode)).await.expect("queued").run_id
}

pub async fn try_claim(ledger: &Ledger) -> Option<Lease> {
    ledger.claim(&[SYNC.to_owned()]).await.expect("a ledger")
}

pub async fn claim(ledger: &Ledger) -> Lease {
    try_claim(ledger).await.expect("a claimable run")
}

pub async fn state(ledger: &Ledger, run: RunId) -> RunState {
    ledger.run(run).await.expect("a ledger").expect("a run").state
}

pub fn checkpoint(customers: u64) -> Checkpoint {
    Checkpoint {
        fingerprint: "braze:1".to_owned(),
        position: None,
        ceiling: start(),
        newest: Some(start()),
        tally: Tally { customers, rows_read: customers, unchanged: customers, ..Tally::default() },
        data_points: DataPoints::default(),
        complete: false,
    }
}

pub fn ending(state: RunState) -> Finish {
    Finish {
        state,
        checkpoint: Some(checkpoint(3)),
        error: None,
        watermark: None,
        was_full: false,
        blocks: false,
    }
}

pub async fn finish(ledger: &Ledger, lease: Lease, state: RunState) {
    ledger.finish(lease, ending(state)).await.expect("finished");
}

/// Lets every claim run out.
pub async fn outlast_the_lease(time: &Time) {
    time.advance(TimeDelta::seconds(i64::try_from(LEASE_SECS).expect("a few seconds") + 1)).await;
}

pub fn is_lost<T>(result: Result<T, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::LeaseLost(_)))
}
