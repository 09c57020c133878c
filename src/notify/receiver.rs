//! A receiver, and one delivery to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};

use super::body::body;
use super::sign::signature;
use super::{Notice, Verdict};
use crate::config::{self, CallbackKey, CallbackScheme, KeyError, NotifyEvent, NotifyFormat};
use crate::http;

/// How long a delivery may take, connection and answer together. Source: Standard Webhooks, which advises 15 to 30 s.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest that a receiver is left alone because it asked for time: a mistaken date must not silence it for ever.
const LONGEST_HOLD: TimeDelta = TimeDelta::hours(24);
/// Deliveries to one receiver at a time: a slow one must not take every connection.
const MOST_AT_ONCE: usize = 4;

/// Why a receiver cannot be told anything. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The address cannot be looked up, or is none.
    #[error("url: {0}")]
    Address(String),
    /// The signing secret is no key.
    #[error("secret {0}")]
    Secret(#[from] KeyError),
    /// The signing secret is a public key.
    #[error("secret: cannot sign; give a whsec_ secret")]
    Public,
    /// No header can hold it, or it cannot be looked up.
    #[error("authorization: {0}")]
    Authorization(String),
    /// The system's certificates cannot be read.
    #[error("no HTTP client could be built")]
    Client(#[source] reqwest::Error),
}

/// One receiver, as configured.
pub struct Receiver {
    /// Names it in the ledger: made of the url as the config has it, so that it outlives a rotated secret.
    pub name: String,
    /// Names it in the log: the host, for the rest of an address may be a secret.
    pub host: String,
    /// Which events it is told.
    pub on: Vec<NotifyEvent>,
    /// Of which syncs; none: of all.
    pub syncs: Option<Vec<String>>,
    url: Url,
    format: NotifyFormat,
    key: Option<SecretSlice<u8>>,
    authorization: Option<HeaderValue>,
    client: Client,
    /// It said 410: nothing is posted until the config is read again.
    is_gone: AtomicBool,
    under_way: AtomicUsize,
    held_until: Mutex<Option<DateTime<Utc>>>,
}

/// The receivers of a config, in its order.
///
/// # Errors
/// With the index of the first that cannot be used.
pub fn receivers(settings: &[config::Notify]) -> Result<Vec<Arc<Receiver>>, (usize, ReceiverError)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut receivers = Vec::with_capacity(settings.len());
    for (index, notify) in settings.iter().enumerate() {
        let nth = seen.entry(notify.url.clone()).or_default();
        receivers.push(Arc::new(Receiver::new(notify, *nth).map_err(|error| (index, error))?));
        *nth += 1;
    }
    Ok(receivers)
}

impl Receiver {
    /// `nth` of those with the same url, from 0.
    fn new(settings: &config::Notify, nth: usize) -> Result<Self, ReceiverError> {
        let address = settings.address().map_err(ReceiverError::Address)?;
        let url =
            Url::parse(address.expose_secret()).map_err(|_| ReceiverError::Address("is none".to_owned()))?;
        let client = http::client(url.scheme() == "http").timeout(DELIVERY_TIMEOUT);
        Ok(Self {
            name: name(&settings.url, nth),
            host: url.host_str().unwrap_or_default().to_owned(),
            on: settings.on.clone(),
            syncs: settings.syncs.clone(),
            format: settings.format,
            key: settings.secret.as_ref().map(key).transpose()?,
            authorization: settings.authorization.as_ref().map(header).transpose()?,
            client: client.build().map_err(ReceiverError::Client)?,
            url,
            is_gone: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            held_until: Mutex::default(),
        })
    }

    /// How many more deliveries it may be given now.
    pub fn room(&self, now: DateTime<Utc>) -> usize {
        let held_until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        // A hold that no answer could have brought was set by a clock that ran ahead.
        let is_held = held_until.is_some_and(|until| until > now && until <= now + LONGEST_HOLD);
        if self.is_gone.load(Ordering::Relaxed) || is_held {
            return 0;
        }
        MOST_AT_ONCE.saturating_sub(self.under_way.load(Ordering::Relaxed))
    }

    /// Takes the place of one delivery, until dropped.
    pub fn place(self: &Arc<Self>) -> Place {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Place(self.clone())
    }

    /// Posts the notice once, and waits for the answer.
    pub async fn post(&self, notice: &Notice<'_>, now: DateTime<Utc>) -> Verdict {
        let verdict = match self.request(notice, now).send().await {
            Ok(answer) => Verdict::of(answer.status(), answer.headers(), now),
            Err(error) => Verdict::unanswered(&error),
        };
        match &verdict {
            Verdict::Gone => self.is_gone.store(true, Ordering::Relaxed),
            Verdict::Failed { asked: Some(asked), .. } => self.hold(*asked, now),
            Verdict::Delivered | Verdict::Failed { .. } => {}
        }
        verdict
    }

    fn hold(&self, asked: Duration, now: DateTime<Utc>) {
        let wait = TimeDelta::from_std(asked).unwrap_or(LONGEST_HOLD).min(LONGEST_HOLD);
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + wait);
    }

    fn request(&self, notice: &Notice<'_>, now: DateTime<Utc>) -> reqwest::RequestBuilder {
        let body = body(notice, self.format);
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        // A receiver that looks at no signature may still tell a repeat by the id.
        let (id, timestamp) = (format!("msg_{}", notice.id.simple()), now.timestamp().to_string());
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, &id, &timestamp, &body));
        }
        request.header("webhook-id", id).header("webhook-timestamp", timestamp).body(body)
    }
}

/// The place of one delivery under way.
pub struct Place(Arc<Receiver>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An address may hold a secret, which the ledger must not: its digest stands there.
fn name(url: &str, nth: usize) -> String {
    let digest = Sha256::digest(url);
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}-{nth}")
}

fn key(secret: &config::SecretRef) -> Result<SecretSlice<u8>, ReceiverError> {
    let text = secret.resolve().map_err(KeyError::from)?;
    match CallbackKey::read(CallbackScheme::Standard, text.expose_secret())? {
        CallbackKey::Shared(key) => Ok(key),
        CallbackKey::Public(_) => Err(ReceiverError::Public),
    }
}

fn header(secret: &config::SecretRef) -> Result<HeaderValue, ReceiverError> {
    let text = secret.resolve().map_err(|error| ReceiverError::Authorization(error.to_string()))?;
    let mut value = HeaderValue::from_str(text.expose_secret())
        .map_err(|_| ReceiverError::Authorization("holds what no header can".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
