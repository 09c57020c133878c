//! Instants as sources spell them: ISO text with and without a zone, epoch integers, `infinity`.
//!
//! Everything becomes microseconds since 1970 in UTC before it is compared; text is never compared as text,
//! for `2026-01-02 09:00:00` sorts before `2026-01-02T08:00:00Z`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};

use super::Value;

/// When a row says it last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpdatedAt {
    /// Not an instant at all.
    Unreadable,
    /// NULL or `-infinity`: before every window.
    Never,
    /// Microseconds since 1970 in UTC.
    At(i64),
    /// `infinity`: after every window, and no watermark ever passes it.
    Endless,
}

impl UpdatedAt {
    /// A value that reads as this, whatever the zone: text need not be read twice.
    pub fn value(self) -> Value<'static> {
        match self {
            Self::Unreadable => Value::Unreadable,
            Self::Never => Value::Null,
            Self::At(micros) => Value::Instant(micros),
            Self::Endless => Value::Float(f64::INFINITY),
        }
    }
}

/// The zone in which timestamps without one are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Option<chrono_tz::Tz>);

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self(None)
    }

    /// A zone by its IANA name, such as `Europe/London`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "UTC" => Some(Self(None)),
            name => name.parse().ok().map(|zone| Self(Some(zone))),
        }
    }

    /// Reads a value as the instant a row last changed.
    pub fn instant(self, value: Value<'_>) -> UpdatedAt {
        match value {
            Value::Null => UpdatedAt::Never,
            Value::Instant(micros) => UpdatedAt::At(micros),
            Value::Integer(number) => epoch(number),
            Value::Float(number) => epoch_float(number),
            Value::Decimal(text) => text.parse().map_or(UpdatedAt::Unreadable, epoch_float),
            Value::Date(date) => self.local(date.and_time(chrono::NaiveTime::MIN)),
            Value::Text(text) => self.text(text),
            Value::Boolean(_) | Value::Json(_) | Value::Unreadable => UpdatedAt::Unreadable,
        }
    }

    fn text(self, text: &[u8]) -> UpdatedAt {
        let text = text.trim_ascii();
        match text {
            b"infinity" => return UpdatedAt::Endless,
            b"-infinity" => return UpdatedAt::Never,
            _ => {}
        }
        if text.len() >= 9 && text.iter().all(u8::is_ascii_digit) {
            let digits = std::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok());
            return digits.map_or(UpdatedAt::Unreadable, epoch);
        }
        match Spelled::parse(text) {
            None => UpdatedAt::Unreadable,
            Some(Spelled { local, offset_secs: Some(offset) }) => {
                at(local.and_utc().timestamp_micros().checked_sub(i64::from(offset) * 1_000_000))
            }
            Some(Spelled { local, offset_secs: None }) => self.local(local),
        }
    }

    /// Of two readings of a local time (the hour a clock goes back) the later is taken: read too often, never lost.
    fn local(self, local: NaiveDateTime) -> UpdatedAt {
        let Some(zone) = self.0 else { return UpdatedAt::At(local.and_utc().timestamp_micros()) };
        let micros = match zone.from_local_datetime(&local) {
            chrono::LocalResult::Single(instant) => Some(instant.timestamp_micros()),
            chrono::LocalResult::Ambiguous(_, later) => Some(later.timestamp_micros()),
            // A time the clock skipped: read with the offset in force before the gap, which is the later reading.
            chrono::LocalResult::None => local.checked_sub_signed(TimeDelta::hours(3)).map(|before| {
                let offset = zone.offset_from_utc_datetime(&before).fix().local_minus_utc();
                local.and_utc().timestamp_micros() - i64::from(offset) * 1_000_000
            }),
        };
        at(micros)
    }
}

fn at(micros: Option<i64>) -> UpdatedAt {
    micros.map_or(UpdatedAt::Unreadable, UpdatedAt::At)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size: each bound is thousands of
/// years away in the smaller unit.
fn epoch(number: i64) -> UpdatedAt {
    let micros = match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number),
        _ => Some(number.div_euclid(1_000)),
    };
    at(micros)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast to i64 saturates, and truncation never rounds up"
)]
fn epoch_float(number: f64) -> UpdatedAt {
    match number {
        f64::INFINITY => UpdatedAt::Endless,
        f64::NEG_INFINITY => UpdatedAt::Never,
        number if number.is_nan() => UpdatedAt::Unreadable,
        // SQLite's julianday(): a row read as January 1970 would never be selected again.
        number if (2_000_000.0..3_000_000.0).contains(&number) => UpdatedAt::Unreadable,
        number if number.abs() < 1e11 => UpdatedAt::At((number * 1e6).floor() as i64),
        number => epoch(number.floor() as i64),
    }
}

/// The calendar date of an instant, in UTC.
pub(super) fn date_of(micros: i64) -> Option<NaiveDate> {
    DateTime::<Utc>::from_timestamp_micros(micros).map(|instant| instant.date_naive())
}

/// The date at the start of ISO text.
pub(super) fn date_in(text: &[u8]) -> Option<NaiveDate> {
    Spelled::parse(text.trim_ascii()).map(|spelled| spelled.local.date())
}

/// Writes an instant as ISO 8601 in UTC, with milliseconds only where there are any.
/// `None` outside years 0 to 3000, which Braze would keep as a string. Source: Braze docs, User attributes object.
pub(super) fn write(micros: i64, out: &mut Vec<u8>) -> Option<()> {
    let instant =
        DateTime::<Utc>::from_timestamp_micros(micros).filter(|at| (0..=3000).contains(&at.year()))?;
    out.push(b'"');
    write_date(instant.date_naive(), out);
    for (mark, number) in [(b'T', instant.hour()), (b':', instant.minute()), (b':', instant.second())] {
        out.push(mark);
        write_digits(number, 2, out);
    }
    match instant.timestamp_subsec_millis() {
        0 => {}
        millis => {
            out.push(b'.');
            write_digits(millis, 3, out);
        }
    }
    out.extend_from_slice(b"Z\"");
    Some(())
}

/// Writes a date of the years 0 to 9999 as ISO 8601. By hand: the cost of a formatter shows at a million rows.
pub(super) fn write_date(date: NaiveDate, out: &mut Vec<u8>) {
    write_digits(date.year().unsigned_abs(), 4, out);
    for number in [date.month(), date.day()] {
        out.push(b'-');
        write_digits(number, 2, out);
    }
}

fn write_digits(number: u32, digits: u32, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).expect("a digit"));
    }
}

/// ISO text taken apart.
struct Spelled {
    local: NaiveDateTime,
    offset_secs: Option<i32>,
}

impl Spelled {
    /// `YYYY-MM-DD`, then perhaps `T` or a space and `HH:MM[:SS[.f…]]`, then perhaps `Z` or `±HH[[:]MM]`.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut rest = Rest(text);
        let year = rest.number(4)?;
        rest.expect(b"-")?;
        let month = rest.number(2)?;
        rest.expect(b"-")?;
        let day = rest.number(2)?;
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        if rest.0.is_empty() {
            return Some(Self { local: date.and_time(chrono::NaiveTime::MIN), offset_secs: None });
        }
        rest.expect(b"Tt ")?;
        let hour = rest.number(2)?;
        rest.expect(b":")?;
        let minute = rest.number(2)?;
        let (second, micros) = rest.seconds()?;
        let local = date.and_hms_micro_opt(hour, minute, second, micros)?;
        Some(Self { local, offset_secs: rest.offset()? })
    }
}

/// What is still to be read.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number
            .iter()
            .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    }

    fn expect(&mut self, one_of: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        one_of.contains(first).then_some(*first)
    }

    fn seconds(&mut self) -> Option<(u32, u32)> {
        if self.0.first() != Some(&b':') {
            return Some((0, 0));
        }
        self.0 = &self.0[1..];
        let second = self.number(2)?;
        if !matches!(self.0.first(), Some(b'.' | b',')) {
            return Some((second, 0));
        }
        self.0 = &self.0[1..];
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        // Digits past the microsecond are cut: a watermark is never rounded up.
        let (mut micros, mut scale) = (0, 100_000);
        for byte in &self.0[..digits.min(6)] {
            micros += u32::from(byte - b'0') * scale;
            scale /= 10;
        }
        self.0 = &self.0[digits..];
        Some((second, micros))
    }

    /// `Some(None)`: no zone given. `None`: not a zone.
    fn offset(&mut self) -> Option<Option<i32>> {
        self.0 = self.0.trim_ascii_start();
        if self.0.is_empty() {
            return Some(None);
        }
        if self.0.eq_ignore_ascii_case(b"z") || self.0.eq_ignore_ascii_case(b"utc") {
            return Some(Some(0));
        }
        let sign = if self.expect(b"+-")? == b'-' { -1 } else { 1 };
        let hours = i32::try_from(self.number(2)?).ok()?;
        if self.0.first() == Some(&b':') {
            self.0 = &self.0[1..];
        }
        let minutes = if self.0.is_empty() { 0 } else { i32::try_from(self.number(2)?).ok()? };
        (self.0.is_empty() && hours <= 18 && minutes < 60)
            .then_some(Some(sign * (hours * 3600 + minutes * 60)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(zone: &str, text: &str) -> UpdatedAt {
        Zone::named(zone).expect("known zone").instant(Value::Text(text.as_bytes()))
    }

    fn utc(text: &str) -> UpdatedAt {
        UpdatedAt::At(DateTime::parse_from_rfc3339(text).expect("a test's own time").timestamp_micros())
    }

    #[test]
    fn what_was_read_reads_the_same_again_in_any_zone() {
        for at in [UpdatedAt::Unreadable, UpdatedAt::Never, UpdatedAt::At(-7), UpdatedAt::Endless] {
            assert_eq!(Zone::named("Asia/Tokyo").expect("known zone").instant(at.value()), at);
        }
    }

    #[test]
    fn every_spelling_of_one_instant_is_equal() {
        for text in [
            "2026-01-02T09:00:00Z",
            "2026-01-02 09:00:00",
            "2026-01-02 09:00",
            "2026-01-02T09:00:00.000000Z",
            "2026-01-02T10:00:00+01:00",
            "2026-01-02 10:00:00+01",
            "2026-01-02T04:00:00-0500",
            "2026-01-02 09:00:00 UTC",
            "1767344400",
            "1767344400000",
            "1767344400000000",
        ] {
            assert_eq!(micros("UTC", text), utc("2026-01-02T09:00:00Z"), "{text}");
        }
        assert_eq!(Zone::utc().instant(Value::Integer(1_767_344_400)), utc("2026-01-02T09:00:00Z"));
        assert_eq!(Zone::utc().instant(Value::Float(1_767_344_400.25)), utc("2026-01-02T09:00:00.25Z"));
    }

    #[test]
    fn what_is_not_an_instant_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "02/01/2026",
            "2026-01-02T25:00:00",
            "2026-01-02T09:00:00.Z",
        ] {
            assert_eq!(micros("UTC", text), UpdatedAt::Unreadable, "{text}");
        }
        assert_eq!(Zone::utc().instant(Value::Float(2_461_042.875)), UpdatedAt::Unreadable);
        assert_eq!(micros("UTC", "infinity"), UpdatedAt::Endless);
        assert_eq!(micros("UTC", "-infinity"), UpdatedAt::Never);
    }

    #[test]
    fn fractions_are_cut_never_rounded_up() {
        assert_eq!(micros("UTC", "2026-01-02T09:00:00.999999999Z"), utc("2026-01-02T09:00:00.999999Z"));
    }

    #[test]
    fn a_local_time_that_happens_twice_is_read_as_the_later() {
        assert_eq!(micros("Europe/London", "2026-10-25 01:30:00"), utc("2026-10-25T01:30:00Z"));
        assert_eq!(micros("Europe/London", "2026-07-01 12:00:00"), utc("2026-07-01T11:00:00Z"));
        assert_eq!(micros("Europe/London", "2026-03-29 01:30:00"), utc("2026-03-29T01:30:00Z"));
    }
}
