//! Deliveries whose id was known already: listed, and counted rather than kept one by one.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Identified;
use crate::ledger::column::{At, Key};
use crate::ledger::statement::built;
use crate::ledger::store::Tx;
use crate::ledger::{NewDelivery, Recorded};

/// Deliveries of one id and one outcome that came together.
struct Repeats<'d> {
    latest: &'d NewDelivery,
    run: Option<Uuid>,
    times: i64,
}

/// Duplicates and conflicts are counted in one line each.
pub(super) async fn count_repeats(
    tx: &mut Tx,
    deliveries: &[Identified],
    recorded: &[Recorded],
) -> Result<(), sqlx::Error> {
    let mut repeated: BTreeMap<(&str, &str, &str), Repeats<'_>> = BTreeMap::new();
    for (delivery, recorded) in deliveries.iter().zip(recorded) {
        let (outcome, run) = match recorded {
            Recorded::Duplicate { run, .. } => ("duplicate", run.map(|(run, _)| run.0)),
            Recorded::Conflict => ("conflict", None),
            Recorded::Accepted { .. } | Recorded::Ignored { .. } => continue,
        };
        let repeats = repeated.entry((&delivery.new.sync, &delivery.id, outcome));
        let repeats = repeats.or_insert(Repeats { latest: &delivery.new, run, times: 0 });
        repeats.latest = &delivery.new;
        repeats.times += 1;
    }
    if repeated.is_empty() {
        return Ok(());
    }
    built!(
        tx,
        |query| "-- inbox::count_repeats
         insert into deliveries (sync, delivery_id, outcome, body_digest, received_at, event_type, run_id, secret,
           times) ",
        {
            query.push_values(&repeated, |mut row, ((sync, id, outcome), repeats)| {
                let Repeats { latest: NewDelivery { body_digest, received_at, event_type, secret, .. }, run, times } =
                    repeats;
                row.push_bind(*sync)
                    .push_bind(Key(*id))
                    .push_bind(*outcome)
                    .push_bind(&body_digest[..])
                    .push_bind(At(*received_at))
                    .push_bind(Key(event_type))
                    .push_bind(*run)
                    .push_bind(i64::from(*secret))
                    .push_bind(*times);
            });
            query.push(
                " on conflict (sync, delivery_id, outcome) where outcome in ('duplicate', 'conflict')
                  do update set times = deliveries.times + excluded.times, received_at = excluded.received_at,
                    secret = excluded.secret, run_id = excluded.run_id",
            );
        },
        build.execute
    )
    .map(drop)
}
