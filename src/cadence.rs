//! When a sync runs by itself: the next slot of its cron expression, in its own time zone. Pure.
//!
//! Slots are counted on the local clock, each once. A slot in the hour that spring skips comes when that hour would
//! have ended; a slot in the hour that autumn repeats comes in its first pass.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};

use crate::config;

/// Slots passed over before giving up. A repeated hour holds at most 180 of them, of one minute each (no zone has
/// ever gone back by more than three hours at once).
const MAX_SLOTS: usize = 256;

/// Local clocks skip at most a day (Samoa, 2011); looked through in quarters of an hour, the finest step of any zone.
const MAX_GAP_QUARTERS: i32 = 4 * 24 + 1;

/// Why a cadence has no next slot.
#[derive(Debug, thiserror::Error)]
pub enum CadenceError {
    /// Not a five-field expression, or one that never comes round.
    #[error("not a cron expression of five fields that ever comes round")]
    Cron(#[from] CronError),
    /// Not a zone of the tz database.
    #[error("not a time zone of the tz database, such as Europe/London")]
    Timezone,
}

/// The first slot of `cron`, read in the zone `timezone`, after `now`.
///
/// # Errors
/// When the expression or the zone cannot be read, or the expression never comes round.
pub fn next_after(cron: &str, timezone: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, CadenceError> {
    let zone: Tz = timezone.parse().map_err(|_| CadenceError::Timezone)?;
    let cron = CronParser::builder().seconds(Seconds::Disallowed).build().parse(cron)?;
    next_slot(&cron, zone, now)
}

/// The first slot of a sync's cadence after `now`; none where it has no cron expression, or one that cannot be read.
pub fn next_of(cadence: &config::Cadence, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    next_after(cadence.cron.as_deref()?, &cadence.timezone, now).ok()
}

/// The last slot of a sync's cadence that is not after `now`; none where it has no cron expression, or one that
/// cannot be read.
pub fn last_of(cadence: &config::Cadence, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let zone: Tz = cadence.timezone.parse().ok()?;
    let cron =
        CronParser::builder().seconds(Seconds::Disallowed).build().parse(cadence.cron.as_deref()?).ok()?;
    let mut slot = now.with_timezone(&zone).naive_local().and_utc();
    let mut inclusive = true;
    for _ in 0..MAX_SLOTS {
        slot = cron.find_previous_occurrence(&slot, inclusive).ok()?;
        inclusive = false;
        match instant(zone, slot.naive_utc()) {
            Some(at) if at <= now => return Some(at),
            _ => {}
        }
    }
    None
}

fn next_slot(cron: &Cron, zone: Tz, now: DateTime<Utc>) -> Result<DateTime<Utc>, CadenceError> {
    // On the local clock as if it were UTC, so that no rule but ours says what becomes of skipped and repeated hours.
    let mut slot = now.with_timezone(&zone).naive_local().and_utc();
    for _ in 0..MAX_SLOTS {
        slot = cron.find_next_occurrence(&slot, false)?;
        match instant(zone, slot.naive_utc()) {
            Some(at) if at > now => return Ok(at),
            _ => {}
        }
    }
    Err(CadenceError::Cron(CronError::TimeSearchLimitExceeded))
}

/// When the local clock first shows `slot`, or would have.
fn instant(zone: Tz, slot: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&slot) {
        LocalResult::Single(at) => Some(at.to_utc()),
        LocalResult::Ambiguous(first, _) => Some(first.to_utc()),
        LocalResult::None => end_of_gap(zone, slot),
    }
}

fn end_of_gap(zone: Tz, slot: NaiveDateTime) -> Option<DateTime<Utc>> {
    let quarter = TimeDelta::minutes(15);
    let floor = slot.and_utc().timestamp().div_euclid(900) * 900;
    let floor = DateTime::from_timestamp(floor, 0)?.naive_utc();
    (1..=MAX_GAP_QUARTERS)
        .find_map(|step| zone.from_local_datetime(&(floor + quarter * step)).earliest())
        .map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slot_is_the_one_before_the_next() {
        for (cron, zone) in
            [("0 6 * * *", "Europe/London"), ("30 1 * * 0", "Europe/London"), ("0 0 1 1 *", "UTC")]
        {
            let cadence = config::Cadence {
                cron: Some(cron.to_owned()),
                timezone: zone.to_owned(),
                stale_after_secs: None,
            };
            let mut slot = at("2026-01-01T00:00:01Z");
            for _ in 0..60 {
                slot = next_after(cron, zone, slot).expect("comes round");
                assert_eq!(last_of(&cadence, slot), Some(slot), "{cron} {zone}");
                assert_eq!(last_of(&cadence, slot + TimeDelta::seconds(59)), Some(slot), "{cron} {zone}");
            }
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn slots(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let mut now = at(from);
        let mut slots = Vec::new();
        for _ in 0..count {
            now = next_after(cron, zone, now).expect("a slot");
            slots.push(now.format("%m-%dT%H:%MZ").to_string());
        }
        slots
    }

    #[test]
    fn daily_slot_keeps_its_local_time() {
        let spring = slots("0 6 * * *", "Europe/London", "2026-03-27T12:00:00Z", 3);
        assert_eq!(spring, ["03-28T06:00Z", "03-29T05:00Z", "03-30T05:00Z"]);
    }

    #[test]
    fn slot_in_the_skipped_hour_comes_once_at_its_end() {
        let spring = slots("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring, ["03-29T01:00Z", "03-30T00:30Z"]);
        let dense = slots("*/20 * * * *", "Europe/London", "2026-03-29T00:30:00Z", 3);
        assert_eq!(dense, ["03-29T00:40Z", "03-29T01:00Z", "03-29T01:20Z"]);
    }

    #[test]
    fn slot_in_the_repeated_hour_comes_once() {
        let autumn = slots("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn, ["10-25T00:30Z", "10-26T01:30Z"]);
        let dense = slots("*/30 * * * *", "Europe/London", "2026-10-25T00:10:00Z", 3);
        assert_eq!(dense, ["10-25T00:30Z", "10-25T02:00Z", "10-25T02:30Z"]);
    }

    #[test]
    fn skipped_day_is_made_up_for_at_its_end() {
        let samoa = slots("0 6 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", 1);
        assert_eq!(samoa, ["12-30T10:00Z"]);
    }

    #[test]
    fn slot_of_this_very_instant_is_over() {
        assert_eq!(
            next_after("0 6 * * *", "UTC", at("2026-01-01T06:00:00Z")).expect("a slot"),
            at("2026-01-02T06:00:00Z")
        );
        assert_eq!(
            next_after("0 6 * * 1", "UTC", at("2026-01-01T05:59:59.5Z")).expect("a slot"),
            at("2026-01-05T06:00:00Z")
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let now = at("2026-01-01T00:00:00Z");
        assert!(matches!(next_after("0 0 6 * * *", "UTC", now), Err(CadenceError::Cron(_))));
        assert!(matches!(next_after("0 6 31 2 *", "UTC", now), Err(CadenceError::Cron(_))));
        assert!(matches!(next_after("0 6 * * *", "Mars/Base", now), Err(CadenceError::Timezone)));
    }
}
