//! What a planner wants written.

use alloc::vec::Vec;

use sleep_wire::key::SlotKey;
use sleep_wire::slot::{Assigned, Cause, Choice, Retired, Slot};
use sleep_wire::spec::Order;
use sleep_wire::{NodeId, RevisionId, Stamp, WallTime};

use crate::time::Instant;

/// What is to be written now, what waits for a node, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// New bodies of slot records, at most one a slot, in the order of their keys.
    pub writes: Vec<SlotWrite>,
    /// Slots that no node takes, in the order of their keys. [`super::Planner::why`] says what each node
    /// answers.
    pub pending: Vec<Pending>,
    /// When time alone may change the plan.
    pub wake_at: Option<Instant>,
}

/// A slot that wants a task, or another one, and that no node takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Which slot.
    pub key: SlotKey,
    /// Why it wants a task. One that has a task keeps it as long as it can.
    pub cause: Cause,
}

/// The next body of one slot's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotWrite {
    /// Which slot.
    pub key: SlotKey,
    /// The task that is to run.
    pub current: Option<Current>,
    /// Which goes first.
    pub order: Order,
    /// Greater than before if `current` is new.
    pub fence: u64,
    /// The tasks that are to stop.
    pub retire: Vec<Retired>,
    /// Why this is written.
    pub why: Why,
}

/// The task that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Current {
    /// The same as before.
    Kept(Assigned),
    /// One that runs without a record that names it.
    Adopted {
        /// Its name.
        assignment: Stamp,
        /// Where it runs.
        node: NodeId,
        /// What it runs.
        revision: RevisionId,
    },
    /// A new one: the stamp of the record that is written becomes its name.
    New(NewAssignment),
}

/// A task without a name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAssignment {
    /// Where it is to run.
    pub node: NodeId,
    /// What it is to run.
    pub revision: RevisionId,
    /// Why it is there.
    pub cause: Cause,
    /// What decided.
    pub choice: Choice,
}

/// Why a slot's record changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It gets a new task.
    Assigned(Cause),
    /// The service has more tasks than its scale says.
    Surplus,
    /// A global service no longer wants this node.
    NotWanted,
    /// The slot has more than one task.
    Settled,
    /// Retired tasks have ended.
    Ended,
}

impl SlotWrite {
    /// The body, once the stamp under which it is written is known. `at` is for display.
    pub fn body(&self, stamp: Stamp, at: WallTime) -> Slot {
        let current = self.current.as_ref().map(|current| match current {
            Current::Kept(assigned) => assigned.clone(),
            Current::Adopted { assignment, node, revision } => Assigned {
                assignment: *assignment,
                node: *node,
                revision: *revision,
                cause: Cause::Adopted,
                choice: Choice::default(),
                at,
            },
            Current::New(NewAssignment { node, revision, cause, choice }) => Assigned {
                assignment: stamp,
                node: *node,
                revision: *revision,
                cause: cause.clone(),
                choice: choice.clone(),
                at,
            },
        });
        Slot { current, order: self.order, fence: self.fence, retire: self.retire.clone() }
    }

    /// The new task, if there is one.
    pub fn new_assignment(&self) -> Option<&NewAssignment> {
        match &self.current {
            Some(Current::New(new)) => Some(new),
            Some(Current::Kept(_) | Current::Adopted { .. }) | None => None,
        }
    }
}
