//! `[server]`, `[ledger]`, `[[tokens]]`.

use std::collections::BTreeSet;

use super::{name, url};
use crate::config::problem::Problems;
use crate::config::{Config, Token};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    tls(config, problems);
    ledger(config, problems);
    let mut names = BTreeSet::new();
    for (index, token) in config.tokens.iter().enumerate() {
        let key = format!("tokens[{index}]");
        if !names.insert(&token.name) {
            problems.add(format!("{key}.name"), "is taken by a token above; each needs its own");
        }
        check_token(config, token, &key, problems);
    }
}

fn tls(config: &Config, problems: &mut Problems) {
    match (&config.server.tls_cert, &config.server.tls_key) {
        (Some(_), None) => problems.add("server.tls_cert", "needs server.tls_key beside it"),
        (None, Some(_)) => problems.add("server.tls_key", "needs server.tls_cert beside it"),
        _ => {}
    }
}

fn ledger(config: &Config, problems: &mut Problems) {
    let ledger = &config.ledger;
    if !url::is_reference(&ledger.url) {
        problems.note("ledger.url", url::ledger(&ledger.url));
    }
    if url::is_postgres(&ledger.url) && ledger.digest_key.is_none() {
        problems.add(
            "ledger.digest_key",
            "is missing: with PostgreSQL every replica needs the same; write env:NAME",
        );
    }
}

fn check_token(config: &Config, token: &Token, key: &str, problems: &mut Problems) {
    problems.note(&format!("{key}.name"), name::id(&token.name));
    if token.scopes.is_empty() {
        problems.add(format!("{key}.scopes"), "is empty; write [\"read\"], \"trigger\", \"admin\"");
    }
    for (index, id) in token.syncs.iter().flatten().enumerate() {
        if config.sync(id).is_none() {
            problems.add(format!("{key}.syncs[{index}]"), "names no sync of this file");
        }
    }
}
