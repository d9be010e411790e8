//! What an agent keeps on its own disk, beside records.

use alloc::vec::Vec;
use core::fmt;

use bincode::{Decode, Encode};

use crate::codec::{Wire, decode};
use crate::id::{ClusterId, NodeId};
use crate::key::Key;
use crate::lease::VoterConfig;
use crate::stamp::{ClusterTime, Epoch};

/// One change of the local store. A batch of them is applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Keep a record under its key, in place of the one before.
    PutRecord {
        /// The record's key.
        key: Vec<u8>,
        /// The record as received.
        record: Vec<u8>,
    },
    /// Forget the record of a key.
    DeleteRecord {
        /// The key.
        key: Vec<u8>,
    },
    /// Set a cell.
    PutCell {
        /// Which.
        cell: Cell,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// Forget everything: the node has left its cluster.
    Wipe,
}

/// What a log says of it: which key or cell, never what is in it.
impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, key: &[u8]| match Key::from_bytes(key) {
            Ok(Some(key)) => write!(f, "{key:?}"),
            Ok(None) | Err(_) => f.write_str("a key of a later release"),
        };
        match self {
            Self::PutRecord { key, .. } => named(f, key),
            Self::DeleteRecord { key } => {
                f.write_str("no more ")?;
                named(f, key)
            }
            Self::PutCell { cell, .. } => write!(f, "{cell:?}"),
            Self::Wipe => f.write_str("nothing is left"),
        }
    }
}

/// A cell of the local store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cell {
    /// [`Membership`]: which cluster this node belongs to.
    Membership = 1,
    /// [`Boots`]: how often it started.
    Boots = 2,
    /// [`LeaseCell`]: promise and config.
    Lease = 3,
    /// [`Fence`]: the highest epoch it acted under.
    Fence = 4,
    /// [`Horizons`]: how far it had synced.
    Horizons = 5,
}

impl Cell {
    /// Every cell.
    pub const ALL: [Self; 5] = [Self::Membership, Self::Boots, Self::Lease, Self::Fence, Self::Horizons];
}

/// Which cluster this node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Membership {
    /// The cluster.
    pub cluster: ClusterId,
    /// Itself.
    pub node: NodeId,
}

/// How often the agent started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Boots {
    /// From 1. Written before anything of that boot leaves the node.
    pub boot: u32,
}

/// What a voter must never forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct LeaseCell {
    /// The highest epoch promised.
    pub promise: Epoch,
    /// The greatest config seen, if any.
    pub config: Option<VoterConfig>,
}

/// The highest epoch whose assignments this node acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fence {
    /// That epoch.
    pub epoch: Epoch,
}

/// How far this node had synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Horizons {
    /// Cluster time of the last full sync with the holder's side.
    pub last_full_sync: ClusterTime,
}

macro_rules! cells {
    ($($kind:ty),*) => { $(impl Wire for $kind { const LIMIT: usize = 4096; })* };
}

cells!(Membership, Boots, LeaseCell, Fence, Horizons);

/// All that a store holds, as an agent reads it at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Every record, by key.
    pub records: Vec<Vec<u8>>,
    /// Every cell that was ever set.
    pub cells: Vec<(Cell, Vec<u8>)>,
}

impl Stored {
    /// The member that all of this is about; none, if it is in no cluster.
    pub fn owner(&self) -> Option<NodeId> {
        let (_, value) = self.cells.iter().find(|(cell, _)| *cell == Cell::Membership)?;
        decode::<Membership>(value).ok().map(|membership| membership.node)
    }
}
