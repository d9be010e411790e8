//! The rooms of the house, and which of them may know of which.
//!
//! What is checked here is what `agent/ARCHITECTURE.md` promises. `cargo deny` guards some of it again, by
//! what is really built; this test names the line at fault.

use std::collections::BTreeMap;
use std::path::Path;

use sleep_tests::house::{self, Package};
use sleep_tests::source::{Source, lines_with_word};

/// Which of our own packages each of them may depend on, for its tests too.
const EDGES: [(&str, &[&str]); 9] = [
    ("sleep-wire", &[]),
    ("sleep-core", &["sleep-wire"]),
    ("sleep-net", &["sleep-wire"]),
    ("sleep-drivers", &["sleep-wire"]),
    ("sleepd", &["sleep-core", "sleep-wire", "sleep-net", "sleep-drivers"]),
    ("sleepctl", &["sleep-wire", "sleep-net"]),
    ("sleep-sim", &["sleep-core", "sleep-wire"]),
    (
        "sleep-tests",
        &["sleep-wire", "sleep-core", "sleep-net", "sleep-drivers", "sleepd", "sleepctl", "sleep-sim"],
    ),
    ("sleep-fuzz", &["sleep-wire", "sleep-core", "sleep-drivers", "sleepd", "sleepctl", "sleep-sim"]),
];

/// Crates that only one room may name, in its manifest and in its code.
const HOMES: [(&str, &str); 6] = [
    ("bincode", "sleep-wire"),
    ("quinn", "sleep-net"),
    ("quinn-proto", "sleep-net"),
    ("rustls", "sleep-net"),
    ("bollard", "sleep-drivers"),
    ("redb", "sleepd"),
];

/// What would let the world into the core.
const UNSPELLABLE: [&str; 12] = [
    "std::",
    "extern crate std",
    "HashMap",
    "HashSet",
    "rand::rng",
    "thread_rng",
    "getrandom",
    "tokio",
    "Instant::now",
    "SystemTime",
    "tracing",
    "bollard",
];

#[test]
fn dependencies_point_one_way() {
    let edges = BTreeMap::from(EDGES);
    let packages = house::packages();
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let Some(allowed) = edges.get(package.name.as_str()) else {
            wrong.push(format!("{}: a room that the table of edges does not know", package.name));
            continue;
        };
        for dependency in package.dependencies() {
            if names.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{} → {dependency}: it may depend on {allowed:?}", package.name));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn each_foreign_power_has_one_embassy() {
    let mut wrong = Vec::new();
    for package in house::packages() {
        for (guest, _) in HOMES.iter().filter(|(_, home)| *home != package.name) {
            if package.dependencies().iter().any(|dependency| dependency == guest) {
                wrong.push(format!("{} depends on {guest}", package.name));
            }
            let name = guest.replace('-', "_");
            wrong.extend(package.sources().iter().flat_map(|source| places(source, &source.code, &name)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn only_the_docker_driver_names_the_engine() {
    let sources = package("sleep-drivers").sources();
    let others = sources.iter().filter(|source| {
        let inside = source.path.strip_prefix("agent/drivers/src").unwrap_or(&source.path);
        // A benchmark sets the driver beside the bare API.
        !inside.to_string_lossy().starts_with("docker") && !source.is_test()
    });
    let wrong: Vec<String> = others.flat_map(|source| places(source, &source.code, "bollard")).collect();
    assert_none(&wrong);
}

#[test]
fn the_floor_and_the_core_know_no_world() {
    let mut wrong = Vec::new();
    for name in ["sleep-wire", "sleep-core"] {
        let package = package(name);
        let lib = Source::new("lib.rs", house::read(&package.folder.join("src/lib.rs")));
        if !lib.code.lines().any(|line| line == "#![no_std]") {
            wrong.push(format!("{name}: src/lib.rs does not begin with `#![no_std]`"));
        }
        for source in package.sources() {
            // The control API's types are for programs that have a world.
            if source.is_test() || is_api(&source) {
                continue;
            }
            wrong.extend(unspellable(name, &source));
        }
    }
    assert_none(&wrong);
}

/// Where a room names what it may not; `wire` may open `std`, for its API's types.
fn unspellable(package: &str, source: &Source) -> Vec<String> {
    let production = without_api(&source.production());
    let words = UNSPELLABLE.iter().filter(|word| package == "sleep-core" || **word != "extern crate std");
    words.flat_map(|word| places(source, &production, word)).collect()
}

#[test]
fn every_room_keeps_the_table_of_lints() {
    let workspace = house::manifest("Cargo.toml");
    let unsafe_code = &workspace["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(
        unsafe_code.as_str(),
        Some("forbid"),
        "unsafe code is forbidden, not denied: nothing lifts it"
    );
    let mut wrong = Vec::new();
    for package in house::packages() {
        let inherits = |lints: &toml::Value| lints.get("workspace").and_then(toml::Value::as_bool);
        if package.manifest.get("lints").and_then(inherits) != Some(true) {
            wrong.push(format!("{}: its manifest lacks `[lints] workspace = true`", package.name));
        }
    }
    assert_none(&wrong);
}

#[test]
fn versions_stand_in_one_place() {
    let mut wrong = Vec::new();
    for package in house::packages() {
        for (name, value) in package.dependency_tables().into_iter().flatten() {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                wrong.push(format!("{}: `{name}` is not `{name}.workspace = true`", package.name));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_manifest_belongs_to_the_workspace() {
    let rooms: Vec<_> = house::packages().iter().map(|package| package.folder.join("Cargo.toml")).collect();
    let strays = house::files().into_iter().filter(|file| {
        file.file_name().is_some_and(|name| name == "Cargo.toml")
            && file != Path::new("Cargo.toml")
            && !rooms.contains(file)
    });
    let wrong: Vec<String> = strays.map(|file| format!("{}: not a member", file.display())).collect();
    assert_none(&wrong);
}

/// The check must be able to fail: what it looks for is found in code, and not in words about it.
#[test]
fn the_world_is_recognised() {
    let bad = "//! The std:: of docs.\nuse std::time::Instant;\nlet now = Instant::now();\n";
    let source = Source::new("agent/core/src/a.rs", bad);
    assert_eq!(
        unspellable("sleep-core", &source),
        ["agent/core/src/a.rs:2: names `std::`", "agent/core/src/a.rs:3: names `Instant::now`"]
    );
    let good = "//! std::\nuse core::time::Duration;\n\n#[cfg(test)]\nmod tests {\n    use std::vec;\n}\n";
    assert!(unspellable("sleep-core", &Source::new("agent/core/src/a.rs", good)).is_empty());
    let api = "#[cfg(feature = \"api\")]\npub mod api {\n    use std::fmt;\n}\n";
    assert!(unspellable("sleep-wire", &Source::new("agent/wire/src/lib.rs", api)).is_empty());
}

fn package(name: &str) -> Package {
    let found = house::packages().into_iter().find(|package| package.name == name);
    found.unwrap_or_else(|| panic!("the workspace has no `{name}`"))
}

fn is_api(source: &Source) -> bool {
    let path = source.path.strip_prefix("agent/wire/src").unwrap_or(&source.path);
    path.starts_with("api") || path == Path::new("api.rs")
}

/// The code without the items that only a feature brings; its one feature is the API.
fn without_api(code: &str) -> String {
    let as_test = code.replace("#[cfg(feature = \"\")]", "#[cfg(test)]");
    Source::new("", as_test).production()
}

fn places(source: &Source, code: &str, word: &str) -> Vec<String> {
    let lines = lines_with_word(code, word).into_iter();
    lines.map(|line| format!("{}:{line}: names `{word}`", source.path.display())).collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
