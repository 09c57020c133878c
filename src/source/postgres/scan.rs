//! The scan itself: one snapshot after another until every row has passed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row, ValueRef};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::columns::Columns;
use super::connect::{STATEMENT_WAIT, answered, begin, connect};
use super::dialect::Dialect;
use super::error::unreachable;
use super::order::Order;
use super::select::{Select, bound};
use super::shape::Shape;
use super::{Ceiling, Postgres};
use crate::customer::{Chunk, ChunkBuilder, Digester, Value, Zone};
use crate::source::filter::Filter;
use crate::source::fold::{Fold, RawKey, Resume, Went};
use crate::source::mapping::{Mapping, Relation};
use crate::source::reading::Handed;
use crate::source::{CHUNK_CUSTOMERS, Rows, Selection, SourceError};

/// The server gives up a statement after [`STATEMENT_WAIT`]; so long after that, nobody is there to say so.
const SILENCE_WAIT: Duration = Duration::from_secs(30);
/// A goodbye takes no longer; without one the server finds out by itself.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Known once the first snapshot stands.
pub(super) struct Opened {
    pub ceiling: DateTime<Utc>,
    pub total: Option<u64>,
}

type Ready = oneshot::Sender<Result<Opened, SourceError>>;

/// A scan on its own task.
pub(super) struct Scan {
    postgres: Postgres,
    rows: Rows,
    filter: Filter,
    digester: Option<Digester>,
    resume: Option<Resume>,
    sender: mpsc::Sender<Handed>,
}

impl Scan {
    pub(super) fn new(postgres: Postgres, selection: Selection, sender: mpsc::Sender<Handed>) -> Self {
        let filter = Filter::new(selection.rows.clone(), postgres.mapping.zone);
        let resume = selection.after.map(Resume::After);
        let digester = selection.digester;
        Self { postgres, rows: selection.rows, filter, digester, resume, sender }
    }

    /// Reads to the end, or until nobody wants any more.
    pub(super) async fn run(mut self, ready: Ready) {
        let mut ready = Some(ready);
        let ended = self.read_all(&mut ready).await;
        // Whoever asked may be gone; then nobody needs to know.
        match (ended, ready) {
            (Err(error), Some(ready)) => drop(ready.send(Err(error))),
            (Err(error), None) => drop(self.sender.send(Err(error)).await),
            (Ok(()), _) => drop(self.sender.send(Ok(None)).await),
        }
    }

    async fn read_all(&mut self, ready: &mut Option<Ready>) -> Result<(), SourceError> {
        loop {
            // Cursor, snapshot and connection are gone when this returns: before the wait, not after.
            let (chunk, is_last) = match self.read_on(ready).await? {
                Went::Unwanted => return Ok(()),
                Went::Waiting(chunk) => (chunk, false),
                Went::ToTheEnd(chunk) => (chunk, true),
            };
            let is_wanted = chunk.is_empty() || self.sender.send(Ok(Some(chunk))).await.is_ok();
            if is_last || !is_wanted {
                return Ok(());
            }
        }
    }

    /// Connects and reads one snapshot.
    async fn read_on(&mut self, ready: &mut Option<Ready>) -> Result<Went, SourceError> {
        let mapping = self.postgres.mapping.clone();
        let mut connection = connect(self.postgres.dialect, &self.postgres.login).await?;
        let (opened, columns) =
            answered(self.postgres.dialect, self.open_cursor(&mut connection, ready.is_some())).await?;
        if let (Some(ready), Some(opened)) = (ready.take(), opened)
            && ready.send(Ok(opened)).is_err()
        {
            return Ok(Went::Unwanted);
        }
        let resume = self.resume.take();
        let fold = Fold::new(
            &self.filter,
            columns.attributes.clone(),
            mapping.zone,
            self.digester.as_ref(),
            resume.as_ref(),
        );
        let cells = Cells::new(&columns, &mapping);
        let (went, resume) = self.fetch_all(&mut connection, &cells, fold).await?;
        self.resume = resume;
        // A snapshot let go in the middle of an answer is simply hung up on.
        if matches!(went, Went::ToTheEnd(_)) {
            drop(timeout(CLOSE_WAIT, connection.close()).await);
        }
        Ok(went)
    }

    /// Takes the snapshot and declares the cursor in it; of the first one, tells what is to be known of it.
    async fn open_cursor(
        &self,
        connection: &mut PgConnection,
        is_first: bool,
    ) -> Result<(Option<Opened>, Columns), SourceError> {
        let (dialect, mapping) = (self.postgres.dialect, &self.postgres.mapping);
        // Before the snapshot: who begins to write after this look stamps its rows later still.
        let ceiling = match is_first {
            true => Some(Ceiling::look(dialect, connection, mapping.overlap_secs).await?.at),
            false => None,
        };
        begin(dialect, connection).await?;
        let columns = Columns::look(dialect, connection, mapping).await?;
        columns.description.require_sound()?;
        self.declare(connection, mapping, &columns).await?;
        let Some(ceiling) = ceiling else { return Ok((None, columns)) };
        let total = self.total(connection, &columns, mapping).await?;
        Ok((Some(Opened { ceiling, total }), columns))
    }

    async fn declare(
        &self,
        connection: &mut PgConnection,
        mapping: &Mapping,
        columns: &Columns,
    ) -> Result<(), SourceError> {
        let dialect = self.postgres.dialect;
        let (select, binds) = Select::new(columns, mapping).in_order(&self.rows, self.resume.as_ref());
        let declare = AssertSqlSafe(dialect.declare(&select));
        let declared = match dialect {
            Dialect::Postgres => {
                bound(sqlx::query(declare).persistent(false), binds).execute(connection).await
            }
            Dialect::Redshift => sqlx::raw_sql(declare).execute(connection).await,
        };
        declared.map(drop).map_err(|error| dialect.unprepared(&error, mapping))
    }

    /// PostgreSQL's own estimate, for a whole table.
    async fn total(
        &self,
        connection: &mut PgConnection,
        columns: &Columns,
        mapping: &Mapping,
    ) -> Result<Option<u64>, SourceError> {
        let is_whole = matches!(self.rows, Rows::All) && self.resume.is_none();
        let is_known = self.postgres.dialect == Dialect::Postgres;
        if !is_known || !is_whole || matches!(mapping.relation, Relation::Query(_)) {
            return Ok(None);
        }
        let estimate: Option<i64> = sqlx::query_scalar(
            "-- total
            SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass($1) AND reltuples > 0",
        )
        .bind(columns.relation.trim_end_matches(" AS s"))
        .persistent(false)
        .fetch_optional(connection)
        .await
        .map_err(|error| self.postgres.dialect.failed(&error))?;
        Ok(estimate.and_then(|rows| u64::try_from(rows).ok()))
    }

    async fn fetch_all(
        &self,
        connection: &mut PgConnection,
        cells: &Cells,
        mut fold: Fold<'_>,
    ) -> Result<(Went, Option<Resume>), SourceError> {
        let (dialect, mut order) = (self.postgres.dialect, Order::default());
        let fetch_rows = dialect.fetch_rows();
        loop {
            let fetch = format!("FETCH FORWARD {fetch_rows} FROM peak_braze_rows");
            // The simple protocol: the server prints every value as text.
            let mut rows = sqlx::raw_sql(AssertSqlSafe(fetch)).fetch(&mut *connection);
            let mut fetched = 0;
            while let Some(row) = next(dialect, rows.try_next()).await? {
                fetched += 1;
                let key = cells.key(&row);
                order.require(key)?;
                if !fold.wants(key, cells.time(&row)) {
                    continue;
                }
                if let Some(chunk) = fold.cut_before(key) {
                    match self.offer(chunk).await {
                        Offered::Taken => {}
                        Offered::NoRoom(chunk) => {
                            return Ok((Went::Waiting(chunk), Some(fold.resume_at(key))));
                        }
                        Offered::Unwanted => return Ok((Went::Unwanted, None)),
                    }
                }
                fold.push(key, cells.time(&row), |index| cells.value(&row, index));
            }
            if fetched < fetch_rows {
                return Ok((Went::ToTheEnd(fold.finish()), None));
            }
        }
    }

    async fn offer(&self, chunk: Chunk) -> Offered {
        match timeout(self.postgres.hold, self.sender.reserve()).await {
            Ok(Ok(room)) => {
                room.send(Ok(Some(chunk)));
                Offered::Taken
            }
            Ok(Err(_)) => Offered::Unwanted,
            Err(_) => Offered::NoRoom(chunk),
        }
    }
}

/// What became of a hand-over.
enum Offered {
    Taken,
    /// There was no room for as long as a snapshot may be held.
    NoRoom(Chunk),
    /// Nobody wants any more.
    Unwanted,
}

async fn next(
    dialect: Dialect,
    row: impl Future<Output = Result<Option<PgRow>, sqlx::Error>>,
) -> Result<Option<PgRow>, SourceError> {
    match timeout(STATEMENT_WAIT + SILENCE_WAIT, row).await {
        Ok(row) => row.map_err(|error| dialect.failed(&error)),
        Err(_) => Err(unreachable(&format!("{} fell silent", dialect.name()))),
    }
}

/// How to read the cells of a row.
struct Cells {
    key: Shape,
    time: Shape,
    values: Vec<Shape>,
    zone: Zone,
}

impl Cells {
    fn new(columns: &Columns, mapping: &Mapping) -> Self {
        let shape = |name: &str| columns.found(name).shape;
        Self {
            key: shape(&mapping.key),
            time: shape(&mapping.updated_at),
            values: mapping.attributes.iter().map(|attribute| shape(&attribute.column)).collect(),
            zone: mapping.zone,
        }
    }

    fn key<'r>(&self, row: &'r PgRow) -> RawKey<'r> {
        match (self.key, text(row, 0)) {
            (_, None) => RawKey::Null,
            (Shape::Integer, Some(bytes)) => match Shape::Integer.value(Some(bytes), self.zone) {
                Value::Integer(number) => RawKey::Integer(number),
                _ => RawKey::Null,
            },
            (_, Some(bytes)) => RawKey::Text(bytes),
        }
    }

    fn time<'r>(&self, row: &'r PgRow) -> Value<'r> {
        self.time.time(text(row, 1), self.zone)
    }

    fn value<'r>(&self, row: &'r PgRow, index: usize) -> Value<'r> {
        self.values[index].value(text(row, index + 2), self.zone)
    }
}

/// A cell as the server printed it; none of NULL.
fn text(row: &PgRow, index: usize) -> Option<&[u8]> {
    let cell = row.try_get_raw(index).expect("the cursor selects this column");
    if cell.is_null() { None } else { cell.as_bytes().ok() }
}

/// The first customers of an unordered look.
pub(super) async fn sample(
    connection: &mut PgConnection,
    mapping: &Mapping,
    columns: &Columns,
    rows: usize,
) -> Result<Chunk, SourceError> {
    let select = Select::new(columns, mapping).some();
    let limited = format!("{select} LIMIT {}", rows.min(CHUNK_CUSTOMERS));
    let mut rows = sqlx::raw_sql(AssertSqlSafe(limited)).fetch(connection);
    let cells = Cells::new(columns, mapping);
    let mut builder = ChunkBuilder::new(columns.attributes.clone(), mapping.zone);
    while let Some(row) = next(columns.dialect, rows.try_next()).await? {
        builder.push(cells.key(&row).value(), cells.time(&row), |index| cells.value(&row, index));
    }
    Ok(builder.take())
}
