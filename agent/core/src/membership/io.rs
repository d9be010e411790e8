//! What goes into this room and what comes out.

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::message::{MembershipMessage, Message};

use super::Liveness;
use crate::time::Instant;

/// Something that concerns membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipInput {
    /// foca's bytes from a peer, as they came in [`Message::Swim`].
    Swim {
        /// Whose key the connection proved.
        from: NodeId,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// A message of this room's own kind.
    Message {
        /// Whose key the connection proved.
        from: NodeId,
        /// What it says.
        message: MembershipMessage,
    },
    /// It is later. To be handed in after the packets that wait.
    Tick,
    /// Who may be contacted changed. This node itself may be listed, and is passed over.
    Members {
        /// Admitted, not removed.
        added: Vec<NodeId>,
        /// Removed for good.
        removed: Vec<NodeId>,
    },
    /// A connection to a peer stands.
    Connected {
        /// To whom.
        peer: NodeId,
    },
    /// Work shall move from this node: is it really down?
    ConfirmDown {
        /// Which.
        node: NodeId,
    },
    /// This agent was told to stop, and will be back.
    Stopping,
    /// This node leaves for good. Nothing is heard or said afterwards.
    Leaving,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipOutput {
    /// Say this: [`Message::Swim`] or [`Message::Membership`].
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// A member answers, or answers again.
    Up {
        /// Who.
        node: NodeId,
    },
    /// A member is suspected.
    Suspect {
        /// Who.
        node: NodeId,
        /// Who said so; this node itself if its own probe failed.
        by: NodeId,
    },
    /// A suspected member answered after all.
    Refuted {
        /// Who.
        node: NodeId,
    },
    /// A member is believed dead.
    Down {
        /// Who.
        node: NodeId,
    },
    /// A member said that it stops and will be back.
    Restarting {
        /// Who.
        node: NodeId,
        /// Its tasks are held so long, in milliseconds.
        hold_ms: u32,
    },
    /// A member said that it leaves for good.
    Left {
        /// Who.
        node: NodeId,
    },
    /// It answers again, and is not believed yet: it came and went before.
    Doubted {
        /// Who.
        node: NodeId,
        /// For how long it has to stay.
        hold: Duration,
    },
    /// What came of [`MembershipInput::ConfirmDown`].
    ProbeVerdict {
        /// Who was probed.
        node: NodeId,
        /// How many did not reach it, this node included.
        failures: u8,
        /// How many tried, or were asked to.
        asked: u8,
        /// Whether anybody reached it.
        reached: bool,
        /// Whether work may move: nobody reached it, and two or all there are failed.
        confirmed: bool,
    },
    /// Others know a higher boot counter of this node than its own: its disk is old.
    OldDisk {
        /// The highest known.
        known: u32,
    },
    /// This boot's renewals are used up: nobody can be contradicted any more but by a higher boot counter.
    UsedUp,
    /// Two agents run with one key.
    Clone {
        /// Whose.
        node: NodeId,
    },
    /// A peer sent bytes that mean nothing, or that speak for another.
    BadFrame {
        /// Who.
        from: NodeId,
    },
}

/// What is believed of a member, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Whether it answers.
    pub liveness: Liveness,
    /// Since when, by this node's clock.
    pub since: Instant,
    /// Until when its tasks are held although it is down, for it said that it will be back.
    pub held_until: Option<Instant>,
}
