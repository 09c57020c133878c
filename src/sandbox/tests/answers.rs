//! The checks in their order, and the answers.

use super::*;
use crate::sandbox::{Cap, ErrorStyle, Permission, Rate};

#[tokio::test]
async fn any_key_will_do_unless_one_is_set() {
    let bench = Bench::plain().await;
    assert_eq!(bench.track(objects(1)).await.0, 201);
    let bench = Bench::new(Settings { api_key: Some("other".into()), ..Settings::default() }).await;
    assert_eq!(bench.track(objects(1)).await.0, 401);
    let right = bench.client.post(bench.sandbox.url() + "/users/track").bearer_auth("other");
    let right = right.header("content-type", "application/json; charset=utf-8").body("{}").send().await;
    assert_eq!(right.expect("an answer").status(), 400);
}

#[tokio::test]
async fn only_a_bearer_key_is_a_key() {
    let bench = Bench::plain().await;
    let url = bench.sandbox.url() + "/users/track";
    let json =
        |request: reqwest::RequestBuilder| request.header("content-type", "application/json").body("{}");
    for header in ["", "key", "Basic a2V5", "Bearer ", "Bearer \"key\""] {
        let answer =
            json(bench.client.post(&url).header("authorization", header)).send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{header}");
    }
    assert_eq!(json(bench.client.post(&url)).send().await.expect("an answer").status(), 401);
}

#[tokio::test]
async fn a_missing_permission_is_forbidden_on_its_route_only() {
    let bench =
        Bench::new(Settings { denied: [Permission::UsersExportIds].into(), ..Settings::default() }).await;
    let export = bench.send("/users/export/ids", json!({"external_ids": ["a"]})).await.expect("an answer");
    assert_eq!(export.status(), 403);
    assert_eq!(bench.track(objects(1)).await.0, 201);
}

#[tokio::test]
async fn other_content_types_are_415() {
    let bench = Bench::plain().await;
    let request = bench.client.post(bench.sandbox.url() + "/users/track").bearer_auth("key");
    let answer = request.header("content-type", "text/plain").body("{}").send().await.expect("an answer");
    assert_eq!(answer.status(), 415);
}

#[tokio::test]
async fn classic_headers_are_on_every_answer() {
    let settings =
        Settings { rate: Rate::Classic { per_3s: 1 }, now_epoch: || 3_000.0, ..Settings::default() };
    let bench = Bench::new(settings).await;
    let first = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    let told = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    assert_eq!(told.map(|name| header(&first, name)), [Some("1"), Some("0"), Some("3003")]);
    assert_eq!(header(&first, "date"), Some("Thu, 01 Jan 1970 00:50:00 GMT"));
    let second = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    assert_eq!(second.status(), 429);
    assert_eq!(header(&second, "x-ratelimit-reset"), Some("3003"));
    assert_eq!(header(&second, "retry-after"), None);
    assert_eq!(bench.sandbox.stats().by_status[&429], 1);
}

#[tokio::test]
async fn mau_tells_only_the_wait_on_429() {
    let rate = Rate::Mau { hourly: 1, burst_per_3s: 9 };
    let bench = Bench::new(Settings { rate, now_epoch: || 3_590.0, ..Settings::default() }).await;
    let first = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    assert_eq!(header(&first, "x-ratelimit-reset"), Some("10"));
    let second = bench.send("/users/track", json!({"attributes": objects(1)})).await.expect("an answer");
    assert_eq!((second.status().as_u16(), header(&second, "x-ratelimit-retry-after")), (429, Some("10")));
    assert_eq!(header(&second, "x-ratelimit-limit"), None);
}

#[tokio::test]
async fn large_bodies_are_refused_by_route() {
    let bench = Bench::plain().await;
    let body = |bytes| json!({"attributes": [{"external_id": "c", "x": "x".repeat(bytes)}]});
    assert_eq!(bench.send("/users/track", body(4_000_000)).await.expect("an answer").status(), 413);
    assert_eq!(bench.send("/users/track/bulk", body(2_000_000)).await.expect("an answer").status(), 400);
    assert_eq!(bench.send("/users/track", body(2_000_000)).await.expect("an answer").status(), 201);
    let bench = Bench::new(Settings { track_size_status: 400, ..Settings::default() }).await;
    assert_eq!(bench.send("/users/track", body(4_000_000)).await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn bad_json_is_told_in_error_and_noted() {
    let bench = Bench::plain().await;
    for body in ["{", "[]", r#"{"attributes":[{"external_id":"c","x":NaN}]}"#, "\u{feff}{}"] {
        let answer = bench.post("/users/track").body(body).send().await.expect("an answer");
        let (status, told) = read(answer).await;
        assert_eq!(status, 400);
        assert_eq!(told, json!({"error": "Error while parsing request body. Please check your syntax."}));
    }
    assert_eq!(bench.sandbox.violations().iter().filter(|text| text.starts_with("bad_json")).count(), 4);
}

#[tokio::test]
async fn too_many_objects_refuse_the_whole_request() {
    let bench = Bench::plain().await;
    let (status, body) = bench.track(objects(76)).await;
    assert_eq!((status.as_u16(), body), (400, json!({"message": "Max Input Length Exceeded", "errors": []})));
    assert_eq!(bench.sandbox.users(), 0);
    assert!(bench.sandbox.violations()[0].starts_with("over_cap"));
    assert_eq!(bench.track(objects(75)).await.0, 201);
    let bench = Bench::new(Settings { cap: Cap::Combined(50), ..Settings::default() }).await;
    assert_eq!(bench.track(objects(51)).await.0, 400);
}

#[tokio::test]
async fn bulk_takes_a_thousand_objects_and_a_hundred_of_one_user() {
    let bench = Bench::plain().await;
    let status = async |objects: Value| {
        let sent = bench.send("/users/track/bulk", json!({ "attributes": objects })).await;
        sent.expect("an answer").status().as_u16()
    };
    assert_eq!(status(objects(1_000)).await, 201);
    assert_eq!(status(objects(1_001)).await, 400);
    let same = |count| json!(vec![json!({"external_id": "c", "x": 1}); count]);
    assert_eq!(status(same(100)).await, 201);
    assert_eq!(status(same(101)).await, 400);
}

#[tokio::test]
async fn an_empty_request_is_answered_as_the_probe_expects() {
    let bench = Bench::plain().await;
    for body in [json!({}), json!({"attributes": []}), json!({"attributes": {}})] {
        let (status, told) = read(bench.send("/users/track", body).await.expect("an answer")).await;
        assert_eq!(status, 400);
        assert!(told["message"].as_str().is_some_and(|text| text.starts_with("Valid data must be provided")));
    }
}

#[tokio::test]
async fn refused_objects_are_named_by_index_and_write_nothing() {
    let bench = Bench::plain().await;
    let (status, body) = bench
        .track(json!([
            {"external_id": "a", "x": 1},
            {"external_id": "b", "x": 1, "email_subscribe": "yes"},
            {"external_id": "c", "braze_id": "d"},
        ]))
        .await;
    assert_eq!(status, 201);
    let expected = json!({"attributes_processed": 1, "message": "success", "errors": [
        {"index": 1, "input_array": "attributes",
         "type": "'email_subscribe' must be 'subscribed', 'unsubscribed', or 'opted_in'"},
        {"index": 2, "input_array": "attributes",
         "type": "You must specify only one of 'external_id', 'user_alias' or 'braze_id'"}]});
    assert_eq!(body, expected);
    assert_eq!(bench.sandbox.users(), 1);
    let stats = bench.sandbox.stats();
    assert_eq!((stats.objects, stats.objects_accepted, stats.objects_refused), (3, 1, 2));
}

#[tokio::test]
async fn nothing_valid_is_400_with_the_errors() {
    let bench = Bench::new(Settings { style: ErrorStyle::Enum, ..Settings::default() }).await;
    let (status, body) = bench.track(json!([{"external_id": "x".repeat(988)}])).await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["type"], "EXTERNAL_USER_ID_TOO_LARGE");
}

#[tokio::test]
async fn success_names_the_arrays_sent() {
    let bench = Bench::new(Settings { empty_errors_array: true, ..Settings::default() }).await;
    let body = json!({"attributes": objects(2), "events": [
        {"external_id": "c-9", "name": "seen", "time": "2026-01-01T00:00:00Z"}]});
    let (status, body) = read(bench.send("/users/track", body).await.expect("an answer")).await;
    assert_eq!(status, 201);
    let expected =
        json!({"attributes_processed": 2, "events_processed": 1, "errors": [], "message": "success"});
    assert_eq!(body, expected);
    assert_eq!((bench.sandbox.users(), bench.sandbox.stats().data_points), (3, 3));
}

#[tokio::test]
async fn latency_comes_before_the_answer() {
    let latency = std::time::Duration::from_millis(30);
    let bench = Bench::new(Settings { latency, ..Settings::default() }).await;
    let before = tokio::time::Instant::now();
    bench.track(objects(1)).await;
    assert!(before.elapsed() >= latency);
}

#[tokio::test]
async fn counting_mode_answers_alike_and_keeps_nothing() {
    let bench = Bench::new(Settings { counting_only: true, ..Settings::default() }).await;
    let (status, body) = bench.track(objects(75)).await;
    assert_eq!((status.as_u16(), body), (201, json!({"attributes_processed": 75, "message": "success"})));
    assert_eq!(bench.track(objects(76)).await.0, 400);
    assert_eq!(bench.track(json!([])).await.0, 400);
    let stats = bench.sandbox.stats();
    assert_eq!((stats.objects_accepted, stats.values_sent, bench.sandbox.users()), (75, 75, 0));
}
