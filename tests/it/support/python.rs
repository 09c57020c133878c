//! The virtual environment with real third-party parts, as `tests/run` makes it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Its interpreter: `PEAK_BRAZE_PYTHON`, or where `tests/run` puts it, beside the build.
pub fn python() -> PathBuf {
    if let Some(given) = std::env::var_os("PEAK_BRAZE_PYTHON") {
        return given.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let built = test.ancestors().nth(3).expect("tests lie in debug/deps of the target folder");
    let python = built.join("python/bin/python");
    assert!(python.exists(), "{} is missing: ./tests/run makes it", python.display());
    python
}

/// What a script of `tests/python` prints, given this on its standard input.
pub fn run_script(name: &str, arguments: &[&str], input: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name);
    let mut command = Command::new(python());
    command.arg(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the interpreter of the tests runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name} {arguments:?} failed");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}
