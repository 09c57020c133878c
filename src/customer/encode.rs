//! From a source's value to the JSON Braze takes.

use std::io::Write;

use chrono::Datelike;

use super::{Cell, Code, UpdatedAt, Value, Zone, decimal, json};

/// Most characters of a string value; over it Braze does nothing. Source: Braze docs, Data types.
const STRING_CHARS: usize = 255;

/// The form a value takes in Braze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As the source gives it.
    AsGiven,
    /// JSON string.
    String,
    /// JSON number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `yyyy-MM-dd`.
    Date,
    /// ISO 8601 in UTC.
    Timestamp,
    /// Array or object.
    Json,
}

/// What NULL means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNull {
    /// `null` is sent: Braze forgets the attribute.
    Remove,
    /// Nothing is sent: Braze keeps what it has.
    Skip,
}

/// What happens to strings over 255 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLong {
    /// The value is listed under rejections.
    Reject,
    /// The first 255 characters are sent.
    Truncate,
}

/// One mapped column: where it comes from, what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The source's column.
    pub column: String,
    /// Braze attribute.
    pub name: String,
    /// The form it takes.
    pub kind: Kind,
    /// Decimals kept of a number.
    pub round: Option<u8>,
    /// What NULL means.
    pub on_null: OnNull,
    /// What happens to strings over 255 characters.
    pub on_long: OnLong,
    /// The zone of timestamps that carry none.
    pub zone: Zone,
}

impl Attribute {
    /// Writes `value` in its JSON form at the end of `out` and tells where it stands.
    /// On any other cell than [`Cell::Json`], `out` is left as it was.
    pub fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Cell {
        let start = out.len();
        if value == Value::Null {
            return match self.on_null {
                OnNull::Remove => Cell::Null,
                OnNull::Skip => Cell::Absent,
            };
        }
        match self.write(value, out) {
            Ok(()) => Cell::json(start, out.len()),
            Err(code) => {
                out.truncate(start);
                Cell::Invalid(code)
            }
        }
    }

    fn write(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        if value == Value::Unreadable {
            return Err(Code::Unreadable);
        }
        match self.kind {
            Kind::AsGiven => self.write_as_given(value, out),
            Kind::String => self.write_string(value, out),
            Kind::Number => self.write_number(value, out),
            Kind::Boolean => write_boolean(value, out),
            Kind::Date => self.write_date(value, out),
            Kind::Timestamp => self.write_timestamp(value, out),
            Kind::Json => write_json(value, out),
        }
    }

    fn write_as_given(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        match value {
            Value::Boolean(_) => write_boolean(value, out),
            Value::Integer(_) | Value::Float(_) | Value::Decimal(_) => self.write_number(value, out),
            Value::Text(_) => self.write_string(value, out),
            Value::Date(_) => self.write_date(value, out),
            Value::Instant(_) => self.write_timestamp(value, out),
            Value::Json(_) => write_json(value, out),
            Value::Null | Value::Unreadable => Err(Code::Unreadable),
        }
    }

    fn write_string(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        match value {
            Value::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Code::BadUtf8)?;
                json::write_str(self.within_limit(text)?, out);
            }
            Value::Json(text) => json::write_str(self.within_limit(text)?, out),
            Value::Integer(_) | Value::Float(_) | Value::Decimal(_) => {
                out.push(b'"');
                self.write_number(value, out)?;
                out.push(b'"');
            }
            Value::Boolean(yes) => out.extend_from_slice(if yes { b"\"true\"" } else { b"\"false\"" }),
            Value::Date(_) => self.write_date(value, out)?,
            Value::Instant(_) => self.write_timestamp(value, out)?,
            Value::Null | Value::Unreadable => return Err(Code::Unreadable),
        }
        Ok(())
    }

    fn within_limit<'t>(&self, text: &'t str) -> Result<&'t str, Code> {
        // A string of no more bytes than the limit has no more characters either: the common case, unscanned.
        if text.len() <= STRING_CHARS {
            return Ok(text);
        }
        match text.char_indices().nth(STRING_CHARS) {
            None => Ok(text),
            Some((end, _)) if self.on_long == OnLong::Truncate => Ok(&text[..end]),
            Some(_) => Err(Code::TooLong),
        }
    }

    fn write_number(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        match value {
            Value::Integer(number) => write!(out, "{number}").expect("a Vec takes every write"),
            Value::Float(number) => decimal::write_float(number, self.round, out)?,
            Value::Decimal(text) => decimal::write_text(text, self.round, out)?,
            Value::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| Code::BadUtf8)?;
                decimal::write_text(text, self.round, out)?;
            }
            _ => return Err(Code::WrongType),
        }
        Ok(())
    }

    fn write_date(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        let date = match value {
            Value::Date(date) => date,
            Value::Instant(micros) => super::instant::date_of(micros).ok_or(Code::WrongType)?,
            Value::Text(bytes) => super::instant::date_in(bytes).ok_or(Code::WrongType)?,
            _ => return Err(Code::WrongType),
        };
        // Braze keeps dates outside these years as strings. Source: Braze docs, User attributes object.
        if !(0..=3000).contains(&date.year()) {
            return Err(Code::WrongType);
        }
        out.push(b'"');
        super::instant::write_date(date, out);
        out.push(b'"');
        Ok(())
    }

    fn write_timestamp(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        let micros = match value {
            Value::Instant(micros) => micros,
            Value::Date(_) | Value::Integer(_) | Value::Float(_) | Value::Decimal(_) | Value::Text(_) => {
                match self.zone.instant(value) {
                    UpdatedAt::At(micros) => micros,
                    _ => return Err(Code::WrongType),
                }
            }
            _ => return Err(Code::WrongType),
        };
        super::instant::write(micros, out).ok_or(Code::WrongType)
    }
}

fn write_boolean(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
    let yes = match value {
        Value::Boolean(yes) => yes,
        Value::Integer(0) | Value::Float(0.0) | Value::Decimal("0") => false,
        Value::Integer(1) | Value::Float(1.0) | Value::Decimal("1") => true,
        Value::Text(text) if is_one_of(text, &["true", "t"]) => true,
        Value::Text(text) if is_one_of(text, &["false", "f"]) => false,
        _ => return Err(Code::WrongType),
    };
    out.extend_from_slice(if yes { b"true" } else { b"false" });
    Ok(())
}

fn is_one_of(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

fn write_json(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
    match value {
        Value::Json(text) => json::write_compact(text, out),
        Value::Text(bytes) => {
            json::write_compact(std::str::from_utf8(bytes).map_err(|_| Code::BadUtf8)?, out)
        }
        _ => Err(Code::WrongType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: Kind) -> Attribute {
        Attribute {
            column: "c".into(),
            name: "a".into(),
            kind,
            round: None,
            on_null: OnNull::Remove,
            on_long: OnLong::Reject,
            zone: Zone::utc(),
        }
    }

    fn encoded(attribute: &Attribute, value: Value<'_>) -> Result<String, Code> {
        let mut out = b"kept".to_vec();
        match attribute.encode(value, &mut out) {
            Cell::Json { start, len } => {
                assert_eq!(start, 4);
                assert_eq!(out.len() - 4, len as usize);
                Ok(String::from_utf8(out.split_off(4)).expect("JSON is UTF-8"))
            }
            Cell::Invalid(code) => {
                assert_eq!(out, b"kept");
                Err(code)
            }
            cell => panic!("{cell:?}"),
        }
    }

    #[test]
    fn numbers_stay_exact() {
        let number = attribute(Kind::Number);
        for (value, json) in [
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Integer(9_007_199_254_740_993), "9007199254740993"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(5.0), "5"),
            (Value::Float(-0.0), "0"),
            (Value::Decimal("12.50"), "12.5"),
            (
                Value::Decimal("1234567890123456789012345678901234567890.01"),
                "1234567890123456789012345678901234567890.01",
            ),
            (Value::Text(b"0.83"), "0.83"),
        ] {
            assert_eq!(encoded(&number, value).as_deref(), Ok(json));
        }
        assert_eq!(encoded(&number, Value::Float(f64::NAN)), Err(Code::NotFinite));
        assert_eq!(encoded(&number, Value::Float(f64::INFINITY)), Err(Code::NotFinite));
        assert_eq!(encoded(&number, Value::Text(b"high")), Err(Code::WrongType));
        assert_eq!(encoded(&number, Value::Boolean(true)), Err(Code::WrongType));
    }

    #[test]
    fn rounding_hides_jitter() {
        let number = Attribute { round: Some(3), ..attribute(Kind::Number) };
        for (value, json) in [
            (Value::Float(0.830_04), "0.83"),
            (Value::Float(0.829_96), "0.83"),
            (Value::Float(-0.000_1), "0"),
            (Value::Decimal("0.8305"), "0.831"),
            (Value::Decimal("0.9996"), "1"),
            (Value::Integer(7), "7"),
        ] {
            assert_eq!(encoded(&number, value).as_deref(), Ok(json));
        }
    }

    #[test]
    fn strings_over_the_limit_are_rejected_or_cut_at_a_character() {
        let long = "é".repeat(256);
        let string = attribute(Kind::String);
        assert_eq!(encoded(&string, Value::Text("é".repeat(255).as_bytes())).map(|s| s.len()), Ok(512));
        assert_eq!(encoded(&string, Value::Text(long.as_bytes())), Err(Code::TooLong));
        let cut = Attribute { on_long: OnLong::Truncate, ..attribute(Kind::String) };
        assert_eq!(encoded(&cut, Value::Text(long.as_bytes())), Ok(format!("\"{}\"", "é".repeat(255))));
        assert_eq!(encoded(&string, Value::Text(b"\xff")), Err(Code::BadUtf8));
        assert_eq!(encoded(&string, Value::Text(b"a\"\n\0")).as_deref(), Ok(r#""a\"\n\u0000""#));
    }

    #[test]
    fn booleans_dates_timestamps_and_json_take_brazes_form() {
        let zone = Zone::named("Europe/London").expect("known zone");
        let timestamp = Attribute { zone, ..attribute(Kind::Timestamp) };
        assert_eq!(encoded(&attribute(Kind::Boolean), Value::Integer(1)).as_deref(), Ok("true"));
        for one in [Value::Float(1.0), Value::Decimal("1"), Value::Text(b"T")] {
            assert_eq!(encoded(&attribute(Kind::Boolean), one).as_deref(), Ok("true"));
        }
        for neither in [Value::Integer(2), Value::Float(0.5), Value::Float(f64::NAN), Value::Decimal("0.1")] {
            assert_eq!(encoded(&attribute(Kind::Boolean), neither), Err(Code::WrongType));
        }
        assert_eq!(
            encoded(&timestamp, Value::Decimal("1767344400.5")).as_deref(),
            Ok("\"2026-01-02T09:00:00.500Z\"")
        );
        let date = attribute(Kind::Date);
        assert_eq!(encoded(&date, Value::Text(b"2026-11-30")).as_deref(), Ok("\"2026-11-30\""));
        assert_eq!(encoded(&date, Value::Text(b"30/11/2026")), Err(Code::WrongType));
        assert_eq!(
            encoded(&timestamp, Value::Text(b"2026-07-01 12:00:00")).as_deref(),
            Ok("\"2026-07-01T11:00:00Z\"")
        );
        let json = attribute(Kind::Json);
        assert_eq!(encoded(&json, Value::Json("[ 1, \"a b\" ]")).as_deref(), Ok("[1,\"a b\"]"));
        assert_eq!(encoded(&json, Value::Json("{\"a\":{\"b\":null}}")), Err(Code::NestedNull));
        assert_eq!(encoded(&json, Value::Json("{\"a\":")), Err(Code::BadJson));
    }

    #[test]
    fn null_is_removed_or_skipped() {
        assert_eq!(attribute(Kind::Number).encode(Value::Null, &mut Vec::new()), Cell::Null);
        let skip = Attribute { on_null: OnNull::Skip, ..attribute(Kind::Number) };
        assert_eq!(skip.encode(Value::Null, &mut Vec::new()), Cell::Absent);
    }
}
