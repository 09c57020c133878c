//! `deploy/compose.yaml`: what it mounts is there, and what its replicas read is a config.

use std::path::Path;
use std::str::FromStr;

use peak_braze::config;
use sqlx::postgres::PgConnectOptions;

use crate::support::app::{BRAZE_KEY, CALLBACK_SECRET, TOKEN};

const COMPOSE: &str = include_str!("../../deploy/compose.yaml");
const NGINX: &str = include_str!("../../deploy/compose/nginx.conf");

fn deploy() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))
}

#[test]
fn every_file_it_names_is_there() {
    let words = COMPOSE.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = words.flat_map(|line| line.split([' ', '"', '[', ']', ':', ',', '}']));
    let named: Vec<&str> = words.filter(|word| word.starts_with("./")).collect();
    for name in named.iter().filter(|name| !name.starts_with("./secrets/")) {
        assert!(deploy().join(name).is_file(), "{name}");
    }
    assert!(named.contains(&"./compose/nginx.conf") && named.contains(&"./compose/peak-braze.toml"));
    assert!(deploy().join("../deploy/Dockerfile").is_file());
}

#[test]
fn every_secret_is_declared_mounted_and_used() {
    let config = std::fs::read_to_string(deploy().join("compose/peak-braze.toml")).expect("the config");
    for (name, user) in [
        ("ledger_url", &*config),
        ("digest_key", &config),
        ("token", &config),
        ("callback", &config),
        ("braze_api_key", &config),
        ("warehouse_url", &config),
        ("tls_cert", NGINX),
        ("tls_key", NGINX),
        ("postgres_password", COMPOSE),
    ] {
        assert!(COMPOSE.contains(&format!("  {name}: {{ file: ./secrets/{name} }}")), "{name} is declared");
        assert!(user.contains(&format!("/run/secrets/{name}")), "{name} is used");
        assert!(COMPOSE.contains(&format!("#   {name}")) || name == "tls_key", "{name} is explained");
    }
}

#[test]
fn its_replicas_read_a_config_for_a_shared_ledger() {
    let config = config::load(&deploy().join("compose/peak-braze.toml")).expect("a config");
    assert_eq!(config.ledger.url, "file:/run/secrets/ledger_url");
    assert!(config.ledger.digest_key.is_some(), "replicas must be given one");
    for replica in ["peak-braze-1", "peak-braze-2"] {
        assert!(COMPOSE.contains(&format!("  {replica}: *replica")));
        assert!(NGINX.contains(&format!("server {replica}:{}", config.server.listen.port())));
    }
}

#[test]
fn the_ledger_address_it_explains_is_taken_and_leads_to_the_socket() {
    let explained = COMPOSE.lines().find_map(|line| line.strip_prefix("#   ledger_url "));
    let address = explained.expect("ledger_url is explained").trim();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, secret) in [
        ("ledger_url", address),
        ("digest_key", "a digest key of thirty-two bytes"),
        ("token", TOKEN),
        ("callback", CALLBACK_SECRET),
        ("braze_api_key", BRAZE_KEY),
        ("warehouse_url", "postgres://reader@warehouse.example.com/db"),
    ] {
        std::fs::write(folder.path().join(name), secret).expect("written");
    }
    let text = std::fs::read_to_string(deploy().join("compose/peak-braze.toml")).expect("the config");
    let text = text.replace("/run/secrets", folder.path().to_str().expect("UTF-8"));
    let file = folder.path().join("peak-braze.toml");
    std::fs::write(&file, text).expect("written");
    let config = config::load(&file).expect("a config");
    config::check_secrets(&config).expect("secrets that can be used");
    let options = PgConnectOptions::from_str(address).expect("an address to the driver too");
    let socket = options.get_socket().expect("a socket's folder");
    assert!(COMPOSE.contains(&format!("- socket:{}\n", socket.display())), "{}", socket.display());
    assert_eq!((options.get_username(), options.get_database()), ("peak_braze", Some("peak_braze")));
}
