//! Files as a source: what a model's export leaves in a folder or a bucket. Files know no snapshots, no order and no
//! questions, so a read copies them into a private SQLite database first and then reads that.

mod copy;
mod csv;
mod format;
#[cfg(feature = "parquet")]
mod parquet;
mod part;
mod place;
#[cfg(feature = "s3")]
mod s3;
mod scratch;
mod table;
mod tap;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::ExposeSecret;

use crate::clock::Clock;
use crate::config;
use crate::customer::Chunk;

use super::address::address;
use super::mapping::{Mapping, Relation};
use super::sqlite::Sqlite;
use super::{Description, Reading, Selection, SourceError};

use copy::Copying;
use place::Place;

pub(super) use scratch::Scratch;

/// The table a `query` reads from.
const TABLE: &str = "files";

/// All files that match one pattern, read for one sync as the rows of one table.
#[derive(Clone, Debug)]
pub struct Files {
    place: Place,
    mapping: Arc<Mapping>,
    clock: Clock,
}

/// Rows of every file that are copied at most.
#[derive(Clone, Copy, Debug)]
enum Take {
    /// The columns' names and types alone.
    Nothing,
    Some(usize),
    All,
}

impl Take {
    fn rows(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Some(rows) => rows,
            Self::All => usize::MAX,
        }
    }
}

/// The private copy, and how to read it. The copy goes with the scratch.
struct Copy {
    scratch: Scratch,
    sqlite: Sqlite,
}

impl Files {
    pub(super) fn new(
        settings: &config::Source,
        mapping: Arc<Mapping>,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        let place = Place::parse(address(settings.url.as_deref())?.expose_secret())?;
        table_name(&mapping)?;
        Ok(Self { place, mapping, clock })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) async fn describe(&self) -> Result<Description, SourceError> {
        let copy = self.copy(Take::Nothing).await?;
        copy.sqlite.describe().await
    }

    pub(super) async fn sample(&self, rows: usize) -> Result<Chunk, SourceError> {
        let copy = self.copy(Take::Some(rows)).await?;
        copy.sqlite.sample(rows).await
    }

    pub(super) async fn read(&self, selection: Selection) -> Result<Reading, SourceError> {
        // Before the first look at the files: what is written after it lies past it.
        let ceiling = self.clock.now();
        let copy = self.copy(Take::All).await?;
        let reading = copy.sqlite.read(selection).await?;
        Ok(reading.of_copy(copy.scratch, ceiling))
    }

    /// Copies the files. Dropping the wait ends the copying.
    async fn copy(&self, take: Take) -> Result<Copy, SourceError> {
        let scratch = Scratch::new()?;
        let parts = self.place.parts(&scratch, take).await?;
        let wanted = Wanted::default();
        let copying = Copying {
            table: table_name(&self.mapping)?,
            columns: mapped(&self.mapping),
            take,
            is_unwanted: wanted.is_unwanted.clone(),
        };
        let path = scratch.path().join("copy.db");
        let target = path.clone();
        let copied = tokio::task::spawn_blocking(move || copying.copy(&parts, &target));
        copied
            .await
            .map_err(|_| SourceError::Unreachable("copying the files stopped before its end".to_owned()))??;
        drop(wanted);
        let sqlite = Sqlite::at(path, self.mapping.clone(), self.clock.clone());
        Ok(Copy { scratch, sqlite })
    }
}

/// Tells the copying thread, when dropped, that nobody waits any more.
#[derive(Default)]
struct Wanted {
    is_unwanted: Arc<AtomicBool>,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}

/// What the copy's table is called, so that the mapping fits it.
fn table_name(mapping: &Mapping) -> Result<String, SourceError> {
    match &mapping.relation {
        Relation::Query(_) => Ok(TABLE.to_owned()),
        Relation::Table(parts) => match parts.as_slice() {
            [table] if !table.to_ascii_lowercase().starts_with("sqlite_") => Ok(table.clone()),
            _ => Err(SourceError::config(
                "table",
                "must be one plain name, and not begin with sqlite_: files have no schema",
            )),
        },
    }
}

/// The columns whose values are needed; `None` where only a query knows.
fn mapped(mapping: &Mapping) -> Option<Vec<String>> {
    match mapping.relation {
        Relation::Query(_) => None,
        Relation::Table(_) => {
            let attributes = mapping.attributes.iter().map(|attribute| &attribute.column);
            Some([&mapping.key, &mapping.updated_at].into_iter().chain(attributes).cloned().collect())
        }
    }
}
