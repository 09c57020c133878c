//! Times, states and shares as they stand on a page.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use crate::figures::relative;
use crate::run::{Mode, Run, RunId, RunState, TriggerKind};

/// `12,300` as `12.3k`: for axes.
pub(super) fn short(number: f64) -> String {
    let (divided, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, "G"),
        n if n >= 1e6 => (number / 1e6, "M"),
        n if n >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = format!("{divided:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// A share, with as many decimals as tell it from all and nothing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let share = part as f64 * 100.0 / whole as f64;
    match share {
        share if part > 0 && share < 0.1 => "under 0.1 %".to_owned(),
        share if part < whole && share > 99.9 => "over 99.9 %".to_owned(),
        share if share.fract() == 0.0 => format!("{share:.0} %"),
        share => format!("{share:.1} %"),
    }
}

/// A setting's seconds in its own unit: `26 h`, `7 d`.
pub(super) fn setting(secs: u64) -> String {
    match secs {
        secs if secs > 0 && secs.is_multiple_of(86_400) => format!("{} d", secs / 86_400),
        secs if secs > 0 && secs.is_multiple_of(3_600) => format!("{} h", secs / 3_600),
        secs if secs > 0 && secs.is_multiple_of(60) => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

/// `2026-11-27 23:05:12`, in UTC; the unit stands beside.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// An instant, as far from now as people count it; the instant itself on request.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time datetime=(machine(at)) title={ (stamp(at)) " UTC" } { (relative(at, now)) } }
}

/// An instant in full.
pub(super) fn exact(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(machine(at)) { (stamp(at)) " UTC" } }
}

fn machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The end of a run's id, which tells it from its neighbours: the beginning is the time.
pub(super) fn short_id(id: RunId) -> String {
    let id = id.to_string();
    id[id.len() - 8..].to_owned()
}

/// A run's state. Its form differs as well as its colour.
pub(super) fn badge(state: RunState) -> Markup {
    html! { span class={ "badge " (state) } { (state) } }
}

/// What brought a run about, in a few words.
pub(super) fn trigger(run: &Run) -> String {
    let by = run.trigger.actor.as_deref().map_or(String::new(), |actor| format!(" by {actor}"));
    match run.trigger.kind {
        TriggerKind::Callback => "callback from Peak".to_owned(),
        TriggerKind::Manual => format!("started{by}"),
        TriggerKind::Cli => format!("command line{by}"),
        TriggerKind::Schedule => "schedule".to_owned(),
        TriggerKind::Retrigger => format!("retriggered{by}"),
    }
}

/// How much a run looks at.
pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Delta => "what changed since",
        Mode::Full => "every row compared",
        Mode::Force => "every value sent",
        Mode::Plan => "a plan: nothing sent",
    }
}

/// How long a run was at work; so far, if it still is.
pub(super) fn took(run: &Run, now: DateTime<Utc>) -> Option<TimeDelta> {
    Some(run.finished_at.unwrap_or(now) - run.started_at?)
}

/// Text for the query part of an address (RFC 3986 §2.3: what needs no encoding).
pub(super) fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let letter =
        |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        assert_eq!([0.0, 250.0, 1_250.0, 20_000.0, 2.5e6].map(short), ["0", "250", "1.25k", "20k", "2.5M"]);
        assert_eq!(
            [(0, 0), (1, 3), (1, 100_000), (99_999, 100_000), (3, 3)].map(|(a, b)| percent(a, b)),
            ["–", "33.3 %", "under 0.1 %", "over 99.9 %", "100 %"]
        );
    }

    #[test]
    fn settings_have_their_unit() {
        assert_eq!([93_600, 604_800, 90, 7].map(setting), ["26 h", "7 d", "90 s", "7 s"]);
    }

    #[test]
    fn addresses_hold_no_stray_letters() {
        assert_eq!(encoded("/runs?a=b&c=\u{e9}\"<"), "/runs%3Fa%3Db%26c%3D%C3%A9%22%3C");
    }
}
