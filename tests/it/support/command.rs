//! The real binary, run to its end.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command came to.
pub struct Told {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `peak-braze --config CONFIG ARGS` with pipes for a terminal.
pub async fn peak_braze(config: &Path, args: &[&str]) -> Told {
    peak_braze_in(&[], config, args).await
}

/// The same in an environment.
pub async fn peak_braze_in(environment: &[(&str, &str)], config: &Path, args: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peak-braze"));
    command.arg("--config").arg(config).args(args).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it is waited for");
    told(output.expect("the binary runs"))
}

fn told(output: Output) -> Told {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Told {
        status: output.status.code().expect("no signal ended it"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Told {
    /// That it ended with this status; returns what it printed.
    #[track_caller]
    pub fn ended(&self, status: i32) -> &str {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        &self.stdout
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}
