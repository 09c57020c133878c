//! A customer's key: the bytes the source gives, unless Braze could not take them.

use std::io::Write;

use super::Value;

/// Longest external id Braze takes. Source: Braze docs, Create and update users, `EXTERNAL_USER_ID_TOO_LARGE`.
const KEY_BYTES: usize = 987;
/// What is kept of a key that cannot be used, to show which row it was.
const BAD_KEY_BYTES: usize = 64;

/// Room for an integer key's decimal text: the sign and nineteen digits of [`i64::MIN`].
#[derive(Debug, Default)]
pub struct KeyDigits {
    bytes: [u8; 20],
    len: usize,
}

impl KeyDigits {
    fn write(&mut self, number: i64) -> &[u8] {
        let mut free: &mut [u8] = &mut self.bytes;
        write!(free, "{number}").expect("an i64 has at most twenty letters");
        self.len = 20 - free.len();
        &self.bytes[..self.len]
    }
}

/// The key as Braze takes it, unless it cannot be used; such rows are [`Code::BadKey`].
pub fn usable_key<'r>(key: Value<'r>, digits: &'r mut KeyDigits) -> Option<&'r str> {
    key_text(key, digits).ok()
}

/// The key as Braze takes it, or, of one that cannot be used, what can be shown of it.
pub(super) fn key_text<'r>(key: Value<'r>, digits: &'r mut KeyDigits) -> Result<&'r str, String> {
    let bytes: &[u8] = match key {
        Value::Text(bytes) => bytes,
        Value::Integer(number) => digits.write(number),
        _ => return Err(String::new()),
    };
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(BAD_KEY_BYTES)]).into_owned();
    if bytes.len() > KEY_BYTES {
        return Err(shown());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| shown())?;
    if text.trim_start().is_empty() {
        return Err(shown());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_keys_have_room_to_their_limits() {
        for number in [i64::MIN, -1, 0, i64::MAX] {
            let text = number.to_string();
            assert_eq!(usable_key(Value::Integer(number), &mut KeyDigits::default()), Some(text.as_str()));
        }
    }
}
