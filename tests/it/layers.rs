//! Who may import whom: only lower ranks, and equals never see each other.

use std::path::{Path, PathBuf};

/// Rooms by rank; what is not listed does not exist.
const RANKS: [(&str, u8); 18] = [
    ("main", 5),
    ("cli", 5),
    ("app", 4),
    ("api", 3),
    ("worker", 3),
    ("sync", 2),
    ("callback", 1),
    ("ledger", 1),
    ("source", 1),
    ("braze", 1),
    ("sandbox", 1),
    ("run", 0),
    ("customer", 0),
    ("clock", 0),
    ("config", 0),
    ("telemetry", 0),
    // Pure, but read from the config: above it by a hair, below everything that uses it.
    ("cadence", 0),
    ("lib", 9),
];

/// `cadence` reads the config's section of the same name.
const ALLOWED: [(&str, &str); 1] = [("cadence", "config")];

fn rank(room: &str) -> u8 {
    RANKS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{room} has no rank")).1
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the source tree");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The rooms that a file's text names after `crate::`.
fn named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for part in line.split("crate::").skip(1) {
            let grouped = part.strip_prefix('{').map(|group| group.split('}').next().unwrap_or(group));
            let names = grouped.map_or_else(|| vec![part], |group| group.split(',').collect());
            for name in names {
                let room: String = name
                    .trim()
                    .chars()
                    .take_while(|letter| letter.is_ascii_lowercase() || *letter == '_')
                    .collect();
                rooms.push(room);
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

#[test]
fn rooms_import_only_lower_ranks() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&top).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let inside = file.strip_prefix(&top).expect("below src").with_extension("");
        let room = inside.iter().next().expect("a name").to_string_lossy().into_owned();
        for other in named(&std::fs::read_to_string(&file).expect("text")) {
            let is_allowed = other == room
                || rank(&other) < rank(&room) && room != "sandbox"
                || ALLOWED.contains(&(room.as_str(), other.as_str()));
            if !is_allowed {
                wrong.push(format!("{} names {other}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_example_config_is_one_that_loads() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/config.example.toml");
    let config = peak_braze::config::load(&example).expect("it loads");
    assert!(config.sync("customer-predictions").is_some());
}
