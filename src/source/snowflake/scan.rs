//! The scan itself: one statement, its result read to the end.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};

use super::Snowflake;
use super::api::Api;
use super::api::Refusal;
use super::ceiling::ceiling;
use super::cell::Cell;
use super::columns::Columns;
use super::rowset::Rowset;
use super::running::{incomplete, run};
use super::select::Select;
use super::shape::Shape;
use super::statement::Statement;
use super::{SAMPLE_WAIT, STATEMENT_WAIT};
use crate::customer::{Chunk, ChunkBuilder, Digester, Position, Value, Zone};
use crate::source::filter::Filter;
use crate::source::fold::{Fold, RawKey};
use crate::source::mapping::Mapping;
use crate::source::reading::Handed;
use crate::source::{CHUNK_CUSTOMERS, Rows, Selection, SourceError};

/// Known once the result stands.
pub(super) struct Opened {
    pub ceiling: DateTime<Utc>,
    pub total: Option<u64>,
}

type Ready = oneshot::Sender<Result<Opened, SourceError>>;

/// A scan on its own task.
pub(super) struct Scan {
    snowflake: Snowflake,
    rows: Rows,
    filter: Filter,
    after: Option<Position>,
    digester: Option<Digester>,
    sender: mpsc::Sender<Handed>,
}

impl Scan {
    pub(super) fn new(snowflake: Snowflake, selection: Selection, sender: mpsc::Sender<Handed>) -> Self {
        let filter = Filter::new(selection.rows.clone(), snowflake.mapping.zone);
        let Selection { rows, after, digester } = selection;
        Self { snowflake, rows, filter, after, digester, sender }
    }

    /// Reads to the end, or until nobody wants any more.
    pub(super) async fn run(self, ready: Ready) {
        let (ceiling, columns, rows) = match self.open().await {
            Ok(opened) => opened,
            // Whoever asked may be gone; then nobody needs to know.
            Err(error) => return drop(ready.send(Err(error))),
        };
        if ready.send(Ok(Opened { ceiling, total: Some(rows.rows()) })).is_ok() {
            let ended = self.read_all(&columns, rows).await;
            drop(self.sender.send(ended.map(|()| None)).await);
        }
    }

    async fn open(&self) -> Result<(DateTime<Utc>, Columns, Rowset), SourceError> {
        let Snowflake { api, mapping } = &self.snowflake;
        let ceiling = ceiling(api, mapping.overlap_secs).await?;
        let columns = Columns::look(api, mapping).await?;
        columns.description.require_sound()?;
        let (sql, binds) = Select::new(&columns, mapping).in_order(&self.rows, self.after.as_ref());
        let statement = Statement { sql, binds, wait: STATEMENT_WAIT, is_long: true };
        let rows = run(api, &statement).await.map_err(|refusal| told(refusal, mapping))?;
        Ok((ceiling, columns, rows))
    }

    async fn read_all(&self, columns: &Columns, mut rows: Rowset) -> Result<(), SourceError> {
        let mapping = &self.snowflake.mapping;
        let cells = Cells::new(columns, mapping, &self.rows);
        let mut fold =
            Fold::new(&self.filter, columns.attributes.clone(), mapping.zone, self.digester.as_ref(), None);
        while let Some(part) = rows.next().await? {
            for row in part.rows() {
                let row = row.filter(|row| row.len() == cells.width).ok_or_else(incomplete)?;
                let (key, time) = (cells.key(&row), cells.time(&row));
                if !fold.wants(key, time) {
                    continue;
                }
                if let Some(chunk) = fold.cut_before(key)
                    && self.sender.send(Ok(Some(chunk))).await.is_err()
                {
                    return Ok(());
                }
                fold.push(key, time, |index| cells.value(&row, index));
                if let Some(count) = cells.count(&row) {
                    fold.stands_for(count);
                }
            }
        }
        let last = fold.finish();
        if !last.is_empty() {
            // Nobody may want it any more.
            drop(self.sender.send(Ok(Some(last))).await);
        }
        Ok(())
    }
}

/// Names may have changed since they were looked at.
fn told(refusal: Refusal, mapping: &Mapping) -> SourceError {
    match refusal {
        Refusal::Other(error) => error,
        Refusal::Statement(failure, access) => failure.means_of(mapping, &access.place),
    }
}

/// How to read the cells of a row.
struct Cells {
    key: Shape,
    time: Shape,
    values: Vec<Shape>,
    zone: Zone,
    width: usize,
    has_count: bool,
}

impl Cells {
    fn new(columns: &Columns, mapping: &Mapping, rows: &Rows) -> Self {
        let shape = |name: &str| columns.found(name).shape;
        let values: Vec<Shape> =
            mapping.attributes.iter().map(|attribute| shape(&attribute.column)).collect();
        let has_count = Select::takes_latest(columns, mapping, rows);
        Self {
            key: shape(&mapping.key),
            time: shape(&mapping.updated_at),
            width: 2 + values.len() + usize::from(has_count),
            values,
            zone: mapping.zone,
            has_count,
        }
    }

    fn key<'r>(&self, row: &'r [Cell<'_>]) -> RawKey<'r> {
        match (&row[0], self.key) {
            (Cell::Null, _) => RawKey::Null,
            (Cell::Odd, _) => RawKey::Blob(&[]),
            (cell @ Cell::Text(_), Shape::Integer) => match Shape::Integer.value(cell, self.zone) {
                Value::Integer(number) => RawKey::Integer(number),
                _ => RawKey::Blob(&[]),
            },
            (Cell::Text(text), _) => RawKey::Text(text.as_bytes()),
        }
    }

    fn time<'r>(&self, row: &'r [Cell<'_>]) -> Value<'r> {
        self.time.value(&row[1], self.zone)
    }

    fn value<'r>(&self, row: &'r [Cell<'_>], index: usize) -> Value<'r> {
        self.values[index].value(&row[index + 2], self.zone)
    }

    /// How many rows there are of the customer, where only its latest are given.
    fn count(&self, row: &[Cell<'_>]) -> Option<u32> {
        let cell = row.last().filter(|_| self.has_count)?;
        cell.text()?.parse().ok()
    }
}

/// The first customers of an unordered look.
pub(super) async fn sample(api: &Arc<Api>, mapping: &Mapping, rows: usize) -> Result<Chunk, SourceError> {
    let columns = Columns::look(api, mapping).await?;
    columns.description.require_sound()?;
    let sql = Select::new(&columns, mapping).some(rows.min(CHUNK_CUSTOMERS));
    let statement = Statement { is_long: true, ..Statement::short(sql, SAMPLE_WAIT) };
    let mut rows = run(api, &statement).await.map_err(|refusal| told(refusal, mapping))?;
    let cells = Cells::new(&columns, mapping, &Rows::Only(Arc::default()));
    let mut builder = ChunkBuilder::new(columns.attributes.clone(), mapping.zone);
    while let Some(part) = rows.next().await? {
        for row in part.rows() {
            let row = row.filter(|row| row.len() == cells.width).ok_or_else(incomplete)?;
            builder.push(cells.key(&row).value(), cells.time(&row), |index| cells.value(&row, index));
        }
    }
    Ok(builder.take())
}
