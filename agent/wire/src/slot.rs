//! The lease holder's word: which task fills which slot.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::id::{NodeId, RevisionId, WallTime};
use crate::spec::Order;
use crate::stamp::Stamp;

/// Body of a slot's record, and of an island's.
///
/// A task stops only because it stands in `retire`, its service is removed, its permit ended or its isolation
/// policy says so: never because `current` names another node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Slot {
    /// The task that is to run, if any.
    pub current: Option<Assigned>,
    /// Which goes first, `current` or those that retire.
    pub order: Order,
    /// For shared resources to check: grows strictly with each start.
    pub fence: u64,
    /// Tasks that are to stop, by name.
    pub retire: Vec<Retired>,
}

/// A task as the holder assigned it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Assigned {
    /// The stamp of the record that first assigned it: its name, for as long as it runs. A holder that
    /// rewrites the record under its own epoch leaves it alone.
    pub assignment: Stamp,
    /// Where it runs.
    pub node: NodeId,
    /// What it runs.
    pub revision: RevisionId,
    /// Why it is there.
    pub cause: Cause,
    /// The planner's own words on the choice, as facts: how many nodes fitted, and what decided.
    pub choice: Choice,
    /// For display.
    pub at: WallTime,
}

/// Why a task was assigned.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Cause {
    /// The service was created or scaled up.
    Wanted,
    /// The node of the task before it is down.
    NodeDown(NodeId),
    /// The node of the task before it drains.
    Drained(NodeId),
    /// The service has a new revision.
    Updated,
    /// Work moves back to where there is little.
    Rebalanced(NodeId),
    /// The task before it failed on its node and may not be tried there again.
    Failed(NodeId),
    /// The node of the task before it left the cluster.
    NodeRemoved(NodeId),
    /// The node of the task before it no longer fits: a constraint, a label, a resource.
    Unfit(NodeId),
    /// A running task that no record named was listed.
    Adopted,
    /// Somebody asked for it.
    Commanded,
}

/// What decided a placement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Choice {
    /// How many nodes could take it.
    pub fitting: u32,
    /// How many could not.
    pub refused: u32,
    /// The first rule that told the winner from the next best, in the planner's vocabulary.
    pub decided_by: String,
}

/// A task that is to stop.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Retired {
    /// Its name.
    pub assignment: Stamp,
    /// Where it runs.
    pub node: NodeId,
    /// Why.
    pub reason: RetireReason,
}

/// Why a task is to stop. Who may say so differs: see the partition contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum RetireReason {
    /// Another node runs it now.
    Moved,
    /// A command: scale, update, drain, removal.
    Command,
    /// A slot has two.
    Duplicate,
}

impl Wire for Slot {
    const LIMIT: usize = 8 * 1024;
}
