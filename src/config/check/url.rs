//! Addresses.

use std::net::IpAddr;

use reqwest::Url;

/// Whether `url` is a reference, whose target only `check_secrets` sees.
pub(super) fn is_reference(url: &str) -> bool {
    url.starts_with("env:") || url.starts_with("file:")
}

/// What may stand in an HTTP address besides the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Bare,
    /// A path.
    Path,
    /// A path and a query, as receivers of notices have them.
    Query,
}

/// https, or http to this very machine; no user and password, no fragment.
pub(super) fn http(text: &str, rest: Rest) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "must be an address such as https://rest.iad-01.braze.com")?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err("must begin with https:// (http:// is for loopback only)"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password");
    }
    if url.fragment().is_some() {
        return Err("must not hold a fragment (#…)");
    }
    if rest != Rest::Query && url.query().is_some() {
        return Err("must not hold a query (?…)");
    }
    if rest == Rest::Bare && url.path() != "/" {
        return Err("must not hold a path: only https:// and the host");
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A SQLite file.
pub(super) fn sqlite(text: &str) -> Result<(), &'static str> {
    match text.strip_prefix("sqlite://") {
        Some("") => Err("must name a file after sqlite://"),
        Some(path) if path.starts_with(":memory:") => {
            Err("must name a file: memory does not outlive the process")
        }
        Some(_) => Ok(()),
        None => Err("must begin with sqlite://"),
    }
}

/// Files in a folder or a bucket.
pub(super) fn files(text: &str) -> Result<(), &'static str> {
    match (text.strip_prefix("files://"), text.strip_prefix("s3://")) {
        (Some(""), _) => Err("must name files after files://, such as files://exports/*.csv"),
        (Some(_), _) => Ok(()),
        (_, Some(rest))
            if rest.split_once('/').is_some_and(|(bucket, path)| !bucket.is_empty() && !path.is_empty()) =>
        {
            Ok(())
        }
        _ => Err("must be files://PATTERN or s3://BUCKET/PATTERN"),
    }
}

/// Whether `text` addresses a PostgreSQL server.
pub(super) fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// A PostgreSQL server.
pub(super) fn postgres(text: &str) -> Result<(), &'static str> {
    match Url::parse(text) {
        Ok(url) if is_postgres(text) && url.host_str().is_some_and(|host| !host.is_empty()) => Ok(()),
        // A socket's folder stands in the query.
        Ok(url) if is_postgres(text) && url.query().is_some_and(|query| query.contains("host=")) => Ok(()),
        _ => Err("must be postgres://USER@HOST/DATABASE, or env:NAME or file:PATH of one"),
    }
}

/// The ledger: a SQLite file or a PostgreSQL server.
pub(super) fn ledger(text: &str) -> Result<(), &'static str> {
    if text.starts_with("sqlite:") {
        sqlite(text)
    } else if is_postgres(text) {
        postgres(text)
    } else {
        Err("must be sqlite://FILE or postgres://…")
    }
}
