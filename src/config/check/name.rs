//! Names: ids, labels, SQL identifiers.

use crate::config::bound::{MAX_ID_BYTES, MAX_IDENTIFIER_BYTES};

/// Ids stand in paths, metric labels and log lines.
pub(super) fn id(text: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fits = (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(letter);
    if fits { Ok(()) } else { Err(format!("must be 1 to {MAX_ID_BYTES} letters, digits, - or _")) }
}

/// One SQL identifier that needs no thought to quote: `[A-Za-z_][A-Za-z0-9_$]*`.
fn is_identifier(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins
        && text.len() <= MAX_IDENTIFIER_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

/// A column.
pub(super) fn column(text: &str) -> Result<(), String> {
    let wanted = "must be a plain column name: letters, digits, _ or $, not beginning with a digit";
    if is_identifier(text) { Ok(()) } else { Err(wanted.to_owned()) }
}

/// A table, perhaps with schema and database.
pub(super) fn table(text: &str) -> Result<(), String> {
    let wanted = "must be a plain table name, schema.table or database.schema.table: \
                  letters, digits, _ or $, not beginning with a digit; use query for anything else";
    let fits = text.split('.').count() <= 3 && text.split('.').all(is_identifier);
    if fits { Ok(()) } else { Err(wanted.to_owned()) }
}

/// A time zone of the IANA database.
pub(super) fn zone(text: &str) -> Result<(), String> {
    let wanted = "must be a time zone such as UTC or Europe/London";
    text.parse::<chrono_tz::Tz>().map(|_| ()).map_err(|_| wanted.to_owned())
}
