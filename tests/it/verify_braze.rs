//! `verify-braze` reads a sample back, and tells what Braze has from what it said it accepted.

use peak_braze::sandbox::{Permission, Settings};
use serde_json::{Value, json};

use crate::support::app::{BRAZE_KEY, Setup, TestApp};
use crate::support::command::{Told, peak_braze};

/// A first run is over, everything of it is applied, and the service stopped.
async fn synced(setup: Setup) -> TestApp {
    let mut app = TestApp::start(setup).await;
    app.run("delta").await;
    app.braze.settle().await;
    app.drain().await;
    app
}

async fn verify(app: &TestApp, args: &[&str]) -> Told {
    let all = [&["verify-braze", "predictions"], args].concat();
    peak_braze(&app.config_path(), &all).await
}

fn counts(report: &Value, attribute: &str) -> (u64, u64, u64) {
    let all = report["attributes"].as_array().expect("a list");
    let of = all.iter().find(|one| one["attribute"] == attribute).expect("it is mapped");
    let count = |name: &str| of[name].as_u64().expect("a count");
    (count("confirmed"), count("different"), count("missing"))
}

/// Somebody else writes to the workspace.
async fn overwrite(app: &TestApp, object: Value) {
    let url = format!("{}/users/track", app.braze.url());
    let request = app.http.post(url).bearer_auth(BRAZE_KEY).json(&json!({ "attributes": [object] }));
    assert_eq!(request.send().await.expect("an answer").status(), 201);
    app.braze.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_braze_has_is_confirmed_without_a_word_of_it() {
    let app = synced(Setup::customers(120)).await;
    let told = verify(&app, &["--sample", "500"]).await;
    let text = told.ended(0);
    assert!(text.contains("120 customers read back, confirmed"), "{text}");
    assert!(!text.contains("c-1") && !text.contains("low") && !text.contains('\u{1b}'), "{text}");
    // 120 customers are three requests of fifty at most.
    assert!(app.braze.violations().is_empty(), "{:?}", app.braze.violations());
    let report = verify(&app, &["--sample", "10", "--json"]).await.json();
    assert_eq!(report["customers"], 10);
    assert_eq!(counts(&report, "peak_churn"), (10, 0, 0));
    assert_eq!(report.get("not_confirmed"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_or_removed_is_told() {
    let app = synced(Setup::customers(20)).await;
    overwrite(&app, json!({ "external_id": "c-7", "peak_churn": 0.9 })).await;
    overwrite(&app, json!({ "external_id": "c-8", "peak_band": null })).await;
    let told = verify(&app, &["--json"]).await;
    assert_eq!(told.status, 1);
    let report = told.json();
    assert_eq!((counts(&report, "peak_churn"), counts(&report, "peak_band")), ((19, 1, 0), (19, 0, 1)));

    let told = verify(&app, &[]).await;
    let text = told.ended(1);
    assert!(text.contains("not confirmed") && !text.contains("c-7") && !text.contains("0.9"), "{text}");
    let told = verify(&app, &["--show-values"]).await;
    let text = told.ended(1);
    assert!(text.contains("c-7 peak_churn: accepted 0.007, Braze has 0.9"), "{text}");
    assert!(text.contains("c-8 peak_band: accepted \"low\", Braze has nothing"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_vanished_in_silence_are_found() {
    let mut app = TestApp::start(Setup::customers(10)).await;
    app.warehouse("insert into predictions values ('stranger', '2026-01-01T00:00:00Z', 0.5, 'high')");
    let run = app.run("delta").await;
    assert_eq!(run.tally.accepted, 11, "Braze says that it accepted all");
    app.braze.settle().await;
    app.drain().await;
    let told = verify(&app, &["--json"]).await;
    assert_eq!(told.status, 1);
    let report = told.json();
    assert_eq!((report["customers"].clone(), report["unknown_to_braze"].clone()), (json!(11), json!(1)));
    assert_eq!(counts(&report, "peak_churn"), (10, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_moved_on_does_not_make_a_lie_of_what_was_accepted() {
    let app = synced(Setup::customers(5)).await;
    app.warehouse("update predictions set churn = 0.75 where customer_id = 'c-2'");
    let report = verify(&app, &["--json"]).await;
    assert_eq!(counts(&report.json(), "peak_churn"), (5, 0, 0));
    report.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_known_by_address_or_alias_are_read_back_too() {
    for (identifier, key) in [("email", "email"), ("alias:crm", "user_alias")] {
        let mut setup = Setup::default();
        setup.sync = format!("identifier = \"{identifier}\"\nupdate_existing_only = false");
        setup.seed += "insert into predictions values ('a@example.com', '2026-01-01T00:00:00Z', 0.5, 'high')";
        let app = synced(setup).await;
        let told = verify(&app, &["--json"]).await;
        assert_eq!(counts(&told.json(), "peak_churn"), (1, 0, 0), "{key}: {}", told.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said() {
    let denied = [Permission::UsersExportIds].into();
    let sandbox = Settings { api_key: Some(BRAZE_KEY.to_owned()), denied, ..Settings::default() };
    let app = synced(Setup { sandbox, ..Setup::customers(2) }).await;
    let told = verify(&app, &[]).await;
    told.ended(1);
    assert!(told.stderr.contains("users.export.ids"), "{}", told.stderr);
    assert_eq!(peak_braze(&app.config_path(), &["verify-braze", "nobody"]).await.status, 2);
    assert_eq!(verify(&app, &["--sample", "0"]).await.status, 2);

    let mut empty = TestApp::start(Setup::customers(2)).await;
    let told = verify(&empty, &[]).await;
    told.ended(2);
    assert!(told.stderr.contains("in use by another process"), "{}", told.stderr);
    empty.drain().await;
    assert!(verify(&empty, &[]).await.ended(0).contains("nothing to compare"));
}
