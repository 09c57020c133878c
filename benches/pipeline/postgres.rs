//! Source and ledger on PostgreSQL, every customer changed, beside nothing but the bare upserts that such a run needs.

use std::time::Instant;

use sqlx::{Connection, PgConnection};

use crate::stage::{Stage, setting};
use crate::table::median;

#[path = "../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod cluster;

/// Rows of one statement: 100 requests of 75.
const ROWS_TOGETHER: u32 = 7_500;
/// Bytes of nine digests, and of the run that sent them.
const DIGEST_BYTES: usize = 9 * 8 + 5;

const TABLES: &str = "
    alter system set fsync = on;
    select pg_reload_conf();
    create table customer_predictions (customer_id text primary key, updated_at timestamptz not null,
      churn_probability float8, churn_risk_band text, predicted_clv_12m numeric, value_tier text,
      next_purchase_date date, purchase_propensity_30d float8, lifecycle_segment text, favourite_category text,
      is_reactivation_candidate boolean);
    create table bare (target bigint, customer_id text, digests bytea not null, in_doubt boolean not null,
      rejected boolean not null, primary key (target, customer_id));";

const CHANGE: &str = "
    update customer_predictions set updated_at = now(), churn_probability = churn_probability + 0.001,
      churn_risk_band = churn_risk_band || '+', predicted_clv_12m = predicted_clv_12m + 1,
      value_tier = value_tier || '+', next_purchase_date = next_purchase_date + 1,
      purchase_propensity_30d = purchase_propensity_30d + 0.001, lifecycle_segment = lifecycle_segment || '+',
      favourite_category = favourite_category || '+', is_reactivation_candidate = not is_reactivation_candidate";

pub fn measure() {
    let (customers, rounds) = (setting("customers", 1_000_000), setting("rounds", 5));
    let cluster = cluster::Postgres::start();
    let stage = Stage::set(customers);
    stage.use_postgres(&cluster.url());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(fill(&cluster.url(), customers));
    stage.product();
    runtime.block_on(upsert(&cluster.url(), customers, 0));
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        runtime.block_on(change(&cluster.url()));
        let cost = stage.product();
        ours.push(f64::from(customers) / cost.wall.as_secs_f64());
        bares.push(f64::from(customers) / runtime.block_on(upsert(&cluster.url(), customers, round)));
        eprintln!("round {round} of {rounds} done");
    }
    let ratio = median(ours.iter().zip(&bares).map(|(ours, bare)| ours / bare));
    println!(
        "all changed: {:.0} customers/s; bare upserts of {ROWS_TOGETHER}: {:.0} rows/s; ratio {ratio:.2}",
        median(ours.into_iter()),
        median(bares.into_iter())
    );
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the cluster answers")
}

async fn fill(url: &str, customers: u32) {
    let mut connection = connect(url).await;
    for statement in TABLES.split(';') {
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("made");
    }
    sqlx::query(
        "insert into customer_predictions
         select 'c-' || lpad(n::text, 7, '0'), now(), (n % 1000) / 1000.0, 'high', n % 7919, 'gold',
           date '2026-01-01' + n % 365, (n % 997) / 997.0, 'loyal', 'shoes', n % 2 = 0
         from generate_series(1, $1::int) as n",
    )
    .bind(i32::try_from(customers).expect("millions"))
    .execute(&mut connection)
    .await
    .expect("filled");
    sqlx::raw_sql("vacuum analyze customer_predictions").execute(&mut connection).await.expect("vacuumed");
}

async fn change(url: &str) {
    let mut connection = connect(url).await;
    for statement in
        [CHANGE, "vacuum analyze customer_predictions", "vacuum bare", "vacuum peak_braze.sent", "checkpoint"]
    {
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("changed");
    }
}

/// Seconds it takes to upsert a row for every customer.
async fn upsert(url: &str, customers: u32, round: u32) -> f64 {
    let mut connection = connect(url).await;
    let digests = [u8::try_from(round % 256).expect("a byte"); DIGEST_BYTES];
    let began = Instant::now();
    for first in (1..=customers).step_by(ROWS_TOGETHER as usize) {
        let last = customers.min(first + ROWS_TOGETHER - 1);
        let keys: Vec<String> = (first..=last).map(|number| format!("c-{number:07}")).collect();
        let flags = vec![false; keys.len()];
        sqlx::query(
            "insert into bare select 1, * from unnest($1::text[], $2::bytea[], $3::bool[], $3::bool[])
             on conflict (target, customer_id) do update set digests = excluded.digests,
               in_doubt = excluded.in_doubt, rejected = excluded.rejected",
        )
        .bind(&keys)
        .bind(vec![&digests[..]; keys.len()])
        .bind(&flags)
        .execute(&mut connection)
        .await
        .expect("upserted");
    }
    began.elapsed().as_secs_f64()
}
