//! From file to [`Config`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use secrecy::SecretString;
use toml::de::DeTable;

use super::check;
use super::document::Document;
use super::problem::{ConfigError, Origin, Problems};
use super::schema::schema;
use super::secret::SecretError;
use super::{Config, SecretRef, Source};

/// Reads and checks a config file. Secrets stay references; [`check_secrets`](super::check_secrets) looks at them.
///
/// Relative `sqlite://` paths and `file:` references come out relative to the file's folder.
///
/// # Errors
/// When the file cannot be read, or with every problem found in it, each with its line.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// The same for a text that stands, or would stand, at `path`.
///
/// # Errors
/// With every problem found, each with its line.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let mut config = read(text, path)?;
    settle(&mut config, path.parent().unwrap_or(Path::new("")));
    config.origin.refuse(check::rules(&config))?;
    Ok(config)
}

/// The file's values as they stand.
fn read(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let mut origin = Origin { file: path.to_owned(), lines: BTreeMap::new() };
    let (table, broken) = DeTable::parse_recoverable(text);
    if !broken.is_empty() {
        return Err(broken_toml(text, &mut origin, broken));
    }
    let schema = schema();
    let document = Document::read(table.get_ref(), &schema);
    origin.lines = document.spans.iter().map(|(key, span)| (key.clone(), line(text, span.start))).collect();
    origin.refuse(document.problems)?;
    match toml::from_str::<Config>(text) {
        Ok(config) => Ok(Config { origin, ..config }),
        Err(error) => {
            let mut problems = Problems::default();
            problems.add(key_at(&document.spans, error.span()), error.message());
            Err(origin.invalid(problems))
        }
    }
}

fn broken_toml(text: &str, origin: &mut Origin, errors: Vec<toml::de::Error>) -> ConfigError {
    let at = |error: &toml::de::Error| error.span().map(|span| line(text, span.start));
    let problem = |error: toml::de::Error| super::Problem {
        file: origin.file.clone(),
        line: at(&error),
        key: String::new(),
        message: format!("is not TOML: {}", error.message()),
    };
    ConfigError::Invalid(errors.into_iter().map(problem).collect())
}

/// The line of a byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The last key that begins at or before the error.
fn key_at(spans: &BTreeMap<String, Range<usize>>, error: Option<Range<usize>>) -> String {
    let Some(error) = error else { return String::new() };
    let before = spans.iter().filter(|(_, span)| span.start <= error.start);
    before.max_by_key(|(_, span)| span.start).map(|(key, _)| key.clone()).unwrap_or_default()
}

/// Fills what follows from elsewhere: paths from the file's folder, labels from names.
fn settle(config: &mut Config, folder: &Path) {
    let near = |secret: &mut SecretRef| *secret = secret.clone().relative_to(folder);
    let (server, ledger) = (&mut config.server, &mut config.ledger);
    [&mut server.tls_cert, &mut server.tls_key, &mut ledger.digest_key].into_iter().flatten().for_each(near);
    ledger.url = url_near(&ledger.url, folder);
    config.tokens.iter_mut().for_each(|token| near(&mut token.token));
    config.sources.values_mut().for_each(|source| settle_source(source, folder));
    for (name, destination) in &mut config.destinations {
        near(&mut destination.api_key);
        destination.endpoint.truncate(destination.endpoint.trim_end_matches('/').len());
        if destination.workspace.is_empty() {
            destination.workspace.clone_from(name);
        }
    }
    for callback in config.syncs.iter_mut().flat_map(|sync| &mut sync.callback) {
        callback.secrets.iter_mut().for_each(near);
        callback.verify_run.iter_mut().for_each(|verify| near(&mut verify.peak.api_key));
    }
    config.telemetry.otlp_headers.values_mut().for_each(near);
    for notify in &mut config.notify {
        [&mut notify.secret, &mut notify.authorization].into_iter().flatten().for_each(near);
        notify.url = url_near(&notify.url, folder);
    }
}

fn settle_source(source: &mut Source, folder: &Path) {
    let near = |secret: &mut SecretRef| *secret = secret.clone().relative_to(folder);
    [&mut source.private_key, &mut source.private_key_passphrase, &mut source.token]
        .into_iter()
        .flatten()
        .for_each(near);
    source.url = source.url.take().map(|url| url_near(&url, folder));
    if let Some(credentials) = &mut source.credentials {
        near(&mut credentials.peak.api_key);
    }
}

/// `url` with the relative path of a file, files or a `file:` reference read from `folder`.
fn url_near(url: &str, folder: &Path) -> String {
    for scheme in ["sqlite://", "files://", "file:"] {
        match url.strip_prefix(scheme) {
            Some("" | ":memory:") => break,
            Some(path) if Path::new(path).is_relative() => {
                return format!("{scheme}{}", folder.join(path).display());
            }
            _ => {}
        }
    }
    url.to_owned()
}

/// The url itself: looked up where `url` is an `env:` or `file:` reference, else as it stands. May hold a password.
///
/// # Errors
/// When the reference cannot be resolved.
pub fn resolve_url(url: &str) -> Result<SecretString, SecretError> {
    match SecretRef::try_from(url.to_owned()) {
        Ok(reference) => reference.resolve(),
        Err(_) => Ok(SecretString::from(url.to_owned())),
    }
}

#[cfg(test)]
mod tests;
