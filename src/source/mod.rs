//! Reads customers from the user's warehouse: which rows, in which order, as which values.
//!
//! A read is one snapshot, ordered by key, so that a customer's rows stand together and fold into one as they
//! pass. It is let go when nobody takes from it for long, and taken up again after the last key. Warehouses
//! differ in what stands below: a file on a thread of its own, a cursor on a connection, a copy of what was exported.

mod address;
mod credentials;
mod description;
mod error;
mod files;
mod filter;
mod fold;
mod identifier;
mod mapping;
mod nearest;
mod postgres;
mod query;
mod reading;
mod selection;
mod snowflake;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{self, SourceKind};
use crate::customer::{Attribute, Chunk};

pub use description::{Column, Description, Problem, Role};
pub use error::SourceError;
pub use files::Files;
pub use postgres::Postgres;
pub use reading::Reading;
pub use selection::{Rows, Selection};
pub use snowflake::Snowflake;
pub use sqlite::Sqlite;

use mapping::Mapping;

/// Customers in one chunk: enough to make hand-overs cheap, few enough that a wait loses little and the few that wait
/// take little memory.
const CHUNK_CUSTOMERS: usize = 2_000;
/// Customers in the first chunk of a snapshot; each later one may have twice as many, up to [`CHUNK_CUSTOMERS`]. Where
/// little is selected of much, the first are on their way while the rest is still looked for.
const FIRST_CUSTOMERS: usize = 100;
/// Bytes of one chunk, for wide rows: with two waiting and one being filled, a read stays near 4 MiB.
const CHUNK_BYTES: usize = 1024 * 1024;
/// How long a snapshot is held while nobody takes from it: longer pins what the warehouse would clean up.
const SNAPSHOT_HOLD: Duration = Duration::from_secs(30);

/// One sync's view of a warehouse.
#[derive(Debug)]
pub enum Source {
    /// A SQLite file.
    Sqlite(Sqlite),
    /// PostgreSQL or Amazon Redshift.
    Postgres(Postgres),
    /// Snowflake.
    Snowflake(Snowflake),
    /// CSV or Parquet files.
    Files(Files),
}

impl Source {
    /// Makes ready to read what `sync` maps. Nothing is opened yet.
    ///
    /// # Errors
    /// [`SourceError::Config`] when the settings cannot work: an identifier that may not be quoted, a query that is
    /// not one SELECT, an unknown zone, an address or a login missing or unfit.
    pub fn open(settings: &config::Source, sync: &config::Sync, clock: Clock) -> Result<Self, SourceError> {
        let mapping = Arc::new(Mapping::new(settings, sync)?);
        match settings.kind {
            SourceKind::Sqlite => Sqlite::new(settings, mapping, clock).map(Self::Sqlite),
            SourceKind::Postgres | SourceKind::Redshift => {
                Postgres::new(settings, mapping).map(Self::Postgres)
            }
            SourceKind::Snowflake => Snowflake::new(settings, mapping, clock).map(Self::Snowflake),
            SourceKind::Files => Files::new(settings, mapping, clock).map(Self::Files),
        }
    }

    fn mapping(&self) -> &Mapping {
        match self {
            Self::Sqlite(sqlite) => sqlite.mapping(),
            Self::Postgres(postgres) => postgres.mapping(),
            Self::Snowflake(snowflake) => snowflake.mapping(),
            Self::Files(files) => files.mapping(),
        }
    }

    /// What is sent, in the order of [`Chunk::cells`].
    pub fn attributes(&self) -> &Arc<[Attribute]> {
        &self.mapping().attributes
    }

    /// Looks at the columns: what the warehouse calls their types, what becomes of them, what is wrong.
    ///
    /// # Errors
    /// When the warehouse cannot be reached or refuses; what is wrong with the columns is no error here.
    pub async fn describe(&self) -> Result<Description, SourceError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.describe().await,
            Self::Postgres(postgres) => postgres.describe().await,
            Self::Snowflake(snowflake) => snowflake.describe().await,
            Self::Files(files) => files.describe().await,
        }
    }

    /// The first few customers as they would be sent, in no order.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub async fn sample(&self, rows: usize) -> Result<Chunk, SourceError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.sample(rows).await,
            Self::Postgres(postgres) => postgres.sample(rows).await,
            Self::Snowflake(snowflake) => snowflake.sample(rows).await,
            Self::Files(files) => files.sample(rows).await,
        }
    }

    /// Checks the columns, then opens a snapshot and begins to read.
    ///
    /// # Errors
    /// [`SourceError::SchemaMismatch`] before any row; else why the warehouse could not be read.
    pub async fn read(&self, selection: Selection) -> Result<Reading, SourceError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.read(selection).await,
            Self::Postgres(postgres) => postgres.read(selection).await,
            Self::Snowflake(snowflake) => snowflake.read(selection).await,
            Self::Files(files) => files.read(selection).await,
        }
    }
}
