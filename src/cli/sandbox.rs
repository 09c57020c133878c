//! `peak-braze sandbox`: the sandbox Braze alone, for anyone's tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;

use crate::sandbox::{Cap, DataType, ErrorStyle, Permission, Rate, Rule, Sandbox, Settings, customer_id};

/// Run a stand-in for Braze's REST API: /users/track and its bulk and sync variants, export, delete, attributes.
///
/// It answers as Braze does, silent drops included, and breaks on demand: POST rules to /_sandbox/rules. What it
/// holds is under /_sandbox/stats, /_sandbox/requests, /_sandbox/violations and /_sandbox/users/EXTERNAL_ID.
/// Everything is kept in memory and gone when it stops.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes any free port
    #[arg(long, value_name = "A:P", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,

    /// The one REST API key to accept; without it any key will do
    #[arg(long, value_name = "KEY", env = "PEAK_BRAZE_SANDBOX_KEY", hide_env_values = true)]
    pub api_key: Option<String>,

    /// A permission the key lacks, such as users.export.ids; may be repeated
    #[arg(long, value_name = "PERMISSION")]
    pub deny: Vec<Permission>,

    /// Make empty profiles for the sample customers c-0000001 to N, so that update-only objects find them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub customers: u32,

    /// Most objects per /users/track request: combined:N over its three arrays, or per_array:N
    #[arg(long, value_name = "CAP", default_value = "combined:75")]
    pub cap: Cap,

    /// Most objects per /users/track/bulk request
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub bulk_cap: usize,

    /// Rate limits: by data-point contract (classic), by monthly active users (mau), or none (off)
    #[arg(long, value_enum, default_value = "classic")]
    pub rate: RateKind,

    /// /users/track requests per 3 seconds
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub per_3s: u32,

    /// With --rate mau: /users/track requests per clock hour
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub hourly: u32,

    /// How refused objects are named: as live workspaces do (sentence) or as documented (enum)
    #[arg(long, value_enum, default_value = "sentence")]
    pub error_style: StyleKind,

    /// Milliseconds before every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency_ms: u64,

    /// Milliseconds from the answer until the update shows: MS or MIN-MAX; 0 applies at once
    #[arg(long, value_name = "RANGE", default_value = "10-100", value_parser = delay_range)]
    pub apply_delay_ms: (u64, u64),

    /// Let updates of separate requests overtake each other within --apply-delay-ms
    #[arg(long)]
    pub reorder: bool,

    /// Send `errors: []` where nothing was refused
    #[arg(long)]
    pub empty_errors: bool,

    /// Status for a /users/track body over 4 MB
    #[arg(long, value_name = "STATUS", default_value_t = 413, value_parser = size_status)]
    pub size_status: u16,

    /// A blocklisted custom attribute, dropped in silence; may be repeated
    #[arg(long, value_name = "ATTRIBUTE")]
    pub blocklist: Vec<String>,

    /// An external id refused as a blocked profile; may be repeated
    #[arg(long, value_name = "EXTERNAL_ID")]
    pub blocked_id: Vec<String>,

    /// A type forced in the dashboard, such as peak_churn_probability=number; may be repeated
    #[arg(long, value_name = "ATTRIBUTE=TYPE", value_parser = forced_type)]
    pub forced_type: Vec<(String, DataType)>,

    /// A JSON file with one rule or a list of rules to start with
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// Only count objects and values, and keep no profiles: for load tests
    #[arg(long)]
    pub counting: bool,

    /// Seed of the delays
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
}

/// The kinds of rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RateKind {
    /// Requests per 3 seconds; the reset in epoch seconds.
    Classic,
    /// An hourly share and a burst; the reset in seconds left.
    Mau,
    /// No limit, no headers.
    Off,
}

/// The ways to name a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StyleKind {
    /// A sentence.
    Sentence,
    /// A word in capitals.
    Enum,
}

/// Runs the command until Ctrl-C or SIGTERM.
///
/// # Errors
/// The rules file cannot be read, or the address cannot be bound.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let rules = args.rules.as_deref().map_or(Ok(Vec::new()), read_rules)?;
    let sandbox = Sandbox::start(args.listen, settings(&args))
        .await
        .with_context(|| format!("--listen: cannot listen on {}", args.listen))?;
    sandbox.seed_users((1..=args.customers).map(customer_id));
    rules.into_iter().for_each(|rule| sandbox.rule(rule));
    println!("sandbox Braze at {}", sandbox.url());
    stop_signal().await?;
    sandbox.stop().await;
    Ok(())
}

fn settings(args: &Args) -> Settings {
    let millis = Duration::from_millis;
    Settings {
        api_key: args.api_key.clone(),
        denied: args.deny.iter().copied().collect(),
        cap: args.cap,
        bulk_cap: args.bulk_cap,
        rate: match args.rate {
            RateKind::Classic => Rate::Classic { per_3s: args.per_3s },
            RateKind::Mau => Rate::Mau { hourly: args.hourly, burst_per_3s: args.per_3s },
            RateKind::Off => Rate::Off,
        },
        style: match args.error_style {
            StyleKind::Sentence => ErrorStyle::Sentence,
            StyleKind::Enum => ErrorStyle::Enum,
        },
        apply_delay: (millis(args.apply_delay_ms.0), millis(args.apply_delay_ms.1)),
        reorder: args.reorder,
        latency: millis(args.latency_ms),
        empty_errors_array: args.empty_errors,
        track_size_status: args.size_status,
        blocklist: args.blocklist.iter().cloned().collect(),
        blocked_ids: args.blocked_id.iter().cloned().collect(),
        forced_types: args.forced_type.iter().cloned().collect(),
        counting_only: args.counting,
        seed: args.seed,
        ..Settings::default()
    }
}

fn read_rules(path: &Path) -> anyhow::Result<Vec<Rule>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("--rules: cannot read {}", path.display()))?;
    let not_rules = || format!("--rules: {} holds no rules", path.display());
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(&text).with_context(not_rules);
    }
    Ok(vec![serde_json::from_str(&text).with_context(not_rules)?])
}

async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

fn delay_range(text: &str) -> Result<(u64, u64), String> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    match (least.parse(), most.parse()) {
        (Ok(least), Ok(most)) if least <= most => Ok((least, most)),
        _ => Err("expected MS or MIN-MAX, such as 10-100".to_owned()),
    }
}

fn size_status(text: &str) -> Result<u16, String> {
    match text {
        "413" => Ok(413),
        "400" => Ok(400),
        _ => Err("expected 413 or 400".to_owned()),
    }
}

fn forced_type(text: &str) -> Result<(String, DataType), String> {
    let (name, data_type) = text.split_once('=').ok_or("expected ATTRIBUTE=TYPE")?;
    Ok((name.to_owned(), data_type.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(flags: &[&str]) -> Settings {
        let line = std::iter::once("sandbox").chain(flags.iter().copied());
        settings(&Command::try_parse_from(line).expect("valid flags").args)
    }

    #[test]
    fn flags_become_settings() {
        let settings =
            parsed(&["--rate", "mau", "--hourly", "9", "--cap", "per_array:75", "--apply-delay-ms", "5"]);
        assert_eq!(settings.rate, Rate::Mau { hourly: 9, burst_per_3s: 3_000 });
        assert_eq!(settings.cap, Cap::PerArray(75));
        assert_eq!(settings.apply_delay, (Duration::from_millis(5), Duration::from_millis(5)));
        let settings =
            parsed(&["--forced-type", "score=number", "--deny", "users.delete", "--error-style", "enum"]);
        assert_eq!(settings.forced_types["score"], DataType::Number);
        assert!(settings.denied.contains(&Permission::UsersDelete));
        assert_eq!(settings.style, ErrorStyle::Enum);
    }

    #[test]
    fn the_flags_are_well_formed() {
        <Command as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn bad_flags_are_refused() {
        for flags in [["--apply-delay-ms", "9-1"], ["--size-status", "500"], ["--forced-type", "score"]] {
            assert!(Command::try_parse_from(["sandbox", flags[0], flags[1]]).is_err(), "{flags:?}");
        }
    }
}
