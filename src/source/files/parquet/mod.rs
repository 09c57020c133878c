//! Apache Parquet: columns with types, of which only those that are needed are read.

mod cell;
mod shape;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{Type, TypePtr};

use super::part::Part;
use super::table::{Column, Fit, Insert};
use crate::source::SourceError;

use shape::Shape;

/// Rows after which it is asked whether anybody still waits: well under a millisecond's work.
const ROWS_BETWEEN_LOOKS: usize = 1_000;

/// A Parquet file whose footer was read.
pub(super) struct Parquet {
    reader: SerializedFileReader<File>,
    /// All columns, then which of them are read and what each holds.
    columns: Vec<Column>,
    read: Vec<(usize, Shape)>,
    is_unwanted: Arc<AtomicBool>,
}

impl Parquet {
    /// `wanted`: the columns to read; `None`: all.
    pub(super) fn open(
        part: &Part,
        file: File,
        wanted: Option<&[String]>,
        is_unwanted: Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        let reader = SerializedFileReader::new(file)
            .map_err(|_| part.unready("has no Parquet footer: it is still being written, or no Parquet"))?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let fields = schema.root_schema().get_fields();
        let columns = fields
            .iter()
            .map(|field| Column { name: field.name().to_owned(), declared: shape::declared(field) })
            .collect();
        let is_wanted = |name: &str| {
            wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
        };
        let read: Vec<(usize, Shape)> = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| is_wanted(field.name()))
            .map(|(index, field)| (index, Shape::of(field)))
            .collect();
        for leaf in schema.columns().iter().filter(|leaf| is_wanted(&leaf.path().parts()[0])) {
            shape::require_readable(leaf, &part.name)?;
        }
        Ok(Self { reader, columns, read, is_unwanted })
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Copies the first `rows`.
    pub(super) fn copy(
        self,
        part: &Part,
        fit: &Fit,
        insert: &mut Insert<'_>,
        rows: usize,
    ) -> Result<(), SourceError> {
        let projection = self.projection().map_err(|error| damaged(part, &error))?;
        let found = self.reader.get_row_iter(Some(projection)).map_err(|error| damaged(part, &error))?;
        // By place in the file; what is not read is never asked for.
        let mut values = vec![rusqlite::types::Value::Null; self.columns.len()];
        for (number, row) in found.take(rows).enumerate() {
            if number % ROWS_BETWEEN_LOOKS == 0 && self.is_unwanted.load(Ordering::Relaxed) {
                return Err(part.unready("is not wanted any more"));
            }
            let row = row.map_err(|error| damaged(part, &error))?;
            for ((_, field), (index, shape)) in row.into_columns().into_iter().zip(&self.read) {
                values[*index] = cell::value(field, *shape);
            }
            insert.row(fit, |index| (&values[index]).into())?;
        }
        Ok(())
    }

    fn projection(&self) -> Result<Type, ParquetError> {
        let schema = self.reader.metadata().file_metadata().schema();
        let fields: Vec<TypePtr> =
            self.read.iter().map(|(index, _)| schema.get_fields()[*index].clone()).collect();
        Type::group_type_builder(schema.name()).with_fields(fields).build()
    }
}

/// What a failure to read means. Its text is left out: it may quote what was read.
fn damaged(part: &Part, error: &ParquetError) -> SourceError {
    match error {
        ParquetError::EOF(_) => part.unready("ends too early: it is still being written"),
        _ => part.unusable("is damaged, or written in a way that is not read"),
    }
}
