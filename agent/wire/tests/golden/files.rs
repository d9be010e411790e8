//! What else the comparison of the committed bytes needs.

use crate::vectors::folder;

/// Every kind that has a file.
pub(crate) fn kinds() -> Vec<String> {
    let files = std::fs::read_dir(folder()).expect("the folder of golden files is part of the repository");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut kinds: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".txt").map(str::to_owned)).collect();
    kinds.sort();
    kinds
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
