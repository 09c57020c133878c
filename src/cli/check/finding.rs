//! What a check found: a line each, printed as it is found.

use std::fmt::Display;

/// Prints findings, and remembers whether any check failed.
#[derive(Debug, Default)]
pub(super) struct Report {
    failed: bool,
}

impl Report {
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// As it should be.
    pub(super) fn ok(&mut self, what: &str, says: impl Display) {
        line("ok", what, says);
    }

    /// Runs work, but somebody should know.
    pub(super) fn warning(&mut self, what: &str, says: impl Display) {
        line("warning", what, says);
    }

    /// No run can succeed like this.
    pub(super) fn failed(&mut self, what: &str, says: impl Display) {
        self.failed = true;
        line("failed", what, says);
    }

    /// More on the line before.
    pub(super) fn detail(&mut self, says: impl Display) {
        println!("           {says}");
    }
}

fn line(level: &str, what: &str, says: impl Display) {
    // One line per check, whatever an error's text holds.
    let says = says.to_string().replace('\n', "; ");
    println!("{level:<9}  {what}: {says}");
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
