use secrecy::ExposeSecret;

use super::*;
use crate::config::{NotifyEvent, Scope, check_secrets};

/// Every key there is, secrets from files beside it.
const FULL: &str = include_str!("full.toml");

fn folder_with_secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secrets = [
        ("cert", "certificate"),
        ("tls", "tls private key"),
        ("digest", "digest-key-0123456789-abcdef"),
        ("ops", "ops-token-0123456789-abcdefg"),
        ("warehouse", "postgres://reader@warehouse.example.com/db"),
        ("snowflake", "-----BEGIN PRIVATE KEY-----"),
        ("passphrase", "open sesame"),
        ("pat", "snowflake-token"),
        ("peak", "peak-api-key"),
        ("braze", "braze-api-key-0123456789-abcdef"),
        ("callback", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("otlp", "Bearer otlp-collector-token"),
        ("notify", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ];
    for (name, value) in secrets {
        std::fs::write(folder.path().join(name), format!("{value}\n")).expect("a written secret");
    }
    folder
}

#[test]
fn the_full_example_loads_with_its_secrets() {
    let folder = folder_with_secrets();
    let path = folder.path().join("peak-braze.toml");
    std::fs::write(&path, FULL).expect("a written config");
    let config = load(&path).expect("the full example is valid");
    check_secrets(&config).expect("its secrets are there");
    assert_eq!(config.tokens[0].scopes, [Scope::Read, Scope::Trigger, Scope::Admin]);
    assert_eq!(config.notify[0].on.last(), Some(&NotifyEvent::Succeeded));
    assert_eq!(config.syncs[0].full_every_secs, Some(7 * 86_400));
    assert_eq!(config.syncs[0].resend_every_secs, None);
    assert_eq!(config.destinations["braze"].give_up_after_secs, 86_400);
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(FULL, Path::new("/etc/pb/peak-braze.toml")).expect("the full example is valid");
    assert_eq!(config.ledger.url, "sqlite:///etc/pb/peak-braze.db");
    assert_eq!(config.sources["warehouse"].url.as_deref(), Some("sqlite:///etc/pb/warehouse.db"));
    assert_eq!(config.sources["pg"].url.as_deref(), Some("file:/etc/pb/warehouse"));
    let verify = config.syncs[0].callback.as_ref().and_then(|callback| callback.verify_run.as_ref());
    assert_eq!(verify.expect("a look-up").peak.api_key, SecretRef::File("/etc/pb/peak".into()));
    assert_eq!(config.destinations["braze"].api_key, SecretRef::File("/etc/pb/braze".into()));
    let beside = parse(FULL, Path::new("peak-braze.toml")).expect("the full example is valid");
    assert_eq!(beside.ledger.url, "sqlite://peak-braze.db");
    assert_eq!(url_near("sqlite:///var/a.db?mode=ro", Path::new("/etc")), "sqlite:///var/a.db?mode=ro");
    assert_eq!(url_near("env:WAREHOUSE_URL", Path::new("/etc")), "env:WAREHOUSE_URL");
}

#[test]
fn a_workspace_is_labelled_by_its_table() {
    let text = FULL.replace("workspace = \"braze\"\n", "").replace("braze.com\"", "braze.com/\"");
    let config = parse(&text, Path::new("x.toml")).expect("the label may be left out");
    assert_eq!(config.destinations["braze"].workspace, "braze");
    assert_eq!(config.destinations["braze"].endpoint, "https://rest.iad-01.braze.com");
}

#[test]
fn an_empty_file_is_a_config_without_syncs() {
    let config = parse("", Path::new("x.toml")).expect("defaults suffice");
    assert_eq!(config.ledger.lease_secs, 20);
    assert!(config.syncs.is_empty());
}

#[test]
fn urls_resolve_through_references() {
    let folder = folder_with_secrets();
    let reference = format!("file:{}", folder.path().join("warehouse").display());
    let url = resolve_url(&reference).expect("the file is there");
    assert_eq!(url.expose_secret(), "postgres://reader@warehouse.example.com/db");
    let plain = resolve_url("sqlite://a.db").expect("a plain url needs no look-up");
    assert_eq!(plain.expose_secret(), "sqlite://a.db");
    assert!(resolve_url("file:/nowhere/at/all").is_err());
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nowhere/peak-braze.toml")).expect_err("no such file");
    assert!(error.to_string().starts_with("/nowhere/peak-braze.toml: cannot be read"), "{error}");
}

#[test]
fn all_problems_come_at_once_each_on_its_line() {
    let text =
        "[server]\nlisten = \"nowhere\"\ndrian_secs = 5\n[ledger]\nlease_secs = 1\n[[tokens]]\nname = 7\n";
    let error = parse(text, Path::new("x.toml")).expect_err("five problems").to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 6, "{error}");
    assert!(lines[0].starts_with("x.toml:2: server.listen: must be an IP address"), "{error}");
    assert_eq!(lines[1], "x.toml:3: server.drian_secs: is no known key; did you mean drain_secs?");
    assert!(lines[2].starts_with("x.toml:5: ledger.lease_secs: must be 2 to 3600"), "{error}");
    assert!(lines[3].starts_with("x.toml:6: tokens[0].token: is missing"), "{error}");
    assert!(lines[4].starts_with("x.toml:6: tokens[0].scopes: is missing"), "{error}");
    assert!(lines[5].starts_with("x.toml:7: tokens[0].name: must be text"), "{error}");
}

#[test]
fn broken_toml_names_its_line() {
    let error = parse("[server]\nlisten = \n", Path::new("x.toml")).expect_err("no value").to_string();
    assert!(error.starts_with("x.toml:2: is not TOML"), "{error}");
    let twice = "[server]\ndrain_secs = 5\ndrain_secs = 6\n";
    let error = parse(twice, Path::new("x.toml")).expect_err("a key twice").to_string();
    assert!(error.starts_with("x.toml:3: is not TOML: duplicate key"), "{error}");
}

#[test]
fn a_secret_in_place_of_its_reference_is_not_printed() {
    for key in ["api_key = \"hunter2-hunter2\"", "api_key = [\"hunter2-hunter2\"]"] {
        let text = format!("[destinations.braze]\nendpoint = \"https://a.example\"\n{key}\n");
        let error = parse(&text, Path::new("x.toml")).expect_err("no reference").to_string();
        assert!(error.contains("x.toml:3: destinations.braze.api_key: "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
