//! One request and its answer, both bounded. Nothing of either is kept in an error.

use std::error::Error;
use std::time::Duration;

use hyper::body::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::destination::BrazeError;
use super::endpoint::{Endpoint, Resolver};
use super::fenced::{Fenced, Permit};
use crate::{config, http};

/// Idle connections are let go before usual load balancers drop them at 60 s.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Most of an answer that is read: one with an error for each of 1,000 objects stays under 200 KB.
const ANSWER_BYTES: usize = 1 << 20;
/// Historic, and without effect today: Braze docs dropped it as non-functional.
const BULK_HEADER: HeaderName = HeaderName::from_static("x-braze-bulk");

/// The workspace's HTTP client.
pub(super) struct Http {
    client: Client,
    track: Url,
    bulk_header: bool,
}

/// An answer. The body is none where it was cut off or longer than is read.
pub(super) struct Heard {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The certificate or the protocol version is refused.
    Tls,
    /// No connection could be made: nothing was sent.
    Unreached,
    /// It took too long.
    Timeout,
    /// The connection broke.
    Connection,
    /// The leave to send it was gone before it was written: nothing was sent that could be taken.
    Fenced,
}

impl Trouble {
    /// Whether the request may have been taken all the same.
    pub(super) fn may_be_taken(self) -> bool {
        matches!(self, Self::Timeout | Self::Connection)
    }
}

impl Http {
    /// Builds the client. With `roots` (PEM) only these are trusted, else those of the system.
    pub(super) fn new(
        endpoint: &Endpoint,
        settings: &config::Destination,
        api_key: &SecretString,
        roots: &[&[u8]],
    ) -> Result<Self, BrazeError> {
        // The user agent names us to Braze, which asks its partners to.
        let mut builder = http::client(endpoint.is_plain())
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer(api_key)?)]))
            .http1_only()
            .no_gzip()
            .dns_resolver(Resolver)
            .timeout(Duration::from_secs(settings.request_timeout_secs))
            .pool_max_idle_per_host(settings.max_in_flight)
            .pool_idle_timeout(POOL_IDLE);
        if !roots.is_empty() {
            let roots = roots.iter().map(|pem| Certificate::from_pem(pem)).collect::<Result<Vec<_>, _>>();
            builder = builder.tls_certs_only(roots.map_err(BrazeError::Client)?);
        }
        let client = builder.build().map_err(BrazeError::Client)?;
        Ok(Self { client, track: endpoint.track(settings.path), bulk_header: settings.bulk_header })
    }

    /// Sends updates, if `permit` still says so when they are written: a connection may take its time to be made, and
    /// a process may be stopped in the middle.
    pub(super) async fn track(&self, body: Bytes, permit: Permit) -> Result<Heard, Trouble> {
        let (body, refused) = Fenced::new(body, permit);
        let mut request = self
            .client
            .post(self.track.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(reqwest::Body::wrap(body));
        if self.bulk_header {
            request = request.header(BULK_HEADER, HeaderValue::from_static("true"));
        }
        let sent = request.send().await;
        let why = |error| if refused.has_happened() { Trouble::Fenced } else { trouble(&error) };
        hear(sent.map_err(why)?).await
    }

    /// Asks for profiles.
    pub(super) async fn export(&self, url: Url, body: Bytes) -> Result<Heard, Trouble> {
        let json = HeaderValue::from_static("application/json");
        let request = self.client.post(url).header(CONTENT_TYPE, json).body(body);
        hear(request.send().await.map_err(|error| trouble(&error))?).await
    }

    /// Reads from an address of the endpoint.
    pub(super) async fn get(&self, url: Url) -> Result<Heard, Trouble> {
        hear(self.client.get(url).send().await.map_err(|error| trouble(&error))?).await
    }
}

fn bearer(api_key: &SecretString) -> Result<HeaderValue, BrazeError> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", api_key.expose_secret())).map_err(|_| BrazeError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn hear(mut response: Response) -> Result<Heard, Trouble> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = match whole(&mut response).await {
        // Whether Braze took it, only the body tells.
        Err(Trouble::Timeout) if status.is_success() => return Err(Trouble::Timeout),
        body => body.ok().flatten(),
    };
    Ok(Heard { status, headers, body })
}

async fn whole(response: &mut Response) -> Result<Option<Vec<u8>>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| trouble(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn trouble(error: &reqwest::Error) -> Trouble {
    let other = match (error.is_connect(), error.is_timeout()) {
        (true, _) => Trouble::Unreached,
        (false, true) => Trouble::Timeout,
        (false, false) => Trouble::Connection,
    };
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if let Some(tls) = tls_error(cause) {
            return if is_distrust(tls) { Trouble::Tls } else { other };
        }
        source = cause.source();
    }
    other
}

/// Connectors wrap TLS errors in I/O errors, one in another, which show them only through `get_ref`.
fn tls_error<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = cause;
    loop {
        if let Some(tls) = cause.downcast_ref() {
            return Some(tls);
        }
        cause = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

/// Errors that come back however often one tries.
fn is_distrust(error: &rustls::Error) -> bool {
    use rustls::{AlertDescription as Alert, Error as Tls};
    matches!(
        error,
        Tls::InvalidCertificate(_)
            | Tls::NoCertificatesPresented
            | Tls::UnsupportedNameType
            | Tls::PeerIncompatible(_)
            | Tls::AlertReceived(
                Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity
            )
    )
}
