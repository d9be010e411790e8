//! What was written once is read for years: every frozen shape against bytes that are committed.
//!
//! A difference here breaks clusters that run. A shape that is new has no bytes yet: the test prints the
//! lines to add.

#[path = "golden/files.rs"]
mod files;
#[path = "golden/samples.rs"]
mod samples;
#[path = "golden/vectors.rs"]
mod vectors;

use std::collections::BTreeMap;
use std::fmt::Debug;

use samples::Visitor;
use sleep_wire::message::Frame;
use sleep_wire::{Key, Wire, decode, encode};

/// Compares every sample with the committed bytes, both ways.
#[derive(Default)]
struct Golden {
    files: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    wrong: Vec<String>,
    seen: BTreeMap<String, usize>,
}

impl Golden {
    fn compare(&mut self, kind: &str, case: &str, bytes: &[u8]) -> Vec<u8> {
        let file = self.files.entry(kind.to_owned()).or_insert_with(|| vectors::read(kind));
        *self.seen.entry(kind.to_owned()).or_default() += 1;
        let committed = file.get(case).cloned().unwrap_or_default();
        if committed != bytes {
            self.wrong.push(format!("{kind}.txt: {case} {}", files::hex(bytes)));
        }
        committed
    }
}

impl Visitor for Golden {
    fn value<T: Wire + PartialEq + Debug>(&mut self, kind: &'static str, case: &str, value: &T) {
        let committed = self.compare(kind, case, &encode(value));
        if decode::<T>(&committed).as_ref() != Ok(value) {
            self.wrong.push(format!("{kind}.txt: {case} is no longer read as {value:?}"));
        }
    }

    fn key(&mut self, case: &str, key: &Key) {
        let committed = self.compare("key", case, &key.to_bytes());
        if Key::from_bytes(&committed) != Ok(Some(key.clone())) {
            self.wrong.push(format!("key.txt: {case} is no longer read as {key:?}"));
        }
    }

    fn frame(&mut self, case: &str, frame: &Frame) {
        let committed = self.compare("frame", case, &frame.to_bytes());
        if Frame::from_bytes(&committed).as_ref() != Ok(frame) {
            self.wrong.push(format!("frame.txt: {case} is no longer read as {frame:?}"));
        }
    }

    fn signed(&mut self, case: &str, bytes: &[u8]) {
        self.compare("signed", case, bytes);
    }
}

/// Every frozen shape has the bytes that are committed, and they are read as it.
#[test]
fn frozen_shapes_keep_their_bytes() {
    let mut golden = Golden::default();
    samples::all(&mut golden);
    assert!(golden.wrong.is_empty(), "golden files differ:\n{}", golden.wrong.join("\n"));
    for (kind, seen) in &golden.seen {
        assert_eq!(vectors::read(kind).len(), *seen, "{kind}.txt has cases that no sample has");
    }
    assert_eq!(files::kinds(), golden.seen.into_keys().collect::<Vec<_>>());
}

/// Every kind of message is among them: a new one needs bytes too.
#[test]
fn every_kind_of_message_has_bytes() {
    let kinds: std::collections::BTreeSet<u16> = vectors::read("frame")
        .values()
        .filter_map(|bytes| Some(u16::from_le_bytes([*bytes.get(4)?, *bytes.get(5)?])))
        .collect();
    assert_eq!(kinds, (1..=10).collect());
}
