//! The repository as data: its packages, its sources, its text files.
//!
//! # Not here
//! What is allowed: see `tests/tests/tidy.rs` and `tests/tests/architecture.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source::Source;

/// The widest that a line may be, in characters; as `.rustfmt.toml` has it.
pub const WIDTH: usize = 110;

/// One package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// As its manifest has it, such as `sleep-core`.
    pub name: String,
    /// Its folder, relative to the root.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: toml::Table,
}

/// Where the workspace begins.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package `sleep-tests` lies in the workspace").to_path_buf()
}

/// The manifest at `path`, relative to the root.
pub fn manifest(path: impl AsRef<Path>) -> toml::Table {
    let path = root().join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The packages, in the order of the workspace's list of members.
pub fn packages() -> Vec<Package> {
    let workspace = manifest("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("members are a list");
    let folders = members.iter().map(|member| PathBuf::from(member.as_str().expect("a member is a path")));
    let package = |folder: PathBuf| {
        let manifest = manifest(folder.join("Cargo.toml"));
        let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        Package { name, folder, manifest }
    };
    folders.map(package).collect()
}

/// Every Rust source of the repository, sorted by path.
pub fn sources() -> Vec<Source> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let mut sources: Vec<Source> =
        files().into_iter().filter(rust).map(|path| Source::new(&path, read(&path))).collect();
    let tests: Vec<PathBuf> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let module = source.path.with_extension("");
        source.declared_test = tests.iter().any(|test| module.starts_with(test));
    }
    sources
}

/// Every file of the repository, relative to the root and sorted; not what git or cargo keep for themselves.
pub fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

/// The text of a file of the repository; empty if it is no text.
pub fn read(path: &Path) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8(bytes).unwrap_or_default()
}

impl Package {
    /// The names of all it depends on, in every kind of dependency; renamed ones under their real name.
    pub fn dependencies(&self) -> Vec<String> {
        self.dependency_tables().into_iter().flat_map(|table| table.iter().map(real_name)).collect()
    }

    /// Its tables of dependencies, those for one target only included.
    pub fn dependency_tables(&self) -> Vec<&toml::Table> {
        let targets = self.manifest.get("target").and_then(toml::Value::as_table);
        let holders = targets.into_iter().flat_map(|t| t.values().filter_map(toml::Value::as_table));
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        std::iter::once(&self.manifest)
            .chain(holders)
            .flat_map(|holder| kinds.iter().filter_map(|kind| holder.get(*kind)?.as_table()))
            .collect()
    }

    /// The sources of the package itself, not those of a package in a folder below.
    pub fn sources(&self) -> Vec<Source> {
        let own = ["src", "tests", "benches", "examples"].map(|folder| self.folder.join(folder));
        sources()
            .into_iter()
            .filter(|source| own.iter().any(|folder| source.path.starts_with(folder)))
            .collect()
    }
}

fn real_name((key, value): (&String, &toml::Value)) -> String {
    value.get("package").and_then(toml::Value::as_str).unwrap_or(key).to_owned()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        let relative = path.strip_prefix(root()).expect("the walk began at the root").to_path_buf();
        if [".git", "target"].iter().any(|skipped| relative == Path::new(skipped)) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(relative);
        }
    }
}
