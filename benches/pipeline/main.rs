//! The whole path, warehouse to Braze, beside a lean program that only reads, encodes, posts and stores. They take turns
//! in one run on the same data against the same counting sandbox; medians and their ratios count.
//!
//! `cargo bench --bench pipeline` · `PEAK_BRAZE_BENCH="customers=100000 rounds=3"` makes it shorter.

mod child;
mod lean;
mod stage;
mod table;

use std::process::ExitCode;

use stage::Stage;
use table::Table;

/// What a round does; each is done by the product, then by the lean program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Nothing was sent before.
    FirstSync,
    /// Every row has a new `updated_at`, one customer in a hundred another value.
    Touched,
    /// Every customer has other values.
    AllChanged,
}

impl Task {
    const ALL: [Self; 3] = [Self::FirstSync, Self::Touched, Self::AllChanged];

    fn name(self) -> &'static str {
        match self {
            Self::FirstSync => "first sync",
            Self::Touched => "all touched, 1 % changed",
            Self::AllChanged => "all changed",
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        // The lean program is this very file, started anew, so that it is measured as a process too.
        Some("lean") => lean::main(&arguments[1..]),
        _ => compare(),
    }
    ExitCode::SUCCESS
}

fn compare() {
    let (customers, rounds) = (stage::setting("customers", 1_000_000), stage::setting("rounds", 5));
    let stage = Stage::set(customers);
    let mut table = Table::default();
    for round in 1..=rounds {
        stage.begin_round();
        for task in Task::ALL {
            stage.change(task);
            // Whoever goes first finds colder caches: they take turns at that too.
            if round % 2 == 0 {
                table.add(task, stage.product(), stage.lean());
            } else {
                let lean = stage.lean();
                table.add(task, stage.product(), lean);
            }
        }
        eprintln!("round {round} of {rounds} done");
    }
    print!("{}", table.text(customers));
}
