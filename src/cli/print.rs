//! What commands write to standard output: text for people, JSON for machines, colour only where a person looks.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

use crate::run::RunState;

/// What a word means to whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// As it should be.
    Good,
    /// Works, but somebody should look.
    Doubtful,
    /// Does not work.
    Bad,
    /// Under way.
    Busy,
    /// Beside the point.
    Quiet,
}

impl Ink {
    /// That of a run's state.
    pub(super) fn of(state: RunState) -> Self {
        match state {
            RunState::Succeeded => Self::Good,
            RunState::Partial | RunState::Held => Self::Doubtful,
            RunState::Failed => Self::Bad,
            RunState::Queued | RunState::Running | RunState::Waiting => Self::Busy,
            RunState::Cancelled => Self::Quiet,
        }
    }

    /// ECMA-48, select graphic rendition: the terminal's own colours, so that its light and dark themes hold.
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Doubtful => "33",
            Self::Bad => "31",
            Self::Busy => "36",
            Self::Quiet => "2",
        }
    }
}

/// What is written on: whether it takes colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    has_colour: bool,
}

impl Paper {
    /// Standard output: coloured on a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is `dumb`.
    pub(super) fn stdout() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { has_colour: io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb }
    }

    /// A file or a pipe.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { has_colour: false }
    }

    /// The text in a colour, where there is any.
    pub(super) fn ink(self, text: impl Display, ink: Ink) -> String {
        match self.has_colour {
            true => format!("\x1b[{}m{text}\x1b[0m", ink.code()),
            false => text.to_string(),
        }
    }
}

/// Prints text as it is. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

/// Prints one JSON document.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_stays_off_what_does_not_take_it() {
        assert_eq!(Paper::plain().ink("failed", Ink::Bad), "failed");
        assert_eq!(Paper { has_colour: true }.ink("failed", Ink::Bad), "\x1b[31mfailed\x1b[0m");
    }
}
