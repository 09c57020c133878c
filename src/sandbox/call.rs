//! One request as it arrived, its body read once.

use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::check::is_value_key;
use super::counting::{Count, Counted};
use super::identity::Identity;
use super::route::Route;

/// The arrays of a `/users/track` body, in the order Braze works through them.
pub(super) const ARRAYS: [&str; 3] = ["attributes", "events", "purchases"];

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) route: Option<Route>,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) body: Body,
}

/// What the body turned out to be.
#[derive(Debug)]
pub(super) enum Body {
    /// Of a route without one, or of no route.
    Unread,
    /// Not JSON, or not an object.
    Broken,
    /// A `/users/track` body.
    Track(TrackBody),
    /// A `/users/track` body of which only the counts are known.
    Counted(Counted),
    /// The body of another route.
    Fields(Map<String, Value>),
}

/// The three arrays; none where the body has no such array.
#[derive(Debug, Default)]
pub(super) struct TrackBody {
    pub(super) arrays: [Option<Vec<Value>>; 3],
    /// Whom each entry of `attributes` is about.
    pub(super) customers: Vec<Option<Identity>>,
}

impl Body {
    pub(super) fn read(route: Option<Route>, bytes: &[u8], counting: bool) -> Self {
        match route {
            Some(route) if route.is_track() && counting => {
                serde_json::from_slice(bytes).map_or(Self::Broken, Self::Counted)
            }
            Some(route) if route.has_body() => match serde_json::from_slice(bytes) {
                Ok(Value::Object(mut fields)) if route.is_track() => {
                    Self::Track(TrackBody::take(&mut fields))
                }
                Ok(Value::Object(fields)) => Self::Fields(fields),
                _ => Self::Broken,
            },
            _ => Self::Unread,
        }
    }

    /// Attribute objects and the values in them.
    pub(super) fn count(&self) -> Count {
        match self {
            Self::Counted(counted) => counted.attributes.unwrap_or_default(),
            Self::Track(body) => Count {
                objects: body.lengths()[0],
                values: body.objects().map(|(_, object)| value_keys(object)).sum(),
            },
            _ => Count::default(),
        }
    }
}

impl TrackBody {
    fn take(fields: &mut Map<String, Value>) -> Self {
        let arrays = ARRAYS.map(|name| match fields.remove(name) {
            Some(Value::Array(objects)) => Some(objects),
            _ => None,
        });
        let customers =
            arrays[0].iter().flatten().map(|entry| entry.as_object().and_then(Identity::of)).collect();
        Self { arrays, customers }
    }

    pub(super) fn lengths(&self) -> [usize; 3] {
        [0, 1, 2].map(|array| self.arrays[array].as_ref().map_or(0, Vec::len))
    }

    /// The entries of `attributes` that are objects and name their customer.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&Identity, &Map<String, Value>)> {
        let entries = self.arrays[0].iter().flatten().zip(&self.customers);
        entries.filter_map(|(entry, customer)| Some((customer.as_ref()?, entry.as_object()?)))
    }
}

/// Attribute values in one object.
pub(super) fn value_keys(object: &Map<String, Value>) -> u64 {
    object.keys().filter(|key| is_value_key(key)).count() as u64
}
