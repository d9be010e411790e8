//! Where two stores differ, in a few hashes: a trie of sums over 4,096 buckets.
//!
//! A bucket's sum is the sum modulo 2²⁵⁶ of the hashes of its records, a node's is that of its children.
//! Adding and taking away a record costs four additions; the order of arrival leaves no trace. (Clarke et
//! al., "Incremental multiset hash functions", 2003: the additive construction.)

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::Digest;
use sleep_wire::sync::{Branch, Prefix, TriePath};

use super::entry::Entry;

/// A number modulo 2²⁵⁶, least significant limb first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(crate) const ZERO: Self = Self([0; 4]);

    pub(crate) fn of(digest: &Digest) -> Self {
        let (limbs, _) = digest.0.as_chunks::<8>();
        Self(core::array::from_fn(|limb| u64::from_le_bytes(limbs[limb])))
    }

    pub(crate) fn digest(self) -> Digest {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        Digest(bytes)
    }

    fn add(&mut self, other: Self) {
        let mut carry = false;
        for (limb, by) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = limb.overflowing_add(by);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
    }

    fn subtract(&mut self, other: Self) {
        let mut borrow = false;
        for (limb, by) in self.0.iter_mut().zip(other.0) {
            let (rest, first) = limb.overflowing_sub(by);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (rest, first || second);
        }
    }
}

#[derive(Debug, Default)]
struct Bucket {
    sum: Sum,
    /// Sorted by hash.
    entries: Vec<Arc<Entry>>,
}

/// How many nodes lie above the buckets: 1 + 16 + 256.
const UPPER: usize = 273;

#[derive(Debug)]
pub(crate) struct Trie {
    upper: Vec<Sum>,
    buckets: BTreeMap<u16, Bucket>,
    records: u64,
}

impl Trie {
    pub(crate) fn new() -> Self {
        Self { upper: alloc::vec![Sum::ZERO; UPPER], buckets: BTreeMap::new(), records: 0 }
    }

    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn insert(&mut self, entry: Arc<Entry>) {
        let (index, sum) = (entry.bucket(), Sum::of(&entry.hash()));
        let bucket = self.buckets.entry(index).or_default();
        let Err(at) = bucket.entries.binary_search_by_key(&entry.hash(), |held| held.hash()) else { return };
        bucket.entries.insert(at, entry);
        bucket.sum.add(sum);
        self.records += 1;
        for at in above(index) {
            self.upper[at].add(sum);
        }
    }

    pub(crate) fn remove(&mut self, entry: &Entry) {
        let (index, sum) = (entry.bucket(), Sum::of(&entry.hash()));
        let Some(bucket) = self.buckets.get_mut(&index) else { return };
        let Ok(at) = bucket.entries.binary_search_by_key(&entry.hash(), |held| held.hash()) else { return };
        bucket.entries.remove(at);
        bucket.sum.subtract(sum);
        if bucket.entries.is_empty() {
            self.buckets.remove(&index);
        }
        self.records -= 1;
        for at in above(index) {
            self.upper[at].subtract(sum);
        }
    }

    /// The sum of a node; zero where there is no such node.
    pub(crate) fn sum(&self, path: TriePath) -> Sum {
        if !path.is_node() {
            return Sum::ZERO;
        }
        match path.depth {
            TriePath::BUCKET_DEPTH => self.buckets.get(&path.index).map_or(Sum::ZERO, |bucket| bucket.sum),
            depth => self.upper[offset(depth) + usize::from(path.index)],
        }
    }

    pub(crate) fn root(&self) -> Sum {
        self.sum(TriePath::ROOT)
    }

    /// What a message says of a node above the buckets.
    pub(crate) fn branch(&self, path: TriePath) -> Branch {
        let (mut present, mut sums) = (0, Vec::new());
        for nibble in 0..16 {
            let sum = path.child(nibble).map_or(Sum::ZERO, |child| self.sum(child));
            if sum != Sum::ZERO {
                present |= 1 << nibble;
                sums.push(sum.digest());
            }
        }
        Branch { path, present, sums }
    }

    /// The records of a bucket, by hash.
    pub(crate) fn bucket(&self, index: u16) -> &[Arc<Entry>] {
        self.buckets.get(&index).map_or(&[], |bucket| &bucket.entries)
    }

    /// The record of a bucket whose hash begins so.
    pub(crate) fn find(&self, index: u16, prefix: &Prefix) -> Option<&Arc<Entry>> {
        let entries = self.bucket(index);
        entries.binary_search_by_key(prefix, |entry| entry.prefix()).ok().map(|at| &entries[at])
    }
}

/// Where the nodes of a depth above the buckets begin.
const fn offset(depth: u8) -> usize {
    match depth {
        0 => 0,
        1 => 1,
        _ => 17,
    }
}

/// The nodes above a bucket.
fn above(bucket: u16) -> [usize; 3] {
    let bucket = usize::from(bucket);
    [0, offset(1) + (bucket >> 8), offset(2) + (bucket >> 4)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What was added and taken away leaves no trace, carries and borrows included.
        #[test]
        fn a_sum_forgets_what_was_taken_away(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let [a, b, c] = [a, b, c].map(|bytes| Sum::of(&Digest(bytes)));
            let mut there = a;
            there.add(b);
            there.add(c);
            let mut back = there;
            back.subtract(a);
            back.subtract(c);
            prop_assert_eq!(back, b);
            let mut otherwise = c;
            otherwise.add(a);
            otherwise.add(b);
            prop_assert_eq!(there, otherwise);
        }
    }

    /// One less than nothing is all ones, and one more brings nothing back.
    #[test]
    fn a_sum_wraps_at_both_ends() {
        let mut one = [0; 32];
        one[0] = 1;
        let one = Sum::of(&Digest(one));
        let mut sum = Sum::ZERO;
        sum.subtract(one);
        assert_eq!(sum.digest(), Digest([255; 32]));
        sum.add(one);
        assert_eq!(sum, Sum::ZERO);
    }
}
