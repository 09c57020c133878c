//! From file to [`Config`].

use serde::Deserialize;

/// Reads `"24h"`-like durations as seconds.
pub(super) fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    seconds(&text).map_err(serde::de::Error::custom)
}

/// Reads `"24h"`-like durations as seconds; `"off"` as none.
pub(super) fn duration_or_off<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" { Ok(None) } else { seconds(&text).map(Some).map_err(serde::de::Error::custom) }
}

fn seconds(text: &str) -> Result<u64, String> {
    let bad = || "a duration is a number and s, m, h or d, such as \"24h\"".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    number.checked_mul(unit).ok_or_else(bad)
}
