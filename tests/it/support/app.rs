//! The real app on loopback, with the sandbox Braze, a seeded SQLite warehouse and verbs to tell stories with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use peak_braze::app::{App, Options};
use peak_braze::callback;
use peak_braze::clock::Clock;
use peak_braze::run::{Run, RunId};
use peak_braze::sandbox::{Sandbox, Settings};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ledger::Place;

/// The longest any story waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
pub const TOKEN: &str = "test-token-with-all-the-scopes";
pub const CALLBACK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const BRAZE_KEY: &str = "braze-rest-api-key-for-tests";
pub const SYNC: &str = "predictions";
const LEDGER_URL: &str = "sqlite://ledger.db";

/// How a [`TestApp`] is built.
pub struct Setup {
    pub sandbox: Settings,
    /// Replaces the attributes of the sync.
    pub attributes: String,
    /// Further keys of the destination.
    pub destination: String,
    /// Further keys of the sync, before its callback.
    pub sync: String,
    /// Further keys of the callback.
    pub callback: String,
    /// Further files beside the config, by name.
    pub files: Vec<(&'static str, &'static str)>,
    /// What stands under `[syncs.cadence]`.
    pub cadence: String,
    /// The `[[notify]]` tables.
    pub notify: String,
    /// What stands under `[server]`.
    pub server: String,
    /// Where the ledger is.
    pub ledger_url: String,
    /// Further keys of the ledger.
    pub ledger: String,
    /// Another warehouse than the SQLite file.
    pub source: Option<String>,
    /// Statements that make and fill the table.
    pub seed: String,
    pub clock: Clock,
}

/// The mapping most stories use.
pub const ATTRIBUTES: &str = r#"
  [[syncs.attributes]]
  column = "churn"
  name = "peak_churn"
  type = "number"
  round = 3

  [[syncs.attributes]]
  column = "band"
  name = "peak_band"
  type = "string"
"#;

pub const TABLE: &str =
    "create table predictions (customer_id text primary key, updated_at text, churn real, band text);";

impl Default for Setup {
    fn default() -> Self {
        Self {
            sandbox: Settings { api_key: Some(BRAZE_KEY.to_owned()), ..Settings::default() },
            attributes: ATTRIBUTES.to_owned(),
            destination: String::new(),
            sync: String::new(),
            callback: String::new(),
            files: Vec::new(),
            cadence: String::new(),
            notify: String::new(),
            server: String::new(),
            ledger_url: LEDGER_URL.to_owned(),
            ledger: String::new(),
            source: None,
            seed: TABLE.to_owned(),
            clock: Clock::system(),
        }
    }
}

impl Setup {
    /// With customers `c-1` to `c-N`, churn 0.001 × number, band `low`, an hour old.
    pub fn customers(count: u32) -> Self {
        let seed = format!(
            "{TABLE} with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
             insert into predictions select 'c-' || i, '{}', i * 0.001, 'low' from n;",
            ago(3600)
        );
        Self { seed, ..Self::default() }
    }

    /// With the ledger in this PostgreSQL database.
    pub fn on_postgres(mut self, url: &str) -> Self {
        self.ledger_url = url.to_owned();
        self.ledger += "\ndigest_key = \"file:digest\"";
        self.files.push(("digest", "a digest key of thirty-two bytes"));
        self
    }
}

/// An instant so many seconds ago, as the warehouse writes it.
pub fn ago(secs: i64) -> String {
    let at: DateTime<Utc> = Clock::system().now() - TimeDelta::seconds(secs);
    at.trunc_subsecs(3).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

pub struct TestApp {
    pub app: Option<App>,
    pub braze: Sandbox,
    pub dir: TempDir,
    pub http: reqwest::Client,
    pub ledger: Place,
    setup: Setup,
}

impl TestApp {
    pub async fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().expect("a temp dir");
        let file = dir.path().join("ledger.db");
        // A story that says where its ledger is knows better.
        let is_ours = setup.ledger_url == LEDGER_URL;
        let ledger = if is_ours { Place::new(&file) } else { Place::File(file) };
        let setup = match &ledger {
            Place::Postgres(postgres) => setup.on_postgres(&postgres.url()),
            Place::File(_) => setup,
        };
        let braze = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), setup.sandbox.clone())
            .await
            .expect("the sandbox listens");
        let warehouse = rusqlite::Connection::open(dir.path().join("warehouse.db")).expect("a warehouse");
        warehouse.pragma_update(None, "journal_mode", "wal").expect("WAL");
        warehouse.execute_batch(&setup.seed).expect("the seed is SQL");
        let secrets = [("token", TOKEN), ("callback", CALLBACK_SECRET), ("braze", BRAZE_KEY)];
        for (name, secret) in secrets.iter().chain(&setup.files) {
            std::fs::write(dir.path().join(name), secret).expect("a secret file");
        }
        let http = http_client();
        let mut app = Self { app: None, braze, dir, http, ledger, setup };
        app.seed_all();
        app.write_config();
        app.boot().await;
        app
    }

    /// Makes every customer of the warehouse known to Braze, as `update_existing_only` expects.
    pub fn seed_all(&self) {
        let ids =
            self.column::<String>("select customer_id from predictions where typeof(customer_id) = 'text'");
        self.braze.seed_users(ids);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config_path(&self) -> PathBuf {
        self.path("peak-braze.toml")
    }

    /// Changes the setup; takes effect at the next [`TestApp::boot`] or reload.
    pub fn change(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        self.write_config();
    }

    fn write_config(&self) {
        std::fs::write(self.config_path(), config(&self.setup, &self.braze.url())).expect("a config file");
    }

    pub async fn boot(&mut self) {
        assert!(self.app.is_none(), "the app is already up");
        self.app = Some(self.replica().await);
    }

    /// Another service with the same config, and the same clock.
    pub async fn replica(&self) -> App {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let options = Options { clock: self.setup.clock.clone(), serve: true, listen, plans_only: false };
        App::start(&self.config_path(), options).await.expect("the app starts")
    }

    pub async fn drain(&mut self) {
        self.app.take().expect("the app is up").drain().await;
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("the app is up")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app().addr().expect("the app serves"))
    }

    /// Runs SQL on the warehouse.
    pub fn warehouse(&self, sql: &str) {
        let warehouse = rusqlite::Connection::open(self.path("warehouse.db")).expect("the warehouse");
        warehouse.busy_timeout(PATIENCE).expect("a timeout");
        warehouse.execute_batch(sql).expect("the story's SQL");
    }

    pub fn column<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        let warehouse = rusqlite::Connection::open(self.path("warehouse.db")).expect("the warehouse");
        let mut statement = warehouse.prepare(sql).expect("the story's SQL");
        let rows = statement.query_map([], |row| row.get(0)).expect("the story's SQL");
        rows.map(|row| row.expect("a row")).collect()
    }

    /// Posts a signed callback.
    pub async fn post_callback(&self, id: &str, body: &Value) -> reqwest::Response {
        self.post_callback_to(self.app(), id, body).await
    }

    /// The same, to another replica.
    pub async fn post_callback_to(&self, app: &App, id: &str, body: &Value) -> reqwest::Response {
        let body = body.to_string();
        let secret = SecretString::from(CALLBACK_SECRET);
        let now = self.setup.clock.now();
        let headers = callback::sign(&secret, id, now, body.as_bytes()).expect("the test secret signs");
        let mut request = self
            .http
            .post(format!("http://{}/v1/callbacks/{SYNC}", app.addr().expect("the app serves")))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(body).send().await.expect("an answer")
    }

    /// Posts a signed callback and returns its run's id.
    pub async fn deliver(&self, id: &str) -> RunId {
        let answer = self.post_callback(id, &json!({"type": "model.run.completed", "data": {}})).await;
        assert_eq!(answer.status(), 202);
        let body: Value = answer.json().await.expect("JSON");
        run_id(&body)
    }

    /// Posts a signed callback and waits for its run's end.
    pub async fn deliver_and_finish(&self, id: &str) -> Run {
        let run = self.deliver(id).await;
        self.finished(run).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(self.url(path)).bearer_auth(TOKEN).json(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(self.url(path)).bearer_auth(TOKEN).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// Triggers a run and returns its id.
    pub async fn trigger(&self, body: &Value) -> RunId {
        let (status, answer) = self.post(&format!("/v1/syncs/{SYNC}/runs"), body).await;
        assert_eq!(status, 202, "{answer}");
        run_id(&answer)
    }

    /// Triggers a run and waits for its end.
    pub async fn run(&self, mode: &str) -> Run {
        let run = self.trigger(&json!({ "mode": mode })).await;
        self.finished(run).await
    }

    /// Waits for a run's end.
    pub async fn finished(&self, id: RunId) -> Run {
        self.when(id, |run| run.state.is_final()).await
    }

    /// Waits until a run is as `is` wants it; woken by the ledger.
    pub async fn when(&self, id: RunId, is: impl Fn(&Run) -> bool) -> Run {
        let ledger = self.app().ledger().clone();
        let mut changes = ledger.watch();
        let waiting = async {
            loop {
                let run = ledger.run(id).await.expect("the ledger answers").expect("the run is there");
                if is(&run) {
                    return run;
                }
                let _ = changes.recv().await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(run) => run,
            Err(_) => panic!("still waiting: {:#?}", ledger.run(id).await),
        }
    }

    /// What Braze has of an attribute, once everything under way is applied.
    pub async fn in_braze(&self, customer: &str, attribute: &str) -> Option<Value> {
        self.braze.settle().await;
        self.braze.user(customer).and_then(|user| user.get(attribute).cloned())
    }

    pub async fn rejections(&self, run: RunId) -> Vec<Value> {
        self.get(&format!("/v1/runs/{run}/rejections")).await["rejections"]
            .as_array()
            .expect("a list")
            .clone()
    }

    /// Waits until the schedule has taken note of the sync, so that later slots are its own.
    pub async fn when_slot_is_kept(&self) {
        let ledger = self.app().ledger();
        while ledger.last_slot(SYNC).await.expect("the ledger answers").is_none() {
            tokio::task::yield_now().await;
        }
    }

    pub async fn sync_state(&self) -> Value {
        self.get(&format!("/v1/syncs/{SYNC}")).await
    }
}

/// A client for loopback.
pub fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
    builder.tls_certs_only([]).build().expect("a client")
}

fn run_id(answer: &Value) -> RunId {
    answer["run_id"].as_str().expect("a run id").parse().expect("a run id")
}

/// The counts that must hold for every succeeded or partial run.
#[track_caller]
pub fn assert_identities(run: &Run) {
    let tally = &run.tally;
    assert_eq!(tally.customers, tally.unchanged + tally.changed + tally.invalid, "{tally:?}");
    assert_eq!(tally.changed, tally.accepted + tally.rejected + tally.unknown, "{tally:?}");
    assert_eq!(tally.rows_read, tally.customers + tally.collapsed, "{tally:?}");
    let by_attribute = run.data_points.by_attribute.values();
    assert_eq!(run.data_points.sent, by_attribute.map(|points| points.sent).sum::<u64>());
}

/// The config file of a setup.
pub fn config(setup: &Setup, braze: &str) -> String {
    let Setup { attributes, destination, sync, server, ledger, ledger_url, callback, notify, .. } = setup;
    let cadence = match setup.cadence.as_str() {
        "" => String::new(),
        cadence => format!("  [syncs.cadence]\n  {cadence}"),
    };
    let sqlite = "kind = \"sqlite\"\nurl = \"sqlite://warehouse.db\"";
    let source = setup.source.as_deref().unwrap_or(sqlite);
    let settle = if destination.contains("settle_secs") { "" } else { "settle_secs = 0" };
    format!(
        r#"
[server]
{server}

[ledger]
url = "{ledger_url}"
{ledger}

[[tokens]]
name = "ops"
token = "file:token"
scopes = ["read", "trigger", "admin"]

[sources.warehouse]
{source}

[destinations.braze]
endpoint = "{braze}"
api_key = "file:braze"
{settle}
{destination}

[[syncs]]
id = "{SYNC}"
source = "warehouse"
destination = "braze"
table = "predictions"
key = "customer_id"
updated_at = "updated_at"
{sync}

  [syncs.callback]
  secrets = ["file:callback"]
  {callback}

{cadence}

{attributes}

{notify}
"#
    )
}

/// A number that whoever runs the tests may set.
pub fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A folder's file, whatever is in it.
pub fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}
