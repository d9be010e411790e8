//! What the gate tries, and how bytes are read as choices.

use std::collections::BTreeSet;

use sleep_fuzz::bytes::Bytes;
use sleep_fuzz::kept::texts;
use sleep_fuzz::{smoke, target};

/// A gate that tries something else every time passes one day and fails the next.
#[test]
fn what_is_tried_follows_from_the_name_alone() {
    let seeds = texts(&["seed", "another seed"]);
    let tried = |name| smoke::inputs(name, 50, &seeds).collect::<Vec<_>>();
    assert_eq!(tried("a"), tried("a"));
    assert_ne!(tried("a"), tried("b"));
    let distinct: BTreeSet<_> = tried("a").into_iter().collect();
    assert!(distinct.len() > 40, "{} of 50 are distinct", distinct.len());
}

/// Every choice is one of those that there are, and reading comes to an end.
fn choices(bytes: &[u8]) {
    let mut read = Bytes::new(bytes);
    let mut count = 0;
    while !read.is_over() {
        let limit = usize::from(read.byte()) + 1;
        assert!(read.below(limit) < limit);
        assert!(read.text(&["a", "b"], limit).len() <= 3 * limit);
        assert!(read.pick(&[0_u8; 0]).is_none() && read.pick(&[1, 2, 3]).is_some());
        read.number();
        count += 1;
    }
    assert!(count <= bytes.len());
    assert!(!read.coin() && !read.rarely(255) && read.number() == 0, "what has run out is nought");
}

target!(
    /// Bytes as choices.
    reading, 2_000, Vec::new(), choices
);
