//! The whole path with the ledger on PostgreSQL, on the same machine, and where the time goes: the product's own CPU,
//! the database's, the sandbox's, what the source takes when it is read alone, and the database's time by statement.
//!
//! `cargo bench --bench postgres` · `PEAK_BRAZE_BENCH="customers=100000"` makes it shorter. It starts a throw-away
//! cluster that writes to disk as a real one does.

#[expect(dead_code, reason = "memory is measured elsewhere")]
#[path = "pipeline/child.rs"]
mod child;
#[expect(dead_code, reason = "the stories' own cluster, of which a bench needs a part")]
#[path = "../tests/it/support/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postgres::Postgres;
use rusqlite::Connection as Sqlite;
use sqlx::{Connection, PgConnection};

/// The product.
const BINARY: &str = env!("CARGO_BIN_EXE_peak-braze");
/// As the server comes, but that it says how long its statements took.
const SETTINGS: &str = "-c fsync=on -c autovacuum=on -c shared_preload_libraries=pg_stat_statements \
                        -c max_wal_size=4GB";
/// What the warehouse goes through, by name, with the arguments that bring it about.
const TASKS: [(&str, &[&str]); 3] = [
    ("first sync", &[]),
    ("all touched, nothing changed", &["--touch", "0", "--reload"]),
    ("all touched, 1 % changed", &["--touch", "1", "--reload"]),
];
/// Statements shown of each task: what is below them is no bottleneck.
const SHOWN: i64 = 6;

#[tokio::main]
async fn main() {
    let customers = customers();
    let folder = tempfile::tempdir().expect("a temp dir");
    let postgres = Postgres::start_with(SETTINGS);
    let mut database = PgConnection::connect(&postgres.url()).await.expect("a connection");
    sqlx::raw_sql("create extension pg_stat_statements").execute(&mut database).await.expect("it is there");
    let backend: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut database).await.expect("asked");
    let server = stat(&backend.to_string()).expect("it runs")[1];
    let (mut sandbox, endpoint) = sandbox();
    write_config(folder.path(), &endpoint, &postgres.url());
    warehouse(folder.path(), &["--customers", &customers.to_string()]);
    for (name, change) in TASKS {
        if !change.is_empty() {
            warehouse(folder.path(), change);
        }
        let source = read_alone(&folder.path().join("warehouse.db"));
        sqlx::raw_sql("select pg_stat_statements_reset()").execute(&mut database).await.expect("reset");
        let (before, other) = (server_cpu(server), cpu_of(sandbox.id()));
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(folder.path().join("peak-braze.toml"));
        let cost = child::run(command.args(["sync", "predictions", "--wait"]));
        let parts = [
            ("product", cost.cpu),
            ("PostgreSQL", server_cpu(server) - before),
            ("sandbox Braze", cpu_of(sandbox.id()) - other),
        ];
        let per_sec = f64::from(customers) / cost.wall.as_secs_f64();
        println!("{name}: {per_sec:.0} customers/s, {:.1} s", cost.wall.as_secs_f64());
        show_cpu(&parts, cost.wall);
        println!("  the source, read alone       {:>6.1} s", source.as_secs_f64());
        show_statements(&mut database, cost.wall).await;
    }
    sandbox.kill().expect("it runs until now");
    sandbox.wait().expect("it can be waited for");
}

fn customers() -> u32 {
    let text = std::env::var("PEAK_BRAZE_BENCH").unwrap_or_default();
    let given = text.split_whitespace().find_map(|setting| setting.strip_prefix("customers="));
    given.map_or(1_000_000, |number| number.parse().expect("a number"))
}

/// CPU-seconds, and their share of what the cores could have given.
fn show_cpu(parts: &[(&str, Duration)], wall: Duration) {
    let cores = std::thread::available_parallelism().expect("known").get();
    let all = wall * u32::try_from(cores).expect("a few");
    let share = |part: Duration| 100.0 * part.as_secs_f64() / all.as_secs_f64();
    for (name, cpu) in parts {
        println!("  CPU of {name:<21} {:>6.1} s {:>4.0} %", cpu.as_secs_f64(), share(*cpu));
    }
    let busy: Duration = parts.iter().map(|(_, cpu)| *cpu).sum();
    println!(
        "  idle, or others              {:>6.1} s {:>4.0} %",
        all.saturating_sub(busy).as_secs_f64(),
        share(all.saturating_sub(busy))
    );
}

/// The database's own time by statement, as a share of the wall time; several run at a time.
async fn show_statements(database: &mut PgConnection, wall: Duration) {
    let rows: Vec<(String, i64, f64)> = sqlx::query_as(
        "select coalesce(substring(query from '^-- ([a-z_]+::[a-z_]+)'), left(query, 24)) as name,
           sum(calls)::bigint, sum(total_exec_time) / 1000
         from pg_stat_statements where query !~ 'pg_stat_statements' group by 1 order by 3 desc limit $1",
    )
    .bind(SHOWN)
    .fetch_all(database)
    .await
    .expect("statistics");
    for (name, calls, secs) in rows {
        println!("  in {name:<25} {secs:>6.1} s {:>4.0} %  {calls} times", 100.0 * secs / wall.as_secs_f64());
    }
}

/// Every row and column in key order, and nothing done with them.
fn read_alone(warehouse: &Path) -> Duration {
    let began = Instant::now();
    let file = Sqlite::open(warehouse).expect("the warehouse");
    let mut all = file.prepare("select * from customer_predictions order by customer_id").expect("SQL");
    let width = all.column_count();
    let mut rows = all.query([]).expect("rows");
    let mut seen = 0;
    while let Some(row) = rows.next().expect("a row") {
        seen += (0..width).filter(|column| row.get_ref(*column).is_ok()).count();
    }
    assert!(seen > 0, "it holds something");
    began.elapsed()
}

fn warehouse(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(BINARY);
    command.arg("sample-warehouse").arg(folder.join("warehouse.db")).args(arguments).stdout(Stdio::null());
    assert!(command.status().expect("it starts").success());
}

fn sandbox() -> (Child, String) {
    let mut sandbox = Command::new(BINARY)
        .args(["sandbox", "--listen", "127.0.0.1:0", "--counting", "--rate", "off"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sandbox starts");
    let mut said = String::new();
    BufReader::new(sandbox.stdout.take().expect("piped")).read_line(&mut said).expect("where it listens");
    let endpoint = said.split_whitespace().find(|word| word.starts_with("http")).expect("its address");
    (sandbox, endpoint.to_owned())
}

/// Clock ticks a second in `/proc/PID/stat`. Source: proc(5); 100 on every Linux in use.
const TICKS: u64 = 100;

/// Fields of `/proc/PID/stat` after the name in brackets; none where it is gone.
fn stat(pid: &str) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = text.rsplit(')').next()?.split_whitespace();
    Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
}

fn cpu_of(pid: u32) -> Duration {
    let stat = stat(&pid.to_string()).expect("it runs");
    Duration::from_millis((stat[11] + stat[12]) * 1_000 / TICKS)
}

/// Of the server and everything it has started; what has ended is in its own account.
fn server_cpu(server: u64) -> Duration {
    let all = std::fs::read_dir("/proc").expect("Linux").filter_map(|entry| {
        let pid: PathBuf = entry.ok()?.file_name().into();
        stat(pid.to_str().filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))?)
    });
    // Parent, own times, those of children that have ended.
    let children: u64 = all.filter(|stat| stat[1] == server).map(|stat| stat[11] + stat[12]).sum();
    let own: u64 = stat(&server.to_string()).expect("it runs")[11..15].iter().sum();
    Duration::from_millis((children + own) * 1_000 / TICKS)
}

fn write_config(folder: &Path, endpoint: &str, ledger: &str) {
    let columns = [
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
    let mut text = format!(
        "[ledger]\nurl = \"{ledger}\"\ndigest_key = \"file:braze\"\n\
         [sources.warehouse]\nkind = \"sqlite\"\nurl = \"sqlite://warehouse.db\"\n\
         [destinations.braze]\nendpoint = \"{endpoint}\"\napi_key = \"file:braze\"\nrequests_per_3s = 100000\n\
         settle_secs = 0\nmax_in_flight = 128\n\
         [[syncs]]\nid = \"predictions\"\nsource = \"warehouse\"\ndestination = \"braze\"\n\
         table = \"customer_predictions\"\nkey = \"customer_id\"\nupdated_at = \"updated_at\"\n"
    );
    for (column, kind) in columns {
        text += &format!(
            "[[syncs.attributes]]\ncolumn = \"{column}\"\nname = \"peak_{column}\"\ntype = \"{kind}\"\n"
        );
    }
    for (name, text) in [("braze", "the-rest-api-key-of-a-workspace"), ("peak-braze.toml", &text)] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
}
