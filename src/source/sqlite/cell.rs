//! SQLite's values as ours.

use rusqlite::types::ValueRef;

use crate::customer::Value;
use crate::source::fold::RawKey;

pub(super) fn raw_key(key: ValueRef<'_>) -> RawKey<'_> {
    match key {
        ValueRef::Null => RawKey::Null,
        ValueRef::Integer(number) => RawKey::Integer(number),
        ValueRef::Real(number) => RawKey::Real(number),
        ValueRef::Text(bytes) => RawKey::Text(bytes),
        ValueRef::Blob(bytes) => RawKey::Blob(bytes),
    }
}

pub(super) fn bound(key: RawKey<'_>) -> ValueRef<'_> {
    match key {
        RawKey::Null => ValueRef::Null,
        RawKey::Integer(number) => ValueRef::Integer(number),
        RawKey::Real(number) => ValueRef::Real(number),
        RawKey::Text(bytes) => ValueRef::Text(bytes),
        RawKey::Blob(bytes) => ValueRef::Blob(bytes),
    }
}

pub(super) fn value(cell: ValueRef<'_>) -> Value<'_> {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(bytes) => Value::Text(bytes),
        ValueRef::Blob(_) => Value::Unreadable,
    }
}
