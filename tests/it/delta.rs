//! Only values that changed are sent, and every one of them is.

use peak_braze::run::{Mode, RunState};
use serde_json::json;

use crate::support::app::{ATTRIBUTES, Setup, TestApp, ago, assert_identities};

#[tokio::test(flavor = "multi_thread")]
async fn first_run_sends_everything_and_the_next_only_what_changed() {
    let app = TestApp::start(Setup::customers(1_000)).await;
    let first = app.deliver_and_finish("evt-1").await;
    assert_eq!(first.state, RunState::Succeeded);
    assert_eq!((first.tally.accepted, first.tally.requests), (1_000, 14));
    assert_eq!(first.promoted.as_deref(), Some("first_run"));
    assert_eq!(first.trigger.deliveries, ["evt-1"]);
    assert_identities(&first);

    app.warehouse(&format!(
        "update predictions set churn = 0.999, updated_at = '{}' where customer_id in ('c-3', 'c-500')",
        ago(0)
    ));
    let second = app.deliver_and_finish("evt-2").await;
    assert_eq!(second.state, RunState::Succeeded);
    assert_eq!((second.mode, second.promoted.as_deref()), (Mode::Delta, None));
    assert_eq!((second.tally.changed, second.tally.accepted, second.tally.requests), (2, 2, 1));
    assert_eq!(second.data_points.by_attribute["peak_churn"].sent, 2);
    assert_eq!(second.data_points.by_attribute["peak_band"].sent, 0);
    assert_identities(&second);

    assert_eq!(app.in_braze("c-3", "peak_churn").await, Some(json!(0.999)));
    assert_eq!(app.in_braze("c-4", "peak_churn").await, Some(json!(0.004)));
    let stats = app.braze.stats();
    assert_eq!((stats.values_sent, stats.values_unchanged), (2_002, 0));
    assert_eq!(app.braze.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_timestamps_with_the_same_values_send_nothing() {
    let app = TestApp::start(Setup::customers(300)).await;
    app.run("delta").await;
    app.warehouse(&format!("update predictions set updated_at = '{}'", ago(0)));
    let run = app.run("delta").await;
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!((run.tally.customers, run.tally.unchanged, run.tally.requests), (300, 300, 0));
    assert_eq!(run.data_points.saved, 600);
    assert_identities(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn rounding_keeps_jitter_from_being_sent() {
    let app = TestApp::start(Setup::customers(10)).await;
    app.run("delta").await;
    app.warehouse(&format!("update predictions set churn = churn + 0.00001, updated_at = '{}'", ago(0)));
    assert_eq!(app.run("delta").await.tally.unchanged, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_removed_once_and_never_sent_where_nothing_was() {
    let mut setup = Setup::customers(3);
    setup.seed += "update predictions set band = null where customer_id = 'c-1';";
    let app = TestApp::start(setup).await;
    let first = app.run("delta").await;
    assert_eq!(first.data_points.by_attribute["peak_band"].sent, 2);
    app.warehouse(&format!("update predictions set band = null, updated_at = '{}'", ago(0)));
    let second = app.run("delta").await;
    assert_eq!((second.tally.changed, second.data_points.by_attribute["peak_band"].sent), (2, 2));
    assert_eq!(app.in_braze("c-2", "peak_band").await, None);
    assert_eq!(app.run("full").await.tally.changed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_skipped_where_the_mapping_says_so() {
    let mut setup = Setup::customers(2);
    setup.attributes = ATTRIBUTES.replace("type = \"string\"", "type = \"string\"\n  on_null = \"skip\"");
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    app.warehouse(&format!("update predictions set band = null, updated_at = '{}'", ago(0)));
    assert_eq!(app.run("delta").await.tally.changed, 0);
    assert_eq!(app.in_braze("c-1", "peak_band").await, Some(json!("low")));
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_row_of_a_customer_wins_and_the_others_are_collapsed() {
    let seed = format!(
        "create table predictions (customer_id text, updated_at text, churn real, band text);
         insert into predictions values
           ('c-1', '{new}', 0.9, 'high'), ('c-1', '{old}', 0.1, 'low'), ('c-2', '{old}', 0.2, 'low'),
           ('c-1', '{old}', 0.5, 'mid')",
        new = ago(60),
        old = ago(600)
    );
    let app = TestApp::start(Setup { seed, ..Setup::default() }).await;
    let run = app.run("delta").await;
    assert_eq!((run.tally.rows_read, run.tally.customers, run.tally.collapsed), (4, 2, 2));
    assert_eq!(app.in_braze("c-1", "peak_churn").await, Some(json!(0.9)));
    assert_identities(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_late_is_found_within_the_overlap() {
    let app = TestApp::start(Setup::customers(5)).await;
    app.warehouse(&format!("update predictions set updated_at = '{}'", ago(30)));
    app.run("delta").await;
    // Written now, but stamped before the watermark, as a long transaction does.
    app.warehouse(&format!(
        "update predictions set churn = 0.7, updated_at = '{}' where customer_id = 'c-2'",
        ago(600)
    ));
    let run = app.run("delta").await;
    assert_eq!((run.mode, run.tally.accepted), (Mode::Delta, 1));
    assert_eq!(app.in_braze("c-2", "peak_churn").await, Some(json!(0.7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_timestamp_is_sent_and_does_not_carry_the_watermark_away() {
    let app = TestApp::start(Setup::customers(2)).await;
    app.warehouse("update predictions set updated_at = '2099-01-01T00:00:00Z' where customer_id = 'c-1'");
    let run = app.run("delta").await;
    assert_eq!(run.tally.accepted, 2);
    assert!(run.window.up_to.expect("known") <= run.finished_at.expect("ended"));
    app.warehouse(&format!(
        "update predictions set churn = 0.8, updated_at = '{}' where customer_id = 'c-2'",
        ago(0)
    ));
    let run = app.run("delta").await;
    assert_eq!(
        (run.tally.customers, run.tally.accepted),
        (2, 1),
        "the row from the future is seen by every run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_attribute_makes_the_next_run_a_full_one_that_sends_only_it() {
    let mut app = TestApp::start(Setup::customers(100)).await;
    app.warehouse("alter table predictions add column tier text; update predictions set tier = 'gold'");
    app.run("delta").await;
    app.drain().await;
    app.change(|setup| setup.attributes += "\n  [[syncs.attributes]]\n  column = \"tier\"\n");
    app.boot().await;
    let run = app.run("delta").await;
    assert_eq!((run.promoted.as_deref(), run.tally.accepted), (Some("mapping_changed"), 100));
    assert_eq!(run.data_points.by_attribute["peak_churn"].sent, 0);
    assert_eq!(run.data_points.by_attribute["tier"].sent, 100);
    assert_eq!(app.run("delta").await.promoted, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_has_nothing_yet() {
    let mut app = TestApp::start(Setup::customers(20)).await;
    app.run("delta").await;
    app.drain().await;
    app.change(|setup| setup.destination = "workspace = \"emea\"".to_owned());
    app.boot().await;
    let run = app.run("delta").await;
    assert_eq!((run.promoted.as_deref(), run.tally.accepted), (Some("workspace_changed"), 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_keys_under_another_identifier_have_nothing_yet() {
    let mut app = TestApp::start(Setup::customers(20)).await;
    app.run("delta").await;
    app.change(|setup| setup.sync = "identifier = \"alias:crm\"\nupdate_existing_only = false".to_owned());
    app.app().reload().await.expect("a good config");
    let run = app.run("delta").await;
    assert_eq!((run.promoted.as_deref(), run.tally.accepted), (Some("mapping_changed"), 20));
    app.change(|setup| setup.sync = String::new());
    app.app().reload().await.expect("a good config");
    let run = app.run("delta").await;
    assert_eq!((run.promoted.as_deref(), run.tally.unchanged), (Some("mapping_changed"), 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn force_sends_every_value_of_the_chosen_and_leaves_the_watermark() {
    let app = TestApp::start(Setup::customers(50)).await;
    app.run("delta").await;
    let watermark = app.sync_state().await["watermark"].clone();
    let run = app.trigger(&json!({"mode": "force", "customers": ["c-7", "c-9", "nobody"]})).await;
    let run = app.finished(run).await;
    assert_eq!((run.state, run.tally.customers, run.tally.accepted), (RunState::Succeeded, 2, 2));
    assert_eq!(run.data_points.sent, 4);
    assert_eq!(app.sync_state().await["watermark"], watermark);
    let everyone = app.run("force").await;
    assert_eq!((everyone.tally.accepted, everyone.data_points.sent), (50, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_reach_braze_exactly() {
    let seed = format!(
        "create table predictions (customer_id text primary key, updated_at text, churn numeric, band text,
           visits integer, vip boolean, due date, scored timestamp, picks json);
         insert into predictions values ('ünïcødé-''; drop table x;--', '{at}', 0.1, 'a\"b\u{2028}', 9007199254740993,
           1, '2026-12-01', '2026-11-30 10:00:00', '[\"a\", {{\"b\": 1.50}}]');",
        at = ago(5)
    );
    let columns = ["visits", "vip", "due", "scored", "picks"];
    let more: String =
        columns.map(|column| format!("  [[syncs.attributes]]\n  column = \"{column}\"\n")).concat();
    let app =
        TestApp::start(Setup { seed, attributes: format!("{ATTRIBUTES}{more}"), ..Setup::default() }).await;
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 1));
    let request = app.braze.requests().pop().expect("a request");
    let body = request.body.expect("a body").to_string();
    for part in [
        "\"external_id\":\"ünïcødé-'; drop table x;--\"",
        "\"_update_existing_only\":true",
        "\"visits\":9007199254740993",
        "\"vip\":true",
        "\"due\":\"2026-12-01\"",
        "\"scored\":\"2026-11-30T10:00:00Z\"",
        "\"picks\":[\"a\",{\"b\":1.5}]",
        "\"peak_churn\":0.1",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_watermarks_very_instant_is_found_without_any_overlap() {
    let mut setup = Setup::customers(3);
    setup.sync = "overlap_secs = 0".to_owned();
    let app = TestApp::start(setup).await;
    app.run("delta").await;
    app.braze.seed_users(["c-4".to_owned()]);
    app.warehouse("insert into predictions select 'c-4', max(updated_at), 0.5, 'low' from predictions");
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 1));
}
