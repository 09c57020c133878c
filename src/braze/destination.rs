//! A Braze workspace as one destination, shared by every sync that sends to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::client::Http;
use super::endpoint::Endpoint;
use super::gate::Gate;
use super::hold::Hold;
use super::pusher::{Fence, Pusher};
use super::stake::Stake;
use crate::clock::Clock;
use crate::config::{self, TrackPath};

/// Longest body to `/users/track`, less a margin. Source: Braze docs, Rate limits, payload size limits: 4 MB.
const TRACK_BODY_BYTES: usize = 3_900_000;
/// Longest body to `/users/track/bulk`, less a margin. Source: the same: 2 MB.
const BULK_BODY_BYTES: usize = 1_900_000;

/// A Braze workspace. Its limits, holds and connections are shared by all who push to it.
pub struct Braze {
    pub(super) gate: Arc<Gate>,
    pub(super) http: Http,
    pub(super) endpoint: Endpoint,
    pub(super) name: String,
    workspace: String,
    pub(super) give_up_after: Duration,
    /// As configured, and as learned since.
    batch_size: (usize, AtomicUsize),
    path: TrackPath,
}

/// Why a destination cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BrazeError {
    /// The endpoint cannot be used.
    #[error("endpoint {0}")]
    Endpoint(&'static str),
    /// The API key holds characters no header may hold.
    #[error("api_key holds characters that cannot be sent in a header")]
    Key,
    /// The HTTP client could not be built, for example because the system has no trusted certificates.
    #[error("the HTTP client could not be built")]
    Client(#[source] reqwest::Error),
}

impl Braze {
    /// Sets up the destination `name`, trusting the system's certificates.
    ///
    /// # Errors
    /// When the endpoint or the key cannot be used, or the client cannot be built.
    pub fn new(
        name: &str,
        settings: &config::Destination,
        api_key: SecretString,
        clock: Clock,
    ) -> Result<Self, BrazeError> {
        Self::with_roots(name, settings, api_key, clock, &[])
    }

    /// As [`Braze::new`], for a budget that replicas have together: nothing is sent before somebody deals to its
    /// [`Braze::stake`].
    ///
    /// # Errors
    /// As [`Braze::new`].
    pub fn shared(
        name: &str,
        settings: &config::Destination,
        api_key: SecretString,
        clock: Clock,
    ) -> Result<Self, BrazeError> {
        let gate = Gate::shared(name, settings, clock.clone(), Chance::fresh());
        Ok(Self { gate: Arc::new(gate), ..Self::new(name, settings, api_key, clock)? })
    }

    /// As [`Braze::new`], but trusting only the certificates `roots` (PEM), if there are any.
    ///
    /// # Errors
    /// As [`Braze::new`], and when a certificate cannot be read.
    pub fn with_roots(
        name: &str,
        settings: &config::Destination,
        api_key: SecretString,
        clock: Clock,
        roots: &[&[u8]],
    ) -> Result<Self, BrazeError> {
        let endpoint = Endpoint::parse(&settings.endpoint)?;
        Ok(Self {
            gate: Arc::new(Gate::new(name, settings, clock, Chance::fresh())),
            http: Http::new(&endpoint, settings, &api_key, roots)?,
            endpoint,
            name: name.to_owned(),
            workspace: settings.workspace.clone(),
            give_up_after: Duration::from_secs(settings.give_up_after_secs),
            batch_size: (settings.batch_size, AtomicUsize::new(settings.batch_size.max(1))),
            path: settings.path,
        })
    }

    /// The workspace of `earlier` under a new key or other settings: holds, budget and concurrency are those of
    /// `earlier`, for runs that began with it still send. Another endpoint or label is another workspace.
    pub fn following(mut self, earlier: &Self) -> Self {
        if self.endpoint == earlier.endpoint && self.workspace == earlier.workspace {
            self.gate = Arc::clone(&earlier.gate);
            if self.batch_size.0 == earlier.batch_size.0 {
                self.batch_size.1 = AtomicUsize::new(earlier.batch_size());
            }
        }
        self
    }

    /// The stake in a budget that replicas have together: once, for whoever deals to it. Destinations that follow one
    /// another have one. Two tables that name one workspace have a budget each, as each says how much of it is its own.
    pub fn stake(&self) -> Option<Stake> {
        self.gate.stake(|| self.budget())
    }

    /// The budget that replicas have together, and how long nobody may send to it, where this process heard that
    /// itself and others may not know yet. What it heard of another is not told again: each that passes it on would add
    /// its own spread.
    pub fn untold_hold(&self) -> Option<(String, Duration)> {
        self.gate.untold_hold().map(|wait| (self.budget(), wait))
    }

    fn budget(&self) -> String {
        format!("{} {} {}", self.endpoint, self.workspace, self.name)
    }

    /// Keeps to the limits of `settings` from now on, and so does everybody who shares them.
    pub fn keep_to(&self, settings: &config::Destination) {
        self.gate.keep_to(settings);
    }

    /// A pusher for one attempt of a run. `fence` is asked right before each single request starts; where it
    /// says no, nothing is sent. Once `halted` is cancelled no request waits for leave any longer; those under way
    /// are heard to their end.
    pub fn pusher(self: &Arc<Self>, fence: Fence, halted: CancellationToken) -> Pusher {
        Pusher::new(Arc::clone(self), fence, halted)
    }

    /// Updates per request: as configured, or fewer once Braze said that was too many, for as long as the process
    /// lives.
    pub fn batch_size(&self) -> usize {
        self.batch_size.1.load(Ordering::Relaxed)
    }

    /// Braze said that `sent` updates are too many.
    pub(super) fn shrink(&self, sent: usize) {
        let size = (sent / 2).max(1);
        // Requests in flight together hear it together: each halves what it sent, not what another left.
        if self.batch_size.1.fetch_min(size, Ordering::Relaxed) > size {
            tracing::warn!(
                destination = self.name,
                batch_size = size,
                "Braze takes fewer updates per request"
            );
        }
    }

    /// Longest body of a request, in bytes.
    pub fn max_body_bytes(&self) -> usize {
        match self.path {
            TrackPath::Track => TRACK_BODY_BYTES,
            TrackPath::TrackBulk => BULK_BODY_BYTES,
        }
    }

    /// Until when nothing is sent and why; none while requests flow. A wait of less than a second is not shown.
    pub fn hold(&self) -> watch::Receiver<Option<Hold>> {
        self.gate.holds.subscribe()
    }

    /// Restores a hold that was in force before this process started; at most an hour of it.
    pub fn hold_until(&self, until: DateTime<Utc>) {
        self.gate.hold_until(until);
    }
}

/// Shows the name only: the rest holds the key.
impl fmt::Debug for Braze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Braze").field("name", &self.name).finish_non_exhaustive()
    }
}
