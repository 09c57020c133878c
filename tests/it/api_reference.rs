//! The OpenAPI document and its page are those of the router.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::api::{OPS, Service, send};

fn document() -> Value {
    serde_json::to_value(peak_braze::api::openapi()).expect("plain data")
}

/// After a change of routes or their words: `UPDATE_OPENAPI=1 cargo nextest run committed_document`.
#[test]
fn committed_document_is_the_one_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let now = peak_braze::api::openapi_json().expect("JSON") + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &now).expect("a writable checkout");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "openapi/openapi.json is not what the router says: run again with UPDATE_OPENAPI=1"
    );
}

#[test]
fn every_route_says_what_it_needs_and_answers() {
    let document = document();
    assert_eq!(document["openapi"].as_str().map(|version| &version[..4]), Some("3.1."));
    let open = ["receiveCallback", "live", "ready", "openapi", "docs"];
    let mut count = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            count += 1;
            let name = operation["operationId"].as_str().expect("a name");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let public = operation["security"]
                .as_array()
                .is_some_and(|of| of.iter().any(|one| one == &serde_json::json!({})));
            assert_eq!(public, open.contains(&name) || name == "metrics", "{name}");
            let answers = operation["responses"].as_object().expect("responses");
            assert_eq!(
                answers.contains_key("401"),
                name == "receiveCallback" || !open.contains(&name),
                "{name}"
            );
            for (status, answer) in answers.iter().filter(|(status, _)| status.as_str() >= "400") {
                let problem = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{name} {status}");
            }
        }
    }
    assert_eq!(count, 19);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match value.as_str() {
                Some(target) if key == "$ref" => found.push(target.to_owned()),
                _ => references(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (document, mut found) = (document(), Vec::new());
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[tokio::test]
async fn documented_routes_are_all_served() {
    let service = Service::start().await;
    for (path, item) in document()["paths"].as_object().expect("paths") {
        let path = path.replace("{sync}", "nowhere").replace("{id}", "01990000-0000-7000-8000-000000000000");
        for method in item.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let answer = send(service.request(method.clone(), &path).bearer_auth(OPS)).await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let leads_nowhere =
                answer.status == StatusCode::NOT_FOUND && answer.text.contains("\"not_found\"");
            assert!(!leads_nowhere, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn reference_page_loads_nothing_from_elsewhere() {
    let service = Service::start().await;
    let page = send(service.request(Method::GET, "/docs")).await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(page.text.contains("id=\"problem-unknown_run\"") && page.text.contains("/v1/callbacks/{sync}"));
    for banned in ["<script", "http://", "https://", "style=", "<img", "<link"] {
        assert!(!page.text.contains(banned), "{banned}");
    }
    let json = send(service.request(Method::GET, "/openapi.json")).await;
    assert_eq!((json.header("content-type"), json.json()), ("application/json", document()));
}
