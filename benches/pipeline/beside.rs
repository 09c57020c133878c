//! The product beside the lean program, and beside what is usually written in Python.

use crate::stage::{Stage, environment, setting};
use crate::table;

/// What a round does; each is done by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Nothing was sent before.
    FirstSync,
    /// Every row has a new `updated_at`, one customer in a hundred another value of one attribute.
    Touched,
    /// Every customer has other values.
    AllChanged,
}

impl Task {
    const ALL: [Self; 3] = [Self::FirstSync, Self::Touched, Self::AllChanged];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstSync => "first sync",
            Self::Touched => "all touched, 1 % changed",
            Self::AllChanged => "all changed",
        }
    }
}

pub fn lean() {
    let (customers, rounds) = (setting("customers", 1_000_000), setting("rounds", 5));
    let stage = Stage::set(customers);
    let mut costs = Task::ALL.map(|_| (Vec::new(), Vec::new()));
    for round in 1..=rounds {
        stage.begin_round();
        for (task, (ours, leans)) in Task::ALL.into_iter().zip(&mut costs) {
            stage.change(task);
            // Whoever goes first finds colder caches: they take turns at that too.
            if round % 2 == 1 {
                leans.push(stage.lean());
            }
            let before = stage.stats();
            ours.push(stage.product());
            if task == Task::Touched {
                assert_only_changes(customers, &before, &stage.stats());
            }
            if round % 2 == 0 {
                leans.push(stage.lean());
            }
        }
        eprintln!("round {round} of {rounds} done");
    }
    table::head("the lean program");
    for (task, (ours, leans)) in Task::ALL.into_iter().zip(&costs) {
        table::rows(task.name(), ours, leans, customers);
    }
}

/// One value of one customer in a hundred, in full requests but for the last.
fn assert_only_changes(customers: u32, before: &serde_json::Value, after: &serde_json::Value) {
    let count = |name: &str| {
        let of = |stats: &serde_json::Value| stats[name].as_u64().expect("a count");
        of(after) - of(before)
    };
    let changed = u64::from(customers / 100);
    assert_eq!((count("objects"), count("values_sent")), (changed, changed));
    assert_eq!(count("requests"), changed.div_ceil(75));
}

pub fn python() {
    let (customers, rounds) = (setting("customers", 1_000_000), setting("rounds", 5));
    if environment::script("track.py").is_none() {
        return;
    }
    let stage = Stage::set(customers);
    stage.begin_round();
    let (mut ours, mut pythons) = (Vec::new(), Vec::new());
    for _ in 1..=rounds {
        stage.forget();
        ours.push(stage.product());
        pythons.extend(stage.python());
    }
    table::head("aiohttp with 16 in flight");
    table::rows(Task::FirstSync.name(), &ours, &pythons, customers);
}
