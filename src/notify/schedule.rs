//! When a delivery that failed is tried again.

use std::time::Duration;

/// Waits after each failure. Source: Standard Webhooks, Deliverability and reliability: the advised schedule, 75 hours
/// in all.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// Most deliveries of one notice.
pub const MOST_TRIES: u32 = WAITS.len() as u32 + 1;
/// The longest wait a receiver may ask for: the longest of the schedule.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// How long to wait after the failure of try number `tries` (from 1); none: give up. `asked` is what the receiver
/// asked for; up to a tenth is added by `chance`, so that what failed together does not come back together.
pub fn wait(tries: u32, asked: Option<Duration>, chance: u32) -> Option<Duration> {
    let place = usize::try_from(tries.saturating_sub(1)).ok()?;
    let planned = *WAITS.get(place)?;
    let wait = planned.max(asked.unwrap_or_default().min(LONGEST));
    Some(wait + wait.mul_f64(0.1 * f64::from(chance) / f64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tries_over_three_days_and_then_no_more() {
        let waits: Vec<Duration> = (1..).map_while(|tries| wait(tries, None, 0)).collect();
        assert_eq!(waits.len() as u32 + 1, MOST_TRIES);
        // The start of the last try after the first, as the specification's table has it.
        let total: Duration = waits.iter().sum();
        assert_eq!(total, Duration::from_secs((75 * 60 + 35) * 60 + 5));
    }

    #[test]
    fn a_receiver_may_ask_for_more_up_to_a_day() {
        let minute = Duration::from_secs(60);
        assert_eq!(wait(1, Some(minute), 0), Some(minute));
        assert_eq!(wait(3, Some(minute), 0), Some(30 * minute), "asked to come sooner than planned");
        assert_eq!(wait(1, Some(Duration::MAX), 0), Some(LONGEST));
        assert_eq!(wait(MOST_TRIES, Some(minute), 0), None);
    }

    #[test]
    fn chance_adds_a_tenth_at_most() {
        assert_eq!(wait(2, None, u32::MAX), Some(Duration::from_secs(330)));
    }
}
