//! A few thousand customers as read from a source, in one set of buffers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{KeyDigits, key_text};
use super::{Attribute, Code, Digester, UpdatedAt, Value, Zone};

/// Where one value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// JSON in the chunk's bytes.
    Json {
        /// First byte.
        start: u32,
        /// Number of bytes.
        len: u32,
    },
    /// To be removed in Braze.
    Null,
    /// Not to be sent.
    Absent,
    /// Cannot be sent.
    Invalid(Code),
}

impl Cell {
    pub(super) fn json(start: usize, end: usize) -> Self {
        let start32 = u32::try_from(start).expect("a chunk stays far under 4 GiB");
        Self::Json { start: start32, len: u32::try_from(end - start).expect("a chunk stays far under 4 GiB") }
    }
}

/// A row's key in the source's own form, to read on from after a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// An integer key.
    Integer(i64),
    /// A text key.
    Text(String),
}

/// One customer of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Customer {
    key_start: u32,
    key_len: u32,
    key_is_integer: bool,
    /// When its winning row says it last changed.
    pub updated_at: UpdatedAt,
    /// How many rows were read for it; the last `updated_at` won.
    pub rows: u32,
    /// Why nothing of it can be sent, if so. One with [`Code::BadKey`] has no position and stands for one row.
    pub bad: Option<Code>,
}

/// Customers as read, each once, in the source's key order, their values in Braze's JSON form.
#[derive(Debug, Default)]
pub struct Chunk {
    keys: String,
    /// Values.
    bytes: Vec<u8>,
    customers: Vec<Customer>,
    cells: Vec<Cell>,
    width: usize,
    /// One for each cell, once they are made; zero where there is no value.
    digests: Vec<u64>,
}

impl Chunk {
    /// The customers, in the order read.
    pub fn customers(&self) -> &[Customer] {
        &self.customers
    }

    /// How many customers there are.
    pub fn len(&self) -> usize {
        self.customers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
    }

    /// Bytes of keys and values held.
    pub fn bytes(&self) -> usize {
        self.keys.len() + self.bytes.len()
    }

    /// The key of customer `index`, as Braze takes it; of a bad key, what can be shown of it.
    pub fn key(&self, index: usize) -> &str {
        let customer = &self.customers[index];
        let (start, len) = (customer.key_start as usize, customer.key_len as usize);
        &self.keys[start..start + len]
    }

    /// The same as bytes, by which keys are ordered, compared and hashed.
    pub fn key_bytes(&self, index: usize) -> &[u8] {
        self.key(index).as_bytes()
    }

    /// The cells of customer `index`, one per mapped attribute.
    pub fn cells(&self, index: usize) -> &[Cell] {
        &self.cells[index * self.width..(index + 1) * self.width]
    }

    /// The JSON of a cell that has any.
    pub fn json(&self, cell: Cell) -> Option<&[u8]> {
        match cell {
            Cell::Json { start, len } => Some(&self.bytes[start as usize..start as usize + len as usize]),
            Cell::Null => Some(b"null"),
            Cell::Absent | Cell::Invalid(_) => None,
        }
    }

    /// The digests of customer `index`, one per mapped attribute, once they are made; zero where there is no value.
    ///
    /// # Panics
    /// Where they were not made.
    pub fn digests(&self, index: usize) -> &[u64] {
        &self.digests[index * self.width..(index + 1) * self.width]
    }

    /// Makes the digests: best by whoever read the values, to whom they are at hand.
    ///
    /// # Panics
    /// Where there are not as many slots as attributes: values would be compared with others'.
    pub fn digest(&mut self, digester: &Digester) {
        assert_eq!(digester.slots.len(), self.width, "a slot for each attribute");
        let mut digests = Vec::with_capacity(self.cells.len());
        for index in 0..self.len() {
            let hasher = digester.hasher.customer(self.key_bytes(index));
            let values = self.cells(index).iter().zip(&*digester.slots);
            let digest =
                |(cell, slot): (&Cell, &usize)| self.json(*cell).map_or(0, |json| hasher.digest(*slot, json));
            digests.extend(values.map(digest));
        }
        self.digests = digests;
    }

    /// Where to read on from after customer `index`.
    pub fn position(&self, index: usize) -> Option<Position> {
        let customer = &self.customers[index];
        if customer.bad == Some(Code::BadKey) {
            return None;
        }
        let key = self.key(index);
        Some(match customer.key_is_integer {
            true => Position::Integer(key.parse().expect("an integer key is its decimal text")),
            false => Position::Text(key.to_owned()),
        })
    }

    fn cell_order(&self, cell: Cell) -> (u8, &[u8]) {
        match cell {
            Cell::Absent => (0, b""),
            Cell::Null => (1, b""),
            Cell::Invalid(code) => (2, code.as_str().as_bytes()),
            Cell::Json { .. } => (3, self.json(cell).expect("a JSON cell has JSON")),
        }
    }

    /// Whether `cells` come after customer `index`'s: rows of equal `updated_at` are decided by their encoded values.
    fn outdoes(&self, cells: &[Cell], index: usize) -> bool {
        let held = self.cells(index).iter().map(|cell| self.cell_order(*cell));
        cells.iter().map(|cell| self.cell_order(*cell)).gt(held)
    }
}

/// Fills chunks from rows that come grouped by key; of a customer's rows the latest is kept.
#[derive(Debug)]
pub struct ChunkBuilder {
    attributes: Arc<[Attribute]>,
    zone: Zone,
    chunk: Chunk,
    /// Where the values of the customer pushed last begin.
    values_start: usize,
    row: Vec<Cell>,
}

impl ChunkBuilder {
    /// A builder for rows of these attributes; `zone` is for `updated_at` without one.
    pub fn new(attributes: Arc<[Attribute]>, zone: Zone) -> Self {
        let chunk = Chunk { width: attributes.len(), ..Chunk::default() };
        Self { attributes, zone, chunk, values_start: 0, row: Vec::new() }
    }

    /// Customers held so far.
    pub fn len(&self) -> usize {
        self.chunk.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// Bytes held so far.
    pub fn bytes(&self) -> usize {
        self.chunk.bytes()
    }

    /// Takes what is held, leaving the builder empty.
    pub fn take(&mut self) -> Chunk {
        // The next chunk will be about as large: its buffers need not grow step by step.
        let room = |len: usize| len + len / 16;
        let fresh = Chunk {
            keys: String::with_capacity(room(self.chunk.keys.len())),
            bytes: Vec::with_capacity(room(self.chunk.bytes.len())),
            customers: Vec::with_capacity(self.chunk.customers.len() + 1),
            cells: Vec::with_capacity(self.chunk.cells.len() + self.chunk.width),
            width: self.chunk.width,
            digests: Vec::new(),
        };
        std::mem::replace(&mut self.chunk, fresh)
    }

    /// Whether a row with this key begins a new customer, so that the chunk may be taken before it.
    pub fn begins_customer(&self, key: Value<'_>) -> bool {
        let mut digits = KeyDigits::default();
        match key_text(key, &mut digits) {
            Err(_) => true,
            Ok(key) => !self.is_last(key),
        }
    }

    /// Whether the row pushed last had a key that cannot be used.
    pub fn last_is_unusable(&self) -> bool {
        self.chunk.customers.last().is_some_and(|last| last.bad == Some(Code::BadKey))
    }

    /// Says how many rows the customer pushed last has at the source, where only the latest of them are pushed. A row
    /// whose key cannot be used stands for itself.
    pub fn last_stands_for(&mut self, rows: u32) {
        if let Some(last) = self.chunk.customers.last_mut().filter(|last| last.bad != Some(Code::BadKey)) {
            last.rows = rows;
        }
    }

    fn is_last(&self, key: &str) -> bool {
        !self.is_empty()
            && !self.last_is_unusable()
            && self.chunk.key_bytes(self.chunk.len() - 1) == key.as_bytes()
    }

    /// Adds one row; `value` gives the value of the mapped attribute at an index.
    pub fn push<'r>(&mut self, key: Value<'r>, updated_at: Value<'r>, value: impl Fn(usize) -> Value<'r>) {
        let updated_at = self.zone.instant(updated_at);
        let mut digits = KeyDigits::default();
        match key_text(key, &mut digits) {
            Err(shown) => self.begin(&shown, false, updated_at, Some(Code::BadKey)),
            Ok(key) if self.is_last(key) => self.merge(updated_at, value),
            Ok(text) => {
                let bad = (updated_at == UpdatedAt::Unreadable).then_some(Code::BadUpdatedAt);
                self.begin(text, matches!(key, Value::Integer(_)), updated_at, bad);
                if bad.is_none() {
                    self.encode(value);
                    self.keep_row();
                }
            }
        }
    }

    fn begin(&mut self, key: &str, key_is_integer: bool, updated_at: UpdatedAt, bad: Option<Code>) {
        let key_start = u32::try_from(self.chunk.keys.len()).expect("a chunk stays far under 4 GiB");
        self.values_start = self.chunk.bytes.len();
        let key_len = u32::try_from(key.len()).expect("keys are under 988 bytes");
        self.chunk.keys.push_str(key);
        self.chunk.customers.push(Customer { key_start, key_len, key_is_integer, updated_at, rows: 1, bad });
        self.chunk.cells.resize(self.chunk.customers.len() * self.chunk.width, Cell::Absent);
    }

    fn merge<'r>(&mut self, updated_at: UpdatedAt, value: impl Fn(usize) -> Value<'r>) {
        let index = self.chunk.len() - 1;
        let held = &mut self.chunk.customers[index];
        held.rows += 1;
        if updated_at < held.updated_at || updated_at == UpdatedAt::Unreadable {
            return;
        }
        let is_later = updated_at > held.updated_at;
        held.updated_at = updated_at;
        held.bad = None;
        let row_start = self.chunk.bytes.len();
        self.encode(value);
        if is_later || self.chunk.outdoes(&self.row, index) {
            self.replace_row(row_start);
        } else {
            self.chunk.bytes.truncate(row_start);
        }
    }

    /// Puts the row just encoded in the place of the last customer's: a customer of a million rows takes no more
    /// room than one of a single row.
    fn replace_row(&mut self, row_start: usize) {
        self.chunk.bytes.drain(self.values_start..row_start);
        let moved = u32::try_from(row_start - self.values_start).expect("a chunk stays far under 4 GiB");
        for cell in &mut self.row {
            if let Cell::Json { start, .. } = cell {
                *start -= moved;
            }
        }
        self.keep_row();
    }

    fn encode<'r>(&mut self, value: impl Fn(usize) -> Value<'r>) {
        self.row.clear();
        for (index, attribute) in self.attributes.iter().enumerate() {
            self.row.push(attribute.encode(value(index), &mut self.chunk.bytes));
        }
    }

    fn keep_row(&mut self) {
        let last = self.chunk.cells.len() - self.chunk.width;
        self.chunk.cells[last..].copy_from_slice(&self.row);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Hasher, Kind, OnLong, OnNull};
    use super::*;

    fn builder() -> ChunkBuilder {
        let number = |column: &str| Attribute {
            column: column.into(),
            name: column.into(),
            kind: Kind::Number,
            round: None,
            on_null: OnNull::Remove,
            on_long: OnLong::Reject,
            zone: Zone::utc(),
        };
        ChunkBuilder::new([number("a"), number("b")].into(), Zone::utc())
    }

    fn push(builder: &mut ChunkBuilder, key: &str, at: i64, a: i64, b: i64) {
        builder.push(Value::Text(key.as_bytes()), Value::Instant(at), |index| Value::Integer([a, b][index]));
    }

    fn values(chunk: &Chunk, index: usize) -> Vec<&str> {
        let json = |cell: &Cell| chunk.json(*cell).expect("a value");
        chunk.cells(index).iter().map(|cell| std::str::from_utf8(json(cell)).expect("JSON")).collect()
    }

    #[test]
    fn latest_row_of_a_customer_wins_wherever_it_stands() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let mut builder = builder();
            for at in order {
                push(&mut builder, "c-1", at, at * 10, 0);
            }
            push(&mut builder, "c-2", 1, 7, 8);
            let chunk = builder.take();
            assert_eq!(chunk.len(), 2);
            assert_eq!((values(&chunk, 0), chunk.customers()[0].rows), (vec!["30", "0"], 3));
            assert_eq!(values(&chunk, 1), ["7", "8"]);
        }
    }

    #[test]
    fn rows_of_equal_time_are_decided_the_same_way_in_any_order() {
        for order in [[1, 2], [2, 1]] {
            let mut builder = builder();
            for value in order {
                push(&mut builder, "c-1", 5, value, 0);
            }
            assert_eq!(values(&builder.take(), 0), ["2", "0"]);
        }
    }

    #[test]
    fn keys_are_bytes_and_unusable_ones_stand_alone() {
        let mut builder = builder();
        let long = "x".repeat(988);
        for key in [Value::Null, Value::Null, Value::Text(b""), Value::Text(b" \t"), Value::Float(1.0)] {
            builder.push(key, Value::Instant(1), |_| Value::Null);
        }
        for key in ["\u{e9}", " e", "e", "E", long.as_str(), long.as_str(), &long[1..]] {
            push(&mut builder, key, 1, 1, 1);
        }
        builder.push(Value::Text(b"\xff"), Value::Instant(1), |_| Value::Null);
        builder.push(Value::Integer(-42), Value::Instant(1), |_| Value::Null);
        let chunk = builder.take();
        let bad = chunk.customers().iter().filter(|customer| customer.bad == Some(Code::BadKey)).count();
        assert_eq!((chunk.len(), bad), (14, 8));
        assert_eq!((chunk.key(12), chunk.position(12)), ("\u{fffd}", None));
        assert_eq!((chunk.key(13), chunk.position(13)), ("-42", Some(Position::Integer(-42))));
    }

    #[test]
    fn an_unreadable_time_spoils_a_customer_only_where_no_row_is_readable() {
        let mut builder = builder();
        for (key, at) in [("c-1", "soon"), ("c-2", "soon"), ("c-2", "2026-01-02"), ("c-2", "later")] {
            builder.push(Value::Text(key.as_bytes()), Value::Text(at.as_bytes()), |_| Value::Integer(1));
        }
        let chunk = builder.take();
        assert_eq!(chunk.customers()[0].bad, Some(Code::BadUpdatedAt));
        assert_eq!((chunk.customers()[1].bad, values(&chunk, 1)), (None, vec!["1", "1"]));
    }

    #[test]
    fn a_customer_of_many_rows_takes_the_room_of_one() {
        let mut builder = builder();
        push(&mut builder, "c-0", 1, 1, 1);
        for at in 0..10_000 {
            push(&mut builder, "c-1", at / 2, at, 7);
        }
        push(&mut builder, "c-2", 1, 2, 3);
        let chunk = builder.take();
        assert_eq!((values(&chunk, 1), chunk.customers()[1].rows), (vec!["9999", "7"], 10_000));
        assert_eq!((values(&chunk, 0), values(&chunk, 2)), (vec!["1", "1"], vec!["2", "3"]));
        assert!(chunk.bytes() < 30, "{}", chunk.bytes());
    }

    #[test]
    fn each_value_has_the_digest_of_its_slot_and_none_where_there_is_no_value() {
        let mut builder = builder();
        push(&mut builder, "c-1", 1, 5, 5);
        builder.push(Value::Text(b"c-2"), Value::Instant(1), |index| [Value::Null, Value::Text(b"x")][index]);
        builder.push(Value::Null, Value::Instant(1), |_| Value::Integer(5));
        let mut chunk = builder.take();
        let hasher = Hasher::new(&[7; 16]);
        chunk.digest(&Digester { hasher: hasher.clone(), slots: [4, 2].into() });
        let (one, two) = (hasher.customer(b"c-1"), hasher.customer(b"c-2"));
        assert_eq!(chunk.digests(0), [one.digest(4, b"5"), one.digest(2, b"5")]);
        assert_eq!(chunk.digests(1), [two.digest(4, b"null"), 0]);
        assert_eq!(chunk.digests(2), [0, 0]);
    }

    #[test]
    fn a_chunk_is_cut_between_customers() {
        let mut builder = builder();
        push(&mut builder, "7", 1, 1, 1);
        assert!(!builder.begins_customer(Value::Integer(7)));
        assert!(builder.begins_customer(Value::Text(b"8")));
        assert!(builder.begins_customer(Value::Null));
    }
}
