//! The pages in a real Chromium. Every story ends with a console that holds no complaint; pictures are kept beside the
//! build, under `pages/`.

use std::time::Duration;

use chrono::TimeDelta;
use fantoccini::key::Key;
use peak_braze::clock::Clock;
use peak_braze::sandbox::{Answer, Rule};
use serde_json::json;

use crate::support::app::{SYNC, Setup, TOKEN, TestApp, ago};
use crate::support::browser::Browser;

const WATCHER: &str = "token-that-may-only-ever-look";

/// Twelve requests may go out in three seconds, so that a person could see the run move.
fn slowly(customers: u32) -> Setup {
    Setup { destination: "requests_per_3s = 12".to_owned(), ..Setup::customers(customers) }
}

async fn opened(app: &TestApp) -> Browser {
    let browser = Browser::start(&app.url("")).await;
    browser.goto("/").await;
    browser.sign_in(TOKEN).await;
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_seen_from_callback_to_receipt() {
    let app = TestApp::start(slowly(7_500)).await;
    let browser = Browser::start(&app.url("")).await;
    browser.goto("/").await;
    assert_eq!(browser.path().await, "/sign-in");
    browser.look_over("sign-in").await;
    browser.type_in("#token", "a-token-that-nobody-has-given").await;
    browser.click("form button").await;
    browser.when("#wrong", |text| text.contains("No token in force")).await;
    browser.sign_in(TOKEN).await;
    assert_eq!(browser.path().await, "/");
    browser.when("main", |text| text.contains("send a first callback")).await;
    browser.look_over("syncs-empty").await;

    // The callback comes while somebody looks at the first page, which shows it unasked.
    let run = app.deliver("evt_first").await;
    browser.when("article .badges", |text| text.contains("running") || text.contains("waiting")).await;
    browser.click(".facts dl a").await;
    assert_eq!(browser.path().await, format!("/runs/{run}"));
    browser.run("window.same = true").await;
    let early = browser.when(".far .done", |text| text != "0" && !text.is_empty()).await;
    let later = browser.when(".far .done", |text| text != early && !text.is_empty()).await;
    assert!(number(&later) > number(&early), "{early} then {later}");
    browser.when("#now", |text| text.contains("per second") && text.contains("of 7,500 customers")).await;
    browser.look_over("run-live").await;

    // The receipt comes by itself, on the very page that was opened.
    browser.when("#receipt h2", |text| text == "Receipt").await;
    browser.when("#title .badges", |text| text.contains("succeeded")).await;
    browser.when("#receipt .figures", |text| text.contains("7,500") && text.contains("15,000")).await;
    browser
        .when("#timeline", |text| text.contains("callback received evt_first") && text.contains("succeeded"))
        .await;
    assert_eq!(
        browser.run("return [window.same, document.getElementById('announce').textContent]").await,
        json!([true, "The run is succeeded"])
    );
    assert!(!browser.has("#cancel").await);
    browser.look_over("run").await;

    // 1 % change: only they go.
    app.warehouse(&format!(
        "update predictions set churn = churn + 1, updated_at = '{}' where rowid % 100 = 0",
        ago(0)
    ));
    app.deliver_and_finish("evt_second").await;
    browser.goto("/").await;
    browser.when("article", |text| text.contains("75 of") && text.contains("values saved")).await;
    browser.look_over("syncs").await;
    browser.click("article h2 a").await;
    browser.when("#history", |text| text.contains("Changed customers") && text.contains("Freshness")).await;
    browser.look_over("sync").await;
    browser
        .is_clean(&["/sign-in - Failed to load resource: the server responded with a status of 403"])
        .await;
    browser.close().await;
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_starts_stops_repeats_and_pauses() {
    let app = TestApp::start(slowly(3_000)).await;
    let browser = opened(&app).await;
    browser.click("#sync-0-run").await;
    browser.find("#cancel").await;
    browser.when(".far .done", |text| text != "0" && !text.is_empty()).await;
    browser.click("#cancel").await;
    browser.when("#title .badges", |text| text.contains("cancelled")).await;
    browser.when("#receipt h2", |text| text == "Receipt").await;
    browser.look_over("run-cancelled").await;

    let cancelled = browser.path().await;
    browser.click("#retrigger").await;
    browser.when("#title", |text| text.contains("repeats")).await;
    assert_ne!(browser.path().await, cancelled);
    browser.when("#title .badges", |text| text.contains("succeeded")).await;

    browser.goto(&format!("/syncs/{SYNC}")).await;
    browser.click("#sync-pause").await;
    browser.when("#title .badges", |text| text.contains("paused")).await;
    browser.click("#sync-run").await;
    browser.when("#title .badges", |text| text.contains("queued")).await;
    let queued = browser.path().await;
    browser.goto("/").await;
    browser.when("article", |text| text.contains("Paused") && text.contains("queued")).await;
    browser.look_over("syncs-paused").await;
    browser.click("#sync-0-pause").await;
    browser.when("article", |text| !text.contains("Paused")).await;
    browser.goto(&queued).await;
    browser.when("#title .badges", |text| text.contains("succeeded")).await;
    browser.is_clean(&[]).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_shown_and_taken_home() {
    let mut setup = Setup::customers(200);
    setup.sandbox.blocked_ids = (1..=60).map(|n| format!("c-{n}")).collect();
    setup.seed += "update predictions set churn = 'soon' where customer_id = 'c-200';";
    let app = TestApp::start(setup).await;
    let run = app.deliver_and_finish("evt_1").await;
    app.post_callback("evt_1", &json!({ "type": "model.run.completed", "data": {} })).await;
    app.post_callback("evt_2", &json!({ "type": "something.else" })).await;
    let forged =
        app.http.post(app.url(&format!("/v1/callbacks/{SYNC}"))).header("content-type", "application/json");
    assert_eq!(forged.body("{}").send().await.expect("an answer").status(), 401);

    let browser = opened(&app).await;
    browser.when("article", |text| text.contains("61") && text.contains("partial")).await;
    browser.goto(&format!("/runs/{}", run.id)).await;
    browser
        .when("#rejections", |text| {
            text.contains("braze_blocklisted") && text.contains("Each is tried again")
        })
        .await;
    browser.look_over("run-partial").await;
    browser.follow("All rejections").await;
    browser.when("h1", |text| text == "Rejections").await;
    browser.look_over("rejections").await;
    let sheet = "return fetch(document.querySelector('a[download]').href).then((answer) => answer.text())";
    let sheet = browser.run(sheet).await;
    assert_eq!(sheet.as_str().expect("text").lines().count(), 62);
    browser.follow("Next").await;
    browser.when("main", |text| text.contains("wrong_type") && !text.contains("Next")).await;

    browser.goto("/deliveries").await;
    browser
        .when("#list", |text| {
            ["accepted", "duplicate", "ignored", "refused"].iter().all(|word| text.contains(word))
        })
        .await;
    browser.look_over("deliveries").await;
    browser.click("#outcome option[value=refused]").await;
    browser.click(".filters button").await;
    browser
        .when("#list", |text| {
            text.contains("A header that signatures need is missing") && !text.contains("evt_1")
        })
        .await;
    browser.is_clean(&[]).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_and_whose_time_is_over() {
    let clock = Clock::manual(Clock::system().now());
    let notify = "[[tokens]]\nname = \"watcher\"\ntoken = \"file:watcher\"\nscopes = [\"read\"]";
    let setup = Setup {
        clock: clock.clone(),
        notify: notify.to_owned(),
        files: vec![("watcher", WATCHER)],
        cadence: "cron = \"0 6 * * *\"\n  stale_after = \"26h\"".to_owned(),
        ..Setup::customers(50)
    };
    let app = TestApp::start(setup).await;
    let run = app.run("delta").await;
    let browser = Browser::start(&app.url("")).await;
    browser.goto(&format!("/syncs/{SYNC}")).await;
    browser.sign_in(WATCHER).await;
    assert_eq!(browser.path().await, format!("/syncs/{SYNC}"), "back where it began");
    assert!(!browser.has("main form").await);
    browser.goto(&format!("/runs/{}", run.id)).await;
    assert!(!browser.has("main form").await);
    browser.goto("/syncs/nowhere").await;
    browser.when("h1", |text| text == "Not here").await;
    browser.look_over("not-here").await;

    // While somebody looks, the session's time runs out: the page leads to signing in, and back.
    browser.goto("/deliveries").await;
    clock.advance(TimeDelta::hours(13));
    browser.when("main", |text| text.contains("The session is over")).await;
    browser.look_over("sign-in-expired").await;
    browser.sign_in(TOKEN).await;
    assert_eq!(browser.path().await, "/deliveries");
    clock.advance(TimeDelta::hours(24));
    browser.when("main", |text| text.contains("The session is over")).await;
    browser.sign_in(TOKEN).await;
    browser.goto("/").await;
    browser.when("article", |text| text.contains("Stale")).await;
    browser.look_over("syncs-stale").await;
    browser.is_clean(&["status of 404"]).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough() {
    let app = TestApp::start(Setup::customers(20)).await;
    let browser = Browser::start(&app.url("")).await;
    browser.goto("/").await;
    // The field for the token has the focus from the start.
    assert_eq!(browser.run("return document.activeElement.id").await, "token");
    browser.type_in("#token", TOKEN).await;
    browser.press(Key::Enter).await;
    browser.find(".who").await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.run("return document.activeElement.textContent").await, "Skip to the content");
    browser.press(Key::Enter).await;
    let mut walked = Vec::new();
    while browser.run("return document.activeElement.id").await != "sync-0-run" {
        browser.press(Key::Tab).await;
        let seen = "const one = document.activeElement, style = getComputedStyle(one);
            return [one.tagName, one.id, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]";
        let focused = browser.run(seen).await;
        assert_eq!(focused[2], true, "the focus is seen on {focused}");
        walked.push(focused);
        assert!(walked.len() < 20, "{walked:?}");
    }
    browser.press(Key::Enter).await;
    browser.when("#title .badges", |text| text.contains("succeeded")).await;
    // What has the focus keeps it while parts around it are renewed.
    app.braze.rule(Rule::new(Answer::Pass).hold("now"));
    app.warehouse(&format!("update predictions set churn = churn + 1, updated_at = '{}'", ago(0)));
    browser.goto("/").await;
    browser.run("document.getElementById('sync-0-pause').focus()").await;
    let run = app.deliver("evt_1").await;
    browser.when("article .badges", |text| text.contains("running")).await;
    assert_eq!(browser.run("return document.activeElement.id").await, "sync-0-pause");
    app.braze.release("now");
    app.finished(run).await;
    browser.is_clean(&[]).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_script_pages_refresh_plainly() {
    let app = TestApp::start(Setup::customers(30)).await;
    app.braze.rule(Rule::new(Answer::Pass).hold("now"));
    let browser = Browser::without_scripts(&app.url("")).await;
    browser.goto("/").await;
    browser.sign_in(TOKEN).await;
    browser.click("#sync-0-run").await;
    browser.find("#cancel").await;
    browser.when("#title .badges", |text| text.contains("running")).await;
    app.braze.release("now");
    let again = async { browser.when("#receipt h2", |text| text == "Receipt").await };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("the page refreshes itself");
    browser.click("#retrigger").await;
    browser.when("#title", |text| text.contains("repeats")).await;
    browser.close().await;
}
