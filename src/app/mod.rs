//! The one place where things are built and joined: config in, a running service out; reload and drain.

mod gauges;
mod rooms;
mod shares;
mod traces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api, Limits, Server};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::ledger::Ledger;
use crate::pages::{self, Pages};
use crate::telemetry;
use crate::worker::{Syncs, Worker};

use gauges::Gauges;
use rooms::Configured;

/// A running service.
pub struct App {
    ledger: Ledger,
    configured: Arc<Configured>,
    api: Option<Arc<Api>>,
    pages: Option<Arc<Pages>>,
    /// Whether it speaks TLS itself.
    tls: bool,
    served: Option<(SocketAddr, JoinHandle<()>)>,
    worked: Option<JoinHandle<()>>,
    /// Looks figures up, where there is somebody to be shown them.
    measured: Option<JoinHandle<()>>,
    /// Tells the worker of a reload.
    reloaded: Arc<Notify>,
    draining: CancellationToken,
    drain: Duration,
    config_path: PathBuf,
}

/// How an app is built.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells the time.
    pub clock: Clock,
    /// Whether callbacks, API and pages are served; without, only the worker runs.
    pub serve: bool,
    /// Listens here instead of where the config says.
    pub listen: Option<SocketAddr>,
    /// Whether only plans are worked on, so that nothing is sent.
    pub plans_only: bool,
}

impl App {
    /// Loads the config file and starts.
    ///
    /// # Errors
    /// When the config, a secret, the ledger or the address cannot be used: one line that names it.
    pub async fn start(config_path: &Path, options: Options) -> anyhow::Result<Self> {
        let config = load(config_path)?;
        traces::start(&config.telemetry)?;
        let ledger = Ledger::open(&config.ledger, options.clock.clone()).await?;
        let configured = Arc::new(Configured::new(&config, ledger.clone(), options.clock.clone()).await?);
        let mut app = Self {
            ledger,
            configured,
            api: None,
            pages: None,
            tls: config.server.tls_cert.is_some(),
            served: None,
            worked: None,
            measured: None,
            reloaded: Arc::default(),
            draining: CancellationToken::new(),
            drain: Duration::from_secs(config.server.drain_secs),
            config_path: config_path.to_owned(),
        };
        // Nothing is claimed, and so nothing sent, by a process that cannot serve.
        if options.serve {
            app.serve(&config, &options).await?;
        }
        app.work(&config, options);
        Ok(app)
    }

    fn work(&mut self, config: &Config, options: Options) {
        let syncs: Arc<dyn Syncs> = self.configured.clone();
        let lease = Duration::from_secs(config.ledger.lease_secs);
        let worker = Worker::new(self.ledger.clone(), syncs, options.clock, lease, self.draining.clone());
        let worker = worker.drained_within(self.drain);
        let worker = if options.plans_only { worker.plans_only() } else { worker };
        self.reloaded = worker.reloaded();
        self.worked = Some(tokio::spawn(worker.work()));
    }

    async fn serve(&mut self, config: &Config, options: &Options) -> anyhow::Result<()> {
        let mut settings = config.server.clone();
        settings.listen = options.listen.unwrap_or(settings.listen);
        let setup = api::Setup {
            ledger: self.ledger.clone(),
            clock: options.clock.clone(),
            limits: Limits::default(),
            metrics: telemetry::metrics()?,
            draining: self.draining.clone(),
            // The ledger's own bell wakes the worker.
            on_trigger: Box::new(|_| {}),
        };
        let api = Api::new(setup, config)?;
        let server = Server::bind(&settings, Limits::default())
            .await
            .with_context(|| format!("server.listen {}", settings.listen))?;
        let addr = server.local_addr();
        let gauges = Gauges {
            ledger: self.ledger.clone(),
            configured: self.configured.clone(),
            clock: options.clock.clone(),
            metrics: telemetry::metrics()?,
        };
        self.measured = Some(tokio::spawn(gauges.keep(self.draining.clone())));
        let setup = pages::Setup {
            ledger: self.ledger.clone(),
            clock: options.clock.clone(),
            draining: self.draining.clone(),
            triggers: api.triggers(),
            tls: self.tls,
        };
        let pages = Pages::new(setup, config)?;
        let router = api::joined(api.clone(), pages::with_lost_page(api::lost(pages::router(pages.clone()))));
        let served = tokio::spawn(server.serve(router, self.draining.clone()));
        self.api = Some(api);
        self.pages = Some(pages);
        self.served = Some((addr, served));
        tracing::info!(%addr, "listening");
        Ok(())
    }

    /// Where it listens.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.served.as_ref().map(|(addr, _)| *addr)
    }

    /// Where its pages are, for a browser on this machine or one that reaches the address.
    pub fn pages_url(&self) -> Option<String> {
        let scheme = if self.tls { "https" } else { "http" };
        self.addr().map(|addr| {
            // Nobody can call "every address of this machine".
            let host =
                if addr.ip().is_unspecified() { "localhost".to_owned() } else { addr.ip().to_string() };
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            format!("{scheme}://{host}:{}/", addr.port())
        })
    }

    /// The ledger it works with.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Reads the config file again and takes over syncs, destinations, secrets and tokens. Address, ledger and
    /// listener stay as they were until a restart.
    ///
    /// # Errors
    /// When the new file cannot be used: everything stays as it was.
    pub async fn reload(&self) -> anyhow::Result<()> {
        let done = self.read_again().await;
        gauges::reloaded(if done.is_ok() { "done" } else { "refused" }, 1);
        done
    }

    async fn read_again(&self) -> anyhow::Result<()> {
        let config = load(&self.config_path)?;
        let built = self.configured.prepare(&config).await?;
        let prepared = Pages::prepare(&config)?;
        if let Some(api) = &self.api {
            // The last that can fail, and it changes nothing where it does.
            api.replace(&config)?;
        }
        if let Some(pages) = &self.pages {
            pages.take_over(prepared);
        }
        self.configured.take_over(built);
        self.reloaded.notify_one();
        tracing::info!("config reloaded");
        Ok(())
    }

    /// Stops taking callbacks and runs, lets what is under way end, and closes the ledger, within `drain_secs`.
    pub async fn drain(self) {
        self.draining.cancel();
        let all = async {
            if let Some(worked) = self.worked {
                let _ = worked.await;
            }
            if let Some((_, served)) = self.served {
                let _ = served.await;
            }
            if let Some(measured) = self.measured {
                let _ = measured.await;
            }
            self.configured.give_back().await;
            self.ledger.close().await;
            telemetry::trace::flush(traces::LAST_EXPORT).await;
        };
        if tokio::time::timeout(self.drain, all).await.is_err() {
            tracing::warn!("drained no further: drain_secs are over");
        }
    }
}

/// The config file, with its secrets proved to be there.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    let config = config::load(path)?;
    config::check_secrets(&config)?;
    Ok(config)
}
