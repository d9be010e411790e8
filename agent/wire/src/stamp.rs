//! When a record was written, in the order that decides which of two records of a key stays.

use bincode::{Decode, Encode};

use crate::id::NodeId;

/// One tenure of a lease holder. Compared field by field, in this order.
///
/// Terms rise by at most 2²⁰ at a time; the candidate makes epochs of equal terms distinct; the generation
/// rises only when a survivor is told to recover a cluster without its quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Epoch {
    /// How often the cluster was recovered by hand.
    pub generation: u16,
    /// One more than the largest that the candidate had seen.
    pub term: u64,
    /// Whose tenure it is.
    pub candidate: NodeId,
}

impl Epoch {
    /// Smaller than every epoch that anybody can hold.
    pub const ZERO: Self = Self { generation: 0, term: 0, candidate: NodeId([0; 16]) };
}

/// A moment of cluster time: a hybrid logical clock that no wall clock feeds.
///
/// `hlc` is milliseconds since the cluster's birth shifted left by 16, plus a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ClusterTime {
    /// How often the cluster was recovered by hand.
    pub generation: u16,
    /// Milliseconds of cluster time << 16 | counter.
    pub hlc: u64,
}

impl ClusterTime {
    /// The cluster's birth.
    pub const ZERO: Self = Self { generation: 0, hlc: 0 };

    /// Stamps from here on are invalid for everybody, in milliseconds: some 4,460 years.
    pub const LIMIT_MS: u64 = 1 << 47;

    /// Milliseconds since the cluster's birth.
    pub const fn ms(self) -> u64 {
        self.hlc >> 16
    }

    /// The first moment of a millisecond.
    pub const fn from_ms(generation: u16, ms: u64) -> Self {
        Self { generation, hlc: ms << 16 }
    }
}

/// What orders two records of one key. A family uses one variant only: see [`crate::key::Family::clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Stamp {
    /// Cluster time, and the node that wrote: membership, desired and island records.
    Time {
        /// When.
        time: ClusterTime,
        /// Whose clock; for records signed by an operator, the node that took the command.
        node: NodeId,
    },
    /// The holder's tenure and a counter within it: slot records.
    Lease {
        /// Whose tenure.
        epoch: Epoch,
        /// Counts the records of that tenure, from 1.
        counter: u64,
    },
    /// The author's boot and a counter within it: observed records.
    Boot {
        /// The persisted count of the author's starts, from 1.
        boot: u64,
        /// Counts the records of that boot, from 1.
        sequence: u64,
    },
}

/// Which of the three clocks a stamp was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Cluster time.
    Time,
    /// The lease's epochs.
    Lease,
    /// The author's boots.
    Boot,
}

impl Stamp {
    /// The clock it was read from.
    pub const fn clock(&self) -> Clock {
        match self {
            Self::Time { .. } => Clock::Time,
            Self::Lease { .. } => Clock::Lease,
            Self::Boot { .. } => Clock::Boot,
        }
    }
}
