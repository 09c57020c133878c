//! What every handler may look at.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderMap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::health::Readiness;
use super::idempotency::InProgress;
use super::limits::Limits;
use super::measure::Callbacks;
use super::problem::{Code, Problem};
use crate::access::{Caller, Flood, TokenError, Tokens};
use crate::callback::{KeyError, Verifier};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::ledger::{Ledger, LedgerError};
use crate::run::{Run, RunId};

/// Called with the sync's id once a delivery or trigger has a run.
pub type OnTrigger = Box<dyn Fn(&str) + Send + Sync>;

/// What the API is made of, for good.
pub struct Setup {
    /// The ledger.
    pub ledger: Ledger,
    /// Tells when a callback arrived.
    pub clock: Clock,
    /// Bounds.
    pub limits: Limits,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// Cancelled when the service drains: from then on nothing new is taken.
    pub draining: CancellationToken,
    /// Told of every run recorded here.
    pub on_trigger: OnTrigger,
}

/// Why syncs and tokens cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A callback's secret.
    #[error("sync {sync}: {source}")]
    Callback {
        /// The sync.
        sync: String,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// A token's secret.
    #[error(transparent)]
    Token(TokenError),
}

/// The state of the API.
pub struct Api {
    pub(super) setup: Setup,
    /// `[server]`, as of the start.
    pub(super) server: config::Server,
    /// Stand in for syncs that are not there.
    pub(super) dummy: Verifier,
    pub(super) strangers: Callbacks,
    pub(super) streams: Arc<Semaphore>,
    pub(super) in_progress: InProgress,
    pub(super) flood: Arc<Flood>,
    pub(super) readiness: Readiness,
    shared: RwLock<Arc<Shared>>,
}

/// What a reload replaces, all at once.
pub(super) struct Shared {
    pub(super) syncs: BTreeMap<String, Endpoint>,
    pub(super) tokens: Tokens,
}

/// One sync, as far as the API is concerned.
pub(super) struct Endpoint {
    pub(super) config: config::Sync,
    /// The workspace it sends to.
    pub(super) workspace: String,
    /// None where it takes no callbacks.
    pub(super) callback: Option<(config::Callback, Verifier)>,
    pub(super) counts: Callbacks,
}

/// The label of callbacks for syncs that are not in the config: their names are the sender's.
const NO_SYNC: &str = "unknown";

impl Endpoint {
    fn new(sync: &config::Sync, config: &Config) -> Result<Self, ApiError> {
        let wrong = |source| ApiError::Callback { sync: sync.id.clone(), source };
        let verifier =
            |callback: &config::Callback| Ok((callback.clone(), Verifier::new(callback).map_err(wrong)?));
        let callback = sync.callback.as_ref().map(verifier).transpose()?;
        let workspace = config.destinations.get(&sync.destination).map(|to| to.workspace.clone());
        let secrets = callback.as_ref().map_or(0, |(_, verifier): &(_, Verifier)| verifier.secrets());
        Ok(Self {
            config: sync.clone(),
            workspace: workspace.unwrap_or_default(),
            callback,
            counts: Callbacks::of(&sync.id, secrets),
        })
    }
}

impl Shared {
    /// Resolves every secret before anything is put in force.
    fn new(config: &Config) -> Result<Arc<Self>, ApiError> {
        let syncs = config.syncs.iter().map(|sync| Ok((sync.id.clone(), Endpoint::new(sync, config)?)));
        Ok(Arc::new(Self {
            syncs: syncs.collect::<Result<_, _>>()?,
            tokens: Tokens::new(&config.tokens).map_err(ApiError::Token)?,
        }))
    }

    /// A sync of the config that the caller may see.
    pub(super) fn sync(&self, caller: &Caller, id: &str) -> Result<&Endpoint, Problem> {
        let sync = self.syncs.get(id).filter(|_| caller.sees(id));
        sync.ok_or_else(|| Code::UnknownSync.into())
    }
}

impl Api {
    /// An API that serves the config's syncs to its tokens.
    ///
    /// # Errors
    /// With the first secret that cannot be had or is no key.
    pub fn new(setup: Setup, config: &Config) -> Result<Arc<Self>, ApiError> {
        super::measure::begin();
        Ok(Arc::new(Self {
            dummy: Verifier::dummy(),
            strangers: Callbacks::of(NO_SYNC, 0),
            streams: Arc::new(Semaphore::new(setup.limits.streams)),
            in_progress: InProgress::default(),
            flood: Arc::new(Flood::new(setup.limits.triggers_per_minute)),
            readiness: Readiness::default(),
            shared: RwLock::new(Shared::new(config)?),
            server: config.server.clone(),
            setup,
        }))
    }

    /// Puts another config's syncs and tokens in force, all at once. Requests under way end with what they began with.
    ///
    /// # Errors
    /// With the first secret that cannot be had or is no key; everything stays as it was.
    pub fn replace(&self, config: &Config) -> Result<(), ApiError> {
        let shared = Shared::new(config)?;
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = shared;
        Ok(())
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        // A whole Arc is put in place or nothing is, so a poisoned lock holds nothing half-done.
        Arc::clone(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.setup.ledger
    }

    /// Counts the triggers of each token, whichever way they come.
    pub fn triggers(&self) -> Arc<Flood> {
        Arc::clone(&self.flood)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.setup.draining.is_cancelled()
    }

    /// Waits for the ledger, within bounds.
    pub(super) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, Problem> {
        within(self.setup.limits.handler_timeout, answer).await
    }

    /// A run the caller may see.
    pub(super) async fn run(&self, caller: &Caller, id: RunId) -> Result<Run, Problem> {
        let run = self.ask(self.ledger().run(id)).await?;
        run.filter(|run| caller.sees(&run.sync)).ok_or_else(|| Code::UnknownRun.into())
    }
}

/// What a caller says of the trace it is in. Nothing is believed of it before the caller is known.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent").and_then(|value| value.to_str().ok())
}

/// A ledger that does not answer is as good as none: whoever asked is told to come again. What it was asked may
/// still happen, so a delivery that comes again is a duplicate.
async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Code::LedgerUnavailable.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silent_ledger_is_unavailable_after_three_seconds() {
        let began = tokio::time::Instant::now();
        let answer = within::<()>(Limits::default().handler_timeout, std::future::pending()).await;
        assert_eq!(answer.map_err(|problem| problem.code), Err(Code::LedgerUnavailable));
        assert_eq!(began.elapsed().as_secs(), 3);
    }
}
