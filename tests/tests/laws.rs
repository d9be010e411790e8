//! Each law has one name in three places: the table of `agent/ARCHITECTURE.md`, the room that upholds it, and
//! the file of the simulator that checks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Laws, and the rooms that the table names.
fn table() -> Vec<(String, Vec<String>)> {
    let text = read(Path::new("agent/ARCHITECTURE.md"));
    let section =
        text.split("## Laws").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let law = cells[0].trim_matches('`').to_owned();
        let rooms =
            cells.last().map_or_else(Vec::new, |rooms| rooms.split(", ").map(str::to_owned).collect());
        (law, rooms)
    };
    rows.map(row).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether any Rust file of a room names the law.
fn is_named(room: &Path, law: &str) -> bool {
    let mut folders = vec![root().join(room)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("a folder can be read to its end").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("sources are text");
                if text.contains(&format!("`{law}`")) {
                    return true;
                }
            }
        }
    }
    false
}

#[test]
fn the_simulator_has_a_file_for_each_law_and_no_other() {
    let folder = root().join("simulations/src/invariants");
    let entries = fs::read_dir(&folder).expect("the simulator has its laws there");
    let files: BTreeSet<String> = entries
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name != "mod")
        .collect();
    let laws: BTreeSet<String> = table().into_iter().map(|(law, _)| law).collect();
    assert_eq!(files, laws);
}

#[test]
fn each_law_is_named_by_the_room_that_upholds_it() {
    let mut silent = Vec::new();
    for (law, rooms) in table() {
        for room in rooms {
            let folder = match room.as_str() {
                "all" => continue,
                "drivers" => PathBuf::from("agent/drivers/src"),
                room => Path::new("agent/core/src").join(room),
            };
            if !is_named(&folder, &law) {
                silent.push(format!("{} does not name `{law}`", folder.display()));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}
