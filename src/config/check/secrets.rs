//! Secrets: there, long enough, and each for one purpose.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::url;
use crate::config::callback_key::{CallbackKey, MIN_KEY_BYTES};
use crate::config::problem::{ConfigError, Problems};
use crate::config::sync::CallbackScheme;
use crate::config::{Config, SecretRef, Source, SourceKind, resolve_url};

/// Looks every reference up and refuses missing, short and shared secrets. Commands that need none skip it.
///
/// # Errors
/// With every problem, each with its line; never with a value.
pub fn check_secrets(config: &Config) -> Result<(), ConfigError> {
    let mut check = Check { problems: Problems::default(), seen: BTreeMap::new() };
    check.server(config);
    for (label, source) in &config.sources {
        check.source(&format!("sources.{label}"), source);
    }
    // Braze keys come before callback secrets, so that the callback's line is the one named.
    for (label, destination) in &config.destinations {
        let key = format!("destinations.{label}.api_key");
        if let Some(value) = check.resolve(&key, &destination.api_key) {
            check.alone(&key, value.expose_secret().as_bytes(), Purpose::Braze);
        }
    }
    check.callbacks(config);
    check.notices(config);
    config.origin.refuse(check.problems)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Token,
    Braze,
    Callback,
    /// Shared with a notice, a callback secret would let its receiver forge callbacks.
    Notice,
}

struct Check {
    problems: Problems,
    /// What each value met so far is for, and the key that names it.
    seen: BTreeMap<Vec<u8>, (Purpose, String)>,
}

impl Check {
    fn server(&mut self, config: &Config) {
        let (server, ledger) = (&config.server, &config.ledger);
        let files = [("server.tls_cert", &server.tls_cert), ("server.tls_key", &server.tls_key)];
        for (key, secret) in files {
            secret.iter().for_each(|secret| drop(self.resolve(key, secret)));
        }
        for (name, secret) in &config.telemetry.otlp_headers {
            let key = format!("telemetry.otlp_headers.{name}");
            if let Some(value) = self.resolve(&key, secret)
                && !value.expose_secret().bytes().all(|byte| (b' '..=b'~').contains(&byte))
            {
                self.problems.add(&key, "holds what no header can: printable ASCII on one line is needed");
            }
        }
        self.ledger_url(&ledger.url, ledger.digest_key.is_some());
        if let Some(secret) = &ledger.digest_key {
            self.long("ledger.digest_key", secret);
        }
        for (index, token) in config.tokens.iter().enumerate() {
            let key = format!("tokens[{index}].token");
            if let Some(value) = self.long(&key, &token.token) {
                self.alone(&key, value.expose_secret().as_bytes(), Purpose::Token);
            }
        }
    }

    fn ledger_url(&mut self, text: &str, digest_key: bool) {
        let Some(found) = self.url("ledger.url", text) else { return };
        self.problems.note("ledger.url", url::ledger(found.expose_secret()));
        if url::is_postgres(found.expose_secret()) && !digest_key {
            let says = "is missing: with PostgreSQL every replica needs the same; write env:NAME";
            self.problems.add("ledger.digest_key", says);
        }
    }

    fn source(&mut self, key: &str, source: &Source) {
        let peak = source.credentials.as_ref().map(|credentials| &credentials.peak.api_key);
        let secrets = [
            ("private_key", source.private_key.as_ref()),
            ("private_key_passphrase", source.private_key_passphrase.as_ref()),
            ("token", source.token.as_ref()),
            ("credentials.peak.api_key", peak),
        ];
        for (name, secret) in secrets {
            secret.iter().for_each(|secret| drop(self.resolve(&format!("{key}.{name}"), secret)));
        }
        let url_key = format!("{key}.url");
        if let Some(found) = source.url.as_ref().and_then(|text| self.url(&url_key, text)) {
            let fits = match source.kind {
                SourceKind::Sqlite => url::sqlite(found.expose_secret()),
                SourceKind::Files => url::files(found.expose_secret()),
                _ => url::postgres(found.expose_secret()),
            };
            self.problems.note(&url_key, fits);
        }
    }

    fn callbacks(&mut self, config: &Config) {
        for (index, sync) in config.syncs.iter().enumerate() {
            let Some(callback) = &sync.callback else { continue };
            if let Some(verify) = &callback.verify_run {
                let key = format!("syncs[{index}].callback.verify_run.peak.api_key");
                drop(self.resolve(&key, &verify.peak.api_key));
            }
            for (nth, secret) in callback.secrets.iter().enumerate() {
                let key = format!("syncs[{index}].callback.secrets[{nth}]");
                let Some(value) = self.resolve(&key, secret) else { continue };
                let read = CallbackKey::read(callback.scheme, value.expose_secret());
                // Compared both as written and as meant: a Braze key behind raw: or in base64 is still one.
                self.alone(&key, value.expose_secret().as_bytes(), Purpose::Callback);
                if let Some(CallbackKey::Shared(bytes)) = self.problems.note(&key, read) {
                    self.alone(&key, bytes.expose_secret(), Purpose::Callback);
                }
            }
        }
    }

    fn notices(&mut self, config: &Config) {
        for (index, notify) in config.notify.iter().enumerate() {
            let url_key = format!("notify[{index}].url");
            if url::is_reference(&notify.url) {
                self.problems.note(&url_key, notify.address());
            }
            let key = format!("notify[{index}].authorization");
            if let Some(value) = notify.authorization.as_ref().and_then(|secret| self.resolve(&key, secret)) {
                let text = value.expose_secret();
                if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                    self.problems
                        .add(&key, "holds what no header can: printable ASCII on one line is needed");
                }
                self.alone(&key, text.strip_prefix("Bearer ").unwrap_or(text).as_bytes(), Purpose::Notice);
            }
            let key = format!("notify[{index}].secret");
            if let Some(value) = notify.secret.as_ref().and_then(|secret| self.resolve(&key, secret)) {
                match CallbackKey::read(CallbackScheme::Standard, value.expose_secret()) {
                    Ok(CallbackKey::Shared(bytes)) => {
                        self.alone(&key, bytes.expose_secret(), Purpose::Notice)
                    }
                    Ok(CallbackKey::Public(_)) => self.problems.add(key, "cannot sign: give a whsec_ secret"),
                    Err(error) => self.problems.add(key, error.to_string()),
                }
            }
        }
    }

    /// The value, unless it is missing or empty.
    fn resolve(&mut self, key: &str, secret: &SecretRef) -> Option<SecretString> {
        let value = self.problems.note(key, secret.resolve())?;
        if value.expose_secret().trim().is_empty() {
            self.problems.add(key, "is empty where it points to");
            return None;
        }
        Some(value)
    }

    /// The value, unless it is too short to resist guessing.
    fn long(&mut self, key: &str, secret: &SecretRef) -> Option<SecretString> {
        let value = self.resolve(key, secret)?;
        let bytes = value.expose_secret().len();
        if bytes < MIN_KEY_BYTES {
            self.problems.add(key, format!("has {bytes} bytes; at least {MIN_KEY_BYTES} are needed"));
            return None;
        }
        Some(value)
    }

    /// What a reference leads to; nothing for a plain url, which is checked with the file.
    fn url(&mut self, key: &str, text: &str) -> Option<SecretString> {
        if !url::is_reference(text) {
            return None;
        }
        self.problems.note(key, resolve_url(text))
    }

    /// Two purposes must not share a value, nor two tokens: who learns one would hold the other.
    fn alone(&mut self, key: &str, value: &[u8], purpose: Purpose) {
        match self.seen.get(value) {
            Some((other, first)) if *other != purpose || purpose == Purpose::Token => {
                let says = format!("is the same secret as {first}; each needs its own");
                self.problems.add(key, says);
            }
            Some(_) => {}
            None => {
                self.seen.insert(value.to_vec(), (purpose, key.to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
