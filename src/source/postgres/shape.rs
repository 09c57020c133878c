//! A column's type: how it is selected, and how its text becomes a value.

use sqlx::TypeInfo;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

use super::dialect::Dialect;
use crate::customer::{Kind, UpdatedAt, Value, Zone};

/// Bytes past which text cannot be a string Braze takes: 255 characters of four bytes.
const STRING_BYTES: usize = 1_020;
/// One character more than Braze takes: enough to tell, or to cut.
const STRING_CHARS: usize = 256;
/// One byte more than a document may have in Braze. Source: Braze docs, Data types.
const DOCUMENT_BYTES: usize = 100 * 1024 + 1;

/// Bytes of the longest SUPER that Redshift writes as text; of a larger one the whole statement would fail. Source:
/// Redshift docs, JSON_SERIALIZE, Character types.
const SUPER_BYTES: usize = 65_535;
/// Stands for a SUPER that is not written as text; no JSON looks like it.
const SUPER_TOO_LARGE: &str = "too large";
/// Stands for a document that is longer than Braze takes.
const TOO_LARGE: &str = match std::str::from_utf8(&[b' '; DOCUMENT_BYTES]) {
    Ok(text) => text,
    Err(_) => panic!("blanks are text"),
};

/// What the text of a column spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    Integer,
    Float,
    Decimal,
    Text,
    Date,
    /// A timestamp without zone.
    Local,
    /// A timestamp with zone.
    Instant,
    Json,
    /// An array or row, which becomes JSON.
    Composite,
    Bytes,
    /// Anything else, by the text it is printed as.
    Printed,
}

impl Shape {
    pub(super) fn of(info: &PgTypeInfo) -> Self {
        match info.kind() {
            PgTypeKind::Domain(base) => return Self::of(base),
            PgTypeKind::Array(_) | PgTypeKind::Composite(_) => return Self::Composite,
            PgTypeKind::Enum(_) | PgTypeKind::Range(_) => return Self::Printed,
            PgTypeKind::Simple | PgTypeKind::Pseudo => {}
        }
        match info.name() {
            "BOOL" => Self::Boolean,
            "INT2" | "INT4" | "INT8" => Self::Integer,
            "FLOAT4" | "FLOAT8" => Self::Float,
            "NUMERIC" => Self::Decimal,
            "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UUID" => Self::Text,
            "DATE" => Self::Date,
            "TIMESTAMP" => Self::Local,
            "TIMESTAMPTZ" => Self::Instant,
            "JSON" | "JSONB" => Self::Json,
            "BYTEA" => Self::Bytes,
            _ => Self::Printed,
        }
    }

    /// The kind its values are of when left as given.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Boolean => Kind::Boolean,
            Self::Integer | Self::Float | Self::Decimal => Kind::Number,
            Self::Text | Self::Printed => Kind::String,
            Self::Date => Kind::Date,
            Self::Local | Self::Instant => Kind::Timestamp,
            Self::Json | Self::Composite => Kind::Json,
            Self::Bytes => Kind::AsGiven,
        }
    }

    pub(super) fn can_be_key(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal | Self::Text | Self::Printed)
    }

    pub(super) fn can_be_time(self) -> bool {
        !matches!(self, Self::Boolean | Self::Json | Self::Composite | Self::Bytes)
    }

    /// The column as SQL, never longer than what tells that it is too long.
    pub(super) fn select(self, dialect: Dialect, column: &str, wanted: Kind) -> String {
        match self {
            Self::Text | Self::Printed => {
                let text = self.text(dialect, column);
                let (limit, too_long) = match wanted {
                    Kind::Json => (DOCUMENT_BYTES, format!("left({text}, {DOCUMENT_BYTES})")),
                    Kind::AsGiven | Kind::String => (STRING_BYTES, format!("left({text}, {STRING_CHARS})")),
                    // No number, date or boolean is that long; a part of one would be another value.
                    _ => (STRING_BYTES, "'too long'".to_owned()),
                };
                format!("CASE WHEN octet_length({text}) > {limit} THEN {too_long} ELSE {text} END")
            }
            // A NULL would become the text null.
            Self::Json if dialect == Dialect::Redshift => format!(
                "CASE WHEN {column} IS NULL THEN NULL WHEN json_size({column}) > {SUPER_BYTES} \
                 THEN '{SUPER_TOO_LARGE}' ELSE json_serialize({column}) END"
            ),
            Self::Json => format!("left(({column})::text, {DOCUMENT_BYTES})"),
            Self::Composite => format!("left(to_jsonb({column})::text, {DOCUMENT_BYTES})"),
            Self::Bytes => format!("CASE WHEN {column} IS NULL THEN NULL ELSE '' END"),
            _ => column.to_owned(),
        }
    }

    /// The column as text. On Redshift, what is text stands as text already, and a cast would cost its sort order.
    pub(super) fn text(self, dialect: Dialect, column: &str) -> String {
        match (dialect, self) {
            (Dialect::Postgres, _) => format!("({column})::text"),
            (Dialect::Redshift, Self::Text | Self::Printed) => column.to_owned(),
            (Dialect::Redshift, _) => format!("({column})::varchar(65535)"),
        }
    }

    /// The value this text spells; NULL is no text.
    pub(super) fn value(self, text: Option<&[u8]>, zone: Zone) -> Value<'_> {
        let Some(text) = text else { return Value::Null };
        self.parse(text, zone).unwrap_or(Value::Unreadable)
    }

    fn parse(self, bytes: &[u8], zone: Zone) -> Option<Value<'_>> {
        let text = || std::str::from_utf8(bytes).ok();
        match self {
            Self::Boolean => Some(Value::Boolean(bytes == b"t")),
            Self::Integer => text()?.parse().ok().map(Value::Integer),
            Self::Float => text()?.parse().ok().map(Value::Float),
            Self::Decimal if bytes.last()?.is_ascii_digit() => text().map(Value::Decimal),
            // NaN and the infinities.
            Self::Decimal => text()?.parse().ok().map(Value::Float),
            Self::Text | Self::Printed | Self::Date => Some(Value::Text(bytes)),
            Self::Local | Self::Instant => match zone.instant(Value::Text(bytes)) {
                UpdatedAt::At(micros) => Some(Value::Instant(micros)),
                _ => None,
            },
            Self::Json if bytes == SUPER_TOO_LARGE.as_bytes() => Some(Value::Json(TOO_LARGE)),
            Self::Json | Self::Composite => text().map(Value::Json),
            Self::Bytes => None,
        }
    }

    /// The value by which a row says when it changed: `infinity` keeps its meaning.
    pub(super) fn time(self, text: Option<&[u8]>, zone: Zone) -> Value<'_> {
        match (self, text) {
            (Self::Local | Self::Instant | Self::Date, Some(bytes)) => Value::Text(bytes),
            _ => self.value(text, zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_prints_is_read_back_exactly() {
        let value = |shape: Shape, text: &'static str| shape.value(Some(text.as_bytes()), Zone::utc());
        assert_eq!(value(Shape::Boolean, "t"), Value::Boolean(true));
        assert_eq!(value(Shape::Integer, "-9223372036854775808"), Value::Integer(i64::MIN));
        assert_eq!(value(Shape::Float, "0.1"), Value::Float(0.1));
        assert_eq!(value(Shape::Float, "-Infinity"), Value::Float(f64::NEG_INFINITY));
        assert!(matches!(value(Shape::Float, "NaN"), Value::Float(number) if number.is_nan()));
        assert_eq!(value(Shape::Decimal, "12.50"), Value::Decimal("12.50"));
        assert!(matches!(value(Shape::Decimal, "NaN"), Value::Float(number) if number.is_nan()));
        assert_eq!(value(Shape::Instant, "2026-01-02 09:00:00.25+00"), Value::Instant(1_767_344_400_250_000));
        for text in ["infinity", "294276-12-31 23:59:59+00", "0044-03-15 00:00:00+00 BC"] {
            assert_eq!(value(Shape::Instant, text), Value::Unreadable, "{text}");
            assert_eq!(Shape::Instant.time(Some(text.as_bytes()), Zone::utc()), Value::Text(text.as_bytes()));
        }
        assert_eq!(Shape::Bytes.value(Some(b""), Zone::utc()), Value::Unreadable);
        assert_eq!(Shape::Bytes.value(None, Zone::utc()), Value::Null);
    }
}
