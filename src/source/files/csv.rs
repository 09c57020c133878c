//! CSV: a line of names, then a customer's values a line, as text.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use csv::{ByteRecord, Reader, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use rusqlite::types::ValueRef;

use super::part::Part;
use super::table::{Column, Fit, Insert};
use super::tap::{Gauge, Stopped, Tap};
use crate::source::SourceError;

/// Bytes read from the disk at a time.
const READ_BYTES: usize = 256 * 1024;
/// What some exports write for NULL; nothing at all is the other way. Source: Snowflake docs, CREATE FILE FORMAT, NULL_IF.
const NULL: &[u8] = b"\\N";

/// A CSV file whose first line was read.
pub(super) struct Csv {
    reader: Reader<Tap<Box<dyn Read>>>,
    gauge: Gauge,
    columns: Vec<Column>,
}

impl Csv {
    pub(super) fn open(
        part: &Part,
        file: File,
        delimiter: u8,
        is_gzip: bool,
        is_unwanted: Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        let bytes: Box<dyn Read> = match is_gzip {
            true => Box::new(MultiGzDecoder::new(std::io::BufReader::with_capacity(READ_BYTES, file))),
            false => Box::new(file),
        };
        let (tap, gauge) = Tap::new(bytes, is_unwanted);
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .buffer_capacity(READ_BYTES)
            .flexible(true)
            .from_reader(tap);
        let header = reader.byte_headers().map_err(|error| failed(part, &gauge, error))?.clone();
        gauge.record();
        let columns = columns(part, &header)?;
        Ok(Self { reader, gauge, columns })
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Copies the first `rows`.
    pub(super) fn copy(
        mut self,
        part: &Part,
        fit: &Fit,
        insert: &mut Insert<'_>,
        rows: usize,
    ) -> Result<(), SourceError> {
        let mut record = ByteRecord::new();
        for _ in 0..rows {
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => self.gauge.record(),
                Ok(false) => break,
                Err(error) => return Err(failed(part, &self.gauge, error)),
            }
            self.require_whole(part, &record)?;
            insert.row(fit, |index| value(record.get(index).unwrap_or_default()))?;
        }
        Ok(())
    }

    /// A record with too few or too many values was taken apart wrongly, and so may be those after it: the file is
    /// refused rather than guessed at. A last line that is cut short is still being written.
    fn require_whole(&mut self, part: &Part, record: &ByteRecord) -> Result<(), SourceError> {
        let (values, names) = (record.len(), self.columns.len());
        if values == names {
            return Ok(());
        }
        let is_last = matches!(self.reader.read_byte_record(&mut ByteRecord::new()), Ok(false));
        if values < names && is_last && !self.gauge.ends_a_line() {
            return Err(part.unready("ends within a line: it is still being written"));
        }
        let line = record.position().map_or(0, csv::Position::line);
        Err(part.unusable(&format!("has {values} values in line {line} under {names} names")))
    }
}

fn value(field: &[u8]) -> ValueRef<'_> {
    match field {
        b"" | NULL => ValueRef::Null,
        text => ValueRef::Text(text),
    }
}

fn columns(part: &Part, header: &ByteRecord) -> Result<Vec<Column>, SourceError> {
    if header.is_empty() {
        return Err(part.unready("is empty: it has no line of names"));
    }
    let column = |name: &[u8]| {
        let name =
            std::str::from_utf8(name).map_err(|_| part.unusable("has a line of names that is not UTF-8"))?;
        Ok(Column { name: name.trim().to_owned(), declared: "TEXT" })
    };
    header.iter().map(column).collect()
}

/// What a failure to read means. Its text is left out: it may quote what was read.
fn failed(part: &Part, gauge: &Gauge, error: csv::Error) -> SourceError {
    match (gauge.stopped(), error.into_kind()) {
        (Some(Stopped::Unwanted), _) => part.unready("is not wanted any more"),
        (Some(Stopped::RecordTooLong), _) => {
            part.unusable("has a line of over 16 MiB: a quotation mark is never closed")
        }
        (None, csv::ErrorKind::Io(error)) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => part.unready("ends too early: it is still being written"),
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
                part.unusable("is not gzip")
            }
            _ => part.failed(&error),
        },
        (None, _) => part.unusable("is not CSV"),
    }
}
