//! What a column's declared type means: how SQLite compares it, and what kind of value was meant.

use crate::customer::Kind;

/// How SQLite stores and compares what is put in a column. Source: SQLite docs, Determination Of Column Affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    /// Anything in which `1` and `'1'` may stand side by side, or are not told apart by us.
    Other,
}

pub(super) fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if has(&["INT"]) => Affinity::Integer,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
        () => Affinity::Other,
    }
}

/// The kind of value a declared type is used for. SQLite itself has no dates, booleans or JSON.
pub(super) fn kind(declared: &str) -> Kind {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if has(&["INTERVAL", "POINT"]) => Kind::AsGiven,
        () if has(&["BOOL"]) => Kind::Boolean,
        () if has(&["JSON"]) => Kind::Json,
        () if has(&["DATETIME", "TIMESTAMP"]) => Kind::Timestamp,
        () if has(&["DATE"]) => Kind::Date,
        // Text, so that SQLite keeps every digit.
        () if has(&["DECIMAL TEXT"]) => Kind::Number,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Kind::String,
        () if has(&["INT", "REAL", "FLOA", "DOUB", "DEC", "NUM"]) => Kind::Number,
        () => Kind::AsGiven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_mean_what_they_say() {
        for (declared, expected) in [
            ("BOOLEAN", Kind::Boolean),
            ("DATE", Kind::Date),
            ("datetime", Kind::Timestamp),
            ("TIMESTAMP", Kind::Timestamp),
            ("DECIMAL(12,2)", Kind::Number),
            ("NUMERIC", Kind::Number),
            ("BIGINT", Kind::Number),
            ("VARCHAR(20)", Kind::String),
            ("DECIMAL TEXT", Kind::Number),
            ("JSON", Kind::Json),
            ("BLOB", Kind::AsGiven),
            ("", Kind::AsGiven),
        ] {
            assert_eq!(kind(declared), expected, "{declared}");
        }
        assert_eq!(affinity("BIGINT"), Affinity::Integer);
        assert_eq!(affinity("varchar(20)"), Affinity::Text);
        assert_eq!(affinity("NUMERIC"), Affinity::Other);
        assert_eq!(affinity(""), Affinity::Other);
    }
}
