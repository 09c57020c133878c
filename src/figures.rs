//! Numbers, sizes and times as a person reads them: the same in every command and on every page.

use chrono::{DateTime, TimeDelta, Utc};

/// `10000` as `10,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 customer`, `2,000 customers`.
pub(crate) fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// Bytes in steps of a thousand: `999 B`, `12.3 kB`, `4.0 GB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1e3, "kB");
    for next in ["MB", "GB", "TB"] {
        // What would be rounded to a thousand takes the next unit.
        if amount < 999.95 {
            break;
        }
        (amount, unit) = (amount / 1e3, next);
    }
    format!("{amount:.1} {unit}")
}

/// A length of time: `42 ms`, `3.2 s`, `2 min 5 s`, `1 h 20 min`, `3 days`.
pub(crate) fn length(of: TimeDelta) -> String {
    let millis = of.num_milliseconds().max(0);
    match millis / 1_000 {
        0 => format!("{millis} ms"),
        secs if secs < 60 => format!("{:.1} s", millis as f64 / 1e3),
        secs if secs < 3_600 => two(secs / 60, "min", secs % 60, "s"),
        secs if secs < 48 * 3_600 => two(secs / 3_600, "h", secs / 60 % 60, "min"),
        secs => format!("{} days", secs / 86_400),
    }
}

fn two(great: i64, unit: &str, small: i64, below: &str) -> String {
    if small == 0 { format!("{great} {unit}") } else { format!("{great} {unit} {small} {below}") }
}

/// About how long: the greatest unit alone.
pub(crate) fn about(secs: i64) -> String {
    match secs.max(0) {
        secs @ 0..60 => format!("{secs} s"),
        secs @ 60..3_600 => format!("{} min", secs / 60),
        secs @ 3_600..172_800 => format!("{} h", secs / 3_600),
        secs => format!("{} days", secs / 86_400),
    }
}

/// An instant seen from `now`: `just now`, `12 s ago`, `3 min ago`, `in 2 h`, `5 days ago`.
pub(crate) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - at).num_seconds() {
        secs @ ..-1 => format!("in {}", about(-secs)),
        -1..2 => "just now".to_owned(),
        secs => format!("{} ago", about(secs)),
    }
}

/// An instant to the second, in UTC.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "row"), counted(1_000, "row")), ("1 row".to_owned(), "1,000 rows".to_owned()));
    }

    #[test]
    fn sizes_have_a_unit_that_fits() {
        let sizes = [0, 999, 1_000, 12_345, 999_949, 999_950, 4_000_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "12.3 kB", "999.9 kB", "1.0 MB", "4.0 GB"]);
    }

    #[test]
    fn lengths_of_time_have_two_units_at_most() {
        let lengths = [0, 42, 1_000, 3_250, 59_900, 125_000, 3_600_000, 4_805_000, 200_000_000]
            .map(|millis| length(TimeDelta::milliseconds(millis)));
        let said = ["0 ms", "42 ms", "1.0 s", "3.2 s", "59.9 s", "2 min 5 s", "1 h", "1 h 20 min", "2 days"];
        assert_eq!(lengths, said);
    }

    #[test]
    fn instants_are_seen_from_now() {
        let now: DateTime<Utc> = "2026-03-28T12:00:00Z".parse().expect("an instant");
        let seen = |secs: i64| relative(now - TimeDelta::seconds(secs), now);
        assert_eq!(
            [0, 12, 200, 7_300, 200_000, -90].map(seen),
            ["just now", "12 s ago", "3 min ago", "2 h ago", "2 days ago", "in 1 min"]
        );
        assert_eq!(instant(now), "2026-03-28 12:00:00Z");
    }
}
