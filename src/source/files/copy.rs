//! File after file into the private table.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Take;
use super::csv::Csv;
use super::format::Format;
#[cfg(feature = "parquet")]
use super::parquet::Parquet;
use super::part::Part;
use super::table::{Column, Fit, Insert, Table, filled};
use crate::source::SourceError;

/// What is copied, and how much of it.
pub(super) struct Copying {
    pub table: String,
    /// Those whose values are needed; `None`: all.
    pub columns: Option<Vec<String>>,
    pub take: Take,
    /// Set when nobody waits any more.
    pub is_unwanted: Arc<AtomicBool>,
}

/// A file that was opened and whose columns are known.
enum Opened {
    Csv(Csv),
    #[cfg(feature = "parquet")]
    Parquet(Parquet),
}

impl Copying {
    /// Copies `parts` into a new database at `target`.
    pub(super) fn copy(&self, parts: &[Part], target: &Path) -> Result<(), SourceError> {
        let mut table = None;
        for part in parts {
            let (file, stamp) = part.open()?;
            let opened = self.open(part, file)?;
            let table = match &mut table {
                Some(table) => table,
                empty => empty.insert(self.create(target, opened.columns(), part)?),
            };
            let fit = table.fit(opened.columns(), &part.name)?;
            opened.copy(part, &fit, &mut table.insert()?, self.take.rows())?;
            part.require_unchanged(&stamp)?;
        }
        table.map_or(Ok(()), Table::finish)
    }

    fn create(&self, target: &Path, columns: &[Column], part: &Part) -> Result<Table, SourceError> {
        let filled = filled(columns, self.columns.as_deref(), &part.name)?;
        Table::create(target, &self.table, columns, filled)
    }

    fn open(&self, part: &Part, file: std::fs::File) -> Result<Opened, SourceError> {
        match Format::of(&part.name)? {
            Format::Csv { delimiter, is_gzip } => {
                Csv::open(part, file, delimiter, is_gzip, self.is_unwanted.clone()).map(Opened::Csv)
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => Parquet::open(part, file, self.columns.as_deref(), self.is_unwanted.clone())
                .map(Opened::Parquet),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => unreachable!("a name that ends so is refused in this build"),
        }
    }
}

impl Opened {
    fn columns(&self) -> &[Column] {
        match self {
            Self::Csv(csv) => csv.columns(),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => parquet.columns(),
        }
    }

    fn copy(self, part: &Part, fit: &Fit, insert: &mut Insert<'_>, rows: usize) -> Result<(), SourceError> {
        match self {
            Self::Csv(csv) => csv.copy(part, fit, insert, rows),
            #[cfg(feature = "parquet")]
            Self::Parquet(parquet) => parquet.copy(part, fit, insert, rows),
        }
    }
}
