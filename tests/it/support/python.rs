//! The virtual environment with real third-party parts, as `tests/run` makes it.

use std::path::PathBuf;

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
