//! When and how accepted updates reach the profiles.

use std::time::Duration;

use super::*;

fn delayed(reorder: bool) -> Settings {
    let apply_delay = (Duration::from_secs(1), Duration::from_secs(3_600));
    Settings { apply_delay, reorder, ..Settings::default() }
}

async fn send_scores(bench: &Bench, scores: std::ops::Range<u32>) {
    for score in scores {
        bench.track(json!([{"external_id": "c", "score": score}])).await;
    }
}

#[tokio::test]
async fn updates_show_after_their_delay() {
    let apply_delay = (Duration::from_secs(2), Duration::from_secs(4));
    let bench = Bench::new(Settings { apply_delay, ..Settings::default() }).await;
    bench.track(objects(1)).await;
    assert_eq!(bench.sandbox.stats().pending_applies, 1);
    assert_eq!(bench.sandbox.user("c-0"), None);
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    bench.sandbox.settle().await;
    assert!(before.elapsed() > Duration::from_secs(1) && before.elapsed() <= Duration::from_secs(5));
    assert_eq!(bench.sandbox.user("c-0").expect("a profile")["x"], 0);
}

#[tokio::test]
async fn requests_keep_their_order_unless_reordering_is_on() {
    let bench = Bench::new(delayed(false)).await;
    send_scores(&bench, 0..8).await;
    tokio::time::pause();
    bench.sandbox.settle().await;
    assert_eq!(bench.sandbox.user("c").expect("a profile")["score"], 7);
}

#[tokio::test]
async fn an_earlier_request_may_land_later_with_reordering() {
    let mut last = Vec::new();
    for seed in 1..4 {
        let bench = Bench::new(Settings { seed, ..delayed(true) }).await;
        send_scores(&bench, 0..8).await;
        tokio::time::pause();
        bench.sandbox.settle().await;
        tokio::time::resume();
        last.push(bench.sandbox.user("c").expect("a profile")["score"].clone());
    }
    assert!(last.iter().any(|score| *score != 7), "{last:?}");
}

#[tokio::test]
async fn objects_of_one_request_apply_in_array_order() {
    let bench = Bench::plain().await;
    bench.track(json!([{"external_id": "c", "x": 1}, {"external_id": "c", "x": 2}])).await;
    assert_eq!(bench.sandbox.user("c").expect("a profile")["x"], 2);
}

#[tokio::test]
async fn silent_drops_are_answered_as_success_and_counted() {
    let forced_types = [("score".to_owned(), crate::sandbox::DataType::Number)].into();
    let blocklist = ["blocked".to_owned()].into();
    let bench = Bench::new(Settings { forced_types, blocklist, ..Settings::default() }).await;
    let (status, body) = bench
        .track(json!([
            {"external_id": "unknown", "_update_existing_only": true, "x": 1},
            {"user_alias": {"alias_label": "l", "alias_name": "n"}, "x": 1},
            {"external_id": "c", "score": "0.5", "blocked": 1, "long": "x".repeat(256), "nested": {"a": null}},
        ]))
        .await;
    assert_eq!((status.as_u16(), body), (201, json!({"attributes_processed": 3, "message": "success"})));
    assert_eq!(bench.sandbox.user("c"), Some(serde_json::Map::new()));
    assert_eq!(bench.sandbox.users(), 1);
    let drops = bench.sandbox.stats().silent_drops;
    let expected = json!({"no_such_profile": 2, "forced_type": 1, "blocklisted": 1, "string_too_long": 1,
                          "bad_nested": 1});
    assert_eq!(json!(drops), expected);
}

#[tokio::test]
async fn unchanged_values_cost_and_are_counted() {
    let bench = Bench::plain().await;
    bench.sandbox.seed_attribute("c-0", "x", json!(0));
    bench.track(objects(2)).await;
    let stats = bench.sandbox.stats();
    assert_eq!((stats.values_sent, stats.values_unchanged, stats.data_points), (2, 1, 2));
}

#[tokio::test]
async fn seeded_users_are_found_by_update_only_objects() {
    let bench = Bench::plain().await;
    bench.sandbox.seed_users(["c-1".to_owned()]);
    bench.track(json!([{"external_id": "c-1", "_update_existing_only": true, "x": 1}])).await;
    assert_eq!(json!(bench.sandbox.user("c-1")), json!({"x": 1}));
    bench.track(json!([{"external_id": "c-1", "x": null}])).await;
    assert_eq!(json!(bench.sandbox.user("c-1")), json!({}));
}
