//! The real binary as a process of its own, for stories in which it is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, Utc};
use peak_braze::callback;
use peak_braze::clock::Clock;
use peak_braze::run::Run;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::app::{CALLBACK_SECRET, SYNC, TOKEN};

const PATIENCE: Duration = Duration::from_secs(60);

/// `peak-braze serve`, up and listening. Killed when dropped.
pub struct Service {
    child: Child,
    url: String,
    http: reqwest::Client,
    log: PathBuf,
}

impl Service {
    /// Starts the service and waits until it says where it listens.
    pub async fn start(config: &Path) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_peak-braze")), config).await
    }

    /// The same, with further variables.
    pub async fn start_with(config: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peak-braze"));
        command.envs(environment.iter().copied());
        Self::start_as(command, config).await
    }

    /// The same; a file that may not grow is an error to it, as on a full disk, rather than its end.
    pub async fn start_where_files_may_be_full(config: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_peak-braze")]);
        Self::start_as(shell, config).await
    }

    async fn start_as(mut command: Command, config: &Path) -> Self {
        let log = config.with_file_name("service.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        let stdout = tokio::process::ChildStdout::from_std(stdout).expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it says where it listens");
        let said = said.expect("a line").unwrap_or_else(|| {
            panic!("it did not start: {}", std::fs::read_to_string(&log).unwrap_or_default())
        });
        let addr = said.rsplit(' ').next().expect("an address").to_owned();
        let http = super::app::http_client();
        Self { child, url: format!("http://{addr}"), http, log }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Posts nothing to a path of the API.
    pub async fn post(&self, path: &str) {
        let request = self.http.post(self.url(path)).bearer_auth(TOKEN).json(&json!({}));
        assert!(request.send().await.expect("an answer").status().is_success(), "{path}");
    }

    /// Triggers a delta run and returns its id.
    pub async fn trigger(&self) -> String {
        let request =
            self.http.post(self.url(&format!("/v1/syncs/{SYNC}/runs"))).bearer_auth(TOKEN).json(&json!({}));
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Triggers a run of a sync in a mode and returns its id.
    pub async fn trigger_mode(&self, sync: &str, mode: &str) -> String {
        let body = json!({ "mode": mode });
        let request =
            self.http.post(self.url(&format!("/v1/syncs/{sync}/runs"))).bearer_auth(TOKEN).json(&body);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        answer["run_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Delivers a signed callback; none where the service went away first.
    pub async fn deliver(&self, id: &str) -> Option<reqwest::Response> {
        let (secret, body) = (SecretString::from(CALLBACK_SECRET), r#"{"type":"model.run.completed"}"#);
        let headers = callback::sign(&secret, id, Clock::system().now(), body.as_bytes()).expect("signed");
        let request = self.http.post(self.url(&format!("/v1/callbacks/{SYNC}"))).body(body);
        let request = request.header("content-type", "application/json");
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.ok()
    }

    pub async fn run(&self, id: &str) -> Run {
        serde_json::from_value(self.get(&format!("/v1/runs/{id}")).await).expect("a run")
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = self.http.get(self.url(path)).bearer_auth(TOKEN);
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    /// Waits for a run's end; woken by its events.
    pub async fn finished(&self, id: &str) -> Run {
        self.when(id, |run| run.state.is_final()).await
    }

    /// Waits until a run is as `is` wants it; woken by its events.
    pub async fn when(&self, id: &str, is: impl Fn(&Run) -> bool) -> Run {
        let url = self.url(&format!("/v1/runs/{id}/events"));
        let mut events = self.http.get(url).bearer_auth(TOKEN).send().await.expect("events");
        let waiting = async {
            loop {
                let run = self.run(id).await;
                if is(&run) {
                    return run;
                }
                let _ = events.chunk().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the run comes to that")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it is gone");
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn addr(&self) -> &str {
        self.url.strip_prefix("http://").expect("plain http")
    }

    /// Sends SIGTERM.
    pub fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP: it reads its config again.
    pub fn ask_to_reload(&self) {
        self.signal("-HUP");
    }

    /// SIGSTOP: it does nothing, and does not know.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until its log holds `words`.
    pub async fn says(&self, words: &str) {
        let saying = async {
            while !std::fs::read_to_string(&self.log).unwrap_or_default().contains(words) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, saying).await.expect("it says so");
    }

    /// How often its log holds `words`.
    pub fn times_said(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(words).count()
    }

    /// Waits until its log holds `words` more often than so.
    pub async fn says_more_often(&self, words: &str, times: usize) {
        let saying = async {
            while self.times_said(words) <= times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, saying).await.expect("it says so");
    }

    /// When its log first held a line with all of these words.
    pub fn said_at(&self, words: &[&str]) -> DateTime<Utc> {
        let log = std::fs::read_to_string(&self.log).expect("a log");
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        let line = line.unwrap_or_else(|| panic!("never said: {words:?}"));
        // Colours come before the time.
        let time = line.split([' ', '\u{1b}', 'm']).find(|word| word.ends_with('Z')).expect("a time");
        time.parse().expect("a time")
    }

    /// SIGTERM, and the exit status.
    pub fn terminate(mut self) -> std::process::ExitStatus {
        self.ask_to_end();
        self.child.wait().expect("it ends")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
