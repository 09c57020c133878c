//! How values stand in columns: instants, text that came from outside, and JSON.
//!
//! | here | SQLite | PostgreSQL |
//! |---|---|---|
//! | [`At`] | integer, microseconds since 1970 | timestamptz |
//! | [`Key`] | text | text |
//! | [`Json`] | text | jsonb |
//!
//! PostgreSQL's text holds no U+0000, SQLite's and Rust's does. There U+0000 is kept as U+0001 U+0001, and U+0001 as
//! U+0001 U+0002: nothing is lost, no two texts become one, and their order stays.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

/// Microseconds from 1970 to 2000, where PostgreSQL's times begin. Source: PostgreSQL docs, Date/Time Types.
pub(super) const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An instant, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At(pub DateTime<Utc>);

/// The instant so many microseconds after 1970, where there is one.
pub(super) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

impl Type<Sqlite> for At {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(kind: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(kind)
    }
}

impl Encode<'_, Sqlite> for At {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.0.timestamp_micros(), buffer)
    }
}

impl Decode<'_, Sqlite> for At {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        instant(Decode::<Sqlite>::decode(value)?).map(At).ok_or_else(no_instant)
    }
}

impl Type<Postgres> for At {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for At {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for At {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.0.timestamp_micros() - PG_EPOCH_MICROS, buffer)
    }
}

/// By hand: the driver's own way panics at `infinity`.
impl Decode<'_, Postgres> for At {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        micros.checked_add(PG_EPOCH_MICROS).and_then(instant).map(At).ok_or_else(no_instant)
    }
}

fn no_instant() -> BoxDynError {
    "a time no clock shows".into()
}

/// Text that came from outside, and may hold any character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key<S>(pub S);

impl<S> Type<Sqlite> for Key<S> {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }

    fn compatible(kind: &SqliteTypeInfo) -> bool {
        <str as Type<Sqlite>>::compatible(kind)
    }
}

impl<S: AsRef<str>> Encode<'_, Sqlite> for Key<S> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.0.as_ref().to_owned(), buffer)
    }
}

impl Decode<'_, Sqlite> for Key<String> {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Decode::<Sqlite>::decode(value).map(Key)
    }
}

impl<S> Type<Postgres> for Key<S> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(kind: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(kind)
    }
}

impl<S> PgHasArrayType for Key<S> {
    fn array_type_info() -> PgTypeInfo {
        <String as PgHasArrayType>::array_type_info()
    }
}

impl<S: AsRef<str>> Encode<'_, Postgres> for Key<S> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(&*without_nul(self.0.as_ref()), buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Key<Cow<'r, str>> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        value.as_str().map(|text| Key(with_nul(text)))
    }
}

impl Decode<'_, Postgres> for Key<String> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Key(with_nul(value.as_str()?).into_owned()))
    }
}

/// A value as JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Json<T>(pub T);

impl<T> Type<Sqlite> for Json<T> {
    fn type_info() -> SqliteTypeInfo {
        <sqlx::types::Json<T> as Type<Sqlite>>::type_info()
    }

    fn compatible(kind: &SqliteTypeInfo) -> bool {
        <sqlx::types::Json<T> as Type<Sqlite>>::compatible(kind)
    }
}

impl<T: Serialize> Encode<'_, Sqlite> for Json<T> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(serde_json::to_string(&self.0)?, buffer)
    }
}

impl<T: DeserializeOwned> Decode<'_, Sqlite> for Json<T> {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        let text: &str = Decode::<Sqlite>::decode(value)?;
        Ok(Json(serde_json::from_str(text)?))
    }
}

impl<T> Type<Postgres> for Json<T> {
    fn type_info() -> PgTypeInfo {
        <sqlx::types::Json<T> as Type<Postgres>>::type_info()
    }
}

/// The version that jsonb begins with. Source: PostgreSQL, `jsonb_recv`.
const JSONB_VERSION: u8 = 1;

impl<T: Serialize> Encode<'_, Postgres> for Json<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.push(JSONB_VERSION);
        buffer.extend_from_slice(json_without_nul(&serde_json::to_string(&self.0)?).as_bytes());
        Ok(IsNull::No)
    }
}

impl<T: DeserializeOwned> Decode<'_, Postgres> for Json<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let text = value.as_bytes()?.strip_prefix(&[JSONB_VERSION]).ok_or("another version of jsonb")?;
        Ok(Json(serde_json::from_str(&json_with_nul(std::str::from_utf8(text)?))?))
    }
}

/// The text as PostgreSQL can hold it; of two, the one that comes first by its bytes still does.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    if !text.contains(['\u{0}', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\u{0}', "\u{1}\u{1}"))
}

/// The text that [`without_nul`] was given.
pub(super) fn with_nul(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1}') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\u{1}\u{1}", "\u{0}").replace("\u{1}\u{2}", "\u{1}"))
}

/// The same within JSON text, where both characters are always escaped.
pub(super) fn json_without_nul(json: &str) -> Cow<'_, str> {
    if !json.contains(r"\u000") {
        return Cow::Borrowed(json);
    }
    Cow::Owned(each_escape(json, |rest| match rest {
        _ if rest.starts_with(r"\u0000") => Some((r"\u0001\u0001", 6)),
        _ if rest.starts_with(r"\u0001") => Some((r"\u0001\u0002", 6)),
        _ => None,
    }))
}

fn json_with_nul(json: &str) -> Cow<'_, str> {
    if !json.contains(r"\u0001") {
        return Cow::Borrowed(json);
    }
    Cow::Owned(each_escape(json, |rest| match rest {
        _ if rest.starts_with(r"\u0001\u0001") => Some((r"\u0000", 12)),
        _ if rest.starts_with(r"\u0001\u0002") => Some((r"\u0001", 12)),
        _ => None,
    }))
}

/// Replaces escapes of JSON text, by what stands for how many bytes; the others are left as they are, `\\u0000` too.
fn each_escape(json: &str, replace: impl Fn(&str) -> Option<(&'static str, usize)>) -> String {
    let mut text = String::with_capacity(json.len() + 16);
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        // An escape is the backslash and one character of ASCII at least.
        let (instead, bytes) = replace(escape).unwrap_or_else(|| ("", 2.min(escape.len())));
        text.push_str(if instead.is_empty() { &escape[..bytes] } else { instead });
        rest = &escape[bytes..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_keeps_its_order(
            one in r"[\x00-\x02a\\u0-1é]{0,12}", other in r"[\x00-\x02a\\u0-1é]{0,12}",
        ) {
            let (kept, other_kept) = (without_nul(&one), without_nul(&other));
            let has_nul = kept.contains('\u{0}');
            prop_assert!(!has_nul);
            prop_assert_eq!(&*with_nul(&kept), &one);
            prop_assert_eq!(kept.cmp(&other_kept), one.cmp(&other));
        }

        #[test]
        fn any_json_comes_back_and_holds_what_text_would(one in r"[\x00-\x02a\\u0-1é]{0,12}") {
            let json = serde_json::to_string(&[&one]).expect("JSON");
            let kept = json_without_nul(&json);
            prop_assert!(serde_json::from_str::<[String; 1]>(&kept).expect("JSON")[0] == without_nul(&one));
            prop_assert_eq!(&*json_with_nul(&kept), &json);
        }
    }
}
