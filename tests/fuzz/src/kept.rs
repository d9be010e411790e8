//! What lies in the repository and makes a good beginning: bytes that mean something.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the repository begins.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder, in order of their names; none if there is no such folder.
pub fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// The committed bytes of a kind of `sleep-wire`'s values.
pub fn golden(kind: &str) -> Vec<Vec<u8>> {
    let path = root().join("agent/wire/tests/golden").join(format!("{kind}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, hex)| bytes(hex)).collect()
}

/// The committed bytes of these kinds.
pub fn goldens(kinds: &[&str]) -> Vec<Vec<u8>> {
    kinds.iter().flat_map(|kind| golden(kind)).collect()
}

/// Texts as bytes.
pub fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.trim().bytes().collect();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).expect("hex digits are ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("golden files hold pairs of hex digits")).collect()
}
