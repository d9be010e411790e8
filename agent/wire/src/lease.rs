//! What candidates, voters and holders say to each other.

use alloc::vec::Vec;
use core::cmp::Ordering;

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::id::{NodeId, Signature};
use crate::stamp::Epoch;

/// Who votes, with what weight, for how long. Ordered by [`ConfigId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct VoterConfig {
    /// Its place in the order of configs.
    pub id: ConfigId,
    /// Sorted by node; each at most once; weights at least 1.
    pub voters: Vec<Voter>,
    /// Every duration of the protocol.
    pub times: LeaseTimes,
}

/// Orders configs: by generation, then the epoch that wrote it, then its count within that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ConfigId {
    /// The epoch whose holder wrote it.
    pub epoch: Epoch,
    /// Counted within the epoch.
    pub version: u64,
}

/// One voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Voter {
    /// Who.
    pub node: NodeId,
    /// How much its vote weighs, at least 1.
    pub weight: u8,
}

/// The durations of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct LeaseTimes {
    /// T: how long a lease runs, in milliseconds.
    pub lease_ms: u32,
    /// ρ: by how much a clock's rate may be off, in millionths.
    pub rho_ppm: u32,
    /// d: what is left for everything else, in milliseconds.
    pub margin_ms: u32,
}

impl VoterConfig {
    /// The most voters of a config.
    pub const MAX_VOTERS: usize = 7;

    /// The weight of a node's vote; 0 if it has none.
    pub fn weight(&self, node: NodeId) -> u32 {
        self.voters.iter().find(|voter| voter.node == node).map_or(0, |voter| u32::from(voter.weight))
    }

    /// Whether these nodes, each counted once, weigh more than half.
    pub fn is_quorum(&self, nodes: impl IntoIterator<Item = NodeId>) -> bool {
        let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
        nodes.sort_unstable();
        nodes.dedup();
        let total: u32 = self.voters.iter().map(|voter| u32::from(voter.weight)).sum();
        nodes.into_iter().map(|node| self.weight(node)).sum::<u32>() * 2 > total
    }
}

impl PartialOrd for VoterConfig {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VoterConfig {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id
            .cmp(&other.id)
            .then_with(|| self.voters.cmp(&other.voters))
            .then_with(|| self.times.key().cmp(&other.times.key()))
    }
}

impl LeaseTimes {
    const fn key(self) -> (u32, u32, u32) {
        (self.lease_ms, self.rho_ppm, self.margin_ms)
    }
}

/// One message of the lease protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LeaseMessage {
    /// The sender's config: the greater of two is installed before anything else is looked at.
    pub config: VoterConfig,
    /// What it says.
    pub body: LeaseBody,
}

/// What a lease message says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum LeaseBody {
    /// Would you promise this epoch? Changes nothing.
    PreVote {
        /// The epoch that would be asked for.
        epoch: Epoch,
    },
    /// Answer to [`LeaseBody::PreVote`].
    PreVoteAnswer {
        /// The epoch asked about.
        epoch: Epoch,
        /// Whether it would.
        yes: bool,
        /// The highest epoch promised, so that the candidate can go above it.
        highest: Epoch,
    },
    /// Promise to follow no lower epoch.
    Prepare {
        /// The candidate's epoch.
        epoch: Epoch,
    },
    /// It is promised, durably.
    Promise {
        /// The epoch promised.
        epoch: Epoch,
    },
    /// It is not.
    Reject {
        /// The epoch asked for.
        epoch: Epoch,
        /// The highest epoch promised.
        highest: Epoch,
        /// How long the live grant to another still runs, in milliseconds; 0 if there is none.
        wait_ms: u32,
    },
    /// Grant the lease, or renew it.
    Grant {
        /// The candidate's or holder's epoch.
        epoch: Epoch,
        /// Grows with each renewal.
        seq: u64,
    },
    /// It is granted from now, for T·(1+ρ)+d.
    Granted {
        /// The epoch.
        epoch: Epoch,
        /// The renewal answered.
        seq: u64,
        /// The config under which it was granted.
        config: ConfigId,
    },
    /// Take this message's config. Sent by a holder that changes voters.
    Install,
    /// A config is installed, durably.
    Installed {
        /// Which.
        config: ConfigId,
    },
    /// The holder has ceased to be one.
    Release {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The sender is about to leave: its seat shall go to another. Said by a voter to the holder.
    Resign,
}

/// The holder's sign of life, passed on in acks and gossip.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hint {
    /// Whose tenure.
    pub epoch: Epoch,
    /// How often it was renewed.
    pub renewal: u64,
    /// Reserved: voters' signatures over the epoch.
    pub signatures: Vec<(NodeId, Signature)>,
}

impl Wire for VoterConfig {
    const LIMIT: usize = 1024;
}
impl Wire for LeaseMessage {
    const LIMIT: usize = 2048;
}
impl Wire for Hint {
    const LIMIT: usize = 1024;
}
