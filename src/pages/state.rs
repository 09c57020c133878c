//! What every page may look at.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::access::{Flood, TokenError, Tokens};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::ledger::{Ledger, LedgerError};
use crate::run::{Run, RunId};

/// For the ledger's part in a page: whoever waits longer has gone.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Pages that are kept up to date at once; each costs a few ledger reads a second. A crowd is half of that.
const STREAMS: usize = 64;

/// From one address. A person mistypes a few times; behind a proxy everybody has one address.
const SIGN_INS_PER_MINUTE: u32 = 30;

/// What the pages are made of, for good.
pub struct Setup {
    /// The ledger.
    pub ledger: Ledger,
    /// Tells what time it is.
    pub clock: Clock,
    /// Cancelled when the service drains.
    pub draining: CancellationToken,
    /// Counts the triggers of each token, whichever way they come.
    pub triggers: Arc<Flood>,
    /// Whether the server speaks TLS itself.
    pub tls: bool,
}

/// The pages.
pub struct Pages {
    pub(super) setup: Setup,
    pub(super) sign_ins: Flood,
    pub(super) streams: Arc<Semaphore>,
    shared: RwLock<Arc<Shared>>,
}

/// What a reload replaces, all at once.
pub(super) struct Shared {
    pub(super) syncs: BTreeMap<String, config::Sync>,
    pub(super) tokens: Tokens,
}

/// Another config's syncs and tokens, without effect yet.
pub struct Prepared(Arc<Shared>);

impl Pages {
    /// Pages about the config's syncs, for its tokens.
    ///
    /// # Errors
    /// With the first token that cannot be had.
    pub fn new(setup: Setup, config: &Config) -> Result<Arc<Self>, TokenError> {
        let Prepared(shared) = Self::prepare(config)?;
        Ok(Arc::new(Self {
            setup,
            sign_ins: Flood::new(SIGN_INS_PER_MINUTE),
            streams: Arc::new(Semaphore::new(STREAMS)),
            shared: RwLock::new(shared),
        }))
    }

    /// Reads another config's tokens.
    ///
    /// # Errors
    /// With the first token that cannot be had.
    pub fn prepare(config: &Config) -> Result<Prepared, TokenError> {
        let syncs = config.syncs.iter().map(|sync| (sync.id.clone(), sync.clone())).collect();
        Ok(Prepared(Arc::new(Shared { syncs, tokens: Tokens::new(&config.tokens)? })))
    }

    /// Puts what was prepared in force. Sessions of tokens that are gone, or are other ones now, end.
    pub fn take_over(&self, prepared: Prepared) {
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = prepared.0;
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        // A whole Arc is put in place or nothing is, so a poisoned lock holds nothing half-done.
        Arc::clone(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.setup.ledger
    }

    /// Waits for the ledger, within bounds.
    pub(super) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(ANSWER_TIME, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    /// A run the visitor may see.
    pub(super) async fn run(&self, visitor: &Visitor, id: &str) -> Result<Run, Refusal> {
        let id: RunId = id.parse().map_err(|_| Refusal::Unknown("run"))?;
        let run = self.ask(self.ledger().run(id)).await?;
        run.filter(|run| visitor.caller().sees(&run.sync)).ok_or(Refusal::Unknown("run"))
    }
}

impl Shared {
    /// A sync of the config that the visitor may see.
    pub(super) fn sync(&self, visitor: &Visitor, id: &str) -> Result<&config::Sync, Refusal> {
        self.syncs.get(id).filter(|_| visitor.caller().sees(id)).ok_or(Refusal::Unknown("sync"))
    }

    /// The syncs the visitor may see, by id.
    pub(super) fn seen<'a>(&'a self, visitor: &'a Visitor) -> impl Iterator<Item = &'a config::Sync> {
        self.syncs.values().filter(|sync| visitor.caller().sees(&sync.id))
    }
}
