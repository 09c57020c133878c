//! Who is due how much of a limit.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How long what cannot be divided stays with the same holder: it is idle for a window whenever it moves.
const TURN: Duration = Duration::from_secs(30);

/// What each is due of `limit`: nobody more than it wants, and nobody less than another unless it wants less. What
/// cannot be divided goes round by the clock, so that of more holders than requests each gets its turn.
pub(super) fn due(limit: u32, wants: &[u32], now: DateTime<Utc>) -> Vec<u32> {
    let count = wants.len();
    let turn = usize::try_from(now.timestamp().unsigned_abs() / TURN.as_secs()).unwrap_or_default();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|index| (wants[*index], (index + turn) % count));
    let (mut due, mut left) = (vec![0; count], limit);
    for (done, index) in order.into_iter().enumerate() {
        let others = u32::try_from(count - done).unwrap_or(u32::MAX);
        due[index] = wants[index].min(left / others);
        left -= due[index];
    }
    due
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 0).expect("in range")
    }

    #[test]
    fn who_wants_little_gets_it_and_the_others_share_the_rest() {
        assert_eq!(due(100, &[10, 1_000, 1_000], at(0)), [10, 45, 45]);
        assert_eq!(due(100, &[100, 0, 0], at(0)), [100, 0, 0]);
        assert_eq!(due(100, &[5, 5], at(0)), [5, 5]);
        assert!(due(100, &[], at(0)).is_empty());
    }

    #[test]
    fn of_more_holders_than_requests_each_gets_its_turn() {
        let turns = (0..3).map(|turn| due(1, &[9, 9, 9], at(turn * 30)));
        let mut holders: Vec<usize> =
            turns.map(|due| due.iter().position(|due| *due == 1).expect("somebody's")).collect();
        holders.sort_unstable();
        assert_eq!(holders, [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn all_is_given_that_is_wanted_and_no_more(
            limit in 0_u32..5_000, wants in prop::collection::vec(0_u32..5_000, 0..8), secs in 0_i64..10_000,
        ) {
            let due = due(limit, &wants, at(secs));
            let (given, wanted): (u32, u32) = (due.iter().sum(), wants.iter().sum());
            prop_assert_eq!(given, limit.min(wanted));
            prop_assert!(due.iter().zip(&wants).all(|(due, wants)| due <= wants));
            let most = due.iter().max().copied().unwrap_or(0);
            let least_short = due.iter().zip(&wants).filter(|(due, wants)| due < wants).map(|(due, _)| *due).min();
            prop_assert!(least_short.is_none_or(|least| least + 1 >= most));
        }
    }
}
