//! Where a list goes on: opaque to clients, versioned for us.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::LedgerError;

/// Longest cursor looked at: ours are far shorter, but for a customer id of 987 bytes.
const CURSOR_BYTES: usize = 4_096;

/// A cursor after these parts of the last item shown.
pub(super) fn write(kind: &str, parts: &[&str]) -> String {
    let mut text = format!("1\n{kind}");
    for part in parts {
        text.push('\n');
        text.push_str(&URL_SAFE_NO_PAD.encode(part));
    }
    URL_SAFE_NO_PAD.encode(text)
}

/// The parts of a cursor of this kind.
///
/// # Errors
/// [`LedgerError::BadCursor`] for anything that [`write`] did not make with as many parts.
pub(super) fn read<const N: usize>(kind: &str, cursor: &str) -> Result<[String; N], LedgerError> {
    if cursor.len() > CURSOR_BYTES {
        return Err(LedgerError::BadCursor);
    }
    let decode =
        |text: &str| -> Option<String> { String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok() };
    let text = decode(cursor).ok_or(LedgerError::BadCursor)?;
    let mut lines = text.split('\n');
    if lines.next() != Some("1") || lines.next() != Some(kind) {
        return Err(LedgerError::BadCursor);
    }
    let parts: Option<Vec<String>> = lines.map(decode).collect();
    parts.and_then(|parts| parts.try_into().ok()).ok_or(LedgerError::BadCursor)
}

/// The number in a cursor of one part.
pub(super) fn number(kind: &str, cursor: Option<&str>) -> Result<i64, LedgerError> {
    let Some(cursor) = cursor else { return Ok(i64::MAX) };
    let [number] = read::<1>(kind, cursor)?;
    number.parse().map_err(|_| LedgerError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_back_and_nothing_else_does() {
        let cursor = write("rejections", &["c\n1", ""]);
        assert_eq!(read::<2>("rejections", &cursor).expect("own cursor"), ["c\n1", ""]);
        assert!(read::<1>("rejections", &cursor).is_err());
        assert!(read::<2>("runs", &cursor).is_err());
        for bad in ["", "x", "!!", "MQ", &"a".repeat(5_000)] {
            assert!(read::<1>("runs", bad).is_err(), "{bad}");
        }
    }
}
