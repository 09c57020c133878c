//! What the ledger keeps of a value that was accepted: a keyed digest, and the run that sent it.
//!
//! A customer's digests are packed into one blob, a slot of 12 bytes per attribute: eight of digest, four of the
//! run's number, little-endian. A slot of zeros, or past the end, was never sent. The digest covers the
//! customer's key and the slot, so that equal values of two customers, or two attributes, do not look equal.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// Bytes of one attribute's slot.
pub const SLOT_BYTES: usize = 12;

/// What is known of one attribute of one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Keyed digest of the JSON last accepted; never zero.
    pub digest: u64,
    /// The number of the run that sent it.
    pub run: u32,
}

/// A customer's packed digests.
#[derive(Clone, Copy, Debug)]
pub struct Digests<'a>(pub &'a [u8]);

impl Digests<'_> {
    /// What is known of the attribute at `slot`; none if it was never sent.
    pub fn get(self, slot: usize) -> Option<Stamp> {
        let bytes = self.0.get(slot * SLOT_BYTES..(slot + 1) * SLOT_BYTES)?;
        let digest = u64::from_le_bytes(bytes[..8].try_into().expect("eight of twelve bytes"));
        let run = u32::from_le_bytes(bytes[8..].try_into().expect("four of twelve bytes"));
        (digest != 0).then_some(Stamp { digest, run })
    }

    /// Writes `stamp` at `slot` of the packed blob that begins at `start` of `out`, growing it as needed.
    pub fn put(out: &mut Vec<u8>, start: usize, slot: usize, stamp: Stamp) {
        let at = start + slot * SLOT_BYTES;
        if out.len() < at + SLOT_BYTES {
            out.resize(at + SLOT_BYTES, 0);
        }
        out[at..at + 8].copy_from_slice(&stamp.digest.to_le_bytes());
        out[at + 8..at + SLOT_BYTES].copy_from_slice(&stamp.run.to_le_bytes());
    }

    /// Forgets what is at `slot` of the packed blob that begins at `start` of `out`: whatever comes next, goes.
    pub fn forget(out: &mut [u8], start: usize, slot: usize) {
        let at = start + slot * SLOT_BYTES;
        if let Some(known) = out.get_mut(at..at + SLOT_BYTES) {
            known.fill(0);
        }
    }
}

/// Makes digests with one key. SipHash-2-4, 64 bits: without the key nobody can tell a value from its digest,
/// and of a billion changes about one in 2^34 would be taken for none.
#[derive(Clone)]
pub struct Hasher(SipHasher24);

impl Hasher {
    /// A hasher with this key.
    pub fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    /// The hasher for one customer's values.
    pub fn customer(&self, key: &[u8]) -> Self {
        let mut hasher = self.0;
        hasher.write_u64(key.len() as u64);
        hasher.write(key);
        Self(hasher)
    }

    /// The digest of one value's JSON at `slot`.
    pub fn digest(&self, slot: usize, json: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write_u64(slot as u64);
        hasher.write(json);
        hasher.finish().max(1)
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_read_back_and_gaps_are_never_sent() {
        let mut packed = b"before".to_vec();
        Digests::put(&mut packed, 6, 2, Stamp { digest: 9, run: 4 });
        let digests = Digests(&packed[6..]);
        assert_eq!(digests.get(0), None);
        assert_eq!(digests.get(2), Some(Stamp { digest: 9, run: 4 }));
        assert_eq!(digests.get(3), None);
        Digests::forget(&mut packed, 6, 2);
        Digests::forget(&mut packed, 6, 3);
        assert_eq!(Digests(&packed[6..]).get(2), None);
    }

    #[test]
    fn equal_values_of_two_customers_or_slots_do_not_look_equal() {
        let hasher = Hasher::new(b"0123456789abcdef");
        let (ann, bob) = (hasher.customer(b"ann"), hasher.customer(b"bob"));
        assert_eq!(ann.digest(0, b"0.5"), hasher.customer(b"ann").digest(0, b"0.5"));
        assert_ne!(ann.digest(0, b"0.5"), bob.digest(0, b"0.5"));
        assert_ne!(ann.digest(0, b"0.5"), ann.digest(1, b"0.5"));
        assert_ne!(
            ann.digest(0, b"0.5"),
            Hasher::new(b"0123456789abcdeF").customer(b"ann").digest(0, b"0.5")
        );
    }

    #[test]
    fn digests_are_the_same_on_every_machine_and_version() {
        let hasher = Hasher::new(b"0123456789abcdef");
        assert_eq!(hasher.customer(b"c-1001").digest(3, b"0.83"), 8_814_788_836_054_692_850);
    }
}
