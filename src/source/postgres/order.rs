//! Whether keys come in the order of their bytes, without which a customer's rows would not stand together.

use crate::source::SourceError;
use crate::source::fold::RawKey;

/// The last key of text.
#[derive(Debug, Default)]
pub(super) struct Order(Vec<u8>);

impl Order {
    /// Refuses a key that is less than the one before it: the column is compared in another way than by its bytes.
    pub(super) fn require(&mut self, key: RawKey<'_>) -> Result<(), SourceError> {
        let RawKey::Text(bytes) = key else { return Ok(()) };
        if bytes < self.0.as_slice() {
            let why = "the key column is not sorted by its bytes, as where case is ignored; \
                       give the key a case-sensitive collation, in a view or query";
            return Err(SourceError::Unusable(why.to_owned()));
        }
        if bytes != self.0.as_slice() {
            self.0.clear();
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_refused() {
        let mut order = Order::default();
        for key in ["", "A", "A", "A ", "a", "é"] {
            assert_eq!(order.require(RawKey::Text(key.as_bytes())), Ok(()), "{key}");
        }
        assert_eq!(order.require(RawKey::Null), Ok(()));
        let error = order.require(RawKey::Text(b"B")).expect_err("a step back");
        assert!(!error.is_retryable());
    }
}
