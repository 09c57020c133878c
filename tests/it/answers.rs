//! Every kind of answer Braze may give, through the real app: nothing lost, nothing claimed that was not given.

use peak_braze::run::{Run, RunState};
use peak_braze::sandbox::{Announce, Answer, Cap, Rule};
use serde_json::json;

use crate::support::app::{Setup, TestApp, assert_identities};

const CUSTOMERS: u32 = 150;

fn quick(customers: u32) -> Setup {
    Setup { destination: "retry_base_ms = 5".to_owned(), ..Setup::customers(customers) }
}

/// A first run that meets `rule`.
async fn meet(rule: Rule) -> (TestApp, Run) {
    let app = TestApp::start(quick(CUSTOMERS)).await;
    app.braze.rule(rule);
    let run = app.run("delta").await;
    if matches!(run.state, RunState::Succeeded | RunState::Partial) {
        assert_identities(&run);
    }
    (app, run)
}

/// Everybody's value is in Braze.
async fn assert_all_there(app: &TestApp, customers: u32) {
    app.braze.settle().await;
    for number in 1..=customers {
        let there =
            app.braze.user(&format!("c-{number}")).is_some_and(|user| user.contains_key("peak_churn"));
        assert!(there, "c-{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_placed_are_settled_by_asking_again() {
    for answer in [
        Answer::Unindexed,
        Answer::IndexOutOfRange,
        Answer::WrongArray,
        Answer::StringError,
        Answer::Unaccounted { missing: 3 },
        Answer::Message { message: "enqueued, perhaps".to_owned() },
        Answer::Empty,
        Answer::Truncated,
        Answer::Cut,
        Answer::Html { status: 200 },
        Answer::ExtraFields,
        Answer::GzipBomb { bytes: 1 << 30 },
        Answer::SlowBody { every_ms: 20 },
        Answer::Html { status: 413 },
        Answer::Status { status: 502 },
        Answer::Status { status: 503 },
        Answer::Queued,
        Answer::ResetBeforeApply,
        Answer::ResetAfterApply,
        Answer::Html { status: 502 },
        Answer::Status { status: 500 },
        Answer::Status { status: 504 },
        Answer::Status { status: 408 },
    ] {
        let (app, run) = meet(Rule::new(answer.clone()).times(1)).await;
        assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 150), "{answer:?}: {run:?}");
        assert_all_there(&app, CUSTOMERS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_says_success_is_no_success() {
    let (app, run) = meet(Rule::new(Answer::Message { message: "noted".to_owned() })).await;
    assert_eq!((run.state, run.tally.accepted, run.tally.unknown), (RunState::Partial, 0, 150));
    assert_eq!(app.rejections(run.id).await[0]["code"], "unknown");
    // In doubt: all values go again, whatever the digests say.
    app.braze.clear_rules();
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted, run.data_points.sent), (RunState::Succeeded, 150, 300));
    assert_eq!(app.sync_state().await["outstanding_rejections"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_an_answer_is_not_read_to_its_end() {
    let (app, run) = meet(Rule::new(Answer::Huge { bytes: 1 << 30, every_ms: 0 }).times(1)).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 150));
    assert_all_there(&app, CUSTOMERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_object_is_found_by_splitting_and_the_others_go() {
    let rule = Rule::new(Answer::Reply {
        status: 400,
        headers: std::collections::BTreeMap::default(),
        body: json!({"message": "something about one of them"}).to_string(),
    });
    let (app, run) = meet(rule.external_id("c-77")).await;
    assert_eq!((run.state, run.tally.accepted, run.tally.rejected), (RunState::Partial, 149, 1));
    let listed = app.rejections(run.id).await;
    assert_eq!((listed.len(), &listed[0]["customer_id"]), (1, &json!("c-77")));
    assert_eq!(listed[0]["code"], "braze_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_cap_is_learned_once_and_kept() {
    let mut setup = quick(600);
    setup.sandbox.cap = Cap::Combined(50);
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 600));
    let sizes =
        |app: &TestApp| app.braze.requests().iter().map(|request| request.objects).collect::<Vec<_>>();
    let seen = sizes(&app).len();
    app.run("force").await;
    assert!(sizes(&app)[seen..].iter().all(|objects| *objects <= 50), "remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_long_go_in_shorter_ones() {
    let (app, run) = meet(Rule::new(Answer::Status { status: 413 }).min_objects(20)).await;
    assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 150));
    assert_all_there(&app, CUSTOMERS).await;
    let (_, run) = meet(Rule::new(Answer::Status { status: 413 }).external_id("c-77")).await;
    assert_eq!((run.state, run.tally.accepted, run.tally.rejected), (RunState::Partial, 149, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_braze_that_refuses_everything_stops_the_run_early() {
    let app = TestApp::start(quick(3_000)).await;
    app.braze.rule(Rule::new(Answer::Status { status: 400 }));
    let run = app.run("delta").await;
    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.error.expect("why").code, "braze_refuses_everything");
    assert_eq!(app.sync_state().await["watermark"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_waiting_heals_ends_the_run_with_its_code() {
    let elsewhere = "http://127.0.0.1:9/users/track".to_owned();
    for (answer, code, blocked) in [
        (Answer::Status { status: 401 }, "braze_unauthorized", true),
        (Answer::Status { status: 403 }, "braze_forbidden", true),
        (Answer::Status { status: 404 }, "braze_not_found", true),
        (Answer::Status { status: 415 }, "braze_unsupported", false),
        (Answer::Redirect { status: 307, location: elsewhere }, "braze_redirected", false),
    ] {
        let (app, run) = meet(Rule::new(answer)).await;
        assert_eq!((run.state, run.tally.rejected), (RunState::Failed, 0), "{code}");
        assert_eq!(run.error.expect("why").code, code);
        let sync = app.sync_state().await;
        assert_eq!((&sync["blocked"], &sync["watermark"]), (&json!(blocked), &json!(null)), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_waits_are_kept_in_every_form() {
    for announce in [
        Announce::Epoch { secs: 1 },
        Announce::SecondsLeft { secs: 1 },
        Announce::RetryAfter { secs: 1 },
        Announce::StandardRetryAfter { secs: 1 },
        Announce::Past,
        Announce::Nothing,
    ] {
        let (app, run) = meet(Rule::new(Answer::RateLimited { announce }).times(1)).await;
        assert_eq!(
            (run.state, run.tally.accepted, run.attempt),
            (RunState::Succeeded, 150, 1),
            "{announce:?}"
        );
        let stats = app.braze.stats();
        assert_eq!((stats.requests_before_reset, stats.values_unchanged), (0, 0), "{announce:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_is_shown_survives_a_restart_and_ends_at_an_hour() {
    let mut app = TestApp::start(quick(CUSTOMERS)).await;
    app.braze.rule(Rule::new(Answer::RateLimited { announce: Announce::Year2099 }));
    let id = app.trigger(&json!({})).await;
    let waiting = app.when(id, |run| run.state == RunState::Waiting).await;
    let until = waiting.throttled_until.expect("shown");
    let hour = chrono::TimeDelta::minutes(62);
    assert!(until > waiting.created_at && until < waiting.created_at + hour, "{until}");
    let asked = app.braze.stats().requests;

    app.drain().await;
    app.braze.clear_rules();
    app.boot().await;
    let waiting = app.when(id, |run| run.state == RunState::Waiting && run.attempt == 2).await;
    assert!(waiting.throttled_until.is_some());
    assert_eq!(app.braze.stats().requests, asked, "nothing is sent before the announced time");
    // A person need not wait with it.
    let (status, _) = app.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(status, 202);
    assert_eq!(app.finished(id).await.state, RunState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn unbroken_failure_is_given_up_in_the_end() {
    let app = TestApp::start(Setup {
        destination: "retry_base_ms = 5\nretry_cap_secs = 1\ngive_up_after = \"2s\"".to_owned(),
        ..Setup::customers(10)
    })
    .await;
    app.braze.rule(Rule::new(Answer::Status { status: 503 }));
    let run = app.run("delta").await;
    assert_eq!(run.error.as_ref().map(|error| error.code.as_str()), Some("gave_up"));
    assert_eq!((run.state, app.sync_state().await["watermark"].clone()), (RunState::Failed, json!(null)));
}
