//! The scan itself: one snapshot after another until every row has passed.

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Rows};
use tokio::sync::oneshot;

use super::Sqlite;
use super::file::{File, failed, unprepared};
use super::hand_over::{Offered, Outlet};
use super::schema::{Begin, Schema, count};
use crate::customer::{Chunk, ChunkBuilder, Position, Value};
use crate::source::filter::Filter;
use crate::source::mapping::Mapping;
use crate::source::{CHUNK_BYTES, CHUNK_CUSTOMERS, Selection, SourceError};

/// Known once the first snapshot stands.
pub(super) struct Opened {
    pub ceiling: DateTime<Utc>,
    pub total: Option<u64>,
}

type Ready = oneshot::Sender<Result<Opened, SourceError>>;

/// Where to read on.
#[derive(Clone, Debug, PartialEq)]
enum Resume {
    /// After this customer.
    After(Position),
    /// At this key, of whose unusable rows so many were handed over.
    At(Key, u64),
}

/// A key in the file's own form, kept past its row.
#[derive(Clone, Debug, PartialEq)]
enum Key {
    /// NULL, a float or a blob: they sort before or after all others, none is usable.
    Null,
    Real(f64),
    Blob(Vec<u8>),
    Integer(i64),
    Text(Vec<u8>),
}

impl Key {
    fn is(&self, key: ValueRef<'_>) -> bool {
        match (self, key) {
            (Self::Null, ValueRef::Null) => true,
            (Self::Real(held), ValueRef::Real(key)) => held.total_cmp(&key).is_eq(),
            (Self::Blob(held), ValueRef::Blob(key)) | (Self::Text(held), ValueRef::Text(key)) => held == key,
            (Self::Integer(held), ValueRef::Integer(key)) => *held == key,
            _ => false,
        }
    }

    fn keep(key: ValueRef<'_>) -> Self {
        match key {
            ValueRef::Null => Self::Null,
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
        }
    }

    fn lend(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Real(number) => ValueRef::Real(*number),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(bytes) => ValueRef::Text(bytes),
        }
    }
}

/// How far one snapshot went.
enum Went {
    /// Every row has passed; these are the last customers.
    ToTheEnd(Chunk),
    /// Nobody took for as long as a snapshot may be held; this waits to be taken.
    Waiting(Chunk),
    /// Nobody wants any more.
    Unwanted,
}

/// A scan on its own thread.
pub(super) struct Scan {
    sqlite: Sqlite,
    filter: Filter,
    resume: Option<Resume>,
    wants_all: bool,
    outlet: Outlet,
}

impl Scan {
    pub(super) fn new(sqlite: Sqlite, selection: Selection, filter: Filter, outlet: Outlet) -> Self {
        let wants_all = matches!(selection.rows, crate::source::Rows::All) && selection.after.is_none();
        Self { sqlite, filter, resume: selection.after.map(Resume::After), wants_all, outlet }
    }

    /// Reads to the end, or until nobody wants any more.
    pub(super) fn run(mut self, ready: Ready) {
        let mut ready = Some(ready);
        if let Err(error) = self.read_all(&mut ready) {
            match ready {
                // Whoever asked may be gone; then nobody needs to know.
                Some(ready) => drop(ready.send(Err(error))),
                None => drop(self.outlet.offer_at_leisure(Err(error))),
            }
        }
    }

    fn read_all(&mut self, ready: &mut Option<Ready>) -> Result<(), SourceError> {
        loop {
            // Statement and snapshot are gone when this returns: before the wait, not after.
            match self.read_on(ready)? {
                Went::Unwanted => return Ok(()),
                Went::Waiting(chunk) => {
                    if !self.outlet.offer_at_leisure(Ok(Some(chunk))) {
                        return Ok(());
                    }
                }
                Went::ToTheEnd(chunk) => {
                    if chunk.is_empty() || self.outlet.offer_at_leisure(Ok(Some(chunk))) {
                        self.outlet.offer_at_leisure(Ok(None));
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Opens the file and reads one snapshot of it.
    fn read_on(&mut self, ready: &mut Option<Ready>) -> Result<Went, SourceError> {
        let file = self.sqlite.open_file()?;
        // Taken before the snapshot: whatever commits in between is read and lies past it.
        let ceiling = self.sqlite.clock.now();
        file.begin()?;
        // Pins the snapshot. And SQLite forgets an interrupt when a statement starts while no other is under way:
        // with this one under way, none that comes between two statements is lost.
        let mut anchor = file.connection.prepare("SELECT 1 FROM sqlite_schema").map_err(failed)?;
        let mut anchored = anchor.query([]).map_err(failed)?;
        anchored.next().map_err(failed)?;
        self.outlet.interrupt_with(file.connection.get_interrupt_handle());
        if self.outlet.is_unwanted() {
            return Ok(Went::Unwanted);
        }
        let schema = Schema::look(&file, &self.sqlite.mapping)?;
        schema.description.require_sound()?;
        if let Some(ready) = ready.take() {
            let total = if self.wants_all { count(&file, &self.sqlite.mapping) } else { None };
            if ready.send(Ok(Opened { ceiling, total })).is_err() {
                return Ok(Went::Unwanted);
            }
        }
        self.read_snapshot(&file, &schema)
    }

    fn read_snapshot(&mut self, file: &File, schema: &Schema) -> Result<Went, SourceError> {
        let resume = self.resume.take();
        let (begin, bound) = match &resume {
            None | Some(Resume::At(Key::Null, _)) => (Begin::First, None),
            Some(Resume::After(Position::Integer(number))) => {
                (Begin::After, Some(ValueRef::Integer(*number)))
            }
            Some(Resume::After(Position::Text(text))) => {
                (Begin::After, Some(ValueRef::Text(text.as_bytes())))
            }
            Some(Resume::At(key, _)) => (Begin::At, Some(key.lend())),
        };
        let select = schema.select(&self.sqlite.mapping, begin);
        let mut statement =
            file.connection.prepare(&select).map_err(|error| unprepared(error, &self.sqlite.mapping))?;
        let rows =
            statement.query(rusqlite::params_from_iter(bound.map(ToSqlOutput::Borrowed))).map_err(failed)?;
        let mut pass = Pass {
            filter: &self.filter,
            outlet: &self.outlet,
            builder: ChunkBuilder::new(schema.attributes.clone(), self.sqlite.mapping.zone),
            skip: match &resume {
                Some(Resume::At(key, count)) => Some((key.clone(), *count)),
                _ => None,
            },
            unusable: None,
        };
        pass.unusable.clone_from(&pass.skip);
        let (went, resume) = pass.read(rows)?;
        self.resume = resume;
        Ok(went)
    }
}

/// One statement's rows on their way into chunks.
struct Pass<'s> {
    filter: &'s Filter,
    outlet: &'s Outlet,
    builder: ChunkBuilder,
    /// An unusable key, and how many of its rows an earlier snapshot handed over.
    skip: Option<(Key, u64)>,
    /// The unusable key met last, and how many of its rows were met: each stands alone, so a chunk may be cut
    /// between two that look the same.
    unusable: Option<(Key, u64)>,
}

impl Pass<'_> {
    fn read(&mut self, mut rows: Rows<'_>) -> Result<(Went, Option<Resume>), SourceError> {
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok((Went::ToTheEnd(self.builder.take()), None)),
                Err(_) if self.outlet.is_unwanted() => return Ok((Went::Unwanted, None)),
                Err(error) => return Err(failed(error)),
            };
            let raw_key = column(row, 0);
            let key = key_value(raw_key);
            if !self.filter.passes(key, value(row, 1)) || self.was_handed_over(raw_key) {
                continue;
            }
            if self.is_full() && self.builder.begins_customer(key) {
                match self.outlet.offer(Ok(Some(self.builder.take()))) {
                    Offered::Taken => {}
                    Offered::NoRoom(Ok(Some(chunk))) => {
                        return Ok((Went::Waiting(chunk), Some(self.here(raw_key))));
                    }
                    Offered::NoRoom(_) | Offered::Unwanted => return Ok((Went::Unwanted, None)),
                }
            }
            self.builder.push(key, value(row, 1), |index| value(row, index + 2));
            if self.builder.last_is_unusable() {
                self.count_unusable(raw_key);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.builder.len() >= CHUNK_CUSTOMERS || self.builder.bytes() >= CHUNK_BYTES
    }

    fn was_handed_over(&mut self, key: ValueRef<'_>) -> bool {
        match &mut self.skip {
            Some((skipped, left @ 1..)) if skipped.is(key) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn count_unusable(&mut self, raw: ValueRef<'_>) {
        match &mut self.unusable {
            Some((last, count)) if last.is(raw) => *count += 1,
            last => *last = Some((Key::keep(raw), 1)),
        }
    }

    /// This row, not yet taken in.
    fn here(&self, key: ValueRef<'_>) -> Resume {
        match &self.unusable {
            Some((last, count)) if last.is(key) => Resume::At(last.clone(), *count),
            _ => Resume::At(Key::keep(key), 0),
        }
    }
}

/// The first customers of an unordered look.
pub(super) fn sample(
    file: &File,
    mapping: &Mapping,
    schema: &Schema,
    rows: usize,
) -> Result<Chunk, SourceError> {
    let select = format!("{} LIMIT {}", schema.select_some(mapping), rows.min(CHUNK_CUSTOMERS));
    let mut statement = file.connection.prepare(&select).map_err(|error| unprepared(error, mapping))?;
    let mut builder = ChunkBuilder::new(schema.attributes.clone(), mapping.zone);
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        builder.push(key_value(column(row, 0)), value(row, 1), |index| value(row, index + 2));
    }
    Ok(builder.take())
}

fn column<'r>(row: &'r Row<'_>, index: usize) -> ValueRef<'r> {
    row.get_ref(index).expect("the statement selects this column")
}

/// A blob where text is stored as text is no key: it would sort apart from the text of the same bytes.
fn key_value(key: ValueRef<'_>) -> Value<'_> {
    match key {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(bytes) => Value::Text(bytes),
        ValueRef::Null => Value::Null,
        ValueRef::Real(_) | ValueRef::Blob(_) => Value::Unreadable,
    }
}

fn value<'r>(row: &'r Row<'_>, index: usize) -> Value<'r> {
    match column(row, index) {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(bytes) => Value::Text(bytes),
        ValueRef::Blob(_) => Value::Unreadable,
    }
}
