//! `[telemetry]`.

use reqwest::Url;
use reqwest::header::HeaderName;

use crate::config::Config;
use crate::config::problem::Problems;

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let telemetry = &config.telemetry;
    let has_headers = !telemetry.otlp_headers.is_empty();
    if let Some(endpoint) = &telemetry.otlp_endpoint {
        problems.note("telemetry.otlp_endpoint", address(endpoint, has_headers));
    } else if has_headers {
        problems.add("telemetry.otlp_headers", "needs telemetry.otlp_endpoint beside it");
    }
    for name in telemetry.otlp_headers.keys() {
        if name.parse::<HeaderName>().is_err() {
            problems.add(format!("telemetry.otlp_headers.{name}"), "is not the name of a header");
        }
    }
}

/// A collector often stands beside the service without TLS. Spans hold nothing of customers, but headers hold secrets.
fn address(text: &str, has_headers: bool) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "must be an address such as http://127.0.0.1:4318")?;
    match url.scheme() {
        "https" => {}
        "http" if !has_headers => {}
        "http" => return Err("must begin with https:// where headers are sent: they hold secrets"),
        _ => return Err("must begin with http:// or https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password: write them as a header");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query (?…) or a fragment (#…)");
    }
    Ok(())
}
