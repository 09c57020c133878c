//! The scan itself: one snapshot after another until every row has passed.

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Rows};
use tokio::sync::oneshot;

use super::Sqlite;
use super::cell::{bound, raw_key, value};
use super::file::{File, failed, unprepared};
use super::hand_over::{Offered, Outlet};
use super::schema::{Begin, Schema, count};
use crate::customer::{Chunk, ChunkBuilder, Digester, Position, UpdatedAt, Value, Zone};
use crate::source::filter::Filter;
use crate::source::fold::{Fold, Key, Resume, Went};
use crate::source::mapping::Mapping;
use crate::source::{CHUNK_CUSTOMERS, Selection, SourceError};

/// Known once the first snapshot stands.
pub(super) struct Opened {
    pub ceiling: DateTime<Utc>,
    pub total: Option<u64>,
}

type Ready = oneshot::Sender<Result<Opened, SourceError>>;

/// A scan on its own thread.
pub(super) struct Scan {
    sqlite: Sqlite,
    filter: Filter,
    digester: Option<Digester>,
    resume: Option<Resume>,
    wants_all: bool,
    outlet: Outlet,
}

impl Scan {
    pub(super) fn new(sqlite: Sqlite, selection: Selection, filter: Filter, outlet: Outlet) -> Self {
        let wants_all = matches!(selection.rows, crate::source::Rows::All) && selection.after.is_none();
        let digester = selection.digester;
        Self { sqlite, filter, digester, resume: selection.after.map(Resume::After), wants_all, outlet }
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
        let (begin, first) = match &resume {
            None | Some(Resume::At(Key::Null, _)) => (Begin::First, None),
            Some(Resume::After(Position::Integer(number))) => {
                (Begin::After, Some(ValueRef::Integer(*number)))
            }
            Some(Resume::After(Position::Text(text))) => {
                (Begin::After, Some(ValueRef::Text(text.as_bytes())))
            }
            Some(Resume::At(key, _)) => (Begin::At, Some(bound(key.lend()))),
        };
        let mapping = &self.sqlite.mapping;
        let mut select = schema.select(mapping, begin, false);
        if !self.filter.takes_all() && file.sorts(&select).map_err(|error| unprepared(error, mapping))? {
            file.provide(self.filter.clone())?;
            select = schema.select(mapping, begin, true);
        }
        let mut statement = file.connection.prepare(&select).map_err(|error| unprepared(error, mapping))?;
        let rows =
            statement.query(rusqlite::params_from_iter(first.map(ToSqlOutput::Borrowed))).map_err(failed)?;
        let zone = self.sqlite.mapping.zone;
        let fold =
            Fold::new(&self.filter, schema.attributes.clone(), zone, self.digester.as_ref(), resume.as_ref());
        let (went, resume) = fold_rows(rows, fold, zone, &self.outlet)?;
        self.resume = resume;
        Ok(went)
    }
}

fn fold_rows(
    mut rows: Rows<'_>,
    mut fold: Fold<'_>,
    zone: Zone,
    outlet: &Outlet,
) -> Result<(Went, Option<Resume>), SourceError> {
    let mut times = Times { zone, last: (Vec::new(), UpdatedAt::Unreadable) };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok((Went::ToTheEnd(fold.finish()), None)),
            Err(_) if outlet.is_unwanted() => return Ok((Went::Unwanted, None)),
            Err(error) => return Err(failed(error)),
        };
        let key = raw_key(column(row, 0));
        let updated_at = times.read(value(column(row, 1))).value();
        if !fold.wants(key, updated_at) {
            continue;
        }
        if let Some(chunk) = fold.cut_before(key) {
            match outlet.offer(Ok(Some(chunk))) {
                Offered::Taken => {}
                Offered::NoRoom(Ok(Some(chunk))) => {
                    return Ok((Went::Waiting(chunk), Some(fold.resume_at(key))));
                }
                Offered::NoRoom(_) | Offered::Unwanted => return Ok((Went::Unwanted, None)),
            }
        }
        fold.push(key, updated_at, |index| value(column(row, index + 2)));
    }
}

/// Reads times. Rows written by one statement share theirs: what is spelled as the last one was is not read again.
struct Times {
    zone: Zone,
    last: (Vec<u8>, UpdatedAt),
}

impl Times {
    fn read(&mut self, at: Value<'_>) -> UpdatedAt {
        let Value::Text(text) = at else { return self.zone.instant(at) };
        if self.last.0 != text {
            let spelled = &mut self.last.0;
            spelled.clear();
            spelled.extend_from_slice(text);
            self.last.1 = self.zone.instant(at);
        }
        self.last.1
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
        builder.push(raw_key(column(row, 0)).value(), value(column(row, 1)), |index| {
            value(column(row, index + 2))
        });
    }
    Ok(builder.take())
}

fn column<'r>(row: &'r Row<'_>, index: usize) -> ValueRef<'r> {
    row.get_ref(index).expect("the statement selects this column")
}
