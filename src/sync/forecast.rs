//! A plan: reads and compares as the next delta would, counts what it would send, and sends nothing.

use std::time::Duration;

use super::extract::{Extract, Portions};
use super::portion::Portion;
use super::receipt::Receipt;
use super::speed::Speed;
use super::window::Plan;
use super::{Claim, Rooms, Stopped, shown};
use crate::braze::Batch;
use crate::config;
use crate::ledger::{Finish, Lease};
use crate::run::{Forecast, ForecastValues, RunState};

/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Counts what a run would send. Of run, sync and customers nothing is changed but this plan's own row.
pub(super) async fn foresee(rooms: &Rooms, lease: &Lease, claim: &Claim) -> Result<Finish, Stopped> {
    let plan = Plan::make(rooms, lease).await?;
    let mut receipt = Receipt::open(lease, &plan);
    let (extract, portions) = Extract::start(rooms, lease, claim, &plan, &mut receipt).await?;
    let wire = take_all(rooms, lease, portions, &mut receipt).await?;
    extract.outcome().await?;
    let names: Vec<String> =
        rooms.sync.attributes.iter().map(config::Attribute::name).map(str::to_owned).collect();
    receipt.sum_up(&names);
    let forecast = forecast(rooms, &plan, &receipt, &names, &wire);
    rooms.ledger.record_plan(lease, &forecast).await?;
    Ok(Finish {
        state: RunState::Succeeded,
        checkpoint: Some(receipt.checkpoint().clone()),
        error: None,
        watermark: None,
        was_full: false,
        blocks: false,
    })
}

/// What would go over the wire.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wire {
    requests: u64,
    bytes: u64,
}

/// Takes every portion and lets it go again, counted.
async fn take_all(
    rooms: &Rooms,
    lease: &Lease,
    portions: Portions,
    receipt: &mut Receipt,
) -> Result<Wire, Stopped> {
    let Portions { mut queue, seen } = portions;
    let mut show = tokio::time::interval(SHOW_EVERY);
    let mut speed = Speed::start(0);
    let mut wire = Wire::default();
    loop {
        tokio::select! {
            portion = queue.recv() => match portion {
                Some(portion) => wire.add(rooms, portion, receipt),
                None => return Ok(wire),
            },
            _ = show.tick() => {
                let progress = speed.progress(seen.customers(), seen.total());
                shown(rooms.ledger.show_progress(lease, progress, None, None).await)?;
            }
        }
    }
}

impl Wire {
    fn add(&mut self, rooms: &Rooms, mut portion: Portion, receipt: &mut Receipt) {
        let (requests, bytes) =
            requests(&portion.batch, rooms.braze.batch_size(), rooms.braze.max_body_bytes());
        self.requests += requests;
        self.bytes += bytes;
        if let Some(counted) = portion.counted.take() {
            receipt.count(counted);
        }
    }
}

/// Requests a batch becomes, and bytes of their bodies: one, unless rows without a position made it longer.
fn requests(batch: &Batch, updates: usize, body_bytes: usize) -> (u64, u64) {
    if batch.is_empty() {
        return (0, 0);
    }
    let requests = batch.len().div_ceil(updates).max(batch.bytes().div_ceil(body_bytes)).min(batch.len());
    let frames = (requests - 1) * Batch::new().bytes();
    (requests as u64, (batch.bytes() + frames) as u64)
}

fn forecast(rooms: &Rooms, plan: &Plan, receipt: &Receipt, names: &[String], wire: &Wire) -> Forecast {
    let tally = &receipt.checkpoint().tally;
    let values = names.iter().cloned().zip(receipt.foreseen());
    let by_attribute: std::collections::BTreeMap<String, ForecastValues> = values.collect();
    Forecast {
        mode: plan.mode,
        promoted: plan.promoted.map(str::to_owned),
        customers: tally.customers,
        unchanged: tally.unchanged,
        changed: tally.changed,
        invalid: tally.invalid,
        data_points: by_attribute.values().map(ForecastValues::sent).sum(),
        by_attribute,
        requests: wire.requests,
        bytes: wire.bytes,
        budget_secs: budget_secs(wire.requests, &rooms.destination),
    }
}

/// How long so many requests take at the even pace of the budget; with an hour's share, whole hours are waited out.
#[expect(clippy::cast_precision_loss, reason = "an estimate; requests stay far under 2^52")]
fn budget_secs(requests: u64, destination: &config::Destination) -> f64 {
    let paced = requests as f64 * 3.0 / f64::from(destination.requests_per_3s);
    let hours =
        destination.requests_per_hour.map_or(0, |share| requests.saturating_sub(1) / u64::from(share));
    paced.max(hours as f64 * 3_600.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::braze::Template;
    use crate::config::Identifier;

    fn batch(updates: usize) -> Batch {
        let template = Template::new(&Identifier::ExternalId, true, &["score"]);
        let mut batch = Batch::new();
        for update in 0..updates {
            batch.begin(&template, &update.to_string());
            batch.set(&template, 0, b"1");
            batch.end();
        }
        batch
    }

    #[test]
    fn a_batch_is_one_request_unless_it_is_too_long() {
        assert_eq!(requests(&batch(0), 75, 4_000_000), (0, 0));
        let whole = batch(75);
        assert_eq!(requests(&whole, 75, 4_000_000), (1, whole.bytes() as u64));
        assert_eq!(requests(&batch(76), 75, 4_000_000).0, 2);
        assert_eq!(requests(&whole, 75, whole.bytes() - 1).0, 2);
        assert_eq!(requests(&batch(1), 75, 10).0, 1, "an update that is alone already is not split");
    }

    #[test]
    fn the_budget_of_the_hour_counts_where_there_is_one() {
        let text = "endpoint = \"https://rest.iad-01.braze.com\"\napi_key = \"env:KEY\"";
        let mut destination: config::Destination = toml::from_str(text).expect("a destination");
        assert!((budget_secs(6_000, &destination) - 6.0).abs() < 1e-9);
        destination.requests_per_hour = Some(1_000);
        assert!((budget_secs(1_000, &destination) - 1.0).abs() < 1e-9);
        assert!((budget_secs(2_001, &destination) - 7_200.0).abs() < 1e-9);
    }
}
