//! What each sync works with, by the settings in force.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;

use crate::braze::{Braze, Stake};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::ledger::{Ledger, Subscriber};
use crate::notify::{self, Receiver};
use crate::source::Source;
use crate::sync::Rooms;
use crate::worker::Syncs;

use super::shares::Shares;

/// The config as built: one Braze client per destination, shared by its syncs so that they share its budget.
pub(super) struct Configured {
    ledger: Ledger,
    clock: Clock,
    built: RwLock<Arc<Built>>,
    shares: Shares,
}

/// A config, built.
pub(super) struct Built {
    sources: BTreeMap<String, config::Source>,
    destinations: BTreeMap<String, (Arc<config::Destination>, Arc<Braze>)>,
    syncs: BTreeMap<String, Arc<config::Sync>>,
    receivers: Vec<Arc<Receiver>>,
}

impl Configured {
    pub(super) async fn new(config: &Config, ledger: Ledger, clock: Clock) -> anyhow::Result<Self> {
        let built = Built::new(config, &ledger, &clock, None).await?;
        ledger.subscribe(built.subscribers());
        let shares = Shares::new(ledger.clone());
        built.stakes().for_each(|stake| shares.keep(stake));
        Ok(Self { ledger, clock, built: RwLock::new(Arc::new(built)), shares })
    }

    /// Builds another config, without effect yet.
    pub(super) async fn prepare(&self, config: &Config) -> anyhow::Result<Built> {
        Built::new(config, &self.ledger, &self.clock, Some(&self.built())).await
    }

    /// Takes over what was prepared; runs under way go on with what they were claimed with.
    pub(super) fn take_over(&self, built: Built) {
        for (settings, braze) in built.destinations.values() {
            braze.keep_to(settings);
        }
        built.stakes().for_each(|stake| self.shares.keep(stake));
        self.ledger.subscribe(built.subscribers());
        *self.built.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(built);
    }

    /// The syncs in force.
    pub(super) fn syncs(&self) -> Vec<Arc<config::Sync>> {
        self.built().syncs.values().cloned().collect()
    }

    /// The workspaces in force.
    pub(super) fn destinations(&self) -> Vec<Arc<Braze>> {
        self.built().destinations.values().map(|(_, braze)| braze.clone()).collect()
    }

    /// Gives back what this process holds of budgets that replicas have together. Nothing is sent any more.
    pub(super) async fn give_back(&self) {
        self.shares.give_back().await;
    }

    fn built(&self) -> Arc<Built> {
        self.built.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Built {
    async fn new(
        config: &Config,
        ledger: &Ledger,
        clock: &Clock,
        earlier: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let mut destinations = BTreeMap::new();
        for (name, settings) in &config.destinations {
            let key = settings.api_key.resolve().with_context(|| format!("destinations.{name}.api_key"))?;
            let make = if ledger.is_shared() { Braze::shared } else { Braze::new };
            let braze =
                make(name, settings, key, clock.clone()).with_context(|| format!("destinations.{name}"))?;
            let braze = match earlier.and_then(|earlier| earlier.destinations.get(name)) {
                Some((_, earlier)) => braze.following(earlier),
                None => braze,
            };
            if let Some(until) = ledger.hold(name).await? {
                braze.hold_until(until);
            }
            destinations.insert(name.clone(), (Arc::new(settings.clone()), Arc::new(braze)));
        }
        let receivers = notify::receivers(&config.notify);
        let built = Self {
            receivers: receivers
                .map_err(|(index, error)| anyhow::Error::new(error).context(format!("notify[{index}]")))?,
            sources: config.sources.clone(),
            destinations,
            syncs: config.syncs.iter().map(|sync| (sync.id.clone(), Arc::new(sync.clone()))).collect(),
        };
        for sync in built.syncs.values() {
            built.source(sync, clock).with_context(|| format!("sync {}", sync.id))?;
        }
        Ok(built)
    }

    /// Stakes nobody deals to yet.
    fn stakes(&self) -> impl Iterator<Item = Stake> {
        self.destinations.values().filter_map(|(_, braze)| braze.stake())
    }

    fn subscribers(&self) -> Vec<Subscriber> {
        let subscriber = |receiver: &Arc<Receiver>| Subscriber {
            receiver: receiver.name.clone(),
            on: receiver.on.clone(),
            syncs: receiver.syncs.clone(),
        };
        self.receivers.iter().map(subscriber).collect()
    }

    fn source(&self, sync: &config::Sync, clock: &Clock) -> anyhow::Result<Source> {
        let settings = self.sources.get(&sync.source).context("its source is not configured")?;
        Ok(Source::open(settings, sync, clock.clone())?)
    }
}

impl Syncs for Configured {
    fn receivers(&self) -> Vec<Arc<Receiver>> {
        self.built().receivers.clone()
    }

    fn ids(&self) -> Vec<String> {
        self.built().syncs.keys().cloned().collect()
    }

    fn cadences(&self) -> Vec<(String, config::Cadence)> {
        let built = self.built();
        let cadences = built.syncs.values().filter_map(|sync| Some((sync.id.clone(), sync.cadence.clone()?)));
        cadences.collect()
    }

    fn rooms(&self, sync: &str) -> Result<Rooms, String> {
        let built = self.built();
        let sync = built.syncs.get(sync).ok_or("the sync is no longer configured")?.clone();
        let (destination, braze) = built
            .destinations
            .get(&sync.destination)
            .ok_or("its destination is no longer configured")?
            .clone();
        let source = built.source(&sync, &self.clock).map_err(|error| format!("{error:#}"))?;
        Ok(Rooms {
            ledger: self.ledger.clone(),
            source: Arc::new(source),
            braze,
            sync,
            destination,
            clock: self.clock.clone(),
        })
    }
}
