//! The binary form of COPY. Source: PostgreSQL docs, COPY, Binary Format.

use rusqlite::types::ValueRef;

use crate::ledger::column::{PG_EPOCH_MICROS, json_without_nul, without_nul};

/// What the stream begins with: signature, flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];
/// The version that jsonb begins with. Source: PostgreSQL, `jsonb_recv`.
const JSONB_VERSION: u8 = 1;
/// Of the type text. Source: PostgreSQL, `pg_type.dat`.
const TEXT_OID: i32 = 25;

/// What a column's values become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bigint,
    Boolean,
    Bytes,
    /// From microseconds since 1970.
    Instant,
    Json,
    Text,
    /// From a JSON list.
    Texts,
    Uuid,
}

/// A value that does not fit its column.
#[derive(Debug)]
pub(super) struct Odd;

impl Form {
    /// The form of a column of this type.
    pub(super) fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "bigint" => Self::Bigint,
            "boolean" => Self::Boolean,
            "bytea" => Self::Bytes,
            "timestamp with time zone" => Self::Instant,
            "jsonb" => Self::Json,
            "text" => Self::Text,
            "text[]" => Self::Texts,
            "uuid" => Self::Uuid,
            _ => return None,
        })
    }

    /// Appends a value: its length, then its bytes; of NULL the length -1 alone.
    pub(super) fn append(self, value: ValueRef<'_>, part: &mut Vec<u8>) -> Result<(), Odd> {
        if matches!(value, ValueRef::Null) {
            part.extend_from_slice(&(-1_i32).to_be_bytes());
            return Ok(());
        }
        let start = part.len();
        part.extend_from_slice(&[0; 4]);
        match self {
            Self::Bigint => part.extend_from_slice(&integer(value)?.to_be_bytes()),
            Self::Boolean => part.push(u8::from(integer(value)? != 0)),
            Self::Instant => {
                let micros = integer(value)?.checked_sub(PG_EPOCH_MICROS).ok_or(Odd)?;
                part.extend_from_slice(&micros.to_be_bytes());
            }
            Self::Bytes => part.extend_from_slice(value.as_bytes().map_err(|_| Odd)?),
            Self::Uuid => {
                part.extend_from_slice(value.as_blob().ok().filter(|id| id.len() == 16).ok_or(Odd)?)
            }
            Self::Text => part.extend_from_slice(without_nul(text(value)?).as_bytes()),
            Self::Json => {
                part.push(JSONB_VERSION);
                part.extend_from_slice(json_without_nul(text(value)?).as_bytes());
            }
            Self::Texts => append_texts(value, part)?,
        }
        let bytes = i32::try_from(part.len() - start - 4).map_err(|_| Odd)?;
        part[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
        Ok(())
    }
}

/// An array: dimensions, whether there are NULLs, its type, then length and lower bound of the one dimension. One
/// without elements has none.
fn append_texts(value: ValueRef<'_>, part: &mut Vec<u8>) -> Result<(), Odd> {
    let texts: Vec<String> = serde_json::from_slice(value.as_bytes().map_err(|_| Odd)?).map_err(|_| Odd)?;
    let mut append = |number: i32| part.extend_from_slice(&number.to_be_bytes());
    append(i32::from(!texts.is_empty()));
    append(0);
    append(TEXT_OID);
    if !texts.is_empty() {
        append(i32::try_from(texts.len()).map_err(|_| Odd)?);
        append(1);
    }
    for text in &texts {
        let text = without_nul(text);
        part.extend_from_slice(&i32::try_from(text.len()).map_err(|_| Odd)?.to_be_bytes());
        part.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

fn integer(value: ValueRef<'_>) -> Result<i64, Odd> {
    value.as_i64().map_err(|_| Odd)
}

/// JSON may stand in a blob.
fn text(value: ValueRef<'_>) -> Result<&str, Odd> {
    std::str::from_utf8(value.as_bytes().map_err(|_| Odd)?).map_err(|_| Odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_as_the_server_reads_it() {
        let uuid = [7_u8; 16];
        for (form, value, bytes) in [
            (Form::Bigint, ValueRef::Integer(-2), (-2_i64).to_be_bytes().to_vec()),
            (Form::Boolean, ValueRef::Integer(1), vec![1]),
            (Form::Instant, ValueRef::Integer(PG_EPOCH_MICROS + 5), 5_i64.to_be_bytes().to_vec()),
            (Form::Bytes, ValueRef::Blob(b"\0\x01"), vec![0, 1]),
            (Form::Uuid, ValueRef::Blob(&uuid), uuid.to_vec()),
            (Form::Text, ValueRef::Text(b"a\0b"), b"a\x01\x01b".to_vec()),
            (Form::Json, ValueRef::Text(br#"{"a":"\u0000"}"#), b"\x01{\"a\":\"\\u0001\\u0001\"}".to_vec()),
            (Form::Texts, ValueRef::Blob(b"[]"), [0, 0, TEXT_OID].map(i32::to_be_bytes).concat()),
            (
                Form::Texts,
                ValueRef::Blob(br#"["c-1"]"#),
                [[1, 0, TEXT_OID, 1, 1, 3].map(i32::to_be_bytes).concat(), b"c-1".to_vec()].concat(),
            ),
        ] {
            let mut part = Vec::new();
            form.append(value, &mut part).expect("it fits");
            let length = i32::try_from(bytes.len()).expect("short").to_be_bytes();
            assert_eq!(part, [&length[..], &bytes].concat(), "{form:?}");
        }
        let mut part = Vec::new();
        Form::Uuid.append(ValueRef::Null, &mut part).expect("it fits");
        assert_eq!(part, [0xff; 4]);
        assert!(Form::Uuid.append(ValueRef::Blob(b"short"), &mut part).is_err());
        assert!(Form::Bigint.append(ValueRef::Text(b"7"), &mut part).is_err());
    }
}
