//! The routes beside `/users/track`.

use super::*;
use crate::sandbox::{Answer, DataType};

#[tokio::test]
async fn unknown_paths_and_trailing_slashes_are_404() {
    let bench = Bench::plain().await;
    for path in ["/users/track/", "/user/track", "/users/track/bulk/", "/"] {
        assert_eq!(bench.send(path, json!({})).await.expect("an answer").status(), 404, "{path}");
    }
    assert_eq!(bench.get("/users/track").await.status(), 404);
    assert_eq!(bench.get("/_sandbox/nothing").await.status(), 404);
}

#[tokio::test]
async fn export_shows_profiles_and_names_the_unknown() {
    let bench = Bench::plain().await;
    bench.track(json!([{"external_id": "c-1", "x": 1, "email": "c@example.com"}])).await;
    let ask =
        json!({"external_ids": ["c-1", "c-9"], "fields_to_export": ["external_id", "custom_attributes"]});
    let (status, body) = read(bench.send("/users/export/ids", ask).await.expect("an answer")).await;
    assert!(status.is_success());
    let expected = json!({"users": [{"external_id": "c-1", "custom_attributes": {"x": 1}}],
                          "invalid_user_ids": ["c-9"], "message": "success"});
    assert_eq!(body, expected);
    let many: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    let refused = bench.send("/users/export/ids", json!({"external_ids": many})).await.expect("an answer");
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn delete_takes_one_kind_of_identifier() {
    let bench = Bench::plain().await;
    bench.track(objects(2)).await;
    let mixed = json!({"external_ids": ["c-0"], "braze_ids": ["b"]});
    assert_eq!(bench.send("/users/delete", mixed).await.expect("an answer").status(), 400);
    let gone = bench.send("/users/delete", json!({"external_ids": ["c-0", "c-9"]})).await.expect("an answer");
    assert_eq!(read(gone).await.1["deleted"], 1);
    assert_eq!(bench.sandbox.users(), 1);
}

#[tokio::test]
async fn sync_takes_one_object_and_shows_what_became_of_it() {
    let bench = Bench::plain().await;
    let one = json!({"attributes": [{"external_id": "c", "x": 1, "long": "x".repeat(256)}]});
    let (status, body) = read(bench.send("/users/track/sync", one).await.expect("an answer")).await;
    assert_eq!(status, 201);
    let expected =
        json!({"users": [{"external_id": "c", "custom_attributes": {"x": 1}}], "message": "success"});
    assert_eq!(body, expected);
    let two = bench.send("/users/track/sync", json!({"attributes": objects(2)})).await.expect("an answer");
    assert_eq!(two.status(), 400);
}

#[tokio::test]
async fn attributes_are_listed_in_pages_by_name() {
    let settings = Settings {
        blocklist: ["a-blocked".to_owned()].into(),
        forced_types: [("z-forced".to_owned(), DataType::Number)].into(),
        ..Settings::default()
    };
    let bench = Bench::new(settings).await;
    let many: serde_json::Map<String, Value> = (0..60).map(|n| (format!("m-{n:02}"), json!(true))).collect();
    let mut object = json!(many);
    object["external_id"] = json!("c");
    bench.track(json!([object])).await;
    let first = bench.get("/custom_attributes").await;
    let link = header(&first, "link").expect("a second page").to_owned();
    let first = read(first).await.1;
    assert_eq!(first["attributes"].as_array().map(Vec::len), Some(50));
    assert_eq!(first["attributes"][0]["status"], "Blocklisted");
    assert_eq!(first["attributes"][1]["data_type"], "Boolean");
    let next = link.trim_start_matches('<').split('>').next().expect("an address");
    let second = bench.client.get(next).bearer_auth("key").send().await.expect("an answer");
    assert_eq!(header(&second, "link"), None);
    let second = read(second).await.1;
    assert_eq!(second["attributes"].as_array().map(Vec::len), Some(12));
    assert_eq!(second["attributes"][11]["data_type"], "Number");
    assert_eq!(bench.get("/custom_attributes?cursor=%").await.status(), 400);
}

#[tokio::test]
async fn control_routes_show_what_is_held() {
    let bench = Bench::plain().await;
    bench.track(json!([{"external_id": "c/1", "x": 1}])).await;
    let (status, user) = read(bench.get("/_sandbox/users/c%2F1").await).await;
    assert_eq!((status.as_u16(), &user["custom_attributes"]), (200, &json!({"x": 1})));
    assert_eq!(user["last_request"], 1);
    assert_eq!(bench.get("/_sandbox/users/nobody").await.status(), 404);
    assert_eq!(read(bench.get("/_sandbox/stats").await).await.1["objects"], 1);
    assert_eq!(read(bench.get("/_sandbox/violations").await).await.1, json!([]));
    let log = read(bench.get("/_sandbox/requests").await).await.1;
    assert_eq!(log["requests"][0]["external_ids"], json!(["c/1"]));
}

#[tokio::test]
async fn rules_come_and_go_over_http() {
    let bench = Bench::plain().await;
    let rules = json!([{"match": {"times": 1}, "answer": {"kind": "status", "status": 503}}]);
    assert_eq!(bench.send("/_sandbox/rules", rules).await.expect("an answer").status(), 201);
    assert_eq!(bench.track(objects(1)).await.0, 503);
    assert_eq!(bench.track(objects(1)).await.0, 201);
    let listed = read(bench.get("/_sandbox/rules").await).await.1;
    assert_eq!((&listed[0]["seen"], &listed[0]["fired"]), (&json!(2), &json!(1)));
    bench.sandbox.rule(Rule::new(Answer::Status { status: 500 }));
    let cleared = bench.client.delete(bench.sandbox.url() + "/_sandbox/rules").send().await;
    assert_eq!(cleared.expect("an answer").status(), 200);
    assert_eq!(bench.track(objects(1)).await.0, 201);
    let bad =
        bench.send("/_sandbox/rules", json!({"answer": {"kind": "nonsense"}})).await.expect("an answer");
    assert_eq!(bad.status(), 400);
}
