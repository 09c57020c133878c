//! From a warehouse's address to a first run: `init` proposes, writes a config that works, and nothing else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use peak_braze::config::{self, AttributeType};
use peak_braze::run::{Run, RunState};
use peak_braze::sandbox::{Sandbox, Settings};
use serde_json::Value;
use sqlx::Connection;
use tempfile::TempDir;

use crate::support::postgres::Postgres;

const BRAZE_KEY: &str = "braze-rest-api-key-for-tests";

/// A folder where somebody begins.
struct Desk {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

struct Told {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temp dir"), environment: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command here, as a shell in this folder would.
    fn run(&self, args: &[&str]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peak-braze"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("PEAK_BRAZE_CONFIG").env_remove("RUST_LOG");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let status = output.status.code().expect("no signal ended it");
        Told { status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs it and expects it to end well.
    #[track_caller]
    fn well(&self, args: &[&str]) -> String {
        let told = self.run(args);
        assert_eq!(told.status, 0, "{args:?}: {}{}", told.stdout, told.stderr);
        told.stdout
    }

    /// Pastes the export lines that were printed, and adds the key only its owner has.
    fn paste(&mut self, printed: &str) {
        let exports = printed.lines().filter_map(|line| line.trim().strip_prefix("export "));
        for (name, rest) in exports.filter_map(|line| line.split_once('=')) {
            let value = rest.split_whitespace().next().expect("a value");
            let value = if value == "…" { BRAZE_KEY } else { value };
            self.environment.push((name.to_owned(), value.to_owned()));
        }
    }

    fn written(&self) -> String {
        std::fs::read_to_string(self.path("peak-braze.toml")).expect("it is written")
    }
}

async fn sandbox() -> Sandbox {
    let settings = Settings { api_key: Some(BRAZE_KEY.to_owned()), ..Settings::default() };
    let braze = Sandbox::start(([127, 0, 0, 1], 0).into(), settings).await.expect("it listens");
    braze.seed_users((1..=200).map(peak_braze::sandbox::customer_id));
    braze
}

fn attribute<'c>(config: &'c config::Config, column: &str) -> Option<&'c config::Attribute> {
    config.syncs[0].attributes.iter().find(|attribute| attribute.column == column)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_commands_lead_from_nothing_to_a_receipt() {
    let (mut desk, braze) = (Desk::new(), sandbox().await);
    tokio::task::block_in_place(|| {
        desk.well(&["sample-warehouse", "warehouse.db", "--customers", "200"]);
        let printed =
            desk.well(&["init", "--source-url", "sqlite://warehouse.db", "--braze-endpoint", &braze.url()]);
        assert!(printed.contains("CALLBACK_URL: https://YOUR-HOST/v1/callbacks/customer-predictions"));
        desk.paste(&printed);
        let checked = desk.well(&["check"]);
        assert!(!checked.contains("failed") && !checked.contains("warning"), "{checked}");
        let run: Value =
            serde_json::from_str(&desk.well(&["sync", "customer-predictions", "--json"])).expect("JSON");
        let run: Run = serde_json::from_value(run).expect("a run");
        assert_eq!((run.state, run.tally.accepted), (RunState::Succeeded, 200));
    });
    assert!(braze.violations().is_empty(), "{:?}", braze.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proposal_knows_predictions_from_the_rest() {
    let desk = Desk::new();
    tokio::task::block_in_place(|| {
        desk.well(&["sample-warehouse", "warehouse.db", "--customers", "500"]);
        desk.well(&["init", "--source-url", "sqlite://warehouse.db", "--braze-endpoint", "US-01", "--yes"]);
    });
    let config = config::load(&desk.path("peak-braze.toml")).expect("it can be used");
    let sync = &config.syncs[0];
    assert_eq!((sync.key.as_str(), sync.updated_at.as_str()), ("customer_id", "updated_at"));
    assert_eq!(config.destinations["braze"].endpoint, "https://rest.iad-01.braze.com");
    let form =
        |column: &str| attribute(&config, column).map(|one| (one.name().to_owned(), one.kind, one.round));
    let of = |name: &str, kind, round| Some((name.to_owned(), Some(kind), round));
    assert_eq!(form("churn_probability"), of("peak_churn_probability", AttributeType::Number, Some(3)));
    assert_eq!(form("churn_risk_band"), of("peak_churn_risk_band", AttributeType::String, None));
    assert_eq!(form("predicted_clv_12m"), of("peak_predicted_clv_12m", AttributeType::Number, Some(2)));
    assert_eq!(form("next_purchase_date"), of("peak_next_purchase_date", AttributeType::Date, None));
    assert_eq!(form("recommended_products"), of("peak_recommended_products", AttributeType::Json, None));
    let flag = of("peak_is_reactivation_candidate", AttributeType::Boolean, None);
    assert_eq!(form("is_reactivation_candidate"), flag);
    assert_eq!(form("model_run_id"), None);
    assert!(desk.written().contains("#   model_run_id: looks like an identifier"), "{}", desk.written());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_written_and_each_secret_is_new() {
    let mut desk = Desk::new();
    desk.environment.push(("BRAZE_API_KEY".to_owned(), BRAZE_KEY.to_owned()));
    let flags = ["init", "--source-url", "sqlite://warehouse.db", "--braze-endpoint", "EU-01", "--json"];
    let (first, second) = tokio::task::block_in_place(|| {
        desk.well(&["sample-warehouse", "warehouse.db", "--customers", "30"]);
        (desk.well(&flags), desk.well(&[&flags[..], &["--force"]].concat()))
    });
    let secret = |printed: &str| {
        let printed: Value = serde_json::from_str(printed).expect("JSON");
        printed["environment"]["PEAK_CALLBACK_SECRET"].as_str().expect("a secret").to_owned()
    };
    let (first, second) = (secret(&first), secret(&second));
    assert!(first.starts_with("whsec_") && first != second);
    let written = desk.written();
    assert!(!written.contains("whsec_") && !written.contains(BRAZE_KEY), "{written}");
    let mode = std::fs::metadata(desk.path("peak-braze.toml")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_kept() {
    let desk = Desk::new();
    std::fs::write(desk.path("peak-braze.toml"), "precious").expect("written");
    let told = tokio::task::block_in_place(|| {
        desk.well(&["sample-warehouse", "warehouse.db", "--customers", "30"]);
        desk.run(&["init", "--source-url", "sqlite://warehouse.db", "--braze-endpoint", "US-01"])
    });
    assert_eq!(told.status, 2);
    assert!(told.stderr.contains("--force"), "{}", told.stderr);
    assert_eq!(desk.written(), "precious");
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_are_answered_with_what_comes_closest_and_nothing_is_written() {
    let desk = Desk::new();
    let base = ["init", "--source-url", "sqlite://warehouse.db", "--braze-endpoint", "US-01"];
    let told = |more: &[&str]| {
        let told = desk.run(&[&base[..], more].concat());
        assert!(!desk.path("peak-braze.toml").exists());
        (told.status, told.stderr)
    };
    tokio::task::block_in_place(|| {
        let (status, why) = told(&[]);
        assert!(status == 1 && why.contains("warehouse.db"), "no file yet: {why}");
        desk.well(&["sample-warehouse", "warehouse.db", "--customers", "30"]);
        for (flags, words) in [
            (&["--table", "customer_prediction"][..], "did you mean customer_predictions?"),
            (&["--key", "custmer_id"][..], "did you mean customer_id?"),
            (&["--updated-at", "update_at"][..], "did you mean updated_at?"),
            (&["--updated-at", "churn_risk_band"][..], "reads as an instant"),
            (&["--braze-endpoint", "http://example.com"][..], "--braze-endpoint"),
            (&["--table", "a;b"][..], "--table"),
        ] {
            let flags: Vec<&str> = match flags[0] {
                // Given once only.
                "--braze-endpoint" => {
                    vec!["init", "--source-url", "sqlite://warehouse.db", flags[0], flags[1]]
                }
                _ => [&base[..], flags].concat(),
            };
            let told = desk.run(&flags);
            assert!(told.status == 2 && told.stderr.contains(words), "{flags:?}: {}", told.stderr);
            assert!(!desk.path("peak-braze.toml").exists());
        }
        let missing = desk.run(&["init", "--braze-endpoint", "US-01"]);
        assert!(
            missing.status == 2 && missing.stderr.contains("--source-url is missing"),
            "{}",
            missing.stderr
        );
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_a_warehouse_too() {
    let (mut desk, braze) = (Desk::new(), sandbox().await);
    let mut csv = "external_id,scored_at,Churn Score,churn_probability,note\n".to_owned();
    for number in 1..=40 {
        let id = peak_braze::sandbox::customer_id(number);
        csv += &format!("{id},2026-03-28T06:00:00Z,1,0.{number:02}1,\n");
    }
    std::fs::create_dir(desk.path("exports")).expect("a folder");
    std::fs::write(desk.path("exports/part-1.csv"), csv).expect("written");
    tokio::task::block_in_place(|| {
        let printed =
            desk.well(&["init", "--source-url", "files://exports/*.csv", "--braze-endpoint", &braze.url()]);
        desk.paste(&printed);
        let config = config::load(&desk.path("peak-braze.toml")).expect("it can be used");
        assert_eq!(config.syncs[0].key, "external_id");
        assert_eq!(attribute(&config, "churn_probability").and_then(|one| one.round), Some(3));
        assert!(desk.written().contains("#   Churn Score: its name"), "{}", desk.written());
        let run = desk.well(&["sync", &config.syncs[0].id]);
        assert!(run.contains("succeeded"), "{run}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_wide_table_the_first_columns_that_can_be_sent_are() {
    let desk = Desk::new();
    let names: Vec<String> = (1..=600).map(|number| format!("score_{number}")).collect();
    let mut csv = format!("customer_id,updated_at,first_name,{}\n", names.join(","));
    for row in 1..=30 {
        let cells: Vec<String> = (1..=600).map(|column| format!("0.{row:02}{column:03}")).collect();
        csv += &format!("c-{row},2026-03-28T06:00:00Z,Ada{row},{}\n", cells.join(","));
    }
    std::fs::create_dir(desk.path("exports")).expect("a folder");
    std::fs::write(desk.path("exports/part-1.csv"), csv).expect("written");
    let flags = ["init", "--source-url", "files://exports/*.csv", "--braze-endpoint", "US-01"];
    let printed = tokio::task::block_in_place(|| desk.well(&flags));
    let config = config::load(&desk.path("peak-braze.toml")).expect("it can be used");
    let sent: Vec<&str> = config.syncs[0].attributes.iter().map(|one| one.column.as_str()).collect();
    assert_eq!(sent, names[..250], "first_name is personal, and takes nobody's place");
    for told in [&printed, &desk.written()] {
        assert_eq!(told.matches("the 250 before it").count(), 350, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_goes_into_no_file() {
    let (mut desk, braze) = (Desk::new(), sandbox().await);
    let postgres = Postgres::start();
    let mut warehouse = sqlx::PgConnection::connect(&postgres.url()).await.expect("a connection");
    let seeded = sqlx::raw_sql(
            "create table publish_scores (customer_id text primary key, last_updated timestamptz not null,
               propensity double precision, vip boolean, next_on date, tenant text);
             insert into publish_scores select 'c-' || lpad(i::text, 7, '0'), now() - interval '1 hour', i / 977.0,
               i % 2 = 0, date '2026-05-01' + i, 'acme' from generate_series(1, 60) i",
        );
    seeded.execute(&mut warehouse).await.expect("the story's SQL");
    // The cluster trusts whoever comes by its socket, whatever the password.
    let url = format!("{}&password=hunter2", postgres.url());
    tokio::task::block_in_place(|| {
        let printed = desk.well(&["init", "--source-url", &url, "--braze-endpoint", &braze.url()]);
        assert!(!printed.contains("hunter2") && !desk.written().contains("hunter2"), "{printed}");
        desk.paste(&printed);
        desk.environment.retain(|(name, _)| name != "WAREHOUSE_URL");
        desk.environment.push(("WAREHOUSE_URL".to_owned(), url.clone()));
        let config = config::load(&desk.path("peak-braze.toml")).expect("it can be used");
        // The only table there is, and its only column of times.
        assert_eq!(config.syncs[0].table.as_deref(), Some("publish_scores"));
        assert_eq!(config.syncs[0].updated_at, "last_updated");
        assert_eq!(attribute(&config, "vip").and_then(|one| one.kind), Some(AttributeType::Boolean));
        assert_eq!(attribute(&config, "tenant").map(|one| one.name()), None);
        let run = desk.well(&["sync", &config.syncs[0].id]);
        assert!(run.contains("succeeded"), "{run}");
    });
}

/// The page that stands beside the config names what `init` prints.
#[test]
fn the_step_for_peak_is_the_one_of_the_kit() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/peak/workflow.yaml");
    let kit = std::fs::read_to_string(kit).expect("the kit");
    for words in
        ["notify-peak-braze:", "command: python notify.py", "CALLBACK_URL:", "- callback", "score-customers"]
    {
        assert!(kit.contains(words), "{words}");
    }
}
