//! Parquet's values as the copy's.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use parquet::data_type::Decimal;
use parquet::record::{Field, List, Map, Row};
use rusqlite::types::Value;
use serde_json::{Number, Value as Json, json};

use super::shape::Shape;

pub(super) fn value(field: Field, shape: Shape) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(yes) => Value::Integer(i64::from(yes)),
        Field::Byte(number) => Value::Integer(number.into()),
        Field::Short(number) => Value::Integer(number.into()),
        Field::Int(number) => Value::Integer(number.into()),
        Field::Long(nanos) if shape.is_nanos => time(nanos.div_euclid(1_000), shape),
        Field::Long(number) => Value::Integer(number),
        Field::UByte(number) => Value::Integer(number.into()),
        Field::UShort(number) => Value::Integer(number.into()),
        Field::UInt(number) => Value::Integer(number.into()),
        Field::ULong(number) => Value::Text(number.to_string()),
        Field::Float16(number) => float(number.to_f64()),
        // Through its shortest decimal form: 0.1 stays 0.1.
        Field::Float(number) => float(number.to_string().parse().unwrap_or(f64::NAN)),
        Field::Double(number) => float(number),
        Field::Decimal(number) => decimal(&number).map_or(Value::Blob(Vec::new()), Value::Text),
        Field::Str(text) => Value::Text(text),
        // Writers of old leave text unmarked.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.data().to_vec()),
        },
        Field::Date(days) => date(days).map_or(Value::Blob(Vec::new()), Value::Text),
        Field::TimeMillis(millis) => Value::Text(of_day(i64::from(millis) * 1_000)),
        Field::TimeMicros(micros) => Value::Text(of_day(micros)),
        Field::TimestampMillis(millis) => match millis.checked_mul(1_000) {
            Some(micros) => time(micros, shape),
            None => Value::Blob(Vec::new()),
        },
        Field::TimestampMicros(micros) => time(micros, shape),
        Field::Group(row) => Value::Text(group(row).to_string()),
        Field::ListInternal(elements) => Value::Text(list(&elements).to_string()),
        Field::MapInternal(entries) => Value::Text(map(&entries).to_string()),
    }
}

/// SQLite has no NaN and would store NULL, which means something else.
fn float(number: f64) -> Value {
    match number.is_nan() {
        true => Value::Text("NaN".to_owned()),
        false => Value::Real(number),
    }
}

/// What is out of every calendar becomes a blob: no value, and told as such.
fn time(micros: i64, shape: Shape) -> Value {
    let zone = if shape.is_local { "" } else { "Z" };
    match DateTime::<Utc>::from_timestamp_micros(micros) {
        Some(at) => Value::Text(format!("{}{zone}", at.format("%Y-%m-%dT%H:%M:%S%.6f"))),
        None => Value::Blob(Vec::new()),
    }
}

fn date(days: i32) -> Option<String> {
    let date = NaiveDate::default().checked_add_signed(TimeDelta::days(days.into()))?;
    Some(date.format("%Y-%m-%d").to_string())
}

fn of_day(micros: i64) -> String {
    let secs = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", secs / 3600, secs / 60 % 60, secs % 60, micros % 1_000_000)
}

/// The unscaled integer, big-endian, with its point put back.
fn decimal(number: &Decimal) -> Option<String> {
    let (bytes, scale) = (number.data(), usize::try_from(number.scale()).ok()?);
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    // Longer ones than 38 digits need were refused with the schema; some writers pad.
    let mut whole = [fill; 16];
    let kept = &bytes[bytes.len().saturating_sub(16)..];
    whole[16 - kept.len()..].copy_from_slice(kept);
    let unscaled = i128::from_be_bytes(whole);
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (integer, fraction) = digits.split_at(digits.len() - scale);
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{integer}{point}{fraction}"))
}

fn group(row: Row) -> Json {
    let shape = Shape { is_nanos: false, is_local: false };
    row.into_columns().into_iter().map(|(name, field)| (name, nested(field, shape))).collect()
}

fn list(elements: &List) -> Json {
    let shape = Shape { is_nanos: false, is_local: false };
    elements.elements().iter().map(|field| nested(field.clone(), shape)).collect()
}

fn map(entries: &Map) -> Json {
    let shape = Shape { is_nanos: false, is_local: false };
    let name = |key: &Field| match nested(key.clone(), shape) {
        Json::String(text) => text,
        other => other.to_string(),
    };
    entries.entries().iter().map(|(key, field)| (name(key), nested(field.clone(), shape))).collect()
}

/// A value within a list, group or map.
fn nested(field: Field, shape: Shape) -> Json {
    match field {
        Field::Bool(yes) => json!(yes),
        Field::Group(row) => group(row),
        Field::ListInternal(elements) => list(&elements),
        Field::MapInternal(entries) => map(&entries),
        Field::Decimal(number) => {
            let exact = decimal(&number).and_then(|text| text.parse::<f64>().ok());
            exact.and_then(Number::from_f64).map_or(Json::Null, Json::Number)
        }
        field => match value(field, shape) {
            Value::Null | Value::Blob(_) => Json::Null,
            Value::Integer(number) => json!(number),
            Value::Real(number) => json!(number),
            Value::Text(text) => json!(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use parquet::data_type::ByteArray;

    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        for (unscaled, scale, expected) in [
            (1250_i64, 2, "12.50"),
            (-1, 2, "-0.01"),
            (7, 0, "7"),
            (0, 3, "0.000"),
            (i64::MIN, 0, "-9223372036854775808"),
        ] {
            assert_eq!(decimal(&Decimal::from_i64(unscaled, 18, scale)).as_deref(), Some(expected));
            let bytes = ByteArray::from(unscaled.to_be_bytes().to_vec());
            assert_eq!(decimal(&Decimal::from_bytes(bytes, 18, scale)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn times_outside_every_calendar_are_no_values() {
        let shape = Shape { is_nanos: false, is_local: false };
        assert_eq!(value(Field::TimestampMillis(i64::MAX), shape), Value::Blob(Vec::new()));
        assert_eq!(value(Field::Date(i32::MAX), shape), Value::Blob(Vec::new()));
        assert_eq!(value(Field::Double(f64::NAN), shape), Value::Text("NaN".into()));
        assert_eq!(value(Field::Float(0.1), shape), Value::Real(0.1));
        let local = Shape { is_nanos: true, is_local: true };
        assert_eq!(value(Field::Long(1_500), local), Value::Text("1970-01-01T00:00:00.000001".into()));
    }
}
