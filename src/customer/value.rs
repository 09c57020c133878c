//! One value as a source gives it, and why one cannot be sent.

use chrono::NaiveDate;

/// One value as a source gives it, before it takes Braze's form. Borrowed from the source's own buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer, exact.
    Integer(i64),
    /// A binary floating-point number; may be NaN or infinite.
    Float(f64),
    /// A decimal number as text, exact: sign, digits, at most one point, no exponent.
    Decimal(&'a str),
    /// Text, not yet known to be UTF-8.
    Text(&'a [u8]),
    /// A calendar date.
    Date(NaiveDate),
    /// An instant, microseconds since 1970 in UTC.
    Instant(i64),
    /// A JSON document as text.
    Json(&'a str),
    /// Something the source could not decode, or has no Braze form, such as a blob.
    Unreadable,
}

/// Why a value, a customer or a row was not sent or not accepted. The word stands in `rejections[].code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// NULL, empty, blank, over-long or not UTF-8: no customer to address.
    BadKey,
    /// `updated_at` is not an instant.
    BadUpdatedAt,
    /// NaN or infinite: JSON has no such number.
    NotFinite,
    /// The value does not fit its declared type.
    WrongType,
    /// Text that is not UTF-8.
    BadUtf8,
    /// A string over 255 characters.
    TooLong,
    /// JSON that does not parse, or is nested too deep.
    BadJson,
    /// A null inside a JSON value: Braze would drop the whole attribute.
    NestedNull,
    /// A JSON object that Braze would take for an operation, such as `{"inc": 1}`: sent twice, it would count twice.
    Operation,
    /// Over 500 array items, or over 100 KB: Braze would drop the update.
    TooLarge,
    /// The source could not decode it.
    Unreadable,
    /// Braze: no, or more than one, identifier.
    BrazeIdentifier,
    /// Braze: the id is over 987 bytes.
    BrazeIdTooLong,
    /// Braze: the id is blocklisted.
    BrazeBlocklisted,
    /// Braze: not an email address.
    BrazeBadEmail,
    /// Braze: refused for another reason.
    BrazeRefused,
    /// Braze's answer did not say; tried again with all values.
    Unknown,
}

impl Code {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::BadKey,
        Self::BadUpdatedAt,
        Self::NotFinite,
        Self::WrongType,
        Self::BadUtf8,
        Self::TooLong,
        Self::BadJson,
        Self::NestedNull,
        Self::Operation,
        Self::TooLarge,
        Self::Unreadable,
        Self::BrazeIdentifier,
        Self::BrazeIdTooLong,
        Self::BrazeBlocklisted,
        Self::BrazeBadEmail,
        Self::BrazeRefused,
        Self::Unknown,
    ];

    /// The word as it stands in JSON, columns and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadKey => "bad_key",
            Self::BadUpdatedAt => "bad_updated_at",
            Self::NotFinite => "not_finite",
            Self::WrongType => "wrong_type",
            Self::BadUtf8 => "bad_utf8",
            Self::TooLong => "too_long",
            Self::BadJson => "bad_json",
            Self::NestedNull => "nested_null",
            Self::Operation => "operation",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::BrazeIdentifier => "braze_identifier",
            Self::BrazeIdTooLong => "braze_id_too_long",
            Self::BrazeBlocklisted => "braze_blocklisted",
            Self::BrazeBadEmail => "braze_bad_email",
            Self::BrazeRefused => "braze_refused",
            Self::Unknown => "unknown",
        }
    }
}
