//! The keyed digest by which the ledger knows a value again.
//!
//! It covers the customer's key and the slot, so that equal values of two customers, or two attributes, do not look
//! equal.

use std::hash::Hasher as _;
use std::sync::Arc;

use siphasher::sip::SipHasher24;

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

/// Makes the digests of an attribute's values at its slot.
#[derive(Clone, Debug)]
pub struct Digester {
    /// With the ledger's key.
    pub hasher: Hasher,
    /// The slot of each mapped attribute.
    pub slots: Arc<[usize]>,
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
