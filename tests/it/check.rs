//! `check` finds what would go wrong, says what to do, and sends nothing.

use peak_braze::sandbox::{DataType, Permission};

use crate::notices::told_of;
use crate::support::app::{Setup, TABLE, TestApp};
use crate::support::command::{Told, peak_braze};
use crate::support::hook::Hook;

/// A ready config with its service stopped.
async fn stopped(setup: Setup) -> TestApp {
    let mut app = TestApp::start(setup).await;
    app.drain().await;
    app
}

async fn check(app: &TestApp, args: &[&str]) -> Told {
    peak_braze(&app.config_path(), &[&["check"], args].concat()).await
}

#[track_caller]
fn says(text: &str, level: &str, words: &[&str]) {
    let found =
        text.lines().any(|line| line.starts_with(level) && words.iter().all(|word| line.contains(word)));
    assert!(found, "{level} {words:?} in\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_and_values_are_masked() {
    let mut setup = Setup::customers(50);
    setup.cadence = "cron = \"0 6 * * *\"".to_owned();
    let app = stopped(setup).await;
    let told = check(&app, &[]).await;
    let text = told.ended(0);
    for (what, words) in [
        ("config", "can be used"),
        ("secrets", "all are there"),
        ("ledger", "opens"),
        ("source warehouse", "all 4 mapped columns"),
        ("source warehouse", "3 sample updates, masked"),
        ("callback predictions", "1 secret"),
        ("cadence predictions", "next run at"),
        ("destination braze", "takes the key"),
        ("attributes predictions", "2 mapped, 2 of them new"),
    ] {
        says(text, "ok", &[what, words]);
    }
    assert!(!text.contains("warning") && !text.contains("failed"), "{text}");
    assert!(
        text.contains("peak_churn, number") && text.contains("***: peak_churn ***, peak_band ***"),
        "{text}"
    );
    assert!(!text.contains("c-1") && !text.contains("low") && !text.contains('\u{1b}'), "{text}");
    let shown = check(&app, &["--sync", "predictions", "--show-values"]).await;
    let shown = shown.ended(0);
    assert!(shown.contains("\"c-1\": peak_churn 0.001, peak_band \"low\""), "{shown}");
    let stats = app.braze.stats();
    assert_eq!((stats.values_sent, app.braze.violations()), (0, Vec::new()));
    assert_eq!(check(&app, &["--sync", "nobody"]).await.status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_column_fails_with_the_nearest_name() {
    let mut app = stopped(Setup::customers(3)).await;
    app.change(|setup| {
        setup.attributes = setup.attributes.replace("column = \"churn\"", "column = \"chrun\"")
    });
    let told = check(&app, &[]).await;
    says(told.ended(1), "failed", &["column chrun", "is missing", "did you mean churn?"]);
    app.warehouse("drop table predictions");
    let told = check(&app, &[]).await;
    says(told.ended(1), "failed", &["predictions", "no such table"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_fails_and_the_rest_is_checked() {
    let app = stopped(Setup::customers(3)).await;
    std::fs::remove_file(app.path("warehouse.db")).expect("it was there");
    let told = check(&app, &[]).await;
    let text = told.ended(1);
    says(text, "failed", &["source warehouse"]);
    says(text, "ok", &["destination braze", "takes the key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_fails_and_is_not_shown() {
    let app = stopped(Setup::customers(3)).await;
    std::fs::write(app.path("braze"), "another-key-than-braze-knows").expect("written");
    let told = check(&app, &[]).await;
    let text = told.ended(1);
    says(text, "failed", &["destination braze", "401"]);
    assert!(!text.contains("another-key") && !told.stderr.contains("another-key"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_is_named_by_file_line_and_key() {
    let app = stopped(Setup::customers(3)).await;
    std::fs::remove_file(app.path("callback")).expect("it was there");
    let told = check(&app, &[]).await;
    let text = told.ended(1);
    says(text, "failed", &["secrets", "peak-braze.toml:", "syncs[0].callback.secrets[0]"]);
    says(text, "failed", &["callback predictions", "0 of 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_workspace_drops_in_silence_is_found() {
    let mut setup = Setup::customers(3);
    setup.sandbox.blocklist.insert("peak_band".to_owned());
    setup.sandbox.forced_types.insert("peak_churn".to_owned(), DataType::String);
    let app = stopped(setup).await;
    let told = check(&app, &[]).await;
    let text = told.ended(1);
    says(text, "failed", &["peak_band is blocklisted"]);
    says(text, "warning", &["peak_churn is String in Braze and mapped as number", "type = \"string\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_almost_another_is_a_warning() {
    let mut setup = Setup::customers(3);
    setup.sandbox.forced_types.insert("Peak_Churn".to_owned(), DataType::Number);
    let app = stopped(setup).await;
    let told = check(&app, &[]).await;
    says(told.ended(0), "warning", &["peak_churn is new to the workspace", "Peak_Churn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_read_attributes_is_a_warning() {
    let mut setup = Setup::customers(3);
    setup.sandbox.denied.insert(Permission::CustomAttributesGet);
    let app = stopped(setup).await;
    let told = check(&app, &[]).await;
    says(told.ended(0), "warning", &["custom_attributes.get"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_and_an_empty_table_are_warnings() {
    let app = TestApp::start(Setup { seed: TABLE.to_owned(), ..Setup::default() }).await;
    let told = check(&app, &[]).await;
    let text = told.ended(0);
    says(text, "warning", &["ledger", "in use by another process"]);
    says(text, "warning", &["source warehouse", "no rows"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_nobody_may_start_or_that_is_paused_is_a_warning() {
    let mut app = TestApp::start(Setup::customers(1)).await;
    app.post("/v1/syncs/predictions/pause", &serde_json::json!({})).await;
    app.drain().await;
    let config = std::fs::read_to_string(app.config_path()).expect("a config");
    let silent = config
        .replace("[syncs.callback]", "[syncs.guards]")
        .replace("secrets = [\"file:callback\"]", "max_null_pct = 9.0");
    std::fs::write(app.config_path(), silent).expect("written");
    let told = check(&app, &[]).await;
    let text = told.ended(0);
    says(text, "warning", &["sync predictions", "is paused", "resume"]);
    says(text, "warning", &["sync predictions", "runs only when triggered"]);
    says(text, "warning", &["sync predictions", "[syncs.guards] does not act yet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receiver_of_notices_is_named_and_nothing_is_posted() {
    let receiver = Hook::start().await;
    let mut setup = told_of("failed stale", &receiver);
    setup.notify += &format!(
        "[[notify]]\nurl = \"{}\"\nformat = \"peak\"\nauthorization = \"file:peak\"\n\
         on = [\"succeeded\"]\nsyncs = [\"predictions\"]\n",
        receiver.url()
    );
    let mut app = stopped(setup).await;
    let told = check(&app, &[]).await;
    let text = told.ended(0);
    says(text, "ok", &["notify[0]", "127.0.0.1", "standard, signed: failed, stale of all syncs"]);
    says(text, "ok", &["notify[1]", "peak, authorized: succeeded of predictions"]);
    says(text, "warning", &["notify", "cadence.stale_after"]);
    assert!(
        !text.contains("/hook") && !text.contains("a-peak-api-key"),
        "an address may be a secret: {text}"
    );
    app.change(|setup| setup.cadence = "stale_after = \"26h\"".to_owned());
    std::fs::remove_file(app.path("peak")).expect("it was there");
    let told = check(&app, &[]).await;
    let text = told.ended(1);
    says(text, "failed", &["notify[1]", "authorization", "nobody is told"]);
    assert!(!text.contains("cadence.stale_after"), "{text}");
    assert_eq!(receiver.posts().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_config_is_told_line_by_line_with_status_2() {
    let mut app = stopped(Setup::customers(1)).await;
    app.change(|setup| setup.sync = "overlap_seconds = 3".to_owned());
    let told = check(&app, &[]).await;
    assert_eq!((told.status, told.stdout.as_str()), (2, ""));
    assert!(told.stderr.contains("did you mean overlap_secs?"), "{}", told.stderr);
}
