//! `peak-braze verify`: why a delivery is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::print::{Ink, Paper, print, print_json};
use super::sign::body_from_stdin;
use crate::callback::{Callback, Verifier};
use crate::clock::Clock;
use crate::config::{self, CallbackScheme, SecretRef};

/// Says whether the delivery on standard input would be accepted, step by step.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Environment variable that holds the secret; again for each further one.
    #[arg(long, value_name = "NAME", required = true)]
    secret_env: Vec<String>,
    /// File with the delivery's headers, `Name: value` on each line.
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// How the delivery proves where it comes from: standard, github or bearer.
    #[arg(long, default_value = "standard", value_parser = scheme)]
    scheme: CallbackScheme,
    /// Seconds the timestamp may lie in the past or future.
    #[arg(long, value_name = "SECS", default_value_t = 300)]
    tolerance_secs: u64,
    /// Judge as of this time, in Unix seconds; now by default.
    #[arg(long, value_name = "T")]
    at: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Verifies the body on standard input.
///
/// # Errors
/// When the delivery is refused, or secret or headers cannot be read.
pub fn run(args: Args) -> anyhow::Result<()> {
    let callback = config::Callback {
        verify_run: None,
        scheme: args.scheme,
        secrets: args.secret_env.into_iter().map(SecretRef::Env).collect(),
        tolerance_secs: args.tolerance_secs,
        events: Vec::new(),
        matches: BTreeMap::new(),
    };
    let verifier = Verifier::new(&callback).context("--secret-env")?;
    let headers = read_headers(&args.headers)?;
    let now = match args.at {
        Some(secs) => DateTime::from_timestamp(secs, 0).context("--at: is no time")?,
        None => Clock::system().now(),
    };
    let report = Report::new(&verifier, &headers, &body_from_stdin()?, now);
    match args.json {
        true => print_json(&report)?,
        false => print(&report.lines(Paper::stdout()))?,
    }
    match report.refused {
        Some(code) => bail!("refused: {code}"),
        None => Ok(()),
    }
}

fn scheme(text: &str) -> Result<CallbackScheme, &'static str> {
    match text {
        "standard" => Ok(CallbackScheme::Standard),
        "github" => Ok(CallbackScheme::Github),
        "bearer" => Ok(CallbackScheme::Bearer),
        _ => Err("must be standard, github or bearer"),
    }
}

fn read_headers(path: &Path) -> anyhow::Result<HeaderMap> {
    let text = std::fs::read_to_string(path).with_context(|| format!("--headers {}", path.display()))?;
    parse_headers(&text).with_context(|| format!("--headers {}", path.display()))
}

/// A request line at the top is passed over, so that a captured request can be given as it is.
fn parse_headers(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let pair = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        match pair {
            Some((name, value)) => {
                headers.append(name, value);
            }
            None if index == 0 => {}
            // The line itself may hold a token.
            None => bail!("line {} is not Name: value", index + 1),
        }
    }
    Ok(headers)
}

/// A step of verifying.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    says: String,
}

/// The steps taken, and the code of the refusal if there is one.
#[derive(Debug, Default, Serialize)]
struct Report {
    steps: Vec<Step>,
    refused: Option<&'static str>,
    /// The index of the secret that matches.
    secret: Option<usize>,
    delivery_id: Option<String>,
}

impl Report {
    fn new(verifier: &Verifier, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Self {
        let mut report = Self::default();
        let verdict = verifier.verify(headers, body, now);
        let failed = verdict.as_ref().err().map(|refusal| refusal.step());
        for step in verifier.steps() {
            match &verdict {
                Err(refusal) if Some(*step) == failed => {
                    report.step("failed", step.as_str(), refusal.to_string());
                    report.refused = Some(refusal.code());
                    return report;
                }
                _ => report.step("ok", step.as_str(), String::new()),
            }
        }
        match Callback::parse(body) {
            Ok(callback) => report.step("ok", "body", format!("type {}", callback.event_type)),
            Err(error) => {
                report.step("failed", "body", error.to_string());
                report.refused = Some(error.code());
            }
        }
        if let Ok(verified) = verdict {
            report.secret = Some(verified.secret);
            report.delivery_id = verified.delivery_id;
        }
        report
    }

    fn step(&mut self, verdict: &'static str, step: &'static str, says: String) {
        self.steps.push(Step { step, verdict, says });
    }

    /// A line a step.
    fn lines(&self, paper: Paper) -> String {
        let mut lines = String::new();
        for Step { step, verdict, says } in &self.steps {
            let ink = if *verdict == "ok" { Ink::Good } else { Ink::Bad };
            let padding = " ".repeat(7 - verdict.len());
            lines += format!("{}{padding} {step:<11} {says}", paper.ink(verdict, ink)).trim_end();
            lines.push('\n');
        }
        if let Some(secret) = self.secret {
            let id = self.delivery_id.as_deref().unwrap_or("none, so no deduplication");
            lines += &format!("secret {secret} matches; delivery id: {id}\n");
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "POST /v1/callbacks/s HTTP/1.1\nWebhook-Id: msg_p5jXN8AQM9LWM0D4loKWxJek\n\
        webhook-timestamp: 1614265330\nwebhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n\n";

    fn report(body: &str, late_secs: i64) -> Report {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a written secret");
        let callback = config::Callback {
            verify_run: None,
            scheme: CallbackScheme::Standard,
            secrets: vec![SecretRef::File(file)],
            tolerance_secs: 300,
            events: Vec::new(),
            matches: BTreeMap::new(),
        };
        let verifier = Verifier::new(&callback).expect("a good secret");
        let headers = parse_headers(HEADERS).expect("good headers");
        let now = DateTime::from_timestamp(1_614_265_330 + late_secs, 0).expect("a time");
        Report::new(&verifier, &headers, body.as_bytes(), now)
    }

    #[test]
    fn the_step_that_fails_is_named_and_the_rest_left_out() {
        let report = report("{\"test\": 2432232314}", 301);
        let expected = "ok      headers\nok      id\nok      timestamp\n\
                        failed  window      the timestamp is 301 s old; 300 s are allowed\n";
        assert_eq!((report.lines(Paper::plain()).as_str(), report.refused), (expected, Some("too_old")));
    }

    #[test]
    fn a_changed_body_fails_at_the_match() {
        let report = report("{\"test\":2432232314}", 0);
        assert!(report.lines(Paper::plain()).contains("ok      signatures\nfailed  match"), "{report:?}");
        assert_eq!(report.refused, Some("no_signature_matched"));
    }

    #[test]
    fn an_authentic_body_without_type_is_refused_by_its_shape() {
        let report = report("{\"test\": 2432232314}", 0);
        assert!(
            report.lines(Paper::plain()).contains("ok      match\nfailed  body        type must be"),
            "{report:?}"
        );
        assert_eq!(report.refused, Some("wrong_shape"));
    }

    #[test]
    fn a_line_that_is_no_header_is_named_not_shown() {
        let error = parse_headers("a: b\nhunter2\n").expect_err("no header").to_string();
        assert_eq!(error, "line 2 is not Name: value");
    }

    #[test]
    fn arguments_read_as_documented() {
        use clap::{Args as _, FromArgMatches};
        let command = super::Args::augment_args(clap::Command::new("verify"));
        command.clone().debug_assert();
        let words = "verify --secret-env NEW --secret-env OLD --headers h.txt --scheme github --at 7";
        let matches = command.clone().try_get_matches_from(words.split(' ')).expect("good arguments");
        let args = super::Args::from_arg_matches(&matches).expect("good arguments");
        assert_eq!((args.secret_env.len(), args.scheme, args.at), (2, CallbackScheme::Github, Some(7)));
        assert!(command.clone().try_get_matches_from(["verify", "--headers", "h.txt"]).is_err());
        assert!(
            command
                .try_get_matches_from("verify --secret-env A --headers h --scheme md5".split(' '))
                .is_err()
        );
    }
}
