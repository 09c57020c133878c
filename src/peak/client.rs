//! One request to Peak and its answer: bounded in time, tries and bytes.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::PeakError;
use crate::config::SecretRef;
use crate::http;

/// Where production tenants are served, those of a spoke too. Source: Peak SDK 1.29.0, `get_base_domain`, which every
/// request for credentials and executions goes through.
const PRODUCTION: &str = "https://service.peak.ai";
/// One request, from connecting to the last byte of the answer.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Waits before another try of what is overloaded: three, as Peak's SDK has it. Source: Peak SDK 1.29.0,
/// `AuthRetrySession`.
const RETRY_WAITS: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];
/// Longest wait that an answer may ask for: a run has more patience, but a person at `check` has less.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Most of an answer that is read: credentials are under 4 KB; a hundred steps of an execution stay under 200 KB.
const ANSWER_BYTES: usize = 1 << 20;

/// Peak, asked with one API key.
pub struct Peak {
    client: Client,
    base: Url,
    authorization: HeaderValue,
}

impl Peak {
    /// Makes ready to ask Peak at `base_url`, else at its production address, with the API key as it is now.
    ///
    /// # Errors
    /// [`PeakError::Setting`] where address or key cannot be used.
    pub fn new(api_key: &SecretRef, base_url: Option<&str>) -> Result<Self, PeakError> {
        let key = api_key.resolve().map_err(|error| PeakError::Setting(format!("api_key: {error}")))?;
        Self::with_key(&key, base_url)
    }

    /// The key goes out as it is: a raw one, or a token with its `Bearer ` before it. Source: Peak SDK 1.29.0,
    /// `Session.create_request`.
    fn with_key(api_key: &SecretString, base_url: Option<&str>) -> Result<Self, PeakError> {
        let base = address(base_url.unwrap_or(PRODUCTION))?;
        let unfit = |_| PeakError::Setting("api_key holds what no HTTP header may hold".to_owned());
        let mut authorization = HeaderValue::try_from(api_key.expose_secret()).map_err(unfit)?;
        authorization.set_sensitive(true);
        let client = http::client(base.scheme() == "http").timeout(REQUEST_WAIT).build();
        let client = client.map_err(|_| PeakError::Setting("no HTTPS client could be made".to_owned()))?;
        Ok(Self { client, base, authorization })
    }

    /// Asks for what is at `path` below the base, and reads it. `what` names it in [`PeakError::NotFound`].
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        what: &'static str,
    ) -> Result<T, PeakError> {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut waits = RETRY_WAITS.iter();
        loop {
            let answer = self.ask(&url).await?;
            let status = answer.status();
            match status {
                StatusCode::OK => return read(answer, what).await,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(PeakError::Refused(status.as_u16()));
                }
                StatusCode::NOT_FOUND => return Err(PeakError::NotFound(what)),
                StatusCode::TOO_MANY_REQUESTS => {}
                _ if status.is_server_error() => {}
                _ => return Err(PeakError::Answer(format!("Peak answered with status {status}"))),
            }
            let Some(wait) = waits.next() else {
                return Err(PeakError::Unreachable(format!("Peak answered with status {status} each time")));
            };
            tokio::time::sleep(asked_for(&answer).max(*wait)).await;
        }
    }

    async fn ask(&self, url: &Url) -> Result<Response, PeakError> {
        let request = self.client.get(url.clone()).header(AUTHORIZATION, self.authorization.clone());
        request.send().await.map_err(|error| {
            // Not the error itself: it shows the address with the warehouse's name.
            let why = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
            PeakError::Unreachable(format!("Peak {why}"))
        })
    }
}

impl std::fmt::Debug for Peak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peak").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// https, or http to this very machine: the key goes there.
fn address(text: &str) -> Result<Url, PeakError> {
    let wrong = |why: &str| PeakError::Setting(format!("base_url {why}"));
    let url = Url::parse(text).map_err(|_| wrong("is not an address"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err(wrong("must begin with https:// (http:// is for loopback only)")),
    }
}

/// What the answer asks to wait, within bounds.
fn asked_for(answer: &Response) -> Duration {
    let secs = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(secs.unwrap_or(0)).min(LONGEST_WAIT)
}

async fn read<T: DeserializeOwned>(mut answer: Response, what: &'static str) -> Result<T, PeakError> {
    let broken = |_| PeakError::Unreachable("Peak's answer broke off".to_owned());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(PeakError::Answer("Peak's answer is longer than can be meant".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    // What the parser says is left out: it may quote the answer.
    serde_json::from_slice(&body)
        .map_err(|_| PeakError::Answer(format!("Peak's answer on the {what} cannot be read")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_to_https_or_this_machine_only() {
        for good in ["https://service.peak.ai", "https://service.beta.peak.ai/", "http://127.0.0.1:9/x"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in
            ["http://service.peak.ai", "service.peak.ai", "http://127.0.0.1.example.com", "ftp://localhost"]
        {
            assert!(matches!(address(bad), Err(PeakError::Setting(_))), "{bad}");
        }
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        let peak = Peak::with_key(&"peak-key-of-a-test".to_owned().into(), Some("http://127.0.0.1:9"))
            .expect("sound");
        assert!(!format!("{peak:?}").contains("peak-key"));
        let error = Peak::with_key(&"peak-key\nof-a-test".to_owned().into(), None).expect_err("no header");
        assert!(!error.to_string().contains("peak-key"));
    }
}
