//! What goes into the lease and what comes out.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{Hint, LeaseMessage, LeaseTimes};
use sleep_wire::{Epoch, NodeId};

/// The durations that a node brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// T, ρ and d of a config that this node founds. A config that exists has its own.
    pub times: LeaseTimes,
    /// How long a control node answers before it is given a seat.
    pub growth_wait: Duration,
    /// How much sooner than a grant can end a silent holder is taken for gone. Nought in an agent; safety
    /// must not rest on that, and the simulator shows that it does not.
    pub impatience: Duration,
    /// How long news of a renewal may take to reach everybody.
    pub gossip_round: Duration,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self {
            times: LeaseTimes { lease_ms: 4_000, rho_ppm: 10_000, margin_ms: 100 },
            growth_wait: Duration::from_secs(30),
            impatience: Duration::ZERO,
            gossip_round: Duration::from_millis(500),
        }
    }
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseInput {
    /// A lease message of a peer that is a control member: others' are not handed in.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What.
        message: LeaseMessage,
    },
    /// A hint rode in on a frame.
    Hint {
        /// Whose frame.
        from: NodeId,
        /// What it says.
        hint: Hint,
        /// Whether the epoch's candidate is a control member. Others' epochs do not count.
        from_control: bool,
    },
    /// All writes up to this one are durable.
    Durable {
        /// As given in [`LeaseOutput::Persist`].
        token: u64,
    },
    /// A write failed. The node votes no more until it is started again.
    DurableFailed {
        /// As given in [`LeaseOutput::Persist`].
        token: u64,
    },
    /// It is later.
    Tick,
    /// Who may vote, as this node now sees it. Handed in whenever it changes.
    Electorate(Electorate),
    /// This node is about to leave: seat and lease go to others. Answered by [`LeaseOutput::HandedOver`].
    HandOver,
    /// This node did nothing for so long.
    Lagged(Duration),
    /// A record that stands bears this epoch: somebody planned in it.
    Planned {
        /// Which.
        epoch: Epoch,
    },
    /// A durable write, of any room, has been outstanding for longer than T.
    StorageStalled,
    /// These may know of a greater config than this node's: who does answers with it.
    Consult {
        /// Whom to ask.
        with: Vec<NodeId>,
    },
    /// A person said that this node is the one survivor: it founds the next generation, alone.
    Recover {
        /// The greatest generation that is known otherwise: it is left behind too.
        known: u16,
    },
}

/// Who may vote, as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Electorate {
    /// Control nodes that are not removed.
    pub control: BTreeSet<NodeId>,
    /// Who answers now, and for how long without a gap.
    pub up: BTreeMap<NodeId, Duration>,
    /// Whether this node itself is an unremoved control node.
    pub me_control: bool,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutput {
    /// Send this.
    Send {
        /// To whom: never this node itself.
        to: NodeId,
        /// What.
        message: LeaseMessage,
    },
    /// Make this durable, in the order of the tokens, and say so.
    Persist {
        /// Comes back in [`LeaseInput::Durable`].
        token: u64,
        /// What: it replaces what was written before.
        cell: LeaseCell,
    },
    /// This node holds the lease.
    Acquired {
        /// Its tenure.
        epoch: Epoch,
    },
    /// It no longer does.
    Lost {
        /// Its tenure.
        epoch: Epoch,
        /// Why.
        why: Ending,
    },
    /// Another holder was seen for the first time.
    HolderSeen {
        /// Its tenure.
        epoch: Epoch,
    },
    /// A holder has said itself that it is one, for the first time: what others tell of holders may be a lie.
    Announced {
        /// Its tenure.
        epoch: Epoch,
    },
    /// This node has neither lease nor seat any more, as it was told to.
    HandedOver,
}

/// What is known of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// None was ever heard of.
    None,
    /// One was, but not lately.
    Stale(Epoch),
    /// One lives, or did within the last T and a gossip round.
    Fresh(Epoch),
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its time was over before a majority renewed it.
    Expired,
    /// A majority of the voters rejected it.
    Rejected,
    /// The holder of a greater epoch announced itself.
    Announced,
    /// A greater epoch's config arrived.
    Superseded,
    /// This node did nothing for more than T/4.
    Lagged,
    /// A durable write was outstanding for more than T.
    StorageStalled,
    /// A durable write failed.
    StorageFailed,
    /// This node is leaving, or is no longer a control node.
    HandedOver,
    /// A person made this node found the next generation.
    Recovered,
    /// What stands was planned in a greater epoch: what this holder plans would not.
    Outdone,
}

impl Ending {
    /// For logs and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "not renewed in time",
            Self::Rejected => "rejected by a majority of the voters",
            Self::Announced => "another holder of a later epoch announced itself",
            Self::Superseded => "another holder of a later epoch changed the config",
            Self::Lagged => "this node lagged",
            Self::StorageStalled => "a write was outstanding for too long",
            Self::StorageFailed => "a write failed",
            Self::HandedOver => "handed over",
            Self::Recovered => "the next generation was founded here",
            Self::Outdone => "what stands was planned in a later epoch",
        }
    }
}
