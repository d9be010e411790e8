//! Where a record lives. The first byte of a key is its family, and the family fixes who may write there.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::{Malformed, Wire, decode, encode};
use crate::id::{NodeId, RevisionId, ServiceId, TokenId};
use crate::stamp::Clock;

/// A part of the key space with one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// Admissions, roles, removals: append-only, kept for the cluster's life.
    Membership = 1,
    /// What people want: services, node intents, tokens.
    Desired = 2,
    /// Which task fills which slot: the lease holder's word.
    Slot = 3,
    /// The same, by the planner of a cut-off component.
    Island = 4,
    /// What a node says of itself: its facts, its tasks, its images.
    Observed = 5,
}

impl Family {
    /// Every family, in order.
    pub const ALL: [Self; 5] = [Self::Membership, Self::Desired, Self::Slot, Self::Island, Self::Observed];

    /// The family that a key's first byte names, or `None` for one of a later release.
    pub fn of(key: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|family| key.first() == Some(&(*family as u8)))
    }

    /// The clock that stamps records of this family.
    pub const fn clock(self) -> Clock {
        match self {
            Self::Membership | Self::Desired | Self::Island => Clock::Time,
            Self::Slot => Clock::Lease,
            Self::Observed => Clock::Boot,
        }
    }
}

/// A place for one task of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum SlotName {
    /// A replica, counted from 1.
    Number(u32),
    /// The one task of a global service on a node.
    Node(NodeId),
    /// A task of one run of a job.
    Run {
        /// Which run.
        run: u64,
        /// Which task of it, counted from 1.
        number: u32,
    },
}

impl SlotName {
    /// No name is smaller.
    pub const FIRST: Self = Self::Number(0);

    /// No name is greater.
    pub const LAST: Self = Self::Run { run: u64::MAX, number: u32::MAX };
}

/// A key, read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Append-only facts about members.
    Membership(MembershipKey),
    /// Registers of desired state.
    Desired(DesiredKey),
    /// One slot of one service.
    Slot(SlotKey),
    /// One slot as one island planner sees it.
    Island(IslandKey),
    /// One node's report.
    Observed(ObservedKey),
}

/// Keys of [`Family::Membership`]. Each entry has a key of its own, so that the set only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum MembershipKey {
    /// A node was admitted.
    Admission {
        /// The newcomer.
        node: NodeId,
        /// First bytes of the hash of [`crate::trust::entry_claim`].
        entry: [u8; 8],
    },
    /// A node's role changed.
    Role {
        /// Whose.
        node: NodeId,
        /// First bytes of the hash of [`crate::trust::entry_claim`].
        entry: [u8; 8],
    },
    /// A node was removed, for good.
    Removal {
        /// Which.
        node: NodeId,
        /// First bytes of the hash of [`crate::trust::entry_claim`].
        entry: [u8; 8],
    },
    /// An operator's key was admitted.
    Operator {
        /// The operator, derived from its key as a node's id is.
        operator: NodeId,
        /// First bytes of the hash of [`crate::trust::entry_claim`].
        entry: [u8; 8],
    },
    /// An operator's key was removed, for good.
    OperatorRemoval {
        /// Which.
        operator: NodeId,
        /// First bytes of the hash of [`crate::trust::entry_claim`].
        entry: [u8; 8],
    },
}

/// Keys of [`Family::Desired`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum DesiredKey {
    /// A service's birth: every field, once.
    ServiceBirth {
        /// Which service.
        service: ServiceId,
    },
    /// One revision of a service.
    ServiceRevision {
        /// Which service.
        service: ServiceId,
        /// Which revision.
        revision: RevisionId,
    },
    /// How many replicas a service has.
    ServiceScale {
        /// Which service.
        service: ServiceId,
    },
    /// That a service is gone, for good.
    ServiceRemoval {
        /// Which service.
        service: ServiceId,
    },
    /// Whether a node takes work.
    NodeAvailability {
        /// Which node.
        node: NodeId,
    },
    /// One label of a node.
    NodeLabel {
        /// Which node.
        node: NodeId,
        /// The label's name.
        label: String,
    },
    /// A join token's public half.
    JoinToken {
        /// Which token.
        token: TokenId,
    },
    /// Reserved: a secret.
    Secret {
        /// Its name.
        name: String,
    },
    /// Reserved: a config.
    Config {
        /// Its name.
        name: String,
    },
    /// How far back tombstones are kept; written by the quorum holder alone.
    Horizon,
}

/// Keys of [`Family::Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SlotKey {
    /// Whose slot.
    pub service: ServiceId,
    /// Which slot.
    pub slot: SlotName,
}

impl SlotKey {
    /// No slot of a service has a lesser key.
    pub const fn first_of(service: ServiceId) -> Self {
        Self { service, slot: SlotName::Number(0) }
    }

    /// No slot of a service has a greater key.
    pub const fn last_of(service: ServiceId) -> Self {
        Self { service, slot: SlotName::Run { run: u64::MAX, number: u32::MAX } }
    }
}

/// Keys of [`Family::Island`]. The author stands last, in later releases too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct IslandKey {
    /// The slot.
    pub slot: SlotKey,
    /// The planner.
    pub author: NodeId,
}

/// Keys of [`Family::Observed`]. Each begins with its node, in later releases too: an agent that cannot read
/// a key of this family still knows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum ObservedKey {
    /// What the node is.
    Facts {
        /// Which node.
        node: NodeId,
    },
    /// One task on it: the last few of a slot have a place of their own.
    Task {
        /// Which node.
        node: NodeId,
        /// Which slot.
        slot: SlotKey,
        /// The node's count of the slot's tasks, modulo [`ObservedKey::HISTORY`].
        place: u8,
    },
    /// Which images it holds.
    Images {
        /// Which node.
        node: NodeId,
    },
}

impl ObservedKey {
    /// How many tasks of a slot a node remembers.
    pub const HISTORY: u8 = 5;

    /// Whose report it is, where this release cannot read the key: behind family and variant stands the
    /// node.
    pub fn node_of_unread(key: &[u8]) -> Option<NodeId> {
        let [family, variant, node @ ..] = key else { return None };
        // Before 251 a variant is one byte.
        let is_one = *family == Family::Observed as u8 && *variant < 251;
        node.first_chunk::<16>().filter(|_| is_one).map(|node| NodeId(*node))
    }

    /// Whose report it is.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Facts { node } | Self::Task { node, .. } | Self::Images { node } => *node,
        }
    }
}

macro_rules! keys {
    ($($variant:ident: $kind:ty),*) => {
        $(impl Wire for $kind { const LIMIT: usize = Key::LIMIT; }
        impl From<$kind> for Key { fn from(key: $kind) -> Self { Self::$variant(key) } })*

        impl Key {
            /// The bytes of the key: its family, then its fields.
            pub fn to_bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::from([self.family() as u8]);
                match self { $(Self::$variant(key) => bytes.extend(encode(key)),)* }
                bytes
            }

            /// The key in these bytes; `None` if its family, or its variant in a known family, is of a later
            /// release.
            ///
            /// # Errors
            /// [`Malformed`] if the family and the variant are known, and the rest is not such a key.
            pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
                if bytes.len() > Self::LIMIT {
                    return Err(Malformed::TooLong { len: bytes.len(), limit: Self::LIMIT });
                }
                let Some(family) = Family::of(bytes) else { return Ok(None) };
                let read = match family {
                    $(Family::$variant => decode(&bytes[1..]).map(Self::$variant),)*
                };
                match read {
                    Ok(key) => Ok(Some(key)),
                    Err(Malformed::Unknown) => Ok(None),
                    Err(malformed) => Err(malformed),
                }
            }

            /// Its family.
            pub const fn family(&self) -> Family {
                match self { $(Self::$variant(_) => Family::$variant,)* }
            }
        }
    };
}

keys!(
    Membership: MembershipKey,
    Desired: DesiredKey,
    Slot: SlotKey,
    Island: IslandKey,
    Observed: ObservedKey
);

impl Key {
    /// The longest key, in bytes.
    pub const LIMIT: usize = 256;
}
