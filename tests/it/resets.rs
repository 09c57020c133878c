//! A thousand refusals that announce when to come back, in every form Braze has, each heard by many at once: not one
//! request comes early.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use peak_braze::braze::{Batch, Braze, Template, Verdict};
use peak_braze::clock::Clock;
use peak_braze::config::{self, Identifier};
use peak_braze::sandbox::{Announce, Answer, Rule, Sandbox, Settings, Stats};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

/// Workspaces at a time, so that the waits are waited together.
const WORKSPACES: u64 = 64;
/// Processes of each, one after another: each begins with so many requests in flight, all of which are refused.
const PROCESSES: u64 = 2;
const REFUSED: u64 = 8;
/// Requests of one process that must pass in the end.
const PUSHES: u64 = 40;
/// Each refusal says so: whoever does not listen runs into it for most of that time.
const ANNOUNCED_SECS: u64 = 3;
/// Requests that were on their way when the refusal was: a busy machine takes its time to hear of it.
const ON_THE_WAY: Duration = Duration::from_millis(1_250);
/// Long enough for all of the first requests to be on their way when the first of them is refused.
const LATENCY: Duration = Duration::from_millis(100);

/// The forms of an announcement: two are Braze's own, and one nobody documents.
fn announce(workspace: u64) -> Announce {
    match workspace % 4 {
        0 => Announce::Epoch { secs: ANNOUNCED_SECS },
        1 => Announce::SecondsLeft { secs: ANNOUNCED_SECS },
        2 => Announce::RetryAfter { secs: ANNOUNCED_SECS },
        _ => Announce::StandardRetryAfter { secs: ANNOUNCED_SECS },
    }
}

/// What two runs of one process push at once.
async fn push_all(sandbox: &Sandbox) {
    let settings = format!("endpoint = \"{}\"\napi_key = \"env:KEY\"", sandbox.url());
    let settings: config::Destination = toml::from_str(&settings).expect("a destination");
    let key = SecretString::from("a-key-of-this-workspace");
    let braze = Arc::new(Braze::new("braze", &settings, key, Clock::system()).expect("a client"));
    let pushers = [(); 2].map(|()| braze.pusher(Arc::new(|| true), CancellationToken::new()));
    let template = Template::new(&Identifier::ExternalId, false, &["score"]);
    let batches: Vec<Batch> = (0..PUSHES)
        .map(|number| {
            let mut batch = Batch::new();
            batch.begin(&template, &format!("c-{number}"));
            batch.set(&template, 0, b"0.5");
            batch.end();
            batch
        })
        .collect();
    let pushed = batches.iter().enumerate().map(|(number, batch)| pushers[number % 2].push(batch));
    for pushed in join_all(pushed).await {
        assert_eq!(pushed.expect("in the end").verdicts, [Verdict::Accepted]);
    }
}

async fn workspace(number: u64) -> Stats {
    let settings = Settings { latency: LATENCY, reset_grace: ON_THE_WAY, ..Settings::default() };
    let sandbox = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), settings).await.expect("it listens");
    for _ in 0..PROCESSES {
        let limited = Rule::new(Answer::RateLimited { announce: announce(number) });
        sandbox.rule(limited.times(REFUSED));
        push_all(&sandbox).await;
        sandbox.clear_rules();
    }
    assert_eq!(sandbox.violations(), Vec::<String>::new(), "{:?}", announce(number));
    sandbox.stats()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_announced_resets_none_is_run_into() {
    let began = tokio::time::Instant::now();
    let stats = join_all((0..WORKSPACES).map(workspace)).await;
    let refused: u64 = stats.iter().filter_map(|stats| stats.by_status.get(&429)).sum();
    let early: u64 = stats.iter().map(|stats| stats.requests_before_reset).sum();
    let at_once = stats.iter().map(|stats| stats.max_in_flight).max().unwrap_or(0);
    println!(
        "{refused} refusals, {early} requests before a reset, up to {at_once} in flight, {:?}",
        began.elapsed()
    );
    assert_eq!((refused, early), (WORKSPACES * PROCESSES * REFUSED, 0));
    assert!(refused >= 1_000 && at_once >= REFUSED, "the story has lost its point");
}
