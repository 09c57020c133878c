//! Files in a bucket, fetched by the real binary from a stand-in for S3 that knows two requests.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde::Deserialize;

use crate::support::command::{Told, peak_braze_in};

const KEYS: [&str; 3] = ["exports/part-1.csv", "exports/part-2.csv", "exports/readme.txt"];
const ROWS: [&str; 2] =
    ["c-1,2026-01-02,low\nc-2,2026-01-02,high\n", "c-1,2026-01-03,mid\nc-3,2026-01-02,low\n"];

/// What was asked of the bucket.
#[derive(Clone, Default)]
struct Bucket {
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Deserialize)]
struct Listing {
    prefix: Option<String>,
}

fn is_signed(headers: &HeaderMap) -> bool {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
}

async fn list(
    State(bucket): State<Bucket>,
    Query(listing): Query<Listing>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    if !is_signed(&headers) {
        return Err(StatusCode::FORBIDDEN);
    }
    let prefix = listing.prefix.unwrap_or_default();
    bucket.asked.lock().expect("no holder panics").push(format!("list {prefix}"));
    let keys: String = KEYS
        .iter()
        .filter(|key| key.starts_with(&prefix))
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-03T00:00:00.000Z</LastModified>\
                 <ETag>\"1\"</ETag><Size>1</Size></Contents>"
            )
        })
        .collect();
    Ok(format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>lake</Name><KeyCount>3</KeyCount>\
         <IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    ))
}

async fn fetch(
    State(bucket): State<Bucket>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<([(&'static str, &'static str); 2], String), StatusCode> {
    if !is_signed(&headers) {
        return Err(StatusCode::FORBIDDEN);
    }
    bucket.asked.lock().expect("no holder panics").push(format!("get {key}"));
    let index = KEYS.iter().position(|known| *known == key).ok_or(StatusCode::NOT_FOUND)?;
    let rows = ROWS.get(index).ok_or(StatusCode::NOT_FOUND)?;
    let stamp = [("etag", "\"1\""), ("last-modified", "Sat, 03 Jan 2026 00:00:00 GMT")];
    Ok((stamp, format!("customer_id,updated_at,band\n{rows}")))
}

async fn start() -> (Bucket, String) {
    let bucket = Bucket::default();
    let routes =
        Router::new().route("/lake", get(list)).route("/lake/{*key}", get(fetch)).with_state(bucket.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (bucket, url)
}

async fn plan(endpoint: &str, key: &str) -> Told {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("peak-braze.toml");
    let text = "[sources.lake]\nkind = \"files\"\nurl = \"s3://lake/exports/part-*.csv\"\n\
                [destinations.braze]\nendpoint = \"http://127.0.0.1:1\"\napi_key = \"env:BRAZE_API_KEY\"\n\
                [[syncs]]\nid = \"predictions\"\nsource = \"lake\"\ndestination = \"braze\"\n\
                table = \"customer_predictions\"\nkey = \"customer_id\"\nupdated_at = \"updated_at\"\n\
                [[syncs.attributes]]\ncolumn = \"band\"\nname = \"peak_band\"\n";
    std::fs::write(&config, text).expect("a file");
    let environment = [
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-test"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("BRAZE_API_KEY", "a-key-of-twenty-four-bytes-or-more"),
    ];
    peak_braze_in(&environment, &config, &["plan", "predictions", "--json"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matches_in_a_bucket_is_read_as_one_table() {
    let (bucket, url) = start().await;
    let told = plan(&url, "AKIDEXAMPLE").await;
    told.ended(0);
    let run = told.json();
    assert_eq!(run["tally"]["rows_read"], 4, "{run}");
    assert_eq!(run["tally"]["customers"], 3, "{run}");
    assert_eq!(run["tally"]["collapsed"], 1, "{run}");
    let asked = bucket.asked.lock().expect("no holder panics").clone();
    assert_eq!(asked, ["list exports/", "get exports/part-1.csv", "get exports/part-2.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_the_bucket_does_not_take_is_told_without_its_secret() {
    let (_, url) = start().await;
    let told = plan(&url, "AKIDSOMEBODYELSE").await;
    assert_eq!(told.status, 1, "{}{}", told.stdout, told.stderr);
    let all = format!("{}{}", told.stdout, told.stderr);
    assert!(all.contains("bucket lake may not be read"), "{all}");
    assert!(!all.contains("a-secret-of-the-test") && !all.contains("Signature"), "{all}");
}
