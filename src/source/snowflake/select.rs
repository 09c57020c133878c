//! The SELECT behind a read: which rows, in which order, from where on.
//!
//! What Snowflake leaves out is left out for good; what it gives is looked at again by the filter, which knows zones
//! and spellings exactly. So each condition may let through too much, never too little. Values are bound, and placed
//! by their order in the text.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::columns::{Columns, Found};
use super::shape::Shape;
use super::statement::Bind;
use crate::customer::{Kind, Position};
use crate::source::Rows;
use crate::source::mapping::Mapping;

/// Characters of a key that are read: one more than can be used.
const KEY_CHARS: usize = 988;
/// Most spaces of a blank key that a delta looks for; longer ones are seen when they change, and by full runs. Looking
/// for every blank key would read the whole table for every delta.
const BLANK_SPACES: usize = 8;
/// Characters of a key that surely stays within the 987 bytes Braze takes, at four bytes each.
const SHORT_KEY_CHARS: usize = 246;
/// Of local times some happen twice or never: this covers every zone's change.
const ZONE_SLACK: TimeDelta = TimeDelta::hours(3);
/// Bytes of named keys in one binding. Snowflake reads a document of up to 16 MB. Source: Snowflake docs, PARSE_JSON.
const NAMED_BYTES: usize = 8 << 20;

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

    /// Whether only the latest rows of each customer are asked for, with a count of all of them as the last column:
    /// where every row is read, and Snowflake can tell which is the latest as exactly as the fold would.
    pub(super) fn takes_latest(columns: &Columns, mapping: &Mapping, rows: &Rows) -> bool {
        let is_exact = match columns.found(&mapping.updated_at).shape {
            Shape::Instant | Shape::Date => true,
            // Elsewhere an hour in autumn happens twice, and one in spring never.
            Shape::Local => mapping.timezone == "UTC",
            _ => false,
        };
        is_exact && matches!(rows, Rows::All)
    }

    /// Key, time, then the attributes, by key.
    pub(super) fn in_order(mut self, rows: &Rows, after: Option<&Position>) -> (String, Vec<Bind>) {
        let mut list = self.list();
        let latest = Self::takes_latest(self.columns, self.mapping, rows);
        if latest {
            list.push(format!("COUNT(*) OVER (PARTITION BY {})", self.key_order()));
        }
        let named = self.named(rows);
        let conditions: Vec<String> =
            [self.asked_for(rows), after.map(|after| self.from(after))].into_iter().flatten().collect();
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let latest = if latest { self.only_latest() } else { String::new() };
        let (list, relation, order) = (list.join(", "), &self.columns.relation, self.key_order());
        let sql =
            format!("SELECT {list} FROM {relation}{named}{condition}{latest} ORDER BY {order} NULLS LAST");
        (sql, self.binds)
    }

    /// The same columns, in no order.
    pub(super) fn some(&self, rows: usize) -> String {
        format!("SELECT {} FROM {} LIMIT {rows}", self.list().join(", "), self.columns.relation)
    }

    fn list(&self) -> Vec<String> {
        let key = match self.key().shape {
            Shape::Integer => self.key().sql.clone(),
            _ => format!("LEFT({}, {KEY_CHARS})", self.key_order()),
        };
        let time = self.time();
        let values = self.columns.attributes.iter().map(|attribute| {
            let found = self.columns.found(&attribute.column);
            found.shape.select(&found.sql, attribute.kind)
        });
        [key, time.shape.select(&time.sql, Kind::Timestamp)].into_iter().chain(values).collect()
    }

    fn key(&self) -> &'c Found {
        self.columns.found(&self.mapping.key)
    }

    fn time(&self) -> &'c Found {
        self.columns.found(&self.mapping.updated_at)
    }

    /// Bytes decide, whatever the column's collation holds equal.
    fn key_order(&self) -> String {
        let key = self.key();
        match key.shape {
            Shape::Integer => key.sql.clone(),
            Shape::Text if key.is_collated => format!("COLLATE({}, 'utf8')", key.sql),
            Shape::Text => key.sql.clone(),
            _ => format!("TO_VARCHAR({})", key.sql),
        }
    }

    fn bind(&mut self, bind: Bind) -> &'static str {
        self.binds.push(bind);
        "?"
    }

    /// Named keys as a table beside the rows: one binding for many keys, and no bound on a list's length.
    fn named(&mut self, rows: &Rows) -> String {
        let keys = match rows {
            Rows::Only(keys) | Rows::Since { after: Some(_), also: keys } => keys,
            Rows::All | Rows::Since { after: None, .. } => return String::new(),
        };
        if keys.is_empty() && !matches!(rows, Rows::Only(_)) {
            return String::new();
        }
        // NUL is in no JSON that Snowflake reads.
        let mut sorted: Vec<&str> =
            keys.iter().map(String::as_str).filter(|key| !key.contains('\0')).collect();
        sorted.sort_unstable();
        let tables: Vec<String> = documents(&sorted).into_iter().map(|keys| self.named_table(keys)).collect();
        let key = match self.key().shape {
            Shape::Integer => format!("TO_VARCHAR({})", self.key().sql),
            _ => self.key_order(),
        };
        format!(" LEFT JOIN ({}) AS named ON named.k = {key}", tables.join(" UNION ALL "))
    }

    fn named_table(&mut self, keys: String) -> String {
        let place = self.bind(Bind::text(keys));
        format!("SELECT f.VALUE::VARCHAR AS k FROM TABLE(FLATTEN(INPUT => PARSE_JSON({place}))) AS f")
    }

    fn asked_for(&mut self, rows: &Rows) -> Option<String> {
        match rows {
            Rows::All => None,
            Rows::Only(_) => Some("named.k IS NOT NULL".to_owned()),
            Rows::Since { after, also } => {
                let recent = self.changed_after((*after)?);
                let mut any = vec![recent?, format!("{} IS NULL", self.key().sql)];
                if self.key().shape == Shape::Text {
                    let blank: Vec<&str> =
                        (0..=BLANK_SPACES).map(|spaces| self.bind(Bind::text(" ".repeat(spaces)))).collect();
                    any.push(format!("{} IN ({})", self.key_order(), blank.join(", ")));
                }
                if !also.is_empty() {
                    any.push("named.k IS NOT NULL".to_owned());
                }
                Some(format!("({})", any.join(" OR ")))
            }
        }
    }

    /// The raw column against one constant, so that Snowflake skips what it knows to be older. None where only reading
    /// the text tells.
    fn changed_after(&mut self, after: DateTime<Utc>) -> Option<String> {
        let time = self.time();
        let (operator, bind) = match time.shape {
            Shape::Instant => (">", Bind::instant(after)),
            Shape::Local => (">", Bind::local(self.on_the_wall(after))),
            Shape::Date => (">=", Bind::date(self.on_the_wall(after))),
            _ => return None,
        };
        let place = self.bind(bind);
        Some(format!("{} {operator} {place}", time.sql))
    }

    /// The instant as the source's clocks show it, early enough to lose nothing.
    fn on_the_wall(&self, at: DateTime<Utc>) -> NaiveDateTime {
        match self.mapping.timezone.parse::<chrono_tz::Tz>() {
            Ok(zone) if self.mapping.timezone != "UTC" => {
                let wall = at.with_timezone(&zone).naive_local();
                wall.checked_sub_signed(ZONE_SLACK).unwrap_or(wall)
            }
            _ => at.naive_utc(),
        }
    }

    /// NULL keys come last.
    fn from(&mut self, after: &Position) -> String {
        let key = self.key_order();
        let bind = match (after, self.key().shape) {
            (Position::Integer(number), Shape::Integer) => Bind::integer(*number),
            // The column has become text since it was read.
            (Position::Integer(number), _) => Bind::text(number.to_string()),
            (Position::Text(text), _) => Bind::text(text),
        };
        let place = self.bind(bind);
        format!("({key} > {place} OR {key} IS NULL)")
    }

    /// Leaves of a customer's rows those of the latest time, to the microsecond, all of them: which of equal ones wins
    /// is decided by their values, as everywhere. Rows whose key cannot be used stand each on its own.
    fn only_latest(&mut self) -> String {
        let (key, time) = (self.key_order(), self.time());
        let time = match time.shape {
            Shape::Date => time.sql.clone(),
            _ => format!("DATE_TRUNC('MICROSECOND', {})", time.sql),
        };
        let unusable = match self.key().shape {
            Shape::Text => {
                let place = self.bind(Bind::text(white_space()));
                format!(" OR TRANSLATE({key}, {place}, '') = '' OR LENGTH({key}) > {SHORT_KEY_CHARS}")
            }
            _ => String::new(),
        };
        let latest = format!("MAX({time}) OVER (PARTITION BY {key})");
        format!(" QUALIFY {key} IS NULL{unusable} OR {time} = {latest} OR {latest} IS NULL")
    }
}

/// What makes a key blank.
fn white_space() -> String {
    ('\0'..='\u{ffff}').filter(|letter| letter.is_whitespace()).collect()
}

/// Lists of keys as JSON, none larger than one binding may be.
fn documents(keys: &[&str]) -> Vec<String> {
    let (mut documents, mut held, mut bytes) = (Vec::new(), Vec::new(), 0);
    let close =
        |held: &mut Vec<&str>| serde_json::to_string(&std::mem::take(held)).expect("strings are JSON");
    for key in keys {
        if bytes + key.len() > NAMED_BYTES {
            documents.push(close(&mut held));
            bytes = 0;
        }
        held.push(key);
        bytes += key.len();
    }
    documents.push(close(&mut held));
    documents
}
