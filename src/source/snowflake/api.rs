//! Requests to the SQL API: signed in, bounded, tried again where that may help.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode};
use uuid::Uuid;

use super::error::{Failure, unreachable};
use super::login::{Access, Login};
use super::statement::Statement;
use crate::http;
use crate::source::SourceError;

/// One request, from connecting to the last byte: Snowflake holds a statement for 45 s before it answers 202, and a
/// part of a result is some ten megabytes. Source: Snowflake docs, SQL API, Handling responses.
const REQUEST_WAIT: Duration = Duration::from_secs(120);
/// Longest silence within an answer, beyond the 45 s a statement may be held.
const SILENCE_WAIT: Duration = Duration::from_secs(60);
/// Tries of one request: six seconds of waits at most, unless Snowflake asks for longer ones. Then the run's own patience
/// begins.
const TRIES: u32 = 6;
/// First and longest step of the wait between tries; full jitter.
const RETRY_STEPS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Longest wait that an answer may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Most of one answer that is read. A part of a result stays under the 48 MB asked for, and under 160 MB in any case;
/// one row may hold a few MB more. Source: Snowflake docs, Parameters, `CLIENT_RESULT_CHUNK_SIZE`.
const ANSWER_BYTES: usize = 256 << 20;

/// What is asked of Snowflake.
pub(super) enum Call<'c> {
    Submit(&'c Statement, Uuid),
    Status(&'c str),
    Part(&'c str, usize),
    Cancel(&'c str),
}

/// What Snowflake answered, other than a refusal.
pub(super) struct Answer {
    /// Whether the statement is still being worked on.
    pub is_running: bool,
    pub bytes: Vec<u8>,
}

/// Why a request did not come to an [`Answer`].
pub(super) enum Refusal {
    /// The statement failed: Snowflake says why.
    Statement(Failure, Arc<Access>),
    /// Anything else, in a source's words.
    Other(SourceError),
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        Self::Other(error)
    }
}

/// How one try ended.
enum Tried {
    Answered(Answer),
    Refused(StatusCode, Failure),
    Again { why: SourceError, after: Duration },
}

/// Snowflake's SQL API, as one login sees it.
pub(super) struct Api {
    client: Client,
    login: Login,
}

impl Api {
    pub(super) fn new(login: Login) -> Result<Self, SourceError> {
        let builder = http::client(login.is_plain()).timeout(REQUEST_WAIT).read_timeout(SILENCE_WAIT);
        let no_client = |_| SourceError::Unusable("no HTTPS client could be made".to_owned());
        Ok(Self { client: builder.build().map_err(no_client)?, login })
    }

    pub(super) async fn access(&self) -> Result<Arc<Access>, SourceError> {
        self.login.access().await
    }

    /// Asks, waiting out what may pass and signing in anew once.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let (mut tries, mut has_renewed) = (0, false);
        loop {
            let access = self.login.access().await?;
            match self.try_once(call, &access, tries > 0).await? {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(StatusCode::UNAUTHORIZED, failure) => {
                    if has_renewed || self.login.access_anew(&access).await?.is_none() {
                        return Err(failure.refuses_login(&access.place, &access.hint).into());
                    }
                    has_renewed = true;
                }
                Tried::Refused(status, failure) => return Err(refused(call, status, failure, access)),
                Tried::Again { why, after } => {
                    tries += 1;
                    if tries >= TRIES {
                        return Err(why.into());
                    }
                    tokio::time::sleep(after.max(jitter(tries - 1))).await;
                }
            }
        }
    }

    async fn try_once(
        &self,
        call: &Call<'_>,
        access: &Access,
        is_repeat: bool,
    ) -> Result<Tried, SourceError> {
        let again = |error: &reqwest::Error| {
            // Not the error itself: it shows the address.
            let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
            Tried::Again { why: unreachable(format!("Snowflake {what}")), after: Duration::ZERO }
        };
        let response = match self.request(call, access, is_repeat)?.send().await {
            Ok(response) => response,
            Err(error) => return Ok(again(&error)),
        };
        let (status, after) = (response.status(), asked_for(&response));
        let bytes = match read(response).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(SourceError::Unusable("Snowflake's answer is over 256 MiB".to_owned())),
            Err(error) => return Ok(again(&error)),
        };
        Ok(match status {
            StatusCode::OK | StatusCode::ACCEPTED => {
                Tried::Answered(Answer { is_running: status == StatusCode::ACCEPTED, bytes })
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Tried::Again { why: unreachable("Snowflake has too many requests to answer"), after }
            }
            status if is_passing(status) => {
                let code = Failure::read(status.as_u16(), &bytes).code;
                Tried::Again {
                    why: unreachable(format!("Snowflake is out of order for now (error {code})")),
                    after,
                }
            }
            status => Tried::Refused(status, Failure::read(status.as_u16(), &bytes)),
        })
    }

    fn request(
        &self,
        call: &Call<'_>,
        access: &Access,
        is_repeat: bool,
    ) -> Result<reqwest::RequestBuilder, SourceError> {
        let mut url = access.base.clone();
        let handle = match call {
            Call::Submit(..) => None,
            Call::Status(handle) | Call::Part(handle, _) | Call::Cancel(handle) => Some(*handle),
        };
        let mut path =
            url.path_segments_mut().map_err(|()| SourceError::config("base_url", "makes no address"))?;
        path.pop_if_empty().extend(["api", "v2", "statements"]).extend(handle);
        if matches!(call, Call::Cancel(_)) {
            path.push("cancel");
        }
        drop(path);
        match call {
            Call::Submit(statement, id) => {
                url.query_pairs_mut().append_pair("requestId", &id.to_string());
                if statement.is_long {
                    url.query_pairs_mut().append_pair("async", "true");
                }
                // Under the same id Snowflake runs nothing twice. Source: Snowflake docs, SQL API, Submitting a request:
                // resubmitting.
                if is_repeat {
                    url.query_pairs_mut().append_pair("retry", "true");
                }
            }
            Call::Part(_, number) => {
                url.query_pairs_mut().append_pair("partition", &number.to_string());
            }
            Call::Status(_) | Call::Cancel(_) => {}
        }
        let method = match call {
            Call::Submit(..) | Call::Cancel(_) => Method::POST,
            Call::Status(_) | Call::Part(..) => Method::GET,
        };
        let mut request = self
            .client
            .request(method, url)
            .header(AUTHORIZATION, access.authorization.clone())
            .header(ACCEPT, "application/json");
        if let Some(token_type) = access.token_type {
            request = request.header("X-Snowflake-Authorization-Token-Type", token_type);
        }
        Ok(match call {
            Call::Submit(statement, _) => request.json(&statement.body(&access.place)),
            Call::Cancel(_) => request.header(CONTENT_TYPE, "application/json").body("{}"),
            Call::Status(_) | Call::Part(..) => request,
        })
    }
}

/// Statuses that say nothing of the statement and may pass. Source: Snowflake docs, SQL API reference, response codes.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

fn refused(call: &Call<'_>, status: StatusCode, failure: Failure, access: Arc<Access>) -> Refusal {
    let has_no_code = failure.code.starts_with("status");
    match (status.as_u16(), call) {
        // Snowflake keeps results for a day; the read begins anew after the last customer.
        (404, Call::Part(..) | Call::Status(_)) => {
            Refusal::Other(unreachable("Snowflake no longer has the result: it is kept for 24 hours"))
        }
        (403 | 404, _) if has_no_code => Refusal::Other(SourceError::config(
            "account",
            format!("has no SQL API at this address ({}): check account and base_url", failure.code),
        )),
        (403, _) => Refusal::Other(failure.refuses_login(&access.place, &access.hint)),
        (400 | 405 | 406 | 413 | 415, _) => Refusal::Other(SourceError::Unusable(format!(
            "Snowflake does not take the request (error {})",
            failure.code
        ))),
        _ => Refusal::Statement(failure, access),
    }
}

/// The whole body; none if it is larger than any answer may be.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await? {
        if bytes.len() + part.len() > ANSWER_BYTES {
            return Ok(None);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(Some(bytes))
}

fn asked_for(response: &Response) -> Duration {
    let text = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let secs = text.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Duration::from_secs(secs).min(LONGEST_WAIT)
}

/// Anything up to the step for this try: many readers throttled at once come back apart.
fn jitter(tries: u32) -> Duration {
    let most = RETRY_STEPS.0.saturating_mul(1 << tries.min(16)).min(RETRY_STEPS.1);
    let chance = Uuid::new_v4().as_u64_pair().1;
    let micros = u64::try_from(most.as_micros()).expect("a step is seconds");
    Duration::from_micros(chance % (micros + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_fill_their_range_and_stay_under_their_cap() {
        for (tries, most) in [(0, 200), (3, 1_600), (30, 10_000)] {
            let drawn: Vec<_> = (0..500).map(|_| jitter(tries)).collect();
            let most = Duration::from_millis(most);
            assert!(drawn.iter().all(|wait| *wait <= most));
            assert!(
                drawn.iter().any(|wait| *wait > most * 4 / 5) && drawn.iter().any(|wait| *wait < most / 5)
            );
        }
    }
}
