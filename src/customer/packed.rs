//! What the ledger keeps of a customer: for each slot the digest of the value last accepted, and the run that sent it,
//! packed into one blob.
//!
//! The blob has the shorter of two forms, numbers little-endian. A slot of which the digest is zero, or past the end,
//! was never sent.
//!
//! - *Each its run*, an even number of bytes: for each slot eight of digest, four of the run's number.
//! - *Shared runs*, an odd number of bytes: for each slot eight of digest; the runs, four each, at most [`MOST_RUNS`];
//!   where there are several, half a byte for each slot that says which, low half first, in pairs of bytes; at the end
//!   one with the number of runs.
//!
//! Most customers are first sent whole, by one run, which need not stand beside every value: a third less to write.

/// Bytes of a digest.
const DIGEST_BYTES: usize = 8;
/// Bytes of a run's number.
const RUN_BYTES: usize = 4;
/// Bytes of a slot that has its own run.
const SLOT_BYTES: usize = DIGEST_BYTES + RUN_BYTES;
/// Runs that may be shared: as many as half a byte tells apart.
const MOST_RUNS: usize = 16;
/// Slots of which a pair of bytes says the runs. In pairs, so that the whole is odd.
const SLOTS_OF_A_PAIR: usize = 4;

/// What is known of one attribute of one customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Keyed digest of the JSON last accepted; never zero.
    pub digest: u64,
    /// The number of the run that sent it.
    pub run: u32,
}

/// A customer's packed digests, as they are read.
#[derive(Clone, Copy, Debug)]
pub struct Digests<'a> {
    packed: &'a [u8],
    /// Bytes from one slot to the next.
    width: usize,
    /// Where the slots end.
    end: usize,
    runs: Runs<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Runs<'a> {
    Each,
    One(u32),
    Several { runs: &'a [u8], which: &'a [u8] },
}

impl<'a> Digests<'a> {
    /// Reads a packed blob. Of one that has neither form nothing counts as sent.
    pub fn of(packed: &'a [u8]) -> Self {
        let each = |packed: &'a [u8]| Self { packed, width: SLOT_BYTES, end: packed.len(), runs: Runs::Each };
        match packed.len() % 2 {
            0 => each(packed),
            _ => Self::shared(packed).unwrap_or(each(&[])),
        }
    }

    fn shared(packed: &'a [u8]) -> Option<Self> {
        let (&count, rest) = packed.split_last()?;
        let (bytes, runs) = (rest.len(), usize::from(count) * RUN_BYTES);
        let slots = match count {
            1 => bytes.checked_sub(runs)? / DIGEST_BYTES,
            // So many slots and their pair; what is left over are fewer, and their pair.
            _ => {
                let (whole, left) = (SLOTS_OF_A_PAIR * DIGEST_BYTES + 2, bytes.checked_sub(runs)?);
                left / whole * SLOTS_OF_A_PAIR + left % whole / DIGEST_BYTES
            }
        };
        let end = slots * DIGEST_BYTES;
        let (runs, which) = rest.get(end..)?.split_at_checked(runs)?;
        let runs = match count {
            1 => Runs::One(u32::from_le_bytes(*runs.first_chunk()?)),
            _ => Runs::Several { runs, which },
        };
        Some(Self { packed, width: DIGEST_BYTES, end, runs })
    }

    /// The blob.
    pub fn packed(self) -> &'a [u8] {
        self.packed
    }

    /// What is known of the attribute at `slot`; none if it was never sent.
    #[inline]
    pub fn get(self, slot: usize) -> Option<Stamp> {
        let at = slot * self.width;
        let bytes = self.packed.get(at..self.end)?;
        let digest = u64::from_le_bytes(*bytes.first_chunk()?);
        if digest == 0 {
            return None;
        }
        let run = match self.runs {
            Runs::One(run) => run,
            Runs::Each => u32::from_le_bytes(*bytes[DIGEST_BYTES..].first_chunk()?),
            Runs::Several { runs, which } => {
                let which = which.get(slot / 2)? >> (slot % 2 * 4) & 0xf;
                u32::from_le_bytes(*runs.get(usize::from(which) * RUN_BYTES..)?.first_chunk()?)
            }
        };
        Some(Stamp { digest, run })
    }

    fn slots(self) -> usize {
        self.end / self.width
    }
}

/// Packs one customer's digests after another's.
#[derive(Debug, Default)]
pub struct Packer {
    /// By slot; zeros where nothing was sent.
    stamps: Vec<Stamp>,
    /// Those there are, each once.
    runs: Vec<u32>,
}

impl Packer {
    /// Begins with what is known of a customer.
    pub fn begin(&mut self, known: Digests<'_>) {
        self.stamps.clear();
        self.stamps.extend((0..known.slots()).map(|slot| known.get(slot).unwrap_or_default()));
    }

    /// What was accepted at `slot`.
    pub fn put(&mut self, slot: usize, stamp: Stamp) {
        if self.stamps.len() <= slot {
            self.stamps.resize(slot + 1, Stamp::default());
        }
        self.stamps[slot] = stamp;
    }

    /// Forgets what is at `slot`: whatever comes next, goes.
    pub fn forget(&mut self, slot: usize) {
        if let Some(known) = self.stamps.get_mut(slot) {
            *known = Stamp::default();
        }
    }

    /// Appends the packed blob; nothing where nothing is known.
    pub fn pack(&mut self, out: &mut Vec<u8>) {
        self.gather_runs();
        if self.runs.is_empty() {
            return;
        }
        let slots = self.stamps.len();
        let pairs = if self.runs.len() > 1 { slots.div_ceil(SLOTS_OF_A_PAIR) } else { 0 };
        let shared = slots * DIGEST_BYTES + self.runs.len() * RUN_BYTES + pairs * 2 + 1;
        let start = out.len();
        if self.runs.len() > MOST_RUNS || shared > slots * SLOT_BYTES {
            out.resize(start + slots * SLOT_BYTES, 0);
            self.put_each(&mut out[start..]);
        } else {
            out.resize(start + shared, 0);
            self.put_shared(&mut out[start..]);
        }
    }

    /// Those of what was sent, in the order of their slots.
    fn gather_runs(&mut self) {
        self.runs.clear();
        for stamp in &self.stamps {
            if stamp.digest != 0 && self.runs.last() != Some(&stamp.run) && !self.runs.contains(&stamp.run) {
                self.runs.push(stamp.run);
            }
        }
    }

    fn put_each(&self, out: &mut [u8]) {
        for (slot, stamp) in out.chunks_exact_mut(SLOT_BYTES).zip(&self.stamps) {
            slot[..DIGEST_BYTES].copy_from_slice(&stamp.digest.to_le_bytes());
            slot[DIGEST_BYTES..].copy_from_slice(&stamp.run.to_le_bytes());
        }
    }

    fn put_shared(&self, out: &mut [u8]) {
        let (digests, rest) = out.split_at_mut(self.stamps.len() * DIGEST_BYTES);
        let (runs, which) = rest.split_at_mut(self.runs.len() * RUN_BYTES);
        for (slot, stamp) in digests.chunks_exact_mut(DIGEST_BYTES).zip(&self.stamps) {
            slot.copy_from_slice(&stamp.digest.to_le_bytes());
        }
        for (bytes, run) in runs.chunks_exact_mut(RUN_BYTES).zip(&self.runs) {
            bytes.copy_from_slice(&run.to_le_bytes());
        }
        let (count, which) = which.split_last_mut().expect("one for the number of runs");
        *count = u8::try_from(self.runs.len()).expect("sixteen at most");
        if self.runs.len() > 1 {
            for (slot, stamp) in self.stamps.iter().enumerate() {
                let run = self.runs.iter().position(|run| *run == stamp.run).unwrap_or(0);
                which[slot / 2] |= u8::try_from(run).expect("sixteen at most") << (slot % 2 * 4);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(stamps: &[(usize, u64, u32)]) -> Vec<u8> {
        let (mut packer, mut out) = (Packer::default(), Vec::new());
        for (slot, digest, run) in stamps {
            packer.put(*slot, Stamp { digest: *digest, run: *run });
        }
        packer.pack(&mut out);
        out
    }

    #[test]
    fn the_forms_are_what_ledgers_hold() {
        // As ledgers of every version have it.
        assert_eq!(packed(&[(0, 9, 4)]), [9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
        let one_run = packed(&[(0, 9, 4), (2, 7, 4)]);
        let digests = [[9_u64, 0, 7].map(u64::to_le_bytes).concat(), vec![4, 0, 0, 0, 1]].concat();
        assert_eq!(one_run, digests);
        let two_runs = packed(&[(0, 9, 4), (1, 8, 5), (2, 7, 4), (4, 6, 5)]);
        let digests = [9_u64, 8, 7, 0, 6].map(u64::to_le_bytes).concat();
        assert_eq!(two_runs, [digests, vec![4, 0, 0, 0, 5, 0, 0, 0, 0x10, 0, 1, 0, 2]].concat());
    }

    #[test]
    fn nothing_sent_is_nothing_packed() {
        let (mut packer, mut out) = (Packer::default(), Vec::new());
        packer.begin(Digests::of(b""));
        packer.forget(3);
        packer.pack(&mut out);
        assert!(out.is_empty());
        assert_eq!(Digests::of(b"").get(0), None);
    }

    #[test]
    fn nine_attributes_take_half_as_much_again_as_their_digests_at_most() {
        let of = |run: fn(usize) -> u32| packed(&(0..9).map(|slot| (slot, 1, run(slot))).collect::<Vec<_>>());
        let lengths =
            [of(|_| 7), of(|slot| slot as u32 % 2), of(|slot| slot as u32 % 4), of(|slot| slot as u32)];
        assert_eq!(lengths.map(|packed| packed.len()), [77, 87, 95, 108]);
    }

    proptest! {
        #[test]
        fn what_is_packed_reads_back_whatever_runs_sent_it(
            rounds in proptest::collection::vec(
                proptest::collection::vec((0..40_usize, 0..=u64::MAX), 0..40), 1..40),
            forgotten in proptest::collection::vec(0..50_usize, 0..4),
        ) {
            let mut model = std::collections::BTreeMap::new();
            let mut blob = Vec::new();
            let mut packer = Packer::default();
            for (run, round) in (0_u32..).zip(&rounds) {
                packer.begin(Digests::of(&blob));
                for (slot, digest) in round {
                    let stamp = Stamp { digest: (*digest).max(1), run };
                    packer.put(*slot, stamp);
                    model.insert(*slot, stamp);
                }
                if run as usize + 1 == rounds.len() {
                    for slot in &forgotten {
                        packer.forget(*slot);
                        model.remove(slot);
                    }
                }
                // Behind another customer's.
                let mut out = b"before".to_vec();
                packer.pack(&mut out);
                blob = out.split_off(6);
            }
            for slot in 0..60 {
                prop_assert_eq!(Digests::of(&blob).get(slot), model.get(&slot).copied());
            }
        }

        #[test]
        fn whatever_a_blob_holds_is_read_without_a_panic(
            blob in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for slot in 0..60 {
                Digests::of(&blob).get(slot);
            }
        }
    }
}
