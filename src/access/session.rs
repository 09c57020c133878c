//! What a browser holds in a token's place.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::token::{Caller, Known, Tokens};

/// How long a session lasts: a long working day. Nothing prolongs it, so a copied cookie ends with it.
pub const SESSION_TIME: TimeDelta = TimeDelta::hours(12);

/// How far ahead of ours the clock of the replica that opened a session may be.
const CLOCK_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Ours have under 200 bytes beside the token's name.
const COOKIE_BYTES: usize = 2_048;

/// The form of the cookie, and what its key is for: changed with either, so that no older one is misread.
const VERSION: &str = "1";
const KEY_FOR: &[u8] = b"peak-braze page session 1";

/// A session that is in force.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose it is.
    pub caller: Caller,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    csrf: String,
}

/// The key that one token's sessions are made with: who has the token could make them, nobody else.
pub(super) fn session_key(token: &[u8]) -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new(mac(token, &[KEY_FOR])))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl Tokens {
    /// A new session for whoever shows this token: the cookie's value, and whose it is.
    pub fn open_session(&self, token: &str, now: DateTime<Utc>) -> Option<(String, Caller)> {
        let known = self.known(token)?;
        let name = URL_SAFE_NO_PAD.encode(known.caller.name());
        let body = format!("{VERSION}.{name}.{}.{}", now.timestamp(), Uuid::new_v4().simple());
        let tag =
            URL_SAFE_NO_PAD.encode(mac(known.session_key.expose_secret(), &[b"cookie", body.as_bytes()]));
        Some((format!("{body}.{tag}"), known.caller.clone()))
    }

    /// The session of a cookie, while its token is in force and its time not over.
    pub fn session(&self, cookie: &str, now: DateTime<Utc>) -> Option<Session> {
        if cookie.len() > COOKIE_BYTES {
            return None;
        }
        let (body, tag) = cookie.rsplit_once('.')?;
        let [VERSION, name, began, _] = body.split('.').collect::<Vec<_>>()[..] else { return None };
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        let known = self.0.iter().find(|known| known.caller.name() == name)?;
        let key = known.session_key.expose_secret();
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        if !bool::from(mac(key, &[b"cookie", body.as_bytes()])[..].ct_eq(&tag)) {
            return None;
        }
        let began_at = DateTime::from_timestamp(began.parse().ok()?, 0)?;
        let ends_at = began_at + SESSION_TIME;
        (began_at <= now + CLOCK_AHEAD && now < ends_at).then(|| session(known, body, ends_at))
    }
}

fn session(known: &Known, body: &str, ends_at: DateTime<Utc>) -> Session {
    let csrf = mac(known.session_key.expose_secret(), &[b"form", body.as_bytes()]);
    Session { caller: known.caller.clone(), ends_at, csrf: URL_SAFE_NO_PAD.encode(csrf) }
}

impl Session {
    /// What every form of this session carries: a page of another site cannot know it.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form came from a page of this session.
    pub fn is_mine(&self, csrf: &str) -> bool {
        bool::from(self.csrf.as_bytes().ct_eq(csrf.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Scope, SecretRef};

    fn tokens(folder: &tempfile::TempDir, secret: &str) -> Tokens {
        let path = folder.path().join("token");
        std::fs::write(&path, secret).expect("a file");
        let token = SecretRef::File(path);
        let scopes = vec![Scope::Read];
        Tokens::new(&[config::Token { name: "o.p s".to_owned(), token, scopes, syncs: None }])
            .expect("a token")
    }

    #[test]
    fn session_ends_with_its_time_and_with_its_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let known = tokens(&folder, "one-token-of-many-bytes");
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        assert!(known.open_session("another", now).is_none());
        let (cookie, _) = known.open_session("one-token-of-many-bytes", now).expect("a session");
        let session = known.session(&cookie, now).expect("in force");
        assert_eq!((session.caller.name(), session.ends_at), ("o.p s", now + SESSION_TIME));
        assert!(known.session(&cookie, session.ends_at - TimeDelta::seconds(1)).is_some());
        assert!(known.session(&cookie, session.ends_at).is_none());
        assert!(known.session(&cookie, now - TimeDelta::hours(1)).is_none(), "it has not begun");
        let same = tokens(&folder, "one-token-of-many-bytes");
        assert!(
            same.session(&cookie, now).is_some_and(|same| same.is_mine(session.csrf())),
            "another replica"
        );
        assert!(tokens(&folder, "one-token-changed-since").session(&cookie, now).is_none());
        let (other, _) = known.open_session("one-token-of-many-bytes", now).expect("a session");
        let other = known.session(&other, now).expect("in force");
        assert!(!other.is_mine(session.csrf()) && !other.is_mine(""), "forms belong to one session");
    }

    #[test]
    fn cookie_changed_anywhere_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let known = tokens(&folder, "one-token-of-many-bytes");
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let (cookie, _) = known.open_session("one-token-of-many-bytes", now).expect("a session");
        // The last letter holds two bits that nobody reads, and then does not decode.
        for at in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(known.session(&changed, now).is_none(), "{changed}");
        }
        for odd in ["", ".", "1....", "1.x.1.y.z", &"a".repeat(5_000)] {
            assert!(known.session(odd, now).is_none());
        }
    }
}
