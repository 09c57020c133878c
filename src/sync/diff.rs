//! Which values differ from what Braze was last known to accept.

use std::ops::Range;

use super::portion::{Counted, Portion};
use super::resend::Resend;
use super::window::{Forced, Plan};
use crate::braze::Template;
use crate::config;
use crate::customer::{Cell, Chunk, Code, Customer, Digester, Digests, Packer, Stamp, UpdatedAt};
use crate::ledger::{Flag, Remembered, Sent};
use crate::run::ForecastValues;

/// Compares customers, in the order read, with what the ledger remembers of them.
pub(super) struct Differ {
    digester: Digester,
    run: u32,
    forced: Forced,
    resend: Option<Resend>,
    template: Template,
    limits: Limits,
    counted: Counted,
    pending: Portion,
    /// Rows without a usable key. Nothing can be read on after them, so they go beside the batch at hand rather than
    /// make it longer.
    keyless: Portion,
    ready: Vec<Portion>,
    packer: Packer,
    values: Vec<Value>,
    /// Attributes of the customer at hand that are in doubt, and of which there is no value to send.
    doubtful: Vec<usize>,
}

/// What one request may carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Customers.
    pub updates: usize,
    /// Bytes of the body.
    pub bytes: usize,
}

/// One value of the customer at hand that may have to go.
#[derive(Clone, Copy)]
struct Value {
    attribute: u16,
    cell: Cell,
    digest: u64,
}

/// What the values of one customer came to.
#[derive(Default)]
struct Compared {
    has_invalid: bool,
    /// Whether an earlier attempt of this very run sent some of it.
    was_sent_by_this_run: bool,
}

impl Differ {
    pub(super) fn new(
        digester: Digester,
        run: u32,
        sync: &config::Sync,
        plan: &Plan,
        limits: Limits,
    ) -> Self {
        let names: Vec<&str> = sync.attributes.iter().map(config::Attribute::name).collect();
        let none = vec![0; names.len()];
        let foreseen = vec![ForecastValues::default(); if plan.is_forecast { names.len() } else { 0 }];
        Self {
            digester,
            run,
            forced: plan.forced.clone(),
            resend: plan.resend.clone(),
            template: Template::new(&sync.identifier, sync.update_existing_only, &names),
            limits,
            counted: Counted { saved: none.clone(), sent_before: none, foreseen, ..Counted::default() },
            pending: Portion::default(),
            keyless: Portion::default(),
            ready: Vec::new(),
            packer: Packer::default(),
            values: Vec::with_capacity(names.len()),
            doubtful: Vec::new(),
        }
    }

    /// Compares a chunk; returns the portions that are complete with it.
    pub(super) fn compare(&mut self, chunk: &Chunk, remembered: &Remembered, limits: Limits) -> Vec<Portion> {
        self.limits = limits;
        for index in 0..chunk.len() {
            self.customer(chunk, index, remembered.get(index));
        }
        std::mem::take(&mut self.ready)
    }

    /// Counts of everything compared so far.
    pub(super) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The last portions: whatever is left, and with the last of them the final counts.
    pub(super) fn finish(&mut self) -> Vec<Portion> {
        self.counted.complete = true;
        self.hand_on();
        std::mem::take(&mut self.ready)
    }

    fn customer(&mut self, chunk: &Chunk, index: usize, sent: Option<Sent<'_>>) {
        let customer = chunk.customers()[index];
        self.count_read(&customer);
        let key = chunk.key(index);
        match customer.bad {
            Some(code) => self.refuse(key, code, sent),
            None => self.values_of(chunk, index, key, sent),
        }
        if let Some(position) = self.boundary(chunk, index) {
            self.counted.position = Some(position);
            self.hand_on();
        }
    }

    /// The customer's position, if the portion ends with it.
    fn boundary(&self, chunk: &Chunk, index: usize) -> Option<crate::customer::Position> {
        let is_full = self.pending.updates() >= self.limits.updates
            || self.pending.batch.bytes() >= self.limits.bytes
            || self.pending.is_full_of_notes();
        if is_full { chunk.position(index) } else { None }
    }

    /// Hands on everything up to here, and with it the counts: those of rows without a key, too.
    fn hand_on(&mut self) {
        self.hand_on_keyless();
        let another = self.pending.another();
        let mut portion = std::mem::replace(&mut self.pending, another);
        portion.batch.seal();
        portion.counted = Some(self.counted.clone());
        self.ready.push(portion);
    }

    /// Recorded, but not counted yet.
    fn hand_on_keyless(&mut self) {
        if !self.keyless.is_empty() {
            self.ready.push(std::mem::take(&mut self.keyless));
        }
    }

    fn count_read(&mut self, customer: &Customer) {
        let tally = &mut self.counted.tally;
        tally.rows_read += u64::from(customer.rows);
        tally.collapsed += u64::from(customer.rows - 1);
        tally.customers += 1;
        let micros = match customer.updated_at {
            UpdatedAt::At(micros) => Some(micros),
            UpdatedAt::Endless => Some(i64::MAX),
            UpdatedAt::Never | UpdatedAt::Unreadable => None,
        };
        self.counted.newest_micros = self.counted.newest_micros.max(micros);
    }

    /// A customer of whom nothing can be sent.
    fn refuse(&mut self, key: &str, code: Code, sent: Option<Sent<'_>>) {
        self.counted.tally.invalid += 1;
        if code == Code::BadKey {
            let held = self.keyless.hold_key(key);
            self.keyless.note_rejection(held, None, code);
            if self.keyless.is_full_of_notes() {
                self.hand_on_keyless();
            }
            return;
        }
        let held = self.pending.hold_key(key);
        self.pending.note_rejection(held.clone(), None, code);
        let digests = self.pending.hold(known(sent).packed());
        let flag = sent.map_or(Flag::default(), |sent| sent.flag);
        self.pending.note_row(held, digests, Flag { rejected: true, ..flag });
    }

    fn values_of(&mut self, chunk: &Chunk, index: usize, key: &str, sent: Option<Sent<'_>>) {
        let compared = self.compare_values(chunk, index, key, sent);
        if self.values.is_empty() {
            self.nothing_to_send(key, sent, &compared);
        } else {
            self.update(chunk, index, sent, &compared);
        }
    }

    /// Leaves in `self.values` what has to go.
    fn compare_values(&mut self, chunk: &Chunk, index: usize, key: &str, sent: Option<Sent<'_>>) -> Compared {
        let in_doubt = sent.is_some_and(|sent| sent.flag.in_doubt);
        let everything = in_doubt || self.forced.covers(key.as_bytes());
        let digests = known(sent);
        let phase = self.resend.as_ref().map(|_| self.phase(key));
        let mut compared = Compared::default();
        self.values.clear();
        self.doubtful.clear();
        for (attribute, &digest) in (0_u16..).zip(chunk.digests(index)) {
            let at = usize::from(attribute);
            if digest == 0 {
                if let Cell::Invalid(code) = chunk.cells(index)[at] {
                    compared.has_invalid = true;
                    self.invalid_value(key, attribute, code);
                }
                if in_doubt {
                    self.doubtful.push(self.digester.slots[at]);
                }
                continue;
            }
            match digests.get(self.digester.slots[at]) {
                Some(known) if known.digest == digest && known.run == self.run && !in_doubt => {
                    compared.was_sent_by_this_run = true;
                }
                Some(known) if known.digest == digest && !everything && !self.is_old(phase, known) => {
                    self.counted.saved[at] += 1;
                }
                // NULL where nothing was ever sent: Braze has nothing to forget.
                None if chunk.cells(index)[at] == Cell::Null && !everything => {}
                _ => self.values.push(Value { attribute, cell: chunk.cells(index)[at], digest }),
            }
        }
        if compared.was_sent_by_this_run {
            self.count_sent_before(chunk, index, digests);
        }
        self.foresee(digests);
        compared
    }

    /// Counts, for a plan, why each value of the customer at hand goes.
    fn foresee(&mut self, digests: Digests<'_>) {
        for value in &self.values {
            let at = usize::from(value.attribute);
            let Some(foreseen) = self.counted.foreseen.get_mut(at) else { return };
            match (digests.get(self.digester.slots[at]), value.cell) {
                (Some(known), _) if known.digest == value.digest => foreseen.again += 1,
                (_, Cell::Null) => foreseen.removed += 1,
                (None, _) => foreseen.first += 1,
                (Some(_), _) => foreseen.changed += 1,
            }
        }
    }

    /// When, within the period, a customer's values are due to be sent again.
    fn phase(&self, key: &str) -> u64 {
        self.digester.hasher.customer(key.as_bytes()).digest(usize::MAX, b"resend")
    }

    fn is_old(&self, phase: Option<u64>, known: Stamp) -> bool {
        self.resend.as_ref().zip(phase).is_some_and(|(resend, phase)| resend.is_due(phase, known.run))
    }

    fn invalid_value(&mut self, key: &str, attribute: u16, code: Code) {
        self.counted.tally.invalid_values += 1;
        if let Some(foreseen) = self.counted.foreseen.get_mut(usize::from(attribute)) {
            foreseen.invalid += 1;
        }
        let held = self.pending.hold_key(key);
        self.pending.note_rejection(held, Some(attribute), code);
    }

    fn count_sent_before(&mut self, chunk: &Chunk, index: usize, digests: Digests<'_>) {
        for (attribute, cell) in chunk.cells(index).iter().enumerate() {
            let is_value = chunk.json(*cell).is_some();
            let still_goes = self.values.iter().any(|value| usize::from(value.attribute) == attribute);
            let known = digests.get(self.digester.slots[attribute]);
            if is_value && !still_goes && known.is_some_and(|known| known.run == self.run) {
                self.counted.sent_before[attribute] += 1;
            }
        }
    }

    fn nothing_to_send(&mut self, key: &str, sent: Option<Sent<'_>>, compared: &Compared) {
        let tally = &mut self.counted.tally;
        if compared.was_sent_by_this_run {
            tally.changed += 1;
            tally.accepted += 1;
        } else if compared.has_invalid {
            tally.invalid += 1;
        } else {
            tally.unchanged += 1;
        }
        let flag = sent.map_or(Flag::default(), |sent| sent.flag);
        let flag_now = Flag { in_doubt: false, rejected: compared.has_invalid };
        if flag != flag_now {
            let held = self.pending.hold_key(key);
            self.packer.begin(known(sent));
            let digests = self.pack();
            self.pending.note_row(held, digests, flag_now);
        }
        self.clear_if_flagged(key, flag);
    }

    fn update(&mut self, chunk: &Chunk, index: usize, sent: Option<Sent<'_>>, compared: &Compared) {
        let key = chunk.key(index);
        self.counted.tally.changed += 1;
        self.clear_if_flagged(key, sent.map_or(Flag::default(), |sent| sent.flag));
        let portion = &mut self.pending;
        let held = portion.hold_key(key);
        let before = portion.hold(known(sent).packed());
        self.packer.begin(known(sent));
        portion.batch.begin(&self.template, key);
        for value in &self.values {
            let at = usize::from(value.attribute);
            portion.batch.set(&self.template, at, chunk.json(value.cell).expect("only values are compared"));
            self.packer.put(self.digester.slots[at], Stamp { digest: value.digest, run: self.run });
        }
        portion.batch.end();
        let after = self.pack();
        let attributes = self.values.iter().map(|value| value.attribute);
        let was_in_doubt = sent.is_some_and(|sent| sent.flag.in_doubt);
        self.pending.add_change(held, before, after, attributes, (compared.has_invalid, was_in_doubt));
    }

    /// Holds what the packer has of the customer. Of what is in doubt and cannot go again, it is not known what Braze
    /// has: the next value goes, whichever it is.
    fn pack(&mut self) -> Range<usize> {
        self.doubtful.iter().for_each(|slot| self.packer.forget(*slot));
        self.pending.hold_packed(&mut self.packer)
    }

    fn clear_if_flagged(&mut self, key: &str, flag: Flag) {
        if flag != Flag::default() {
            let held = self.pending.hold_key(key);
            self.pending.note_cleared(held);
        }
    }
}

/// What is remembered of a customer, if anything is.
fn known(sent: Option<Sent<'_>>) -> Digests<'_> {
    sent.map_or(Digests::of(&[]), |sent| sent.digests)
}
