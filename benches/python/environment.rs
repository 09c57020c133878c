//! The virtual environment with what people use instead, made when it is first asked for, and anew when its list
//! changes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the scripts and their list lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python");

/// One of the scripts, ready to be given arguments; none, and a line that says why, where Python is missing.
pub fn script(name: &str) -> Option<Command> {
    let made = python();
    if made.is_none() {
        eprintln!("{name} is left out: python3 with venv, or what it needs, could not be had");
    }
    let mut command = Command::new(made?);
    command.arg(Path::new(FOLDER).join(name));
    Some(command)
}

fn python() -> Option<PathBuf> {
    let bench = std::env::current_exe().ok()?;
    // Benches lie in release/deps of the target folder.
    let environment = bench.ancestors().nth(3)?.join("python-benches");
    let python = environment.join("bin/python");
    let list = Path::new(FOLDER).join("requirements.txt");
    let wanted = std::fs::read(&list).ok()?;
    let made_for = environment.join(".wanted");
    if std::fs::read(&made_for).is_ok_and(|made_for| made_for == wanted) {
        return Some(python);
    }
    let _ = std::fs::remove_dir_all(&environment);
    let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment))
        && succeeds(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
                .arg("--requirement")
                .arg(&list),
        );
    (made && std::fs::write(made_for, wanted).is_ok()).then_some(python)
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
