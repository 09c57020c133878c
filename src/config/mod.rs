//! Every setting: its name, unit, default and bound. Plain data; a room takes its own section, never the whole.
//!
//! [`load`](load::load) reads the file, resolves nothing and refuses what cannot work, naming file, line and key.
//! Secrets stay references (`env:NAME`, `file:PATH`) until the room that needs one asks for it; [`check_secrets`]
//! looks at all of them at once, for commands that will need them.

mod bound;
pub mod callback_key;
mod check;
mod destination;
mod document;
mod duration;
mod ledger;
pub mod load;
mod notify;
mod problem;
mod schema;
pub mod secret;
mod server;
mod source;
mod sync;
mod telemetry;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use bound::MAX_ATTRIBUTES;
pub use callback_key::{CallbackKey, KeyError};
pub use check::{check_secrets, is_standard};
pub use destination::{Destination, TrackPath};
pub use ledger::Ledger;
pub use load::{load, resolve_url};
pub use notify::{Notify, NotifyEvent, NotifyFormat};
pub use problem::{ConfigError, Origin, Problem};
pub use schema::schema;
pub use secret::SecretRef;
pub use server::{Scope, Server, Token};
pub use source::{Credentials, PeakCredentials, Source, SourceKind, TokenType};
pub use sync::{
    Attribute, AttributeType, Cadence, Callback, CallbackScheme, Guards, Identifier, OnLong, OnNull,
    PeakAccess, Sync, VerifyRun,
};
pub use telemetry::Telemetry;

/// The whole config file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    #[serde(default)]
    pub server: Server,
    /// Our durable memory.
    #[serde(default)]
    pub ledger: Ledger,
    /// API and page access.
    #[serde(default)]
    pub tokens: Vec<Token>,
    /// Warehouses by name.
    #[serde(default)]
    pub sources: BTreeMap<String, Source>,
    /// Braze workspaces by name.
    #[serde(default)]
    pub destinations: BTreeMap<String, Destination>,
    /// What is sent from where to where.
    #[serde(default)]
    pub syncs: Vec<Sync>,
    /// Receivers of outgoing notices.
    #[serde(default)]
    pub notify: Vec<Notify>,
    /// Where traces go.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Where all this was read from; empty where it was not read from a file.
    #[serde(skip)]
    pub origin: Origin,
}

impl Config {
    /// The sync with this id.
    pub fn sync(&self, id: &str) -> Option<&Sync> {
        self.syncs.iter().find(|sync| sync.id == id)
    }
}
