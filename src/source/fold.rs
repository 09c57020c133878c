//! Rows on their way into chunks: filtered, folded by customer, counted so that a scan can be taken up again.

use std::sync::Arc;

use crate::customer::{Attribute, Chunk, ChunkBuilder, Digester, Position, Value, Zone};

use super::filter::Filter;
use super::{CHUNK_BYTES, CHUNK_CUSTOMERS, FIRST_CUSTOMERS};

/// A key as the warehouse has it, usable or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RawKey<'r> {
    Null,
    Real(f64),
    Blob(&'r [u8]),
    Integer(i64),
    Text(&'r [u8]),
}

impl<'r> RawKey<'r> {
    /// As customers know it. A blob beside text is no key: it would sort apart from the text of the same bytes.
    pub(super) fn value(self) -> Value<'r> {
        match self {
            Self::Integer(number) => Value::Integer(number),
            Self::Text(bytes) => Value::Text(bytes),
            Self::Null => Value::Null,
            Self::Real(_) | Self::Blob(_) => Value::Unreadable,
        }
    }

    fn keep(self) -> Key {
        match self {
            Self::Null => Key::Null,
            Self::Real(number) => Key::Real(number),
            Self::Blob(bytes) => Key::Blob(bytes.to_vec()),
            Self::Integer(number) => Key::Integer(number),
            Self::Text(bytes) => Key::Text(bytes.to_vec()),
        }
    }
}

/// A [`RawKey`] kept past its row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    Null,
    Real(f64),
    Blob(Vec<u8>),
    Integer(i64),
    Text(Vec<u8>),
}

impl Key {
    pub(super) fn lend(&self) -> RawKey<'_> {
        match self {
            Self::Null => RawKey::Null,
            Self::Real(number) => RawKey::Real(*number),
            Self::Blob(bytes) => RawKey::Blob(bytes),
            Self::Integer(number) => RawKey::Integer(*number),
            Self::Text(bytes) => RawKey::Text(bytes),
        }
    }
}

/// Where to read on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Resume {
    /// After this customer.
    After(Position),
    /// At this key, of whose unusable rows so many were handed over.
    At(Key, u64),
}

/// How far one snapshot went.
pub(super) enum Went {
    /// Every row has passed; these are the last customers.
    ToTheEnd(Chunk),
    /// Nobody took for as long as a snapshot may be held; this waits to be taken.
    Waiting(Chunk),
    /// Nobody wants any more.
    Unwanted,
}

/// Folds one statement's rows, which come in key order.
pub(super) struct Fold<'s> {
    filter: &'s Filter,
    builder: ChunkBuilder,
    digester: Option<Digester>,
    /// Customers that fill the chunk at hand.
    most: usize,
    /// An unusable key, and how many of its rows an earlier snapshot handed over.
    skip: Option<(Key, u64)>,
    /// The unusable key met last, and how many of its rows were met: each stands alone, so a chunk may be cut
    /// between two that look the same.
    unusable: Option<(Key, u64)>,
}

impl<'s> Fold<'s> {
    pub(super) fn new(
        filter: &'s Filter,
        attributes: Arc<[Attribute]>,
        zone: Zone,
        digester: Option<&Digester>,
        resume: Option<&Resume>,
    ) -> Self {
        let skip = match resume {
            Some(Resume::At(key, count)) => Some((key.clone(), *count)),
            _ => None,
        };
        let builder = ChunkBuilder::new(attributes, zone);
        let digester = digester.cloned();
        Self { filter, builder, digester, most: FIRST_CUSTOMERS, unusable: skip.clone(), skip }
    }

    /// Whether the row is asked for and was not handed over before.
    pub(super) fn wants(&mut self, key: RawKey<'_>, updated_at: Value<'_>) -> bool {
        self.filter.passes(key.value(), updated_at) && !self.was_handed_over(key)
    }

    fn was_handed_over(&mut self, key: RawKey<'_>) -> bool {
        match &mut self.skip {
            Some((skipped, left @ 1..)) if skipped.lend() == key => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// The chunk, if it is full and may be cut before a row with this key.
    pub(super) fn cut_before(&mut self, key: RawKey<'_>) -> Option<Chunk> {
        let is_full = self.builder.len() >= self.most || self.builder.bytes() >= CHUNK_BYTES;
        if !is_full || !self.builder.begins_customer(key.value()) {
            return None;
        }
        self.most = (self.most * 2).min(CHUNK_CUSTOMERS);
        Some(self.take())
    }

    fn take(&mut self) -> Chunk {
        let mut chunk = self.builder.take();
        if let Some(digester) = &self.digester {
            chunk.digest(digester);
        }
        chunk
    }

    /// Where to read on so that a row with this key, not yet pushed, is the next.
    pub(super) fn resume_at(&self, key: RawKey<'_>) -> Resume {
        match &self.unusable {
            Some((last, count)) if last.lend() == key => Resume::At(last.clone(), *count),
            _ => Resume::At(key.keep(), 0),
        }
    }

    pub(super) fn push<'r>(
        &mut self,
        key: RawKey<'r>,
        updated_at: Value<'r>,
        value: impl Fn(usize) -> Value<'r>,
    ) {
        self.builder.push(key.value(), updated_at, value);
        if self.builder.last_is_unusable() {
            match &mut self.unusable {
                Some((last, count)) if last.lend() == key => *count += 1,
                last => *last = Some((key.keep(), 1)),
            }
        }
    }

    /// Says how many rows the warehouse has of the customer pushed last, where it gives only the latest of them.
    pub(super) fn stands_for(&mut self, rows: u32) {
        self.builder.last_stands_for(rows);
    }

    /// What is left at the end.
    pub(super) fn finish(mut self) -> Chunk {
        self.take()
    }
}
