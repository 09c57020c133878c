//! The whole path, warehouse to Braze, measured in parts. Whoever is compared takes turns in one run, on the same data
//! and against the same counting sandbox; medians and their ratios count.
//!
//! `cargo bench --bench pipeline` · `cargo bench --bench pipeline -- lean latency` for some parts ·
//! `PEAK_BRAZE_BENCH="customers=100000 rounds=3"` makes them shorter.

mod acknowledged;
mod beside;
mod child;
mod growth;
mod latency;
mod lean;
mod postgres;
mod stage;
mod table;

use std::process::ExitCode;

/// What can be measured on its own.
const PARTS: [(&str, fn()); 6] = [
    ("lean", beside::lean),
    ("python", beside::python),
    ("latency", latency::measure),
    ("growth", growth::measure),
    ("acknowledged", acknowledged::measure),
    ("postgres", postgres::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The lean program is this very file, started anew, so that it is measured as a process too.
    if arguments.first().is_some_and(|first| first == lean::PROGRAM) {
        lean::main(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|name| !name.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name)) {
        eprintln!("no part is called {unknown}: {}", PARTS.map(|(part, _)| part).join(", "));
        return ExitCode::FAILURE;
    }
    for (part, measure) in PARTS {
        if wanted.is_empty() || wanted.contains(&part) {
            println!("== {part}");
            measure();
        }
    }
    ExitCode::SUCCESS
}
