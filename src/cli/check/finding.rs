//! What a check found: a line each, printed as it is found.

use std::fmt::Display;

use serde::Serialize;
use serde_json::json;

use crate::cli::print::{Ink, Paper, print_json};

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: &'static str,
    what: String,
    says: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

/// Prints findings, or keeps them for JSON, and remembers whether any check failed.
#[derive(Debug)]
pub(super) struct Report {
    failed: bool,
    paper: Paper,
    /// What was found so far, where it is not printed at once.
    kept: Option<Vec<Finding>>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { failed: false, paper: Paper::stdout(), kept: json.then(Vec::new) }
    }

    /// Prints what was kept.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        match &self.kept {
            Some(findings) => print_json(&json!({ "ok": !self.failed, "findings": findings })),
            None => Ok(()),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// As it should be.
    pub(super) fn ok(&mut self, what: &str, says: impl Display) {
        self.found("ok", Ink::Good, what, says);
    }

    /// Runs work, but somebody should know.
    pub(super) fn warning(&mut self, what: &str, says: impl Display) {
        self.found("warning", Ink::Doubtful, what, says);
    }

    /// No run can succeed like this.
    pub(super) fn failed(&mut self, what: &str, says: impl Display) {
        self.failed = true;
        self.found("failed", Ink::Bad, what, says);
    }

    /// More on the line before.
    pub(super) fn detail(&mut self, says: impl Display) {
        match self.kept.as_mut().map(|kept| kept.last_mut()) {
            None => println!("           {says}"),
            Some(last) => last.expect("more is said of something").details.push(says.to_string()),
        }
    }

    fn found(&mut self, level: &'static str, ink: Ink, what: &str, says: impl Display) {
        // One line per check, whatever an error's text holds.
        let says = says.to_string().replace('\n', "; ");
        let Some(kept) = &mut self.kept else {
            let padding = " ".repeat(9 - level.len());
            println!("{}{padding}  {what}: {says}", self.paper.ink(level, ink));
            return;
        };
        kept.push(Finding { level, what: what.to_owned(), says, details: Vec::new() });
    }
}

/// An error with its causes, on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
