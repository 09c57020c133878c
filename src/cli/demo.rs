//! `peak-braze demo`: the whole product on embedded parts, no config, no network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use secrecy::SecretString;
use tokio::time::Instant;

use super::Done;
use super::client::{Client, Triggered, http};
use super::print::Paper;
use super::progress::Shown;
use super::receipt::receipt;
use crate::app::{App, Options};
use crate::callback;
use crate::clock::Clock;
use crate::run::{Run, RunState};
use crate::sandbox::{self, Sandbox, warehouse};

/// The seed of the sample: the same customers on every machine.
const SEED: u64 = 42;
/// How many customers change before the second callback, in percent.
const TOUCHED_PCT: f64 = 1.0;
/// How often a run is looked at: often enough to see a short one move.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest a demo run may take: a hundred times what a million customers need.
const PATIENCE: Duration = Duration::from_secs(600);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Serves here.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Customers in the sample warehouse.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    customers: u32,
    /// Ends after the second receipt: status 0, or 1 if a step did not come out as it should.
    #[arg(long)]
    exit: bool,
}

/// Runs the demo.
pub(super) async fn run(args: Args) -> anyhow::Result<Done> {
    let folder = Folder::make()?;
    let story = Demo::start(&args, &folder).await?;
    let told = story.tell(&args).await;
    if let Err(error) = &told {
        eprintln!("demo: {error:#}");
    } else if !args.exit {
        let pages = story.app.pages_url().context("the demo serves")?;
        println!("\nServing until Ctrl-C. Pages: {pages} (the API's reference is at /docs)");
        println!("Sign in with this token, which is good for this demo alone: {}", story.token);
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    story.app.drain().await;
    story.braze.stop().await;
    Ok(if told.is_ok() { Done::Well } else { Done::Failed })
}

struct Demo {
    app: App,
    addr: SocketAddr,
    braze: Sandbox,
    client: Client,
    http: reqwest::Client,
    warehouse: PathBuf,
    callback_secret: SecretString,
    token: String,
    clock: Clock,
}

impl Demo {
    async fn start(args: &Args, folder: &Folder) -> anyhow::Result<Self> {
        println!("Writing a sample warehouse of {} customers and starting a sandbox Braze.", args.customers);
        let warehouse = folder.0.join("warehouse.db");
        warehouse::write(&warehouse, args.customers, SEED)?;
        let braze = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), sandbox::Settings::default())
            .await
            .context("the sandbox Braze cannot listen")?;
        braze.seed_users((1..=args.customers).map(sandbox::customer_id));
        let secrets = Secrets::write(&folder.0)?;
        let config = folder.0.join("peak-braze.toml");
        std::fs::write(&config, config_text(&braze.url()))?;
        let clock = Clock::system();
        let options =
            Options { clock: clock.clone(), serve: true, listen: Some(args.listen), plans_only: false };
        let app = App::start(&config, options).await?;
        let addr = app.addr().context("the demo serves")?;
        Ok(Self {
            client: Client::new(&format!("http://{addr}"), SecretString::from(secrets.token.clone()))?,
            http: http(&format!("http://{addr}"))?,
            app,
            addr,
            braze,
            warehouse,
            callback_secret: SecretString::from(secrets.callback),
            token: secrets.token,
            clock,
        })
    }

    async fn tell(&self, args: &Args) -> anyhow::Result<()> {
        let customers = u64::from(args.customers);
        println!("\n1. The Peak workflow ends: a signed callback arrives.");
        let run = self.deliver("peak_demo_1").await?;
        print!("{}", receipt(&run, Paper::stdout(), self.clock.now()));
        ensure!(run.state == RunState::Succeeded, "the first run should succeed");
        ensure!(run.tally.accepted == customers, "every customer should be accepted");
        ensure!(
            run.tally.requests == customers.div_ceil(75),
            "no request should be less than full but the last"
        );

        println!(
            "\n2. The model runs again and changes {TOUCHED_PCT} % of the customers; a second callback arrives."
        );
        let sent_before = self.braze.stats();
        let touched =
            warehouse::touch(&self.warehouse, TOUCHED_PCT, self.clock.now(), warehouse::Change::Values)?;
        let run = self.deliver("peak_demo_2").await?;
        print!("{}", receipt(&run, Paper::stdout(), self.clock.now()));
        self.braze.settle().await;
        let sent = self.braze.stats();
        ensure!(run.state == RunState::Succeeded, "the second run should succeed");
        ensure!(
            run.tally.accepted == u64::from(touched),
            "exactly the {touched} changed customers should go"
        );
        ensure!(sent.values_unchanged == sent_before.values_unchanged, "no unchanged value should go");
        ensure!(self.braze.violations().is_empty(), "Braze's rules should be kept");
        println!(
            "\nBraze received {} values of {} customers, and none that it already had.",
            sent.values_sent - sent_before.values_sent,
            touched
        );
        Ok(())
    }

    /// Posts one signed callback and waits for its run.
    async fn deliver(&self, id: &str) -> anyhow::Result<Run> {
        let body = serde_json::json!({
            "type": "model.run.completed",
            "timestamp": self.clock.now(),
            "data": { "workflow_id": "demo", "execution_id": id, "model": "customer-intelligence", "model_version": "1" },
        })
        .to_string();
        let headers = callback::sign(&self.callback_secret, id, self.clock.now(), body.as_bytes())?;
        let url = format!("http://{}/v1/callbacks/customer-predictions", self.addr);
        let mut request = self.http.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let sent_at = Instant::now();
        let answer = request.send().await.context("the callback was not answered")?;
        let status = answer.status();
        ensure!(status.as_u16() == 202, "the callback was answered {status}");
        let triggered: Triggered = answer.json().await.context("the callback's answer")?;
        println!(
            "   recorded in {:.1} ms as run {}",
            sent_at.elapsed().as_secs_f64() * 1e3,
            triggered.run_id
        );
        tokio::time::timeout(PATIENCE, self.wait_for(&triggered)).await.context("the run did not end")?
    }

    async fn wait_for(&self, triggered: &Triggered) -> anyhow::Result<Run> {
        let mut shown = Shown::new();
        loop {
            let run = self.client.run(triggered.run_id).await?;
            if run.state.is_final() {
                shown.clear();
                return Ok(run);
            }
            shown.show(&run);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Secrets of the demo, made anew each time and kept only in its folder.
struct Secrets {
    callback: String,
    token: String,
}

impl Secrets {
    fn write(folder: &Path) -> anyhow::Result<Self> {
        let random = || format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let callback = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &random()[..32]);
        let secrets = Self { callback: format!("whsec_{callback}"), token: random() };
        std::fs::write(folder.join("callback.secret"), &secrets.callback)?;
        std::fs::write(folder.join("token.secret"), &secrets.token)?;
        std::fs::write(folder.join("braze.secret"), random())?;
        Ok(secrets)
    }
}

fn config_text(braze: &str) -> String {
    include_str!("demo.toml").replace("BRAZE_URL", braze)
}

/// A folder that goes when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("peak-braze-demo-{}", uuid::Uuid::new_v4().simple()));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the demo's folder stays");
        }
    }
}
