//! `Idempotency-Key`: a request sent twice counts once (draft-ietf-httpapi-idempotency-key-header-07). The ledger
//! remembers keys for 24 h; here they are read, and a second request is kept apart while the first is under way.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use super::problem::{Code, Problem};
use crate::access::Caller;
use crate::ledger::Idempotency;

const HEADER: &str = "idempotency-key";

/// Stripe's bound, which clients know.
const MAX_KEY_BYTES: usize = 255;

/// The key a request brought, if it did: bare, or quoted as the draft has it.
///
/// # Errors
/// 400 where it cannot be used.
pub(super) fn read(
    headers: &HeaderMap,
    caller: &Caller,
    path: &str,
    body: &[u8],
) -> Result<Option<Idempotency>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none()).map(str::trim);
    let key = text.map(|text| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text));
    let plain = |key: &&str| {
        (1..=MAX_KEY_BYTES).contains(&key.len())
            && key.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"')
    };
    let key = key.filter(plain).ok_or_else(|| {
        Problem::with(
            Code::BadIdempotencyKey,
            "one key of 1 to 255 printable ASCII characters, bare or quoted",
        )
    })?;
    let scope = format!("{} {path}", caller.name());
    Ok(Some(Idempotency { scope, key: key.to_owned(), body_digest: Sha256::digest(body).into() }))
}

/// Keys whose first request is not answered yet. Holds at most one per open connection.
#[derive(Default)]
pub(super) struct InProgress(Mutex<HashSet<(String, String)>>);

/// Holds a key until dropped.
pub(super) struct Held<'a>(&'a InProgress, Option<(String, String)>);

impl InProgress {
    /// # Errors
    /// 409 while another request with this key is under way.
    pub(super) fn hold(&self, idempotency: Option<&Idempotency>) -> Result<Held<'_>, Problem> {
        let key = idempotency.map(|known| (known.scope.clone(), known.key.clone()));
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if key.as_ref().is_some_and(|key| !keys.insert(key.clone())) {
            return Err(Problem::from(Code::IdempotencyInProgress).retry_after(1));
        }
        Ok(Held(self, key))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.1 {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Idempotency {
        Idempotency { scope: "ops /x".to_owned(), key: key.to_owned(), body_digest: [0; 32] }
    }

    #[test]
    fn key_is_held_until_its_request_ends() {
        let keys = InProgress::default();
        let first = keys.hold(Some(&key("a"))).ok();
        assert!(first.is_some());
        assert_eq!(
            keys.hold(Some(&key("a"))).map(drop).map_err(|problem| problem.code),
            Err(Code::IdempotencyInProgress)
        );
        assert!(keys.hold(Some(&key("b"))).is_ok() && keys.hold(None).is_ok());
        drop(first);
        assert!(keys.hold(Some(&key("a"))).is_ok());
    }
}
