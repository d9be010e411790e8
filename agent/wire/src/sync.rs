//! Comparing what two nodes have: a trie of additive hashes over 4,096 buckets.
//!
//! ```text
//! A ── Root ──────▶ B     equal: B answers Equal, and that is all
//! A ◀─ Branches ─── B     the root's children as B has them
//! A ── Branches ──▶ B     A's children of those that differ
//! A ◀─ Branches ─── B     and so on, down to buckets
//! A ── Buckets ───▶ B     what A has there: a hash a record
//! A ◀─ Records ──── B     what A lacks, and the hashes of what B lacks
//! A ── Records ───▶ B     what B lacks
//! ```
//! Every message is a statement about its sender, and is answered from what the receiver has: nobody
//! remembers where an exchange stands, and one that stops half way did half of the work.
//!
//! The first sixteenth of the buckets, the *foundation*, holds what the judgement of all other records rests
//! on: membership, and how far back tombstones go. It is compared first, and all else once it is equal or a
//! round has shown that it cannot be.

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::{MAX_LEN, Wire};
use crate::id::Digest;
use crate::record::Batch;

/// A node of the trie: the first `depth` nibbles of a bucket's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TriePath {
    /// 0 for the root, 3 for a bucket.
    pub depth: u8,
    /// The nibbles, the last one lowest; below 16 to the power of `depth`.
    pub index: u16,
}

impl TriePath {
    /// The root.
    pub const ROOT: Self = Self { depth: 0, index: 0 };

    /// The foundation: membership, and how far back tombstones go.
    pub const FOUNDATION: Self = Self { depth: 1, index: 0 };

    /// Depth of the buckets.
    pub const BUCKET_DEPTH: u8 = 3;

    /// How many buckets there are.
    pub const BUCKETS: usize = 4096;

    /// How many of them are the foundation's: the first ones.
    pub const FOUNDATION_BUCKETS: usize = 256;

    /// A child of a node above the buckets, `nibble` below 16; `None` where there is none.
    pub const fn child(self, nibble: u16) -> Option<Self> {
        if self.is_node() && self.depth < Self::BUCKET_DEPTH && nibble < 16 {
            Some(Self { depth: self.depth + 1, index: self.index << 4 | nibble })
        } else {
            None
        }
    }

    /// Whether the trie has such a node.
    pub const fn is_node(self) -> bool {
        self.depth <= Self::BUCKET_DEPTH && (self.index as u32) < 1 << (4 * self.depth as u32)
    }
}

/// The sums of a node's children.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Branch {
    /// Which node: not a bucket.
    pub path: TriePath,
    /// Bit `i` is set if the sum of child `i` is not zero.
    pub present: u16,
    /// Those sums, in the order of their bits.
    pub sums: Vec<Digest>,
}

impl Branch {
    /// The sum of every child, zero where there is nothing; `None` if bits and sums do not fit together or
    /// there is no such node.
    pub fn children(&self) -> Option<[Digest; 16]> {
        if self.sums.len() != self.present.count_ones() as usize
            || !self.path.is_node()
            || self.path.depth >= TriePath::BUCKET_DEPTH
        {
            return None;
        }
        let mut sums = self.sums.iter();
        Some(core::array::from_fn(|child| {
            let present = self.present >> child & 1 == 1;
            present.then(|| sums.next().copied()).flatten().unwrap_or(Digest([0; 32]))
        }))
    }
}

/// The first 16 bytes of a record's hash.
pub type Prefix = [u8; 16];

/// Records of some buckets, by their hashes. Flat, as a node that has little names thousands of empty
/// buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct BucketLists {
    /// Buckets, ascending, and how many records of each follow.
    pub buckets: Vec<(u16, u16)>,
    /// The records, bucket by bucket.
    pub records: Vec<Prefix>,
}

impl BucketLists {
    /// Whether no bucket is named.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Adds a bucket behind the others, with the first 65,535 of these records.
    pub fn push(&mut self, bucket: u16, records: impl IntoIterator<Item = Prefix>) {
        let before = self.records.len();
        self.records.extend(records.into_iter().take(usize::from(u16::MAX)));
        let count = u16::try_from(self.records.len() - before).unwrap_or(u16::MAX);
        self.buckets.push((bucket, count));
    }

    /// Each bucket with its records, as far as buckets ascend and records suffice.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[Prefix])> {
        let (mut rest, mut next) = (self.records.as_slice(), 0);
        self.buckets.iter().map_while(move |(bucket, count)| {
            let (records, behind) = rest.split_at_checked(usize::from(*count))?;
            let ascends = u32::from(*bucket) >= next;
            (rest, next) = (behind, u32::from(*bucket) + 1);
            ascends.then_some((*bucket, records))
        })
    }
}

/// How far the sender's view reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Standing {
    /// Its horizon, in milliseconds of cluster time: whoever has not heard of it yet may hold what was
    /// deleted since, and gives away nothing but its foundation.
    pub gc_before_ms: u64,
    /// Whether it has synced in full with the lease holder's side, and since the horizon: what such a node
    /// lacks was deleted, or never reached the cluster.
    pub whole: bool,
}

/// One message of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SyncMessage {
    /// This is the sum of all that I have.
    Root {
        /// Chosen by whoever asks, and repeated in every message of the exchange.
        round: u32,
        /// The sum.
        sum: Digest,
        /// How many records it covers: for display.
        records: u64,
    },
    /// We are equal.
    Equal {
        /// The exchange.
        round: u32,
        /// The sum of both.
        sum: Digest,
    },
    /// We differ below these nodes; here are my children of them.
    Branches {
        /// The exchange.
        round: u32,
        /// Nodes of one depth.
        branches: Vec<Branch>,
    },
    /// We differ in these buckets; here is what I have in them.
    Buckets {
        /// The exchange.
        round: u32,
        /// How far my view reaches.
        standing: Standing,
        /// The buckets.
        buckets: BucketLists,
    },
    /// These you lack; those I lack.
    Records {
        /// The exchange.
        round: u32,
        /// How far my view reaches.
        standing: Standing,
        /// What the receiver lacks.
        batch: Batch,
        /// What the sender lacks.
        want: BucketLists,
        /// Whether this is the last message of the answer.
        end: bool,
        /// Whether the answer was cut short.
        more: bool,
    },
}

impl Wire for SyncMessage {
    const LIMIT: usize = MAX_LEN - 1100;
}
