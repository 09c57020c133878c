//! What is deployed beside the binary: alerts, dashboard, runbook and manifests speak of what there is, and the tools
//! that will read them take them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use peak_braze::customer;
use peak_braze::telemetry::metric::{ALL, Kind};
use serde_json::Value;

use crate::support::python::run_script;

const RULES: &str = include_str!("../../deploy/alerts/peak-braze.rules.yaml");
const RULE_TESTS: &str = include_str!("../../deploy/alerts/tests.yaml");
const DAY_TESTS: &str = include_str!("../../deploy/alerts/tests.days.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/peak-braze.json");
const RUNBOOK: &str = include_str!("../../deploy/RUNBOOK.md");

/// Labels that come from the scrape, or from a histogram's buckets.
const OTHERS: [&str; 3] = ["instance", "job", "le"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn promtool(args: &[&str]) {
    let output = Command::new("promtool").current_dir(deploy().join("alerts")).args(args).output();
    let output = output.expect("promtool, of Debian's package prometheus");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The values of a key that stands on a line of its own.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
    lines.map(|value| value.trim().trim_matches('\'')).collect()
}

fn alerts() -> Vec<&'static str> {
    values(RULES, "alert:")
}

/// What a query names: each metric with the labels it selects by, and the labels it groups by.
fn named(query: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let word =
        |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let mut metrics = Vec::new();
    for (at, _) in query.match_indices("peak_braze_") {
        let name = word(&query[at..]);
        let rest = &query[at + name.len()..];
        let selector =
            rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().expect("split gives one"));
        // A value may hold a comma, but no value here holds `",`.
        let labels = selector.split("\",").map(word).filter(|label| !label.is_empty()).collect();
        metrics.push((name, labels));
    }
    let groups = ["by (", "on ("].into_iter().flat_map(|words| query.split(words).skip(1));
    let groups = groups.flat_map(|rest| rest.split(')').next().expect("split gives one").split(','));
    (metrics, groups.map(|label| label.trim().to_owned()).collect())
}

/// Every metric of a query is one of the list, with these labels.
#[track_caller]
fn assert_known(query: &str) {
    let (metrics, groups) = named(query);
    assert!(!metrics.is_empty(), "{query} names no metric");
    let mut labels: BTreeSet<&str> = OTHERS.into_iter().collect();
    for (name, selected) in &metrics {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
            let family = name.strip_suffix(part)?;
            ALL.iter().find(|metric| metric.name == family && metric.kind == Kind::Histogram)
        });
        let metric = family
            .or_else(|| ALL.iter().find(|metric| metric.name == name && metric.kind != Kind::Histogram));
        let metric = metric.unwrap_or_else(|| panic!("{name} is no metric: {query}"));
        labels.extend(metric.labels);
        for label in selected {
            let known = metric.labels.contains(&label.as_str()) || OTHERS.contains(&label.as_str());
            assert!(known, "{name} has no label {label}: {query}");
        }
    }
    for label in groups {
        assert!(labels.contains(label.as_str()), "no metric here has the label {label}: {query}");
    }
}

#[test]
fn what_a_query_names_is_seen() {
    let query = r#"sum by (le, sync) (rate(peak_braze_run_seconds_bucket{sync=~"a,b",le="1"}[5m])) > on (sync) peak_braze_sync_stale"#;
    let (metrics, groups) = named(query);
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
    assert_eq!(metrics[0], ("peak_braze_run_seconds_bucket".to_owned(), labels(&["sync", "le"])));
    assert_eq!(metrics[1], ("peak_braze_sync_stale".to_owned(), labels(&[])));
    assert_eq!(groups, labels(&["le", "sync", "sync"]));
}

#[test]
fn the_alerts_are_rules_that_fire_when_they_should() {
    promtool(&["check", "rules", "peak-braze.rules.yaml"]);
    promtool(&["test", "rules", "tests.yaml", "tests.days.yaml"]);
    let tested = [RULE_TESTS, DAY_TESTS].into_iter().flat_map(|tests| values(tests, "alertname:"));
    let tested: BTreeSet<&str> = tested.collect();
    assert_eq!(tested, alerts().into_iter().collect());
    for query in values(RULES, "expr:") {
        assert_known(query);
    }
}

#[test]
fn each_alert_leads_to_its_heading_in_the_runbook() {
    let (alerts, links) = (alerts(), values(RULES, "runbook_url:"));
    assert!(alerts.len() > 15 && alerts.len() == links.len());
    for (alert, link) in alerts.iter().zip(links) {
        assert_eq!(link, format!("RUNBOOK.md#{}", alert.to_lowercase()));
        assert!(headings().contains(alert), "{alert} has no heading");
    }
}

fn queries(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(keys) => {
            found.extend(keys.get("expr").and_then(Value::as_str).map(str::to_owned));
            if let Some(of) = keys.get("definition").and_then(Value::as_str) {
                let (metric, label) = of.trim_start_matches("label_values(").split_once(", ").expect("two");
                found.push(format!("sum by ({}) ({metric})", label.trim_end_matches(')')));
            }
            keys.values().for_each(|of| queries(of, found));
        }
        Value::Array(items) => items.iter().for_each(|of| queries(of, found)),
        _ => {}
    }
}

#[test]
fn each_query_of_the_dashboard_names_what_there_is() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    assert!(found.len() > 40, "{}", found.len());
    found.iter().for_each(|query| assert_known(query));
    // As rules, so that the parser of Prometheus itself reads them.
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, query) in found.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
        writeln!(rules, "      - record: q{number}\n        expr: '{query}'")
            .expect("a String takes every write");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("dashboard.yaml");
    std::fs::write(&file, rules).expect("written");
    promtool(&["check", "rules", file.to_str().expect("UTF-8")]);
    // A figure that nobody watches is one too many.
    let all = found.join("\n") + RULES;
    for metric in ALL {
        assert!(all.contains(metric.name), "{} is on no panel and in no alert", metric.name);
    }
}

fn headings() -> Vec<&'static str> {
    values(RUNBOOK, "###")
}

#[track_caller]
fn assert_told<'c>(part: &str, codes: impl IntoIterator<Item = &'c str>) {
    let (_, told) = RUNBOOK.split_once(&format!("\n# {part}\n")).expect("the part is there");
    let told = told.split("\n# ").next().expect("split gives one");
    let told: BTreeSet<&str> = values(told, "###").into_iter().collect();
    assert_eq!(told, codes.into_iter().collect(), "{part}");
}

#[test]
fn every_code_has_its_heading_in_the_runbook_and_no_other_has() {
    assert_told("Alerts", alerts());
    assert_told("Rejections", customer::Code::ALL.iter().map(|code| code.as_str()));
    assert_told("Run errors", peak_braze::run::RunError::CODES.iter().copied());
}

/// Where a run error's code is written in the sources.
#[test]
fn every_error_of_a_run_is_in_the_list() {
    let text = |file: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file))
            .expect("a source")
    };
    let mut written = BTreeSet::new();
    for (file, before) in [
        ("braze/stop.rs", "=> \""),
        ("source/error.rs", "=> \""),
        ("sync/group.rs", "Stopped::failed(\n                \""),
        ("sync/verify.rs", "Stopped::failed(\""),
        ("worker/attempt.rs", "fallen(\""),
        ("worker/attempt.rs", "RunError { code: \""),
        ("ledger/lease.rs", "RunError { code: \""),
        ("run.rs", "code: \""),
    ] {
        let text = text(file);
        let codes = text.split("#[cfg(test)]").next().expect("split gives one").split(before).skip(1);
        let codes: Vec<&str> = codes.map(|rest| rest.split('"').next().expect("split gives one")).collect();
        assert!(!codes.is_empty(), "{file} writes no code after {before}");
        written.extend(codes.into_iter().map(str::to_owned));
    }
    let listed = peak_braze::run::RunError::CODES.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(written, listed);
}

/// Against the schemas of Kubernetes itself.
#[test]
fn the_manifests_are_ones_that_kubernetes_takes() {
    let folders = ["kubernetes", "kubernetes-sqlite"].map(|folder| deploy().join(folder));
    let folders = folders.each_ref().map(|folder| folder.to_str().expect("UTF-8"));
    let told = run_script("kubernetes.py", &folders, "");
    for kind in ["Deployment", "NetworkPolicy", "StatefulSet"] {
        assert!(told.contains(kind), "{told}");
    }
}
