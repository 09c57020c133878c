//! What the programs work on: a warehouse, a counting sandbox, a ledger each.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::beside::Task;
use crate::child::{self, Cost};
use crate::lean;

#[path = "../python/environment.rs"]
pub mod environment;

/// The product.
const BINARY: &str = env!("CARGO_BIN_EXE_peak-braze");
/// Columns sent, with their declared types.
pub const COLUMNS: [(&str, &str); 9] = [
    ("churn_probability", "number"),
    ("churn_risk_band", "string"),
    ("predicted_clv_12m", "number"),
    ("value_tier", "string"),
    ("next_purchase_date", "date"),
    ("purchase_propensity_30d", "number"),
    ("lifecycle_segment", "string"),
    ("favourite_category", "string"),
    ("is_reactivation_candidate", "boolean"),
];
/// Signs callbacks.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// More than any machine does in 3 seconds.
pub const UNLIMITED: u32 = 100_000;
/// Both have so many requests in flight at most.
pub const IN_FLIGHT: usize = 128;

/// A number from `PEAK_BRAZE_BENCH`, such as `customers=100000 rounds=3`.
pub fn setting(name: &str, default: u32) -> u32 {
    let text = std::env::var("PEAK_BRAZE_BENCH").unwrap_or_default();
    let mut settings = text.split_whitespace().filter_map(|setting| setting.split_once('='));
    settings.find(|(key, _)| *key == name).map_or(default, |(_, value)| value.parse().expect("a number"))
}

/// A folder with a warehouse, a config and a ledger for each program, and where they send to.
pub struct Stage {
    folder: tempfile::TempDir,
    _sandbox: Option<Process>,
    endpoint: String,
    listen: SocketAddr,
    customers: u32,
    changes: Cell<u32>,
}

/// Ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running service.
pub struct Service {
    pub addr: SocketAddr,
    _process: Process,
}

impl Stage {
    /// Before a sandbox that answers at once, without limits.
    pub fn set(customers: u32) -> Self {
        Self::set_with(customers, &["--rate", "off"], UNLIMITED)
    }

    /// Before a sandbox with these flags, of which the product knows one limit.
    pub fn set_with(customers: u32, flags: &[&str], requests_per_3s: u32) -> Self {
        let mut sandbox = Command::new(BINARY)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--counting"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut said = String::new();
        let output = sandbox.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut said).expect("it says where it listens");
        let endpoint = said.split_whitespace().find(|word| word.starts_with("http")).expect("its address");
        Self { _sandbox: Some(Process(sandbox)), ..Self::before(customers, endpoint, requests_per_3s) }
    }

    /// Before a Braze that is there already.
    pub fn before(customers: u32, endpoint: &str, requests_per_3s: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temp dir");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let listen = free.local_addr().expect("a bound listener");
        for (name, text) in [
            ("token", "a-token-of-twenty-four-bytes-or-more"),
            ("braze", "the-rest-api-key-of-a-workspace"),
            ("callback", SECRET),
            ("peak-braze.toml", &config(endpoint, listen, requests_per_3s)),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let endpoint = endpoint.to_owned();
        Self { folder, _sandbox: None, endpoint, listen, customers, changes: Cell::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new warehouse and nothing remembered.
    pub fn begin_round(&self) {
        self.remove(|_| true);
        let mut command = Command::new(BINARY);
        command.arg("sample-warehouse").arg(self.path("warehouse.db"));
        command.args(["--customers", &self.customers.to_string()]).stdout(Stdio::null());
        assert!(command.status().expect("it starts").success());
    }

    /// Nothing remembered of what was sent.
    pub fn forget(&self) {
        self.remove(|name| !name.starts_with("warehouse"));
    }

    fn remove(&self, goes: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(self.folder.path()).expect("the folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("names of ours");
            if name.contains(".db") && goes(&name) {
                std::fs::remove_file(entry.path()).expect("it can go");
            }
        }
    }

    /// Changes the warehouse as the task says.
    pub fn change(&self, task: Task) {
        match task {
            Task::FirstSync => {}
            Task::Touched => self.update(
                "updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), churn_probability = case rowid % 100
                   when 0 then coalesce(churn_probability, 0) + ?1 else churn_probability end",
            ),
            Task::AllChanged => self.update(
                "updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
                   churn_probability = churn_probability + 0.001, churn_risk_band = churn_risk_band || ?1,
                   predicted_clv_12m = predicted_clv_12m + 1, value_tier = value_tier || ?1,
                   next_purchase_date = date(next_purchase_date, '+1 day'),
                   purchase_propensity_30d = purchase_propensity_30d + 0.001,
                   lifecycle_segment = lifecycle_segment || ?1, favourite_category = favourite_category || ?1,
                   is_reactivation_candidate = 1 - is_reactivation_candidate",
            ),
        }
    }

    /// Changes one value of one customer in a hundred, always of the same; only these have a new `updated_at`.
    pub fn change_some(&self) {
        self.update(
            "updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
               churn_probability = coalesce(churn_probability, 0) + ?1 where rowid % 100 = 0",
        );
    }

    fn update(&self, set: &str) {
        self.changes.set(self.changes.get() + 1);
        let warehouse = rusqlite::Connection::open(self.path("warehouse.db")).expect("the warehouse");
        // A sample that a power cut spoils is written again.
        warehouse.pragma_update(None, "synchronous", "off").expect("a pragma");
        let sql = format!("update customer_predictions set {set}");
        warehouse.execute(&sql, [self.changes.get()]).expect("changed");
    }

    /// From now on source and ledger are here.
    pub fn use_postgres(&self, url: &str) {
        let path = self.path("peak-braze.toml");
        let text = std::fs::read_to_string(&path).expect("the config");
        let text = text
            .replace(
                "url = \"sqlite://ledger.db\"",
                "url = \"file:postgres\"\ndigest_key = \"file:callback\"",
            )
            .replace(
                "kind = \"sqlite\"\nurl = \"sqlite://warehouse.db\"",
                "kind = \"postgres\"\nurl = \"file:postgres\"",
            );
        std::fs::write(path, text).expect("a file");
        std::fs::write(self.path("postgres"), url).expect("a file");
    }

    /// One sync by the product.
    pub fn product(&self) -> Cost {
        child::run(self.sync().stdout(Stdio::null()))
    }

    /// The same, and the run as JSON.
    pub fn product_with_run(&self) -> (Cost, serde_json::Value) {
        let path = self.path("run.json");
        let cost = child::run(self.sync().arg("--json").stdout(File::create(&path).expect("a file")));
        let run = std::fs::read(path).expect("what was printed");
        (cost, serde_json::from_slice(&run).expect("a run"))
    }

    fn sync(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.path("peak-braze.toml")).args(["sync", "predictions", "--wait"]);
        command
    }

    pub fn lean(&self) -> Cost {
        let mut command = Command::new(std::env::current_exe().expect("a bench has a path"));
        command
            .arg(lean::PROGRAM)
            .arg(self.path("warehouse.db"))
            .arg(self.path("lean.db"))
            .arg(&self.endpoint);
        child::run(command.stdout(Stdio::null()))
    }

    /// What is usually written; none where Python is missing.
    pub fn python(&self) -> Option<Cost> {
        let mut script = environment::script("track.py")?;
        script.arg(self.path("warehouse.db")).arg(&self.endpoint);
        script.args(COLUMNS.iter().map(|(column, _)| *column));
        Some(child::run(&mut script))
    }

    /// Starts the service and waits until it listens.
    #[expect(clippy::disallowed_methods, reason = "a port that will be listened on can only be tried")]
    pub fn serve(&self) -> Service {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.path("peak-braze.toml")).arg("serve");
        let process =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the service starts");
        while TcpStream::connect(self.listen).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Service { addr: self.listen, _process: Process(process) }
    }

    /// What the sandbox has counted since its start.
    pub fn stats(&self) -> serde_json::Value {
        let host = self.endpoint.trim_start_matches("http://");
        let mut connection = TcpStream::connect(host).expect("the sandbox listens");
        let request = format!("GET /_sandbox/stats HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("answered");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }
}

fn config(endpoint: &str, listen: SocketAddr, requests_per_3s: u32) -> String {
    let mut text = format!(
        "[server]\nlisten = \"{listen}\"\n[ledger]\nurl = \"sqlite://ledger.db\"\n\
         [[tokens]]\nname = \"ops\"\ntoken = \"file:token\"\nscopes = [\"read\", \"trigger\", \"admin\"]\n\
         [sources.warehouse]\nkind = \"sqlite\"\nurl = \"sqlite://warehouse.db\"\n\
         [destinations.braze]\nendpoint = \"{endpoint}\"\napi_key = \"file:braze\"\nrequests_per_3s = {requests_per_3s}\n\
         settle_secs = 0\nmax_in_flight = {IN_FLIGHT}\n\
         [[syncs]]\nid = \"predictions\"\nsource = \"warehouse\"\ndestination = \"braze\"\n\
         table = \"customer_predictions\"\nkey = \"customer_id\"\nupdated_at = \"updated_at\"\n\
         [syncs.callback]\nsecrets = [\"file:callback\"]\n"
    );
    for (column, declared) in COLUMNS {
        text += &format!(
            "[[syncs.attributes]]\ncolumn = \"{column}\"\nname = \"peak_{column}\"\ntype = \"{declared}\"\n"
        );
    }
    text
}
