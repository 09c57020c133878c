//! The whole path from a PostgreSQL warehouse.

use peak_braze::run::RunState;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::support::app::{Setup, TestApp, assert_identities};
use crate::support::postgres::Postgres;

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_warehouse_sends_what_changed() {
    let postgres = Postgres::start();
    let mut warehouse = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let run = async |warehouse: &mut PgConnection, sql: &'static str| {
        sqlx::raw_sql(sql).execute(warehouse).await.expect("the story's SQL");
    };
    run(
        &mut warehouse,
        "create table predictions (customer_id text primary key, updated_at timestamptz, churn numeric(6,4), band text);
         insert into predictions
           select 'c-' || i, now() - interval '1 hour', i * 0.0001, 'low' from generate_series(1, 3000) i;
         insert into predictions values ('c-later', 'infinity', 0.5, 'low'), ('c-nan', now(), 'NaN', 'low')",
    )
    .await;
    let setup = Setup {
        source: Some(format!("kind = \"postgres\"\nurl = \"{}\"", postgres.url())),
        ..Setup::default()
    };
    let app = TestApp::start(setup).await;
    app.braze
        .seed_users((1..=3000).map(|number| format!("c-{number}")).chain(["c-later".into(), "c-nan".into()]));
    let first = app.run("delta").await;
    assert_eq!(
        (first.state, first.tally.accepted, first.tally.invalid_values),
        (RunState::Partial, 3_002, 1)
    );
    assert_eq!(app.rejections(first.id).await[0]["code"], "not_finite");
    assert_identities(&first);

    run(
        &mut warehouse,
        "update predictions set churn = 0.9, updated_at = now() where customer_id in ('c-7', 'c-nan')",
    )
    .await;
    let second = app.run("delta").await;
    assert_eq!((second.state, second.tally.accepted), (RunState::Succeeded, 2));
    assert_eq!(app.in_braze("c-7", "peak_churn").await, Some(json!(0.9)));
    assert_eq!(app.in_braze("c-later", "peak_churn").await, Some(json!(0.5)));
    assert_identities(&second);
}
