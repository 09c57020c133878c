//! What both programs work on: a warehouse, a counting sandbox, a ledger each.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Task;
use crate::child::{self, Cost};

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
/// Both have so many requests in flight at most.
pub const IN_FLIGHT: usize = 128;

/// A number from `PEAK_BRAZE_BENCH`, such as `customers=100000 rounds=3`.
pub fn setting(name: &str, default: u32) -> u32 {
    let text = std::env::var("PEAK_BRAZE_BENCH").unwrap_or_default();
    let mut settings = text.split_whitespace().filter_map(|setting| setting.split_once('='));
    settings.find(|(key, _)| *key == name).map_or(default, |(_, value)| value.parse().expect("a number"))
}

pub struct Stage {
    folder: tempfile::TempDir,
    sandbox: Child,
    endpoint: String,
    customers: u32,
    changes: Cell<u32>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.sandbox.kill().expect("the sandbox runs until now");
        self.sandbox.wait().expect("it can be waited for");
    }
}

impl Stage {
    /// Writes the config, starts the sandbox.
    pub fn set(customers: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temp dir");
        let mut sandbox = Command::new(BINARY)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--counting", "--rate", "off"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut said = String::new();
        let output = sandbox.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut said).expect("it says where it listens");
        let endpoint =
            said.split_whitespace().find(|word| word.starts_with("http")).expect("its address").to_owned();
        for (name, text) in [
            ("token", "a-token-of-twenty-four-bytes-or-more"),
            ("braze", "the-rest-api-key-of-a-workspace"),
            ("callback", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("peak-braze.toml", &config(&endpoint)),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        Self { folder, sandbox, endpoint, customers, changes: Cell::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn warehouse(&self, arguments: &[&str]) {
        let mut command = Command::new(BINARY);
        command.arg("sample-warehouse").arg(self.path("warehouse.db")).args(arguments).stdout(Stdio::null());
        assert!(command.status().expect("it starts").success());
    }

    /// A new warehouse and nothing remembered.
    pub fn begin_round(&self) {
        for entry in std::fs::read_dir(self.folder.path()).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().contains(".db") {
                std::fs::remove_file(path).expect("it can go");
            }
        }
        self.warehouse(&["--customers", &self.customers.to_string()]);
    }

    /// Changes the warehouse as the task says.
    pub fn change(&self, task: Task) {
        match task {
            Task::FirstSync => {}
            Task::Touched => self.warehouse(&["--touch", "1", "--reload"]),
            Task::AllChanged => {
                self.changes.set(self.changes.get() + 1);
                change_all(&self.path("warehouse.db"), self.changes.get());
            }
        }
    }

    pub fn product(&self) -> Cost {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.path("peak-braze.toml")).args(["sync", "predictions", "--wait"]);
        child::run(&mut command)
    }

    pub fn lean(&self) -> Cost {
        let mut command = Command::new(std::env::current_exe().expect("a bench has a path"));
        command.arg("lean").arg(self.path("warehouse.db")).arg(self.path("lean.db")).arg(&self.endpoint);
        child::run(&mut command)
    }
}

/// Another value in every text, number and flag of every customer.
fn change_all(warehouse: &Path, change: u32) {
    let warehouse = rusqlite::Connection::open(warehouse).expect("the warehouse");
    warehouse
        .execute(
            "update customer_predictions set updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
               churn_probability = churn_probability + 0.001, churn_risk_band = churn_risk_band || ?1,
               predicted_clv_12m = predicted_clv_12m + 1, value_tier = value_tier || ?1,
               next_purchase_date = date(next_purchase_date, '+1 day'),
               purchase_propensity_30d = purchase_propensity_30d + 0.001,
               lifecycle_segment = lifecycle_segment || ?1, favourite_category = favourite_category || ?1,
               is_reactivation_candidate = 1 - is_reactivation_candidate",
            [change],
        )
        .expect("changed");
}

fn config(endpoint: &str) -> String {
    let mut text = format!(
        "[ledger]\nurl = \"sqlite://ledger.db\"\n\
         [[tokens]]\nname = \"ops\"\ntoken = \"file:token\"\nscopes = [\"read\", \"trigger\", \"admin\"]\n\
         [sources.warehouse]\nkind = \"sqlite\"\nurl = \"sqlite://warehouse.db\"\n\
         [destinations.braze]\nendpoint = \"{endpoint}\"\napi_key = \"file:braze\"\nrequests_per_3s = 100000\n\
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
