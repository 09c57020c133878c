//! The commands' side of the HTTP API: a running server, spoken to as anyone would.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Usage;
use crate::run::{Run, RunId, RunState};

/// The longest one answer is waited for; the server answers at once or not at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Which server to speak to.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    /// Speaks to this running server instead of working in this process.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// The environment variable that holds the server's token.
    #[arg(long, value_name = "NAME", default_value = "PEAK_BRAZE_TOKEN")]
    pub token_env: String,
}

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: SecretString,
}

/// A client for one server; a plain one needs no certificates, and finds them on no bare machine.
pub(super) fn http(server: &str) -> anyhow::Result<reqwest::Client> {
    let builder = crate::http::client(server.starts_with("http://")).timeout(ANSWER_TIMEOUT);
    builder.build().context("an HTTP client cannot be made: are CA certificates installed?")
}

/// What a trigger answers.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Triggered {
    pub run_id: RunId,
    pub state: RunState,
    #[serde(default)]
    pub coalesced: bool,
}

/// A page of runs.
#[derive(Debug, Deserialize)]
pub(super) struct RunsPage {
    pub runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

impl Client {
    /// A client, if a server was named.
    pub(super) fn named(args: &ServerArgs) -> anyhow::Result<Option<Self>> {
        let Some(server) = &args.server else { return Ok(None) };
        let token = std::env::var(&args.token_env)
            .map_err(|_| Usage(format!("--token-env: environment variable {} is not set", args.token_env)))?;
        Self::new(server, token.into()).map(Some)
    }

    /// A client of `server` with this token.
    pub(super) fn new(server: &str, token: SecretString) -> anyhow::Result<Self> {
        Ok(Self { http: http(server)?, server: server.trim_end_matches('/').to_owned(), token })
    }

    pub(super) async fn trigger(&self, sync: &str, body: &serde_json::Value) -> anyhow::Result<Triggered> {
        let request = self.http.post(format!("{}/v1/syncs/{sync}/runs", self.server)).json(body);
        self.answer(request).await
    }

    pub(super) async fn run(&self, id: RunId) -> anyhow::Result<Run> {
        self.answer(self.http.get(format!("{}/v1/runs/{id}", self.server))).await
    }

    pub(super) async fn runs(&self, sync: Option<&str>, limit: u32) -> anyhow::Result<RunsPage> {
        let sync = sync.map_or(String::new(), |sync| format!("&sync={sync}"));
        self.answer(self.http.get(format!("{}/v1/runs?limit={limit}{sync}", self.server))).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> anyhow::Result<T> {
        let answer = request
            .bearer_auth(self.token.expose_secret())
            .send()
            .await
            .with_context(|| format!("--server {}: no answer", self.server))?;
        let status = answer.status();
        let body =
            answer.bytes().await.with_context(|| format!("--server {}: answer cut off", self.server))?;
        if !status.is_success() {
            let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
                bail!("--server {}: answered {status}", self.server);
            };
            let detail = problem.detail.or(problem.title).unwrap_or_default();
            bail!("the server answered {status} ({}): {detail}", problem.code);
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("--server {}: not peak-braze's answer", self.server))
    }
}
