//! fakesnow behind a front that speaks Snowflake's SQL API, on a port of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::python::python;

/// The front imports a database: a second or two alone, longer beside other tests.
const START_WAIT: Duration = Duration::from_secs(60);

/// A running front; stopped when dropped.
pub struct Fakesnow {
    child: Child,
    port: u16,
    client: reqwest::Client,
}

impl Fakesnow {
    /// Starts one that answers in parts of so many rows, and waits until it listens.
    pub fn start(part_rows: usize) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/fakesnow_front.py");
        let mut command = Command::new(python());
        // An open input: the front ends with it, should this process be gone without a word.
        command
            .arg(script)
            .arg(part_rows.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the interpreter of the tests runs");
        let port = port(&mut child).unwrap_or_else(|| {
            // It may have ended by itself.
            let _ = child.kill();
            panic!("{} did not come up: {:?}", script, child.wait());
        });
        let client = peak_braze::http::client(true).build().expect("a client");
        Self { child, port, client }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    pub fn stop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Runs one statement that seeds it.
    pub async fn run(&self, sql: &str) -> Value {
        let body = json!({"statement": sql, "database": "DB", "schema": "PUBLIC"});
        let path = if sql.starts_with("INSERT") { "seed" } else { "api/v2/statements" };
        let url = format!("{}/{path}", self.url());
        let request = self.client.post(url).bearer_auth("test").json(&body);
        let response = request.send().await.expect("the front answers");
        let status = response.status();
        let answer: Value = response.json().await.expect("JSON");
        assert!(status.is_success(), "{sql}: {answer}");
        answer
    }
}

/// The port it says it listens on; none if it says nothing in time.
fn port(child: &mut Child) -> Option<u16> {
    let output = child.stdout.take().expect("piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        // Whoever waited may have given up.
        let _ = sender.send(read.map(|_| line));
    });
    let line = receiver.recv_timeout(START_WAIT).ok()?.ok()?;
    line.trim().strip_prefix("port ")?.parse().ok()
}

impl Drop for Fakesnow {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
