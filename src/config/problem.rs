//! What is wrong with a config file, one line a problem, all at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One thing wrong with the config. Prints as `FILE:LINE: KEY: what is wrong, what to write`.
///
/// Names keys, never values: a value may be a secret pasted in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The config file; empty where the config did not come from one.
    pub file: PathBuf,
    /// Its line, from 1; absent where the problem has no place in the file.
    pub line: Option<usize>,
    /// Path of the key, such as `syncs[0].attributes[2].name`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}:", self.file.display())?;
            self.line.map_or(Ok(()), |line| write!(f, "{line}:"))?;
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why there is no config to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The config file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that cannot work.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Where a config was read from, so that a problem found later still names file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub(super) file: PathBuf,
    /// Line of each key by its path.
    pub(super) lines: BTreeMap<String, usize>,
}

impl Origin {
    /// The line of `key`, or of the nearest table around it when the file leaves the key out.
    fn line(&self, mut key: &str) -> Option<usize> {
        loop {
            if let Some(line) = self.lines.get(key) {
                return Some(*line);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// Nothing if there are no problems.
    pub(super) fn refuse(&self, problems: Problems) -> Result<(), ConfigError> {
        if problems.0.is_empty() { Ok(()) } else { Err(self.invalid(problems)) }
    }

    /// The problems, each with its line, in the file's order.
    pub(super) fn invalid(&self, problems: Problems) -> ConfigError {
        let placed = |(key, message): (String, String)| {
            let line = self.line(&key);
            Problem { file: self.file.clone(), line, key, message }
        };
        let mut placed: Vec<_> = problems.0.into_iter().map(placed).collect();
        placed.sort_by_key(|problem| problem.line);
        ConfigError::Invalid(placed)
    }
}

/// Problems as the rules find them: path of the key, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(String, String)>);

impl Problems {
    pub(super) fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push((key.into(), message.into()));
    }

    /// Adds the error of `result`, if it is one.
    pub(super) fn note<T, E: fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(key, error.to_string())).ok()
    }
}
