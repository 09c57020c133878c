//! Values written into SQL, for a server to which they are not bound.

use chrono::{DateTime, Utc};

/// Text in quotes. Redshift reads a backslash in quotes as an escape and PostgreSQL does not, so none is written.
pub(super) fn text(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    match quoted.contains('\\') {
        true => format!("({})", quoted.replace('\\', "' || chr(92) || '")),
        false => quoted,
    }
}

/// An instant to the microsecond.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    format!("'{}+00'::timestamptz", at.format("%Y-%m-%d %H:%M:%S%.6f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_quotes() {
        for (plain, sql) in [
            ("c-1", "'c-1'"),
            ("", "''"),
            ("'; DROP TABLE x;--", "'''; DROP TABLE x;--'"),
            ("a\\'b", "('a' || chr(92) || '''b')"),
            ("\\", "('' || chr(92) || '')"),
        ] {
            assert_eq!(text(plain), sql);
        }
    }

    #[test]
    fn instants_keep_their_microseconds() {
        let at = DateTime::from_timestamp_micros(1_767_344_400_000_250).expect("in range");
        assert_eq!(instant(at), "'2026-01-02 09:00:00.000250+00'::timestamptz");
    }
}
