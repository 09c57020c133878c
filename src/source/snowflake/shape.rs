//! A column's type: how it is selected, and how its cell becomes a value.

use chrono::{DateTime, Days, NaiveDate};

use super::cell::Cell;
use super::partition::ColumnType;
use crate::customer::{Kind, UpdatedAt, Value, Zone};

/// One character more than Braze takes of a string: enough to tell, or to cut.
const STRING_CHARS: usize = 256;
/// One character more than a document may have bytes in Braze. Source: Braze docs, Data types.
const DOCUMENT_CHARS: usize = 100 * 1024 + 1;
/// Digits that always fit 64 bits.
const INTEGER_DIGITS: u32 = 18;

/// What the cells of a column spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    /// A whole number of at most so many digits that 64 bits hold it.
    Integer,
    /// A whole number of up to 38 digits, as every `INTEGER` column is declared.
    Whole,
    Decimal,
    Float,
    Text,
    Date,
    /// A time of day, as text.
    Time,
    /// A timestamp without zone.
    Local,
    /// A timestamp with zone, kept or the session's.
    Instant,
    Json,
    /// What has no form in Braze: binary, geography, geometry, vector, file, interval, or a type not known here.
    Formless,
}

impl Shape {
    pub(super) fn of(column: &ColumnType) -> Self {
        let (precision, scale) = (column.precision.unwrap_or(38), column.scale.unwrap_or(0));
        match column.type_name.to_ascii_uppercase().as_str() {
            "BOOLEAN" => Self::Boolean,
            "FIXED" | "NUMBER" if scale > 0 => Self::Decimal,
            "FIXED" | "NUMBER" if precision > INTEGER_DIGITS => Self::Whole,
            "FIXED" | "NUMBER" => Self::Integer,
            "DECFLOAT" => Self::Decimal,
            "REAL" | "FLOAT" => Self::Float,
            "TEXT" | "VARCHAR" => Self::Text,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "TIMESTAMP_NTZ" => Self::Local,
            "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" => Self::Instant,
            "VARIANT" | "OBJECT" | "ARRAY" | "MAP" => Self::Json,
            _ => Self::Formless,
        }
    }

    /// The kind its values are of when left as given.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Boolean => Kind::Boolean,
            Self::Integer | Self::Whole | Self::Decimal | Self::Float => Kind::Number,
            Self::Text | Self::Time => Kind::String,
            Self::Date => Kind::Date,
            Self::Local | Self::Instant => Kind::Timestamp,
            Self::Json => Kind::Json,
            Self::Formless => Kind::AsGiven,
        }
    }

    pub(super) fn can_be_key(self) -> bool {
        matches!(self, Self::Integer | Self::Whole | Self::Decimal | Self::Text)
    }

    pub(super) fn can_be_time(self) -> bool {
        !matches!(self, Self::Boolean | Self::Time | Self::Json | Self::Formless)
    }

    /// The column as SQL, never longer than what tells that it is too long.
    pub(super) fn select(self, column: &str, wanted: Kind) -> String {
        match (self, wanted) {
            (Self::Text, Kind::Json) => format!("LEFT({column}, {DOCUMENT_CHARS})"),
            (Self::Text, Kind::AsGiven | Kind::String) => format!("LEFT({column}, {STRING_CHARS})"),
            // No number, date or boolean is that long; a part of one would be another value.
            (Self::Text, _) => format!("IFF(LENGTH({column}) >= {STRING_CHARS}, 'too long', {column})"),
            (Self::Time, _) => format!("TO_VARCHAR({column})"),
            (Self::Json, _) => format!("LEFT(TO_JSON(TO_VARIANT({column})), {DOCUMENT_CHARS})"),
            (Self::Formless, _) => format!("IFF({column} IS NULL, NULL, '')"),
            _ => column.to_owned(),
        }
    }

    /// The value this cell spells.
    pub(super) fn value<'c>(self, cell: &'c Cell<'_>, zone: Zone) -> Value<'c> {
        match cell {
            Cell::Null => Value::Null,
            Cell::Text(text) => self.parse(text, zone).unwrap_or(Value::Unreadable),
            Cell::Odd => Value::Unreadable,
        }
    }

    /// Source: Snowflake docs, SQL API, Handling responses: getting the data from the results.
    fn parse(self, text: &str, zone: Zone) -> Option<Value<'_>> {
        match self {
            Self::Boolean if text.eq_ignore_ascii_case("true") || text == "1" => Some(Value::Boolean(true)),
            Self::Boolean if text.eq_ignore_ascii_case("false") || text == "0" => Some(Value::Boolean(false)),
            Self::Boolean => None,
            Self::Integer | Self::Whole | Self::Decimal => number(text),
            Self::Float => text.parse().ok().map(Value::Float),
            Self::Text | Self::Time => Some(Value::Text(text.as_bytes())),
            Self::Date => date(text).map(Value::Date),
            Self::Local => local(text, zone).map(Value::Instant),
            Self::Instant => micros(text.split(' ').next()?).map(Value::Instant),
            Self::Json => Some(Value::Json(text)),
            Self::Formless => None,
        }
    }
}

/// Exact whatever its size.
fn number(text: &str) -> Option<Value<'_>> {
    if let Ok(number) = text.parse() {
        return Some(Value::Integer(number));
    }
    text.bytes().any(|byte| byte.is_ascii_digit()).then_some(Value::Decimal(text))
}

/// Days since 1970.
fn date(text: &str) -> Option<NaiveDate> {
    let days: i64 = text.parse().ok()?;
    let (epoch, by) = (NaiveDate::default(), Days::new(days.unsigned_abs()));
    if days < 0 { epoch.checked_sub_days(by) } else { epoch.checked_add_days(by) }
}

/// Seconds since 1970 with up to nine decimals, as microseconds: cut towards the past, so that a watermark is never
/// rounded up.
fn micros(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    let nanos = whole.parse::<i64>().map(i128::from).ok()? * 1_000_000_000 + nanos;
    i64::try_from((if is_negative { -nanos } else { nanos }).div_euclid(1_000)).ok()
}

/// A time without zone is one of the source's.
fn local(text: &str, zone: Zone) -> Option<i64> {
    let micros = micros(text)?;
    if zone == Zone::utc() {
        return Some(micros);
    }
    let wall =
        DateTime::from_timestamp_micros(micros)?.naive_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    match zone.instant(Value::Text(wall.as_bytes())) {
        UpdatedAt::At(micros) => Some(micros),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_zone(shape: Shape, text: &str, zone: Zone) -> Value<'_> {
        shape.parse(text, zone).unwrap_or(Value::Unreadable)
    }

    fn value(shape: Shape, text: &str) -> Value<'_> {
        in_zone(shape, text, Zone::utc())
    }

    #[test]
    fn cells_are_read_exactly() {
        assert_eq!(value(Shape::Boolean, "true"), Value::Boolean(true));
        assert_eq!(value(Shape::Whole, "-9223372036854775808"), Value::Integer(i64::MIN));
        let long = "99999999999999999999999999999999999999";
        assert_eq!(value(Shape::Whole, long), Value::Decimal(long));
        assert_eq!(value(Shape::Decimal, "12.50"), Value::Decimal("12.50"));
        assert_eq!(value(Shape::Float, "0.1"), Value::Float(0.1));
        assert_eq!(value(Shape::Float, "-inf"), Value::Float(f64::NEG_INFINITY));
        assert!(matches!(value(Shape::Float, "NaN"), Value::Float(number) if number.is_nan()));
        assert_eq!(
            value(Shape::Date, "-1"),
            Value::Date(NaiveDate::from_ymd_opt(1969, 12, 31).expect("a date"))
        );
        assert_eq!(value(Shape::Local, "1767344400.250000000"), Value::Instant(1_767_344_400_250_000));
        assert_eq!(value(Shape::Instant, "1767344400.999999999 1560"), Value::Instant(1_767_344_400_999_999));
        assert_eq!(value(Shape::Instant, "-0.000000001"), Value::Instant(-1));
        assert_eq!(value(Shape::Local, "-1.500000000"), Value::Instant(-1_500_000));
        assert_eq!(value(Shape::Local, "7"), Value::Instant(7_000_000));
        assert_eq!(Shape::Text.value(&Cell::Null, Zone::utc()), Value::Null);
        assert_eq!(Shape::Text.value(&Cell::Odd, Zone::utc()), Value::Unreadable);
    }

    #[test]
    fn what_cannot_be_read_spoils_its_value_alone() {
        for (shape, text) in [
            (Shape::Boolean, "yes"),
            (Shape::Decimal, "inf"),
            (Shape::Float, "high"),
            (Shape::Date, "2026-01-01"),
            (Shape::Date, "9223372036854775807"),
            (Shape::Local, "infinity"),
            (Shape::Local, "1.1234567890"),
            (Shape::Instant, ".5"),
            (Shape::Instant, "99999999999999999999"),
            (Shape::Formless, ""),
        ] {
            assert_eq!(value(shape, text), Value::Unreadable, "{shape:?} {text}");
        }
    }

    #[test]
    fn a_time_without_zone_is_of_the_source() {
        let london = Zone::named("Europe/London").expect("a zone");
        let summer = "1782905400.000000000"; // 2026-07-01 11:30:00 on the wall
        assert_eq!(in_zone(Shape::Local, summer, london), Value::Instant(1_782_901_800_000_000));
        assert_eq!(in_zone(Shape::Instant, summer, london), Value::Instant(1_782_905_400_000_000));
    }

    #[test]
    fn types_are_known_by_snowflakes_own_names() {
        let shape = |name: &str, precision, scale| {
            let column =
                ColumnType { name: "A".into(), type_name: name.into(), precision, scale, collation: None };
            Shape::of(&column)
        };
        assert_eq!(shape("fixed", Some(38), Some(0)), Shape::Whole);
        assert_eq!(shape("FIXED", Some(10), Some(0)), Shape::Integer);
        assert_eq!(shape("fixed", Some(12), Some(2)), Shape::Decimal);
        assert_eq!(shape("timestamp_tz", Some(0), Some(9)), Shape::Instant);
        assert_eq!(shape("geography", None, None), Shape::Formless);
        assert_eq!(shape("vector", None, None), Shape::Formless);
    }
}
