//! Comparing what two nodes have: a trie of additive hashes over 4,096 buckets.
//!
//! ```text
//! A ── Root ──▶ B        equal: done
//! A ◀─ Branch ─ B        16 children of a node that differs, down to a bucket
//! A ── Bucket ─▶ B       what A has there: a hash a record
//! A ◀─ Records ─ B       what A lacks;  A ◀─ Want ─ B   what B lacks
//! ```

use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::{MAX_LEN, Wire};
use crate::id::Digest;
use crate::record::Batch;

/// A node of the trie: the first `depth` nibbles of a key's hash.
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

    /// Depth of the buckets.
    pub const BUCKET_DEPTH: u8 = 3;

    /// How many buckets there are.
    pub const BUCKETS: usize = 4096;
}

/// One message of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SyncMessage {
    /// This is the sum of all that I have.
    Root {
        /// The sum.
        sum: Digest,
        /// How many records it covers.
        records: u64,
    },
    /// We differ below this node; here are my children of it.
    Branch {
        /// Which node.
        path: TriePath,
        /// The sums of its 16 children.
        children: Vec<Digest>,
    },
    /// We differ in this bucket; here is what I have in it.
    Bucket {
        /// Which bucket.
        index: u16,
        /// The first 16 bytes of each record's hash, sorted.
        records: Vec<[u8; 16]>,
    },
    /// Send me these.
    Want {
        /// Which bucket.
        index: u16,
        /// The first 16 bytes of their hashes.
        records: Vec<[u8; 16]>,
    },
    /// These you lack.
    Records {
        /// The records.
        batch: Batch,
    },
    /// We are equal now, as far as I can see.
    Equal {
        /// The sum.
        sum: Digest,
    },
}

impl Wire for SyncMessage {
    const LIMIT: usize = MAX_LEN - 1100;
}
