//! What comes after: the secrets, once; the step for Peak; the next command.

use std::path::Path;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};

use super::answers::{Answers, URL_VARIABLE};
use crate::config::SourceKind;

/// Bytes of a secret: as many as the digest it keys. Source: Standard Webhooks, 24 to 64.
const SECRET_BYTES: usize = 32;

/// Made once, shown once, kept nowhere.
pub(super) struct Secrets {
    callback: String,
    token: String,
}

impl Secrets {
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn fresh() -> anyhow::Result<Self> {
        let token = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { callback: format!("whsec_{}", STANDARD.encode(random()?)), token })
    }

    /// Variables the config refers to; null for those only the user has.
    pub(super) fn environment(&self, answers: &Answers) -> Map<String, Value> {
        let mut all = Map::new();
        all.insert("PEAK_BRAZE_TOKEN".to_owned(), self.token.clone().into());
        all.insert("PEAK_CALLBACK_SECRET".to_owned(), self.callback.clone().into());
        for name in theirs(answers) {
            all.insert(name, Value::Null);
        }
        all
    }
}

fn random() -> anyhow::Result<[u8; SECRET_BYTES]> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow!("the system gives no random bytes"))
        .context("a secret cannot be made")?;
    Ok(bytes)
}

/// Variables that only the user can fill, as far as they are not set already.
fn theirs(answers: &Answers) -> Vec<String> {
    let mut names = vec!["BRAZE_API_KEY".to_owned()];
    if answers.hides_url() {
        names.push(URL_VARIABLE.to_owned());
    }
    let given = answers.source.iter().chain(&answers.peak).map(|(_, value)| value.as_str());
    let given = given.chain(answers.url.as_deref());
    names.extend(given.filter_map(|value| value.strip_prefix("env:")).map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

/// The next command, as it has to be typed.
pub(super) fn command(config: &Path, out: &Path) -> String {
    match config == out {
        true => "peak-braze check".to_owned(),
        false => format!("peak-braze check --config {}", out.display()),
    }
}

/// All of it, to read and to paste.
pub(super) fn steps(config: &Path, out: &Path, answers: &Answers, secrets: &Secrets) -> String {
    let mut exports = String::new();
    for (name, value, about) in [
        ("PEAK_BRAZE_TOKEN", &secrets.token, "for the API and the pages"),
        ("PEAK_CALLBACK_SECRET", &secrets.callback, "Peak signs with it"),
    ] {
        exports += &format!("  export {name}={value}  # {about}\n");
    }
    for name in theirs(answers) {
        let about = about(&name, answers);
        exports += &match std::env::var_os(&name) {
            Some(_) => format!("  # {name} is set already ({about})\n"),
            None => format!("  export {name}=…  # {about}\n"),
        };
    }
    let (sync, check) = (&answers.sync, command(config, out));
    let plan = check.replacen("check", &format!("plan {sync}"), 1);
    let run = check.replacen("check", &format!("sync {sync}"), 1);
    let serve = check.replacen("check", "serve", 1);
    format!(
        "\n{} is written; it holds no secret.\n\
         \n1. Secrets: made just now and kept nowhere, so put them where yours live.\n{exports}\
         \n2. Next:\n  {check}\n  {plan}  # what a first run would send; sends nothing\n  {run}  # sends it, and shows the receipt\n  {serve}  # the service Peak calls\n\
         \n3. In Peak, keep the callback secret as a custom external credential called `callback`, put deploy/peak/notify.py \
         into the model's repository, and let this step come after the scoring one:\n\n{}\n",
        out.display(),
        peak_step(sync, &answers.table)
    )
}

fn about(name: &str, answers: &Answers) -> &'static str {
    match name {
        "BRAZE_API_KEY" => "a REST key with users.track",
        URL_VARIABLE if answers.kind != SourceKind::Snowflake => {
            "the warehouse's address, as given to --source-url"
        }
        _ => "as named on the command line",
    }
}

/// The last step of `deploy/peak/workflow.yaml`, less what depends on the tenant.
fn peak_step(sync: &str, table: &str) -> String {
    format!(
        "    notify-peak-braze:
      type: standard
      command: python notify.py
      parents: [score-customers]
      parameters:
        env:
          CALLBACK_URL: https://YOUR-HOST/v1/callbacks/{sync}
          OUTPUT_TABLE: {table}
        inherit: {{MODEL_VERSION: model_version, SCORED_AT: scored_at, ROWS_UPDATED: rows_updated}}
        secrets: [callback]"
    )
}
