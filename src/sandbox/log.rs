//! The bounded log of requests, for assertions.

use std::collections::{BTreeMap, VecDeque};

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::call::{Body, Call};

/// Most requests kept: plenty for a test, little memory for a load test.
const REQUESTS_KEPT: usize = 10_000;

/// One request as it arrived, and what became of it. The log holds the last 10,000.
#[derive(Clone, Debug, Serialize)]
pub struct RequestRecord {
    /// In order of arrival, from 1.
    pub number: u64,
    /// When it arrived, in epoch seconds of the sandbox's clock.
    pub arrived_at: f64,
    /// When it was answered or lost; null while it is neither.
    pub finished_at: Option<f64>,
    /// `GET` or `POST`.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Headers in lower case; the key is redacted.
    pub headers: BTreeMap<String, String>,
    /// The value of `X-Braze-Bulk`; null where it was not sent.
    pub bulk_header: Option<String>,
    /// Size of the body.
    pub body_bytes: usize,
    /// The body, of the last few requests only.
    pub body: Option<Value>,
    /// Attribute objects in it.
    pub objects: usize,
    /// Attribute values in it.
    pub values: u64,
    /// Customers named by external id, in order. Empty in counting mode.
    pub external_ids: Vec<String>,
    /// Status of the answer; null while unanswered, or for ever if the connection was lost.
    pub status: Option<u16>,
}

impl RequestRecord {
    pub(super) fn of(call: &Call, number: u64, arrived_at: f64) -> Self {
        let count = call.body.count();
        let external_ids = match &call.body {
            Body::Track(body) => {
                body.objects().filter_map(|(id, _)| id.external().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        Self {
            number,
            arrived_at,
            finished_at: None,
            method: call.method.to_string(),
            path: call.path.clone(),
            headers: call
                .headers
                .iter()
                .map(|(name, value)| header(name.as_str(), value.as_bytes()))
                .collect(),
            bulk_header: call
                .headers
                .get("x-braze-bulk")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into()),
            body_bytes: call.bytes.len(),
            body: None,
            objects: count.objects,
            values: count.values,
            external_ids,
            status: None,
        }
    }
}

fn header(name: &str, value: &[u8]) -> (String, String) {
    let value = if name == "authorization" { "[redacted]".into() } else { String::from_utf8_lossy(value) };
    (name.to_owned(), value.into_owned())
}

/// The last requests, the last few with their bodies.
#[derive(Debug, Default)]
pub(super) struct Log {
    records: VecDeque<(RequestRecord, Bytes)>,
    bodies_kept: usize,
    /// Requests that no longer are in the log.
    pub(super) dropped: u64,
}

impl Log {
    pub(super) fn new(bodies_kept: usize) -> Self {
        Self { bodies_kept, ..Self::default() }
    }

    pub(super) fn push(&mut self, record: RequestRecord, body: Bytes) {
        if self.records.len() == REQUESTS_KEPT {
            self.records.pop_front();
            self.dropped += 1;
        }
        self.records.push_back((record, body));
        let stale = self.records.len().checked_sub(self.bodies_kept + 1);
        if let Some((_, body)) = stale.and_then(|index| self.records.get_mut(index)) {
            *body = Bytes::new();
        }
    }

    /// The record of request `number`, if it is still there.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut RequestRecord> {
        let index = number.checked_sub(self.dropped + 1)?;
        self.records.get_mut(usize::try_from(index).ok()?).map(|(record, _)| record)
    }

    pub(super) fn records(&self) -> Vec<RequestRecord> {
        let with_body = |(record, body): &(RequestRecord, Bytes)| RequestRecord {
            body: serde_json::from_slice(body).ok(),
            ..record.clone()
        };
        self.records.iter().map(with_body).collect()
    }
}
