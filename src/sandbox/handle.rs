//! The handle by which a test or a command runs a sandbox.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::books::Stats;
use super::identity::Identity;
use super::log::RequestRecord;
use super::rule::Rule;
use super::server;
use super::settings::Settings;
use super::shared::Shared;
use super::store::Update;

/// A running sandbox Braze. Dropping it stops the server.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    addr: SocketAddr,
    scheme: &'static str,
}

impl Sandbox {
    /// Starts a sandbox that speaks plain HTTP/1.1. Port 0 takes any free port.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(listen: SocketAddr, settings: Settings) -> io::Result<Self> {
        Self::serve(listen, settings, None).await
    }

    /// Starts a sandbox that speaks HTTPS, for tests of good and bad certificates.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start_tls(
        listen: SocketAddr,
        settings: Settings,
        tls: rustls::ServerConfig,
    ) -> io::Result<Self> {
        Self::serve(listen, settings, Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn serve(listen: SocketAddr, settings: Settings, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shared = Shared::new(settings);
        let accepting = server::listen(Arc::clone(&shared), listener, tls);
        shared.tasks.spawn(shared.stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self { shared, addr, scheme })
    }

    /// The base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Adds a rule, as `POST /_sandbox/rules` does.
    pub fn rule(&self, rule: Rule) {
        self.shared.rule(rule);
    }

    /// Ends all rules and lets go everything they hold.
    pub fn clear_rules(&self) {
        self.shared.clear_rules();
    }

    /// Lets go the requests held under `name` now; later ones are held again. Wait for `stats.held` first.
    pub fn release(&self, name: &str) {
        self.shared.holds.release(name);
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.shared.read(|books| books.stats.clone())
    }

    /// The last 10,000 requests in order of arrival, the last few (`Settings::bodies_kept`) with their bodies.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.read(|books| books.log.records())
    }

    /// What the profile holds now, standard and custom attributes together; none if there is no such profile.
    pub fn user(&self, external_id: &str) -> Option<Map<String, Value>> {
        let store = self.shared.store();
        let profile = store.profile(&Identity::External(external_id.to_owned()))?;
        let mut attributes = store.custom(profile);
        attributes.extend(profile.standard.clone());
        Some(attributes)
    }

    /// The number of profiles.
    pub fn users(&self) -> usize {
        self.shared.store().len()
    }

    /// Makes empty profiles for external ids that have none.
    pub fn seed_users(&self, ids: impl IntoIterator<Item = String>) {
        let mut store = self.shared.store();
        for id in ids {
            store.ensure(Identity::External(id));
        }
    }

    /// Sets one attribute as if it had been there before; makes the profile where there is none. Not metered.
    pub fn seed_attribute(&self, external_id: &str, name: &str, value: Value) {
        let identity = Identity::External(external_id.to_owned());
        let object = Map::from_iter([(name.to_owned(), value)]);
        self.shared.store().apply(&self.shared.settings, 0, vec![Update { identity, object }]);
    }

    /// From now on the numeric value of `attribute` must never go down for one customer, in order of arrival.
    pub fn watch_version(&self, attribute: &str) {
        self.shared.books(|books| books.watch_version(attribute));
    }

    /// What the client did that it must not do; each begins with its kind: `two_requests_at_once`,
    /// `twice_in_one_request`, `over_cap`, `before_reset`, `bad_json`, `went_backwards`. At most 1,000.
    pub fn violations(&self) -> Vec<String> {
        self.shared.read(|books| books.violations.clone())
    }

    /// Waits until the statistics satisfy `predicate`, looking anew at every change.
    pub async fn wait_for(&self, predicate: impl Fn(&Stats) -> bool) {
        let mut changes = self.shared.changes();
        while !self.shared.read(|books| predicate(&books.stats)) {
            changes.changed().await.expect("this handle keeps the sender");
        }
    }

    /// Waits until every accepted update has been applied.
    pub async fn settle(&self) {
        self.wait_for(|stats| stats.pending_applies == 0).await;
    }

    /// Stops the server and waits until its last task has ended.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
