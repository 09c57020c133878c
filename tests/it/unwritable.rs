//! A ledger that may not be written: one clear line that names it, nothing served, nothing sent, nothing changed.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::app::{Setup, TestApp, bytes};

/// Runs a command as somebody whom file modes bind. They do not bind root, unless it lays that right down.
fn bound_by_modes(config: &Path, args: &[&str]) -> Output {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let binary = env!("CARGO_BIN_EXE_peak-braze");
    let mut command = match is_root {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-dac_override", "--inh-caps=-dac_override", binary]);
            command
        }
        false => Command::new(binary),
    };
    command.arg("--config").arg(config).args(args).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.output().expect("it runs")
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("one's own file");
}

#[track_caller]
fn assert_names(output: &Output, file: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.trim().lines().count()), (Some(1), 1), "{stderr}");
    for words in ["ledger.url", file, "Permission denied"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert!(output.stdout.is_empty(), "it never said that it listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_or_folder_that_may_not_be_written_is_named_and_nothing_is_sent() {
    let mut app = TestApp::start(Setup::customers(3)).await;
    app.run("delta").await;
    app.drain().await;
    let (sent, held) = (app.braze.stats().requests, bytes(&app.path("ledger.db")));
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["sync", "predictions"]] {
        set_mode(&app.path("ledger.db"), 0o400);
        assert_names(&bound_by_modes(&app.config_path(), command), "ledger.db");
        set_mode(&app.path("ledger.db"), 0o600);
    }
    std::fs::create_dir(app.path("closed")).expect("a folder");
    set_mode(&app.path("closed"), 0o500);
    app.change(|setup| setup.ledger_url = "sqlite://closed/ledger.db".to_owned());
    assert_names(
        &bound_by_modes(&app.config_path(), &["serve", "--listen", "127.0.0.1:0"]),
        "closed/ledger.db",
    );
    assert_eq!(std::fs::read_dir(app.path("closed")).expect("a folder").count(), 0);
    assert_eq!((app.braze.stats().requests, bytes(&app.path("ledger.db"))), (sent, held));
}
