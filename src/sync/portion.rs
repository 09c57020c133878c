//! What the diff hands on: one batch to send, what to write down for each verdict, and what is counted with it.

use std::ops::Range;

use crate::braze::Batch;
use crate::customer::{Code, Packer, Position};
use crate::ledger::{Flag, NewRejection, SentRow};
use crate::run::{ForecastValues, Tally};

/// Records without a request after which a portion is closed all the same, so that memory stays bounded where
/// nearly every customer is invalid.
const MOST_NOTES: usize = 1_000;

/// One batch and everything that is recorded with it.
#[derive(Debug, Default)]
pub(super) struct Portion {
    /// The updates to send; may be empty.
    pub batch: Batch,
    /// The same customers, for the ledger.
    pub changes: Vec<Change>,
    /// What is recorded whatever Braze says.
    pub notes: Notes,
    /// Counts of everything read up to the end of this portion; none where it holds only rows without a key.
    pub counted: Option<Counted>,
    keys: String,
    /// Packed digests.
    bytes: Vec<u8>,
    /// Attribute indexes.
    attributes: Vec<u16>,
}

/// One customer of a batch, for the ledger.
#[derive(Clone, Debug)]
pub(super) struct Change {
    key: Range<usize>,
    before: Range<usize>,
    after: Range<usize>,
    attributes: Range<usize>,
    /// Whether a value of it could not be sent.
    pub has_invalid: bool,
    /// Whether an earlier send of it has no verdict.
    pub was_in_doubt: bool,
}

/// Records that need no verdict.
#[derive(Debug, Default)]
pub(super) struct Notes {
    rows: Vec<(Range<usize>, Range<usize>, Flag)>,
    rejections: Vec<(Range<usize>, Option<u16>, Code)>,
    cleared: Vec<Range<usize>>,
}

/// Counts of everything read so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// Counts, among them only what the diff can tell.
    pub tally: Tally,
    /// Values saved, by attribute.
    pub saved: Vec<u64>,
    /// Values an earlier attempt of the run sent, by attribute.
    pub sent_before: Vec<u64>,
    /// What would become of the values, by attribute; empty but for a plan.
    pub foreseen: Vec<ForecastValues>,
    /// The greatest `updated_at`, microseconds since 1970; none if there was none.
    pub newest_micros: Option<i64>,
    /// The last customer.
    pub position: Option<Position>,
    /// Whether nothing is left to read.
    pub complete: bool,
}

impl Portion {
    /// An empty one with room for about as much as this one holds, so that it need not grow step by step.
    pub(super) fn another(&self) -> Self {
        let room = |len: usize| len + len / 16;
        Self {
            batch: self.batch.another(),
            changes: Vec::with_capacity(room(self.changes.len())),
            keys: String::with_capacity(room(self.keys.len())),
            bytes: Vec::with_capacity(room(self.bytes.len())),
            attributes: Vec::with_capacity(room(self.attributes.len())),
            ..Self::default()
        }
    }

    /// How many customers it sends.
    pub(super) fn updates(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.notes.rejections.is_empty()
    }

    /// Whether it holds as many records without a request as it may.
    pub(super) fn is_full_of_notes(&self) -> bool {
        self.notes.rows.len() + self.notes.rejections.len() >= MOST_NOTES
    }

    pub(super) fn hold_key(&mut self, key: &str) -> Range<usize> {
        let start = self.keys.len();
        self.keys.push_str(key);
        start..self.keys.len()
    }

    pub(super) fn hold(&mut self, digests: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(digests);
        start..self.bytes.len()
    }

    pub(super) fn hold_packed(&mut self, packer: &mut Packer) -> Range<usize> {
        let start = self.bytes.len();
        packer.pack(&mut self.bytes);
        start..self.bytes.len()
    }

    pub(super) fn add_change(
        &mut self,
        key: Range<usize>,
        before: Range<usize>,
        after: Range<usize>,
        attributes: impl Iterator<Item = u16>,
        (has_invalid, was_in_doubt): (bool, bool),
    ) {
        let first = self.attributes.len();
        self.attributes.extend(attributes);
        let attributes = first..self.attributes.len();
        self.changes.push(Change { key, before, after, attributes, has_invalid, was_in_doubt });
    }

    pub(super) fn note_row(&mut self, key: Range<usize>, digests: Range<usize>, flag: Flag) {
        self.notes.rows.push((key, digests, flag));
    }

    pub(super) fn note_rejection(&mut self, key: Range<usize>, attribute: Option<u16>, code: Code) {
        self.notes.rejections.push((key, attribute, code));
    }

    pub(super) fn note_cleared(&mut self, key: Range<usize>) {
        self.notes.cleared.push(key);
    }

    /// The customers it sends.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().map(|change| &self.keys[change.key.clone()])
    }

    /// The key of one customer it sends.
    pub(super) fn key(&self, change: &Change) -> &str {
        &self.keys[change.key.clone()]
    }

    /// The attributes it sends of one customer.
    pub(super) fn attributes(&self, change: &Change) -> &[u16] {
        &self.attributes[change.attributes.clone()]
    }

    /// The customer's row with (`true`) or without what was sent laid over it.
    pub(super) fn row(&self, change: &Change, with_sent: bool, flag: Flag) -> SentRow<'_> {
        let digests = if with_sent { change.after.clone() } else { change.before.clone() };
        SentRow { customer_id: &self.keys[change.key.clone()], digests: &self.bytes[digests], flag }
    }

    pub(super) fn noted_rows(&self) -> impl Iterator<Item = SentRow<'_>> {
        self.notes.rows.iter().map(|(key, digests, flag)| SentRow {
            customer_id: &self.keys[key.clone()],
            digests: &self.bytes[digests.clone()],
            flag: *flag,
        })
    }

    pub(super) fn noted_rejections<'p>(
        &'p self,
        names: &'p [String],
    ) -> impl Iterator<Item = NewRejection<'p>> {
        self.notes.rejections.iter().map(|(key, attribute, code)| NewRejection {
            customer_id: &self.keys[key.clone()],
            attribute: attribute.map(|index| names[usize::from(index)].as_str()),
            code: *code,
        })
    }

    pub(super) fn noted_cleared(&self) -> impl Iterator<Item = &str> {
        self.notes.cleared.iter().map(|key| &self.keys[key.clone()])
    }
}
