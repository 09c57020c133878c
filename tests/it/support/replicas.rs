//! Several processes on one ledger on PostgreSQL, one warehouse and one sandbox Braze.

use std::net::SocketAddr;
use std::path::PathBuf;

use peak_braze::sandbox::{RequestRecord, Sandbox, Settings};
use tempfile::TempDir;

use super::app::{BRAZE_KEY, CALLBACK_SECRET, TOKEN, ago};
use super::postgres::Postgres;
use super::process::Service;

/// How a [`Replicas`] is built.
pub struct Setup {
    pub sandbox: Settings,
    /// The syncs, each with a table of its own and so many customers `SYNC-1` to `SYNC-N`.
    pub syncs: Vec<(&'static str, u32)>,
    pub lease_secs: u64,
    /// Further keys of the destination.
    pub destination: String,
}

/// What the processes share.
pub struct Replicas {
    pub braze: Sandbox,
    pub postgres: Postgres,
    dir: TempDir,
    setup: Setup,
}

impl Replicas {
    pub async fn prepare(setup: Setup) -> Self {
        let settings = Settings { api_key: Some(BRAZE_KEY.to_owned()), ..setup.sandbox.clone() };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let braze = Sandbox::start(listen, settings).await.expect("the sandbox listens");
        let dir = tempfile::tempdir().expect("a temp dir");
        let warehouse = rusqlite::Connection::open(dir.path().join("warehouse.db")).expect("a warehouse");
        for (sync, customers) in &setup.syncs {
            let seed = format!(
                "create table {sync} (customer_id text primary key, updated_at text, churn real);
                 with recursive n(i) as (select 1 union all select i + 1 from n where i < {customers})
                 insert into {sync} select '{sync}-' || i, '{}', i * 0.001 from n;",
                ago(3600)
            );
            warehouse.execute_batch(&seed).expect("the seed is SQL");
            braze.seed_users((1..=*customers).map(|number| format!("{sync}-{number}")));
        }
        Self { braze, postgres: Postgres::start(), dir, setup }
    }

    /// Starts a process that knows these syncs. Its folder, and so its log, are its own. Of the requests one can
    /// tell by the bulk header whose they are.
    pub async fn start(&self, name: &str, syncs: &[&str], bulk_header: bool) -> Service {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let secrets = [("token", TOKEN), ("callback", CALLBACK_SECRET), ("braze", BRAZE_KEY)];
        for (file, secret) in secrets.iter().chain(&[("key", "a digest key of thirty-two bytes or more")]) {
            std::fs::write(folder.join(file), secret).expect("a secret file");
        }
        let config: PathBuf = folder.join("peak-braze.toml");
        std::fs::write(&config, self.config(syncs, bulk_header)).expect("a config file");
        Service::start(&config).await
    }

    fn config(&self, syncs: &[&str], bulk_header: bool) -> String {
        let Setup { lease_secs, destination, .. } = &self.setup;
        let (ledger, braze) = (self.postgres.url(), self.braze.url());
        let warehouse = self.dir.path().join("warehouse.db");
        let head = format!(
            r#"
[ledger]
url = "{ledger}"
digest_key = "file:key"
lease_secs = {lease_secs}

[[tokens]]
name = "ops"
token = "file:token"
scopes = ["read", "trigger", "admin"]

[sources.warehouse]
kind = "sqlite"
url = "sqlite://{}"

[destinations.braze]
endpoint = "{braze}"
api_key = "file:braze"
settle_secs = 0
request_timeout_secs = 1
bulk_header = {bulk_header}
{destination}
"#,
            warehouse.display()
        );
        let sync = |(number, sync): (usize, &&str)| {
            format!(
                r#"
[[syncs]]
id = "{sync}"
source = "warehouse"
destination = "braze"
table = "{sync}"
key = "customer_id"
updated_at = "updated_at"

  [[syncs.attributes]]
  column = "churn"
  name = "peak_churn_{number}"
  type = "number"
"#
            )
        };
        syncs.iter().enumerate().map(sync).fold(head, |all, one| all + &one)
    }

    /// Requests that came with the bulk header, or without.
    pub fn requests_of(&self, bulk_header: bool) -> Vec<RequestRecord> {
        let mut requests = self.braze.requests();
        requests.retain(|request| request.bulk_header.is_some() == bulk_header);
        requests
    }

    /// Waits for the next request beyond `seen` of all, and says whether it came with the bulk header.
    pub async fn next_after(&self, seen: u64) -> bool {
        self.braze.wait_for(|stats| stats.requests > seen).await;
        let requests = self.braze.requests();
        let next = requests.iter().find(|request| request.number > seen).expect("it is there");
        next.bulk_header.is_some()
    }
}
