//! The headers a scheme needs, in strict form.

use axum::http::HeaderMap;

use super::refusal::Refusal;
use crate::config::CallbackScheme;

/// Sixteen v1a signatures, the longest kind, take under 1.5 KiB.
const MAX_HEADER_BYTES: usize = 4_096;

/// Ids seen in the wild have under 64 bytes; the ledger keeps each for a month.
const MAX_ID_BYTES: usize = 256;

/// Header names of Standard Webhooks 1.0.0.
pub(super) const WEBHOOK: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// What Svix calls the same three.
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// What stands around a body.
pub(super) struct Envelope {
    pub(super) id: Option<String>,
    /// As written, because that is what was signed, and as seconds.
    pub(super) timestamp: Option<(String, i64)>,
    pub(super) signature: String,
}

impl Envelope {
    pub(super) fn read(scheme: CallbackScheme, headers: &HeaderMap) -> Result<Self, Refusal> {
        match scheme {
            CallbackScheme::Standard => Self::standard(headers),
            CallbackScheme::Github => {
                Self::unsigned_id(headers, "x-hub-signature-256", &["x-github-delivery"])
            }
            CallbackScheme::Bearer => {
                Self::unsigned_id(headers, "authorization", &["webhook-id", "idempotency-key"])
            }
        }
    }

    fn standard(headers: &HeaderMap) -> Result<Self, Refusal> {
        // All three from one family: mixed, an unsigned one could stand in for a signed one.
        let family =
            if !headers.contains_key(WEBHOOK[2]) && headers.contains_key(SVIX[2]) { SVIX } else { WEBHOOK };
        let [id, timestamp, signature] = family.map(|name| required(headers, name));
        let (id, timestamp, signature) = (id?, timestamp?, signature?);
        if id.contains('.') {
            return Err(Refusal::MalformedId);
        }
        let secs = seconds(timestamp);
        let id = check_id(id)?;
        Ok(Self {
            id: Some(id),
            timestamp: Some((timestamp.to_owned(), secs?)),
            signature: signature.to_owned(),
        })
    }

    /// Schemes that sign no id; the first of `ids` that is there is taken at its word.
    fn unsigned_id(
        headers: &HeaderMap,
        signature: &'static str,
        ids: &[&'static str],
    ) -> Result<Self, Refusal> {
        let signature = required(headers, signature)?.to_owned();
        let mut id = None;
        for name in ids {
            id = id.or(optional(headers, name)?);
        }
        let bare =
            |id: &str| id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).unwrap_or(id).to_owned();
        let id = id.map(|id| check_id(&bare(id))).transpose()?;
        Ok(Self { id, timestamp: None, signature })
    }

    /// The pieces that were signed, in order.
    pub(super) fn material<'a>(&'a self, body: &'a [u8]) -> Vec<&'a [u8]> {
        match (&self.id, &self.timestamp) {
            (Some(id), Some((timestamp, _))) => material(id, timestamp, body),
            _ => vec![body],
        }
    }
}

/// What Standard Webhooks sign: id, timestamp and raw body, joined by dots.
pub(super) fn material<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> Vec<&'a [u8]> {
    vec![id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    optional(headers, name)?.ok_or(Refusal::MissingHeader(name))
}

fn optional<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::RepeatedHeader(name));
    }
    let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER_BYTES);
    text.map(Some).ok_or(Refusal::UnreadableHeader(name))
}

/// An id in printable ASCII without space.
pub(super) fn check_id(id: &str) -> Result<String, Refusal> {
    let fits = (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(id.to_owned()) } else { Err(Refusal::MalformedId) }
}

fn seconds(text: &str) -> Result<i64, Refusal> {
    // `parse` alone would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let secs = text.parse().ok().filter(|_| digits);
    secs.ok_or(Refusal::MalformedTimestamp)
}
