//! What Braze answers decides what is remembered.

use peak_braze::run::RunState;
use peak_braze::sandbox::{Answer, Rule};
use serde_json::json;

use crate::support::app::{Setup, TestApp, ago, assert_identities};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_customer_is_listed_tried_again_and_settled() {
    let mut setup = Setup::customers(200);
    setup.sandbox.blocked_ids.insert("c-42".to_owned());
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted, run.tally.rejected), (RunState::Partial, 199, 1));
    assert_identities(&run);
    let listed = app.rejections(run.id).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["customer_id"], &listed[0]["code"]),
        (&json!("c-42"), &json!("braze_blocklisted"))
    );
    assert_eq!(app.sync_state().await["outstanding_rejections"], 1);

    // Long past the overlap, the refused customer is still asked for.
    app.warehouse(&format!("update predictions set updated_at = '{}'", ago(86_400)));
    let again = app.run("delta").await;
    assert_eq!((again.state, again.tally.rejected, again.tally.requests > 0), (RunState::Partial, 1, true));
    assert_eq!(app.rejections(again.id).await[0]["attempts"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_stays_behind_and_the_others_go() {
    let mut setup = Setup::customers(3);
    setup.seed += "update predictions set churn = 'soon' where customer_id = 'c-1';
                   update predictions set churn = 9e999, band = null where customer_id = 'c-2';";
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    assert_eq!(run.state, RunState::Partial);
    assert_eq!((run.tally.changed, run.tally.invalid, run.tally.invalid_values), (2, 1, 2));
    assert_identities(&run);
    let mut listed: Vec<_> = app.rejections(run.id).await;
    listed.sort_by_key(|line| line["customer_id"].to_string());
    assert_eq!(listed[0]["attribute"], "peak_churn");
    assert_eq!((&listed[0]["code"], &listed[1]["code"]), (&json!("wrong_type"), &json!("not_finite")));
    assert_eq!(app.in_braze("c-1", "peak_band").await, Some(json!("low")));

    app.warehouse(&format!("update predictions set churn = 0.5, updated_at = '{}'", ago(0)));
    let healed = app.run("delta").await;
    assert_eq!(healed.state, RunState::Succeeded);
    assert_eq!(app.sync_state().await["outstanding_rejections"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_usable_key_or_time_are_seen_by_every_run() {
    let mut setup = Setup::customers(2);
    setup.seed += &format!(
        "insert into predictions values (null, '{at}', 1, 'x'), ('  ', '{at}', 1, 'x'), ('c-3', 'soon', 1, 'x');",
        at = ago(86_400)
    );
    let app = TestApp::start(setup).await;
    for _ in 0..2 {
        let run = app.run("delta").await;
        assert_eq!((run.state, run.tally.invalid), (RunState::Partial, 3));
        assert_identities(&run);
        let mut codes: Vec<_> = app
            .rejections(run.id)
            .await
            .iter()
            .map(|line| line["code"].as_str().expect("a code").to_owned())
            .collect();
        codes.sort();
        assert_eq!(codes, ["bad_key", "bad_key", "bad_updated_at"]);
    }
    app.warehouse(
        "delete from predictions where customer_id is null or trim(customer_id) = '' or updated_at = 'soon'",
    );
    app.warehouse(&format!("insert into predictions values ('c-3', '{}', 0.5, 'x')", ago(0)));
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
    assert_eq!(app.sync_state().await["outstanding_rejections"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_fails_the_run_blocks_the_sync_and_loses_nobody() {
    let app = TestApp::start(Setup::customers(300)).await;
    app.braze.rule(Rule::new(Answer::EchoKey { status: 401 }).after(2));
    let run = app.run("delta").await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.error.as_ref().expect("why").code, "braze_unauthorized");
    assert!(run.tally.changed >= run.tally.accepted + run.tally.rejected + run.tally.unknown);
    assert_eq!(run.tally.rejected, 0);
    let sync = app.sync_state().await;
    assert_eq!((&sync["blocked"], &sync["blocked_reason"]), (&json!(true), &json!("braze_unauthorized")));
    assert_eq!(sync["watermark"], json!(null));

    app.braze.clear_rules();
    let accepted = run.tally.accepted;
    let next = app.run("delta").await;
    assert_eq!((next.state, next.tally.accepted), (RunState::Succeeded, 300 - accepted));
    assert_eq!(app.sync_state().await["blocked"], false);
    assert_eq!(app.braze.stats().values_unchanged, 0, "nobody was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_braze_echoes_is_stored_nowhere() {
    let mut app = TestApp::start(Setup::customers(3)).await;
    app.braze.rule(Rule::new(Answer::EchoKey { status: 401 }));
    let run = app.run("delta").await;
    let shown = app.get(&format!("/v1/runs/{}", run.id)).await.to_string();
    let key = crate::support::app::BRAZE_KEY;
    assert!(!shown.contains(key));
    app.drain().await;
    let stored = app.ledger.stored().await;
    assert!(stored.windows(16).any(|window| window == &b"braze_unauthorized"[..16]), "the error is there");
    assert!(!stored.windows(key.len()).any(|window| window == key.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_braze_applied_it_is_asked_for_again() {
    let app = TestApp::start(Setup::customers(150)).await;
    app.braze.rule(Rule::new(Answer::ResetAfterApply).times(1));
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted, run.tally.retries), (RunState::Succeeded, 150, 1));
    assert_identities(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_waited_out() {
    let app =
        TestApp::start(Setup { destination: "retry_base_ms = 10".to_owned(), ..Setup::customers(150) }).await;
    app.braze.rule(Rule::new(Answer::Status { status: 503 }).times(3));
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 150));
    assert_eq!(app.braze.stats().values_unchanged, 0);
}

/// A Braze that takes everything in and never says so.
fn applied_unsaid() -> Rule {
    Rule::new(Answer::Message { message: "noted".to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_and_cannot_go_again_is_not_taken_for_known() {
    let mut setup = Setup::customers(2);
    setup.attributes = setup.attributes.replace("round = 3", "round = 3\n  on_null = \"skip\"");
    let app = TestApp::start(setup).await;
    let set = |sql: &str| app.warehouse(&format!("update predictions set updated_at = '{}', {sql}", ago(0)));
    app.run("delta").await;
    // Braze takes 0.5 and `high`, and nobody is told so.
    app.braze.rule(applied_unsaid());
    set("churn = 0.5, band = 'high'");
    assert_eq!(app.run("delta").await.tally.unknown, 2);
    app.braze.clear_rules();
    // Of neither value there is one to send in its place.
    set("churn = null, band = printf('%.300c', 'x')");
    assert_eq!(app.run("delta").await.state, RunState::Partial);
    // Back to what the ledger last knew to be in Braze.
    set("churn = 0.001, band = 'low'");
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
    assert_eq!(app.in_braze("c-1", "peak_churn").await, Some(json!(0.001)));
    assert_eq!(app.in_braze("c-1", "peak_band").await, Some(json!("low")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_an_earlier_send_in_doubt() {
    let app = TestApp::start(Setup::customers(2)).await;
    let set = |sql: &str| app.warehouse(&format!("update predictions set updated_at = '{}', {sql}", ago(0)));
    app.run("delta").await;
    app.braze.rule(applied_unsaid());
    set("churn = 0.5");
    assert_eq!(app.run("delta").await.tally.unknown, 2);
    app.braze.clear_rules();
    let refuse =
        Answer::Refuse { external_ids: vec!["c-1".to_owned()], error: "EMAIL_BAD_FORMAT".to_owned() };
    app.braze.rule(Rule::new(refuse));
    assert_eq!(app.run("delta").await.tally.rejected, 1);
    app.braze.clear_rules();
    set("churn = 0.001 where customer_id = 'c-1'");
    assert_eq!(app.run("delta").await.state, RunState::Succeeded);
    assert_eq!(app.in_braze("c-1", "peak_churn").await, Some(json!(0.001)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clear_refusal_puts_nobody_in_doubt() {
    for status in [401, 403, 404, 415] {
        let app = TestApp::start(Setup::customers(150)).await;
        app.run("delta").await;
        app.warehouse(&format!("update predictions set updated_at = '{}', churn = churn + 1", ago(0)));
        app.braze.rule(Rule::new(Answer::Status { status }));
        assert_eq!(app.run("delta").await.state, RunState::Failed);
        app.braze.clear_rules();
        let next = app.run("delta").await;
        assert_eq!(
            (next.tally.accepted, next.data_points.sent, next.data_points.saved),
            (150, 150, 150),
            "{status}"
        );
        assert_eq!(app.braze.stats().values_unchanged, 0, "no value is paid for twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_unusable_rows_between_two_customers_are_all_counted() {
    let mut setup = Setup::customers(1);
    let more = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500) insert into predictions";
    setup.seed += &format!(
        "{more} select 'd' || printf('%.990c', 'x') || i, '{at}', 1, 'x' from n;
         {more} select 'e-' || i, 'soon', 1, 'x' from n;
         insert into predictions values ('z-1', '{at}', 1, 'x');",
        at = ago(60)
    );
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.invalid, run.tally.accepted), (RunState::Partial, 5_000, 2));
    assert_identities(&run);
    // Rejections of unusable keys are told apart by what can be shown of them, and these look alike.
    assert_eq!(app.sync_state().await["outstanding_rejections"], 2_501);
}
