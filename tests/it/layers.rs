//! Who may import whom: only lower ranks, and equals never see each other.

use std::path::{Path, PathBuf};

/// Rooms by rank; what is not listed does not exist.
const RANKS: [(&str, u8); 27] = [
    ("main", 5),
    ("cli", 5),
    ("app", 4),
    ("api", 3),
    ("pages", 3),
    ("worker", 3),
    ("sync", 2),
    ("standing", 2),
    ("access", 1),
    ("callback", 1),
    ("ledger", 1),
    ("source", 1),
    ("peak", 1),
    ("braze", 1),
    ("notify", 1),
    ("sandbox", 1),
    ("run", 0),
    ("share", 0),
    ("customer", 0),
    ("clock", 0),
    ("figures", 0),
    ("http", 0),
    ("postgres", 0),
    ("config", 0),
    ("telemetry", 0),
    // Pure, but read from the config: above it by a hair, below everything that uses it.
    ("cadence", 0),
    ("lib", 9),
];

/// `cadence` reads the config's section of the same name. `source` asks `peak` for the warehouse's credentials, at the
/// moment it signs in and once more where it is refused: not a value that somebody above could have fetched before.
const ALLOWED: [(&str, &str); 2] = [("cadence", "config"), ("source", "peak")];

fn rank(room: &str) -> u8 {
    RANKS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{room} has no rank")).1
}

fn is_room(name: &str) -> bool {
    RANKS.iter().any(|(room, _)| *room == name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the source tree");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The rooms that a file's text names: after `crate::`, or after as many `super::` as lead out of its own room.
fn named(text: &str, depth: usize) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let out_of_the_room = "super::".repeat(depth);
    let climbs = text.split(&out_of_the_room).skip(1).map(|rest| rest.trim_start_matches("super::"));
    let climbed: Vec<String> = climbs.flat_map(first_words).filter(|word| is_room(word)).collect();
    text.split("crate::").skip(1).flat_map(first_words).chain(climbed).collect()
}

/// What a path goes on with: one word, or of a group in braces the first word of each member.
fn first_words(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let letters = text.trim_start().chars();
        letters.take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
    };
    let group = rest.strip_prefix('{');
    let mut words = vec![word(group.unwrap_or(rest))];
    let (group, mut open) = (group.unwrap_or_default(), 1);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => words.push(word(&group[at + 1..])),
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    for (text, depth, rooms) in [
        ("use crate::ledger::Lease;\nlet x = crate::run::RunId;", 2, &["ledger", "run"][..]),
        ("use crate::{\n    clock::{Clock, Zone},\n    config,\n};\nuse std::io;", 1, &["clock", "config"]),
        ("// crate::api\nuse super::super::api::Api; use super::row;", 2, &["api"]),
        ("use super::worker;", 1, &["worker"]),
        ("pub use self::a; fn b() {}", 1, &[]),
    ] {
        assert_eq!(named(text, depth), rooms, "{text}");
    }
}

#[test]
fn rooms_import_only_lower_ranks() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files(&top).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let inside = file.strip_prefix(&top).expect("below src").with_extension("");
        let room = inside.iter().next().expect("a name").to_string_lossy().into_owned();
        let depth = inside.iter().filter(|name| *name != "mod").count();
        for other in named(&std::fs::read_to_string(&file).expect("text"), depth) {
            seen += 1;
            if other != room && !may_import(&room, &other) {
                wrong.push(format!("{} names {other}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 100, "{seen} imports seen: the reading is wrong");
}

fn may_import(room: &str, other: &str) -> bool {
    // The sandbox knows nothing of the rest, and of the rest only what is built last knows it.
    let keeps_the_sandbox_apart = room != "sandbox" && (other != "sandbox" || rank(room) >= 4);
    rank(other) < rank(room) && keeps_the_sandbox_apart || ALLOWED.contains(&(room, other))
}

#[test]
fn the_example_config_is_one_that_loads() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/config.example.toml");
    let config = peak_braze::config::load(&example).expect("it loads");
    assert!(config.sync("customer-predictions").is_some());
}
