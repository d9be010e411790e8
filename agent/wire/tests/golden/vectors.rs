//! Reads the committed bytes: a file a kind, a line a case, the name and then the bytes in hex.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn read(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(folder().join(format!("{kind}.txt"))).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(case, hex)| (case.to_owned(), bytes(hex))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.trim().bytes().collect();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).expect("hex digits are ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("golden files hold pairs of hex digits")).collect()
}
