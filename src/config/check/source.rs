//! `[sources.NAME]`: which keys fit which kind.

use super::{name, url};
use crate::config::problem::Problems;
use crate::config::{Config, Source, SourceKind};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    for (label, source) in &config.sources {
        let key = format!("sources.{label}");
        problems.note(&key, name::id(label));
        problems.note(&format!("{key}.timezone"), name::zone(&source.timezone));
        match source.kind {
            SourceKind::Sqlite => file(source, &key, problems, "sqlite", url::sqlite),
            SourceKind::Files => file(source, &key, problems, "files", url::files),
            SourceKind::Postgres | SourceKind::Redshift => postgres(source, &key, problems),
            SourceKind::Snowflake => snowflake(source, &key, problems),
        }
        let peak = source.credentials.as_ref().and_then(|credentials| credentials.peak.base_url.as_ref());
        if let Some(base) = peak {
            problems.note(&format!("{key}.credentials.peak.base_url"), url::http(base, url::Rest::Path));
        }
    }
}

/// What lies in files, and so has an address and nobody to sign in to.
fn file(
    source: &Source,
    key: &str,
    problems: &mut Problems,
    kind: &str,
    check: fn(&str) -> Result<(), &'static str>,
) {
    refuse_snowflake_keys(source, key, problems);
    match &source.url {
        None => problems.add(format!("{key}.url"), format!("is missing: write {kind}://…")),
        Some(text) if !url::is_reference(text) => {
            problems.note(&format!("{key}.url"), check(text));
        }
        Some(_) => {}
    }
    if source.credentials.is_some() {
        problems.add(format!("{key}.credentials"), format!("does not fit kind = \"{kind}\""));
    }
}

fn postgres(source: &Source, key: &str, problems: &mut Problems) {
    refuse_snowflake_keys(source, key, problems);
    match &source.url {
        None if source.credentials.is_none() => {
            problems
                .add(format!("{key}.url"), "is missing: write env:NAME or file:PATH of a postgres://… url");
        }
        Some(text) if !url::is_reference(text) => {
            problems.note(&format!("{key}.url"), url::postgres(text));
        }
        _ => {}
    }
    if source.url.is_some() && source.credentials.is_some() {
        problems.add(
            format!("{key}.url"),
            "stands beside credentials, which tell where the warehouse is; keep one",
        );
    }
}

fn refuse_snowflake_keys(source: &Source, key: &str, problems: &mut Problems) {
    let given = [
        ("account", source.account.is_some()),
        ("user", source.user.is_some()),
        ("private_key", source.private_key.is_some()),
        ("private_key_passphrase", source.private_key_passphrase.is_some()),
        ("token", source.token.is_some()),
        ("token_type", source.token_type.is_some()),
        ("role", source.role.is_some()),
        ("warehouse", source.warehouse.is_some()),
        ("database", source.database.is_some()),
        ("schema", source.schema.is_some()),
        ("base_url", source.base_url.is_some()),
    ];
    for (name, _) in given.into_iter().filter(|(_, given)| *given) {
        problems.add(format!("{key}.{name}"), "fits kind = \"snowflake\" only");
    }
}

fn snowflake(source: &Source, key: &str, problems: &mut Problems) {
    let mut add = |name: &str, message: &str| problems.add(format!("{key}.{name}"), message);
    if source.url.is_some() {
        add("url", "does not fit kind = \"snowflake\"; write account, user and private_key, or token");
    }
    if source.account.is_none() && source.credentials.is_none() {
        add("account", "is missing: write the account identifier, such as ORG-ACCOUNT");
    }
    match (&source.private_key, &source.token, &source.credentials) {
        (None, None, None) => add("private_key", "is missing: write private_key, token or credentials"),
        (Some(_), None, None) if source.user.is_none() => {
            add("user", "is missing: a private key needs its user")
        }
        (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => {}
        (_, Some(_), _) => add("token", "stands beside another way to sign in; keep one"),
        _ => add("credentials", "stands beside another way to sign in; keep one"),
    }
    if source.private_key_passphrase.is_some() && source.private_key.is_none() {
        add("private_key_passphrase", "needs private_key beside it");
    }
    if source.token_type.is_some() && source.token.is_none() {
        add("token_type", "needs token beside it");
    }
    let account = source.account.as_deref().unwrap_or("ok");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if account.is_empty() || !account.bytes().all(plain) {
        add("account", "must be letters, digits, - _ or . alone: it becomes part of a host name");
    }
    if let Some(base) = &source.base_url {
        problems.note(&format!("{key}.base_url"), url::http(base, url::Rest::Bare));
    }
}
