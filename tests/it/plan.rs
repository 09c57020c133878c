//! A plan tells what the next run would send, and changes nothing.

use peak_braze::run::{Forecast, ForecastValues, Mode, Run, RunState};
use peak_braze::sandbox::{Answer, Rule};
use serde_json::{Value, json};

use crate::support::app::{Setup, TestApp, ago};
use crate::support::command::peak_braze;

fn forecast(run: &Run) -> &Forecast {
    run.plan.as_ref().expect("a plan that ended says what it came to")
}

/// That the run did what the plan had told.
#[track_caller]
fn assert_came_true(plan: &Run, run: &Run) {
    let told = forecast(plan);
    assert_eq!((plan.state, plan.mode), (RunState::Succeeded, Mode::Plan));
    assert_eq!((told.mode, &told.promoted), (run.mode, &run.promoted));
    let tally = &run.tally;
    assert_eq!(
        (told.customers, told.unchanged, told.changed, told.invalid),
        (tally.customers, tally.unchanged, tally.changed, tally.invalid)
    );
    assert_eq!(
        (plan.tally.rows_read, plan.tally.invalid_values, plan.window.after),
        (tally.rows_read, tally.invalid_values, run.window.after)
    );
    assert_eq!((told.requests, told.bytes), (tally.requests, tally.bytes_sent));
    assert_eq!(told.data_points, run.data_points.sent);
    for (name, points) in &run.data_points.by_attribute {
        let values = &told.by_attribute[name];
        assert_eq!((values.sent(), values.unchanged), (points.sent, points.saved), "{name}");
    }
    assert_eq!((plan.tally.accepted, plan.tally.requests, plan.data_points.sent), (0, 0, 0));
}

/// Everything a plan must leave as it was.
async fn standing(app: &TestApp) -> Value {
    let sync = app.sync_state().await;
    json!([
        sync["watermark"],
        sync["last_run"],
        sync["outstanding_rejections"],
        sync["blocked"],
        app.braze.stats().requests,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_plan_tells_the_first_run() {
    let app = TestApp::start(Setup::customers(200)).await;
    let before = standing(&app).await;
    let plan = app.run("plan").await;
    assert_eq!(standing(&app).await, before);
    let told = forecast(&plan);
    assert_eq!((told.mode, told.promoted.as_deref()), (Mode::Full, Some("first_run")));
    assert_eq!(told.by_attribute["peak_churn"], ForecastValues { first: 200, ..Default::default() });
    assert!((told.budget_secs - 0.003).abs() < 1e-9, "{}", told.budget_secs);
    let run = app.run("delta").await;
    assert_came_true(&plan, &run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_each_kind_of_change_and_leaves_rejections_alone() {
    let mut setup = Setup::customers(100);
    setup.seed += "update predictions set band = null where customer_id = 'c-10';
                   update predictions set band = printf('%.300c', 'x') where customer_id = 'c-50';";
    let app = TestApp::start(setup).await;
    let first = app.run("delta").await;
    assert_eq!(first.state, RunState::Partial);
    app.warehouse(&format!(
        "update predictions set churn = 0.9, updated_at = '{at}' where customer_id in ('c-1', 'c-2');
         update predictions set band = null, updated_at = '{at}' where customer_id = 'c-3';
         update predictions set band = 'new', updated_at = '{at}' where customer_id = 'c-10';
         update predictions set churn = 0.5 where customer_id = 'c-50';
         update predictions set band = printf('%.256c', 'y'), updated_at = '{at}' where customer_id = 'c-60';
         insert into predictions values ('c-new', '{at}', 0.25, 'low'), ('', '{at}', 0.25, 'low');",
        at = ago(0)
    ));
    app.seed_all();
    let before = standing(&app).await;
    let (plan, again) = (app.run("plan").await, app.run("plan").await);
    assert_eq!(standing(&app).await, before);
    assert_eq!(forecast(&plan), forecast(&again), "a plan changes nothing for the next");
    let churn = &forecast(&plan).by_attribute["peak_churn"];
    assert_eq!((churn.first, churn.changed, churn.removed, churn.invalid), (1, 3, 0, 0));
    let band = &forecast(&plan).by_attribute["peak_band"];
    assert_eq!((band.first, band.changed, band.removed, band.invalid), (2, 0, 1, 2));
    let run = app.run("delta").await;
    assert_eq!((run.state, run.mode), (RunState::Partial, Mode::Delta));
    assert_came_true(&plan, &run);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_in_doubt_are_told_to_go_again() {
    let app = TestApp::start(Setup::customers(1)).await;
    app.run("delta").await;
    app.warehouse(&format!("update predictions set churn = 0.7, updated_at = '{}'", ago(0)));
    app.braze.rule(Rule::new(Answer::Html { status: 201 }).times(3));
    let unknown = app.run("delta").await;
    assert_eq!(unknown.tally.unknown, 1);
    let plan = app.run("plan").await;
    let band = &forecast(&plan).by_attribute["peak_band"];
    assert_eq!((band.again, band.unchanged), (1, 0));
    assert_came_true(&plan, &app.run("delta").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_runs_beside_an_active_run_and_a_paused_sync() {
    let app = TestApp::start(Setup::customers(1_000)).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("late").after(5).times(1));
    let active = app.trigger(&json!({})).await;
    app.braze.wait_for(|stats| stats.held == 1).await;
    let plan = app.run("plan").await;
    assert_eq!((plan.state, forecast(&plan).customers), (RunState::Succeeded, 1_000));
    let state = app.sync_state().await;
    assert_eq!((&state["state"], &state["last_run"]["id"]), (&json!("running"), &json!(active)));
    app.braze.release("late");
    let run = app.finished(active).await;
    assert_eq!((run.state, run.tally.accepted, run.tally.unknown), (RunState::Succeeded, 1_000, 0));
    assert_eq!(app.braze.stats().values_unchanged, 0, "the plan put nobody in doubt");

    app.post("/v1/syncs/predictions/pause", &json!({})).await;
    assert_eq!(forecast(&app.run("plan").await).changed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_sync_stays_blocked_through_a_plan() {
    let app = TestApp::start(Setup::customers(5)).await;
    app.braze.rule(Rule::new(Answer::Status { status: 401 }));
    assert_eq!(app.run("delta").await.state, RunState::Failed);
    assert_eq!(app.run("plan").await.state, RunState::Succeeded);
    assert_eq!(app.sync_state().await["blocked"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_a_plan_and_leaves_queued_runs_queued() {
    let mut app = TestApp::start(Setup::customers(200)).await;
    app.post("/v1/syncs/predictions/pause", &json!({})).await;
    let queued = app.trigger(&json!({})).await;
    app.post("/v1/syncs/predictions/resume", &json!({})).await;
    let ran = app.finished(queued).await;
    app.warehouse(&format!(
        "update predictions set churn = 0.9, updated_at = '{}' where customer_id = 'c-1'",
        ago(0)
    ));
    app.post("/v1/syncs/predictions/pause", &json!({})).await;
    let queued = app.trigger(&json!({})).await;
    app.drain().await;
    // Nothing keeps the queued run from being claimed now but that only plans are worked on.
    app.ledger.run("update syncs set paused = false").await;

    let told = peak_braze(&app.config_path(), &["plan", "predictions"]).await;
    let table = told.ended(0);
    for line in ["a delta run would send", "  data points", "peak_churn", "first  changed  removed"] {
        assert!(table.contains(line), "{line} in {table}");
    }
    assert!(!table.contains('\u{1b}'), "no escape codes on a pipe: {table}");
    let told = peak_braze(&app.config_path(), &["plan", "predictions", "--json"]).await;
    told.ended(0);
    let plan: Run = serde_json::from_value(told.json()).expect("a run");
    assert_eq!(app.braze.stats().requests, ran.tally.requests);
    app.boot().await;
    assert_came_true(&plan, &app.finished(queued).await);
}
