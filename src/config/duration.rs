//! Durations as people write them: `90s`, `15m`, `24h`, `7d`, and `off`.

use serde::Deserialize;

const WANTED: &str = "must be a whole number and s, m, h or d, such as \"24h\"";
const WANTED_OR_OFF: &str = "must be a whole number and s, m, h or d, such as \"7d\", or \"off\"";

/// Seconds of a text such as `24h`.
pub(super) fn parse(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(WANTED)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(WANTED),
    };
    // `parse` alone would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WANTED);
    }
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or(WANTED)
}

/// Seconds of a text such as `7d`; none for `off`.
pub(super) fn parse_or_off(text: &str) -> Result<Option<u64>, &'static str> {
    if text == "off" { Ok(None) } else { parse(text).map(Some).map_err(|_| WANTED_OR_OFF) }
}

/// For a serde field: see [`parse`].
pub(super) fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// For a serde field: see [`parse_or_off`].
pub(super) fn seconds_or_off<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    parse_or_off(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_number_and_unit() {
        for (text, secs) in [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(secs), "{text}");
        }
        assert_eq!(parse_or_off("off"), Ok(None));
    }

    #[test]
    fn refuses_everything_else() {
        let odd =
            ["", "s", "7", "d7", "1.5h", "-1s", "+1s", "1 h", "1w", "1H", "off", "7é", "999999999999999999d"];
        for text in odd {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
