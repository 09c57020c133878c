//! The SELECT behind a read: which rows, in which order, from where on.
//!
//! What the server leaves out is left out for good; what it gives is looked at again by the filter, which knows
//! zones and spellings exactly. So each condition may let through too much, never too little.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

use super::columns::{Columns, Found};
use super::dialect::Dialect;
use super::literal;
use super::shape::Shape;
use crate::customer::{Kind, Position};
use crate::source::Rows;
use crate::source::fold::{Key, Resume};
use crate::source::mapping::Mapping;

/// Characters of a key that are read: one more than can be used.
const KEY_CHARS: usize = 988;
/// Most spaces of a blank key that a delta finds by an index; longer ones are seen when they change, and by full
/// runs. Looking for every blank or over-long key would read the whole table for every delta.
const BLANK_SPACES: usize = 8;
/// Most bytes of keys that are written into a statement; with more, every row is read and the filter decides.
/// Redshift takes statements of 16 MB. Source: Redshift docs, SQL reference.
const KEYS_BYTES: usize = 4 << 20;

/// A value bound to the statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bind {
    Instant(DateTime<Utc>),
    Text(String),
    Integer(i64),
    Texts(Vec<String>),
    Integers(Vec<i64>),
}

/// A statement in the making.
pub(super) struct Select<'c> {
    columns: &'c Columns,
    mapping: &'c Mapping,
    binds: Vec<Bind>,
}

impl<'c> Select<'c> {
    pub(super) fn new(columns: &'c Columns, mapping: &'c Mapping) -> Self {
        Self { columns, mapping, binds: Vec::new() }
    }

    /// Key, time, then the attributes, by key.
    pub(super) fn in_order(mut self, rows: &Rows, resume: Option<&Resume>) -> (String, Vec<Bind>) {
        let conditions: Vec<String> =
            [self.asked_for(rows), resume.map(|resume| self.from(resume))].into_iter().flatten().collect();
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let sql = format!("{}{condition} ORDER BY {}", self.some(), self.key_order());
        (sql, self.binds)
    }

    /// The same columns, in no order.
    pub(super) fn some(&self) -> String {
        let key = self.key();
        let key = match key.shape {
            Shape::Integer => key.sql.clone(),
            _ => format!("left({}, {KEY_CHARS})", self.key_text()),
        };
        let (time, dialect) = (self.time(), self.columns.dialect);
        let time = time.shape.select(dialect, &time.sql, Kind::Timestamp);
        let values = self.columns.attributes.iter().map(|attribute| {
            let found = self.columns.found(&attribute.column);
            found.shape.select(dialect, &found.sql, attribute.kind)
        });
        let list = [key, time].into_iter().chain(values).collect::<Vec<_>>().join(", ");
        format!("SELECT {list} FROM {}", self.columns.relation)
    }

    fn key(&self) -> &'c Found {
        self.columns.found(&self.mapping.key)
    }

    fn time(&self) -> &'c Found {
        self.columns.found(&self.mapping.updated_at)
    }

    fn key_text(&self) -> String {
        let key = self.key();
        key.shape.text(self.columns.dialect, &key.sql)
    }

    /// What keys are compared by. Bytes decide, whatever the column's collation holds equal; Redshift knows no other
    /// order, but for columns that ignore case, and those a scan refuses. Source: Redshift docs, Collation sequences.
    fn ordered_key(&self) -> String {
        match (self.key().shape, self.columns.dialect) {
            (Shape::Integer, _) => self.key().sql.clone(),
            (_, Dialect::Postgres) => format!("{} COLLATE \"C\"", self.key_text()),
            (_, Dialect::Redshift) => self.key_text(),
        }
    }

    /// To Redshift texts that differ in blanks at their end are equal: their length tells them apart. Source: Redshift
    /// docs, Character types, Significance of trailing blanks.
    fn key_order(&self) -> String {
        let key = self.ordered_key();
        match (self.key().shape, self.columns.dialect) {
            (Shape::Integer, _) | (_, Dialect::Postgres) => key,
            (_, Dialect::Redshift) => format!("{key}, octet_length({key})"),
        }
    }

    /// Where a value stands in the statement: as a parameter, or written out. Redshift binds parameters only in
    /// statements that are prepared, which the driver does not do without asking what Redshift does not have.
    fn place(&mut self, bind: Bind) -> String {
        match self.columns.dialect {
            Dialect::Postgres => {
                self.binds.push(bind);
                format!("${}", self.binds.len())
            }
            Dialect::Redshift => match bind {
                Bind::Instant(at) => literal::instant(at),
                Bind::Text(text) => literal::text(&text),
                Bind::Integer(number) => number.to_string(),
                Bind::Texts(texts) => list(texts.iter().map(|text| literal::text(text))),
                Bind::Integers(numbers) => list(numbers.iter().map(i64::to_string)),
            },
        }
    }

    fn asked_for(&mut self, rows: &Rows) -> Option<String> {
        match rows {
            Rows::All => None,
            Rows::Only(keys) | Rows::Since { also: keys, .. } if self.are_too_many(keys.iter()) => None,
            Rows::Only(keys) => Some(self.key_is_one_of(keys.iter())),
            Rows::Since { after, also } => {
                let recent = self.changed_after((*after)?)?;
                let mut any = vec![recent, format!("{} IS NULL", self.key().sql)];
                if self.key().shape != Shape::Integer {
                    let blank: Vec<String> = (0..=BLANK_SPACES).map(|spaces| " ".repeat(spaces)).collect();
                    any.push(self.key_is_one_of(blank.iter()));
                }
                if !also.is_empty() {
                    any.push(self.key_is_one_of(also.iter()));
                }
                Some(format!("({})", any.join(" OR ")))
            }
        }
    }

    fn are_too_many<'k>(&self, keys: impl Iterator<Item = &'k String>) -> bool {
        let bytes = |key: &String| literal::text(key).len();
        self.columns.dialect == Dialect::Redshift && keys.map(bytes).sum::<usize>() > KEYS_BYTES
    }

    fn key_is_one_of<'k>(&mut self, keys: impl Iterator<Item = &'k String>) -> String {
        let (key, bind) = match self.key().shape {
            Shape::Integer => {
                let numbers: Vec<i64> = keys.filter_map(|key| key.parse().ok()).collect();
                (self.key().sql.clone(), Bind::Integers(numbers))
            }
            _ => {
                // NUL is in no PostgreSQL text, and refused in a parameter.
                let texts = keys.filter(|key| !key.contains('\0')).cloned().collect();
                (self.key_text(), Bind::Texts(texts))
            }
        };
        let place = self.place(bind);
        match self.columns.dialect {
            Dialect::Postgres => format!("{key} = ANY({place})"),
            Dialect::Redshift => format!("{key} IN {place}"),
        }
    }

    /// The raw column against one constant, so that an index on it serves. Of local times some happen twice or
    /// never: three hours cover every zone's change. None where only reading the text tells.
    fn changed_after(&mut self, after: DateTime<Utc>) -> Option<String> {
        let time = self.time();
        let is_utc = self.mapping.timezone == "UTC";
        match time.shape {
            Shape::Instant => {
                let place = self.place(Bind::Instant(after));
                Some(format!("{} > {place}", time.sql))
            }
            Shape::Local | Shape::Date => {
                let place = self.place(Bind::Instant(after));
                let zone = self.place(Bind::Text(self.mapping.timezone.clone()));
                let slack = if is_utc { "" } else { " - interval '3 hours'" };
                let local = format!("(({place} AT TIME ZONE {zone}){slack})");
                Some(match time.shape {
                    Shape::Date => format!("{} >= {local}::date", time.sql),
                    _ => format!("{} > {local}", time.sql),
                })
            }
            _ => None,
        }
    }

    /// NULL keys come last.
    fn from(&mut self, resume: &Resume) -> String {
        let key = self.ordered_key();
        let (operator, bind) = match resume {
            Resume::After(Position::Integer(number)) => (">", self.key_bind(*number)),
            Resume::After(Position::Text(text)) => (">", Bind::Text(text.clone())),
            Resume::At(Key::Integer(number), _) => (">=", self.key_bind(*number)),
            Resume::At(Key::Text(bytes), _) => {
                (">=", Bind::Text(String::from_utf8_lossy(bytes).into_owned()))
            }
            Resume::At(Key::Null | Key::Real(_) | Key::Blob(_), _) => return format!("{key} IS NULL"),
        };
        let length = match &bind {
            Bind::Text(text) if self.columns.dialect == Dialect::Redshift => Some(text.len()),
            _ => None,
        };
        let place = self.place(bind);
        match length {
            None => format!("({key} {operator} {place} OR {key} IS NULL)"),
            // Those that differ in blanks at their end alone.
            Some(bytes) => format!(
                "({key} > {place} OR ({key} = {place} AND octet_length({key}) {operator} {bytes}) OR {key} IS NULL)"
            ),
        }
    }

    /// A number, unless the column has become text since it was read.
    fn key_bind(&self, number: i64) -> Bind {
        match self.key().shape {
            Shape::Integer => Bind::Integer(number),
            _ => Bind::Text(number.to_string()),
        }
    }
}

/// In brackets; never empty, which would be no SQL.
fn list(items: impl Iterator<Item = String>) -> String {
    let items = items.collect::<Vec<_>>().join(", ");
    if items.is_empty() { "(NULL)".to_owned() } else { format!("({items})") }
}

/// The query with its values bound.
pub(super) fn bound<'q>(
    query: Query<'q, Postgres, PgArguments>,
    binds: Vec<Bind>,
) -> Query<'q, Postgres, PgArguments> {
    binds.into_iter().fold(query, |query, bind| match bind {
        Bind::Instant(at) => query.bind(at),
        Bind::Text(text) => query.bind(text),
        Bind::Integer(number) => query.bind(number),
        Bind::Texts(texts) => query.bind(texts),
        Bind::Integers(numbers) => query.bind(numbers),
    })
}
