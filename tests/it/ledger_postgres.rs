//! A ledger on PostgreSQL: the suite, and what replicas that share one can do to each other.

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::ledger::Ledger;
use sqlx::PgPool;

use crate::ledger_suite::{LEASE_SECS, Time, start};
use crate::support::postgres::Postgres;

/// A ledger in a cluster of its own.
struct Bed {
    ledger: Ledger,
    time: Time,
    url: String,
    folder: tempfile::TempDir,
    postgres: Postgres,
}

async fn bed() -> Bed {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("key"), "a key of thirty-two bytes or more").expect("written");
    let url = postgres.url();
    let clock = Clock::manual(start());
    let ledger = Ledger::open(&settings(&folder, &url), clock.clone()).await.expect("a new ledger");
    let time = Time::of_the_database(clock, PgPool::connect_lazy(&url).expect("an address")).await;
    Bed { ledger, time, url, folder, postgres }
}

fn settings(folder: &tempfile::TempDir, url: &str) -> config::Ledger {
    config::Ledger {
        url: url.to_owned(),
        lease_secs: LEASE_SECS,
        digest_key: Some(config::SecretRef::File(folder.path().join("key"))),
        retention_days: 7,
    }
}

mod suite {
    crate::ledger_suite::told_by!(crate::ledger_postgres::bed);
}
