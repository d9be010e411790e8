//! What a node can tell of the cluster, as facts: the agent turns them into JSON, the command line into
//! words.
//!
//! Rows carry ids and records, never prose. What depends on the node asked is named so: liveness and the
//! lease's holder are one node's view, everything else is the replicated state.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::SlotKey;
use sleep_wire::node::{Availability, NodeFacts};
use sleep_wire::slot::{Assigned, Cause, Choice};
use sleep_wire::spec::{Mode, Revision};
use sleep_wire::task::{TaskId, TaskState, TaskStatus};
use sleep_wire::trust::{JoinToken, Role};
use sleep_wire::{ClusterId, Epoch, NodeId, RevisionId, ServiceId, SlotName, TokenId, WallTime};

use crate::reconcile::NextAttempt;

/// What a node is, and what it sees of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// The node asked.
    pub node: NodeId,
    /// Its cluster, if it is in one.
    pub cluster: Option<ClusterId>,
    /// Its role, if it is in one.
    pub role: Option<Role>,
    /// The holder's epoch as far as it knows, and whether the holder was heard of within a lease.
    pub leader: Option<(Epoch, bool)>,
    /// How many unremoved nodes there are.
    pub nodes: u32,
    /// How many of them it sees, itself included.
    pub seen: u32,
    /// Who votes, with what weight.
    pub voters: Vec<(NodeId, u32)>,
    /// Which of them the node asked hears, itself included.
    pub voters_heard: Vec<NodeId>,
    /// How often the cluster was recovered by hand.
    pub generation: u16,
    /// How many services there are.
    pub services: u32,
    /// How many tasks run.
    pub running: u32,
    /// How many should.
    pub desired: u32,
}

/// What one node believes of another's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It answers.
    Alive,
    /// It did not answer lately.
    Suspect,
    /// It announced a restart, and its time is not over.
    Restarting,
    /// It does not answer.
    Down,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Who.
    pub id: NodeId,
    /// What people call it: its own name, `name~id4` if an older member has it.
    pub name: String,
    /// Its role now.
    pub role: Role,
    /// What the node asked believes of it.
    pub life: Life,
    /// Whether it takes work.
    pub availability: Availability,
    /// Whether it holds the lease, as far as the node asked knows.
    pub leader: bool,
    /// Whether it is the node asked.
    pub is_self: bool,
    /// What it says of itself, if it has said anything.
    pub facts: Option<NodeFacts>,
    /// Labels, the host's own and those set by people.
    pub labels: BTreeMap<String, String>,
    /// How many of its tasks run.
    pub running: u32,
    /// How many of its tasks have not ended, those that it is about to start included.
    pub tasks: u32,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRow {
    /// Which.
    pub id: ServiceId,
    /// Its name; `name~id4` if an older service has it.
    pub name: String,
    /// How many tasks it has.
    pub mode: Mode,
    /// Whether it was removed, and only its last tasks are left.
    pub removed: bool,
    /// Its current revision.
    pub revision: RevisionId,
    /// What that says.
    pub spec: Arc<Revision>,
    /// How many tasks should run.
    pub desired: u32,
    /// When that was last said apart from its birth, for display, and through which node.
    pub scaled: Option<(WallTime, NodeId)>,
    /// How many do.
    pub running: u32,
    /// When it was created, for display.
    pub created_at: WallTime,
    /// How its update goes, if one is under way.
    pub update: Option<UpdateRow>,
    /// Leaves beside the current one: nobody decided between them.
    pub conflicts: Vec<RevisionId>,
}

/// An update under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRow {
    /// How many slots run the current revision.
    pub done: u32,
    /// Of how many.
    pub total: u32,
    /// Why it stands still, if it does.
    pub paused: Option<String>,
}

/// A revision of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRow {
    /// Which.
    pub id: RevisionId,
    /// Through which node it came.
    pub author: NodeId,
    /// What it says.
    pub spec: Arc<Revision>,
    /// Whether it is the current one.
    pub current: bool,
}

/// How far a task is, as a view says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskLife {
    /// Nobody runs it, and nobody is about to.
    Pending,
    /// What its node says.
    Told(TaskState),
    /// Its node is down.
    Lost,
}

/// What a service is to be, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRow {
    /// Which.
    pub id: ServiceId,
    /// Its name.
    pub name: String,
    /// Its current revision.
    pub revision: RevisionId,
    /// How many tasks it should have.
    pub desired: u32,
}

/// A task, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedRow {
    /// Its slot.
    pub slot: SlotKey,
    /// Which task, if its node has told of one.
    pub task: Option<TaskId>,
    /// Where it runs, or is to.
    pub node: Option<NodeId>,
    /// How far it is.
    pub life: TaskLife,
    /// Whether its slot's record names it as what should run.
    pub wanted: bool,
}

/// A task, or a slot that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// Whose.
    pub service: ServiceId,
    /// The service's name.
    pub service_name: String,
    /// Which slot.
    pub slot: SlotName,
    /// Which task, if there is one.
    pub task: Option<TaskId>,
    /// Where it runs or ran.
    pub node: Option<NodeId>,
    /// What it runs.
    pub revision: RevisionId,
    /// The image of that revision, or the command of a process.
    pub image: String,
    /// Whether it should run.
    pub wanted: bool,
    /// How far it is.
    pub life: TaskLife,
    /// What its node says of it.
    pub status: Option<TaskStatus>,
    /// The attempt that it waits for, and when that starts, for display.
    pub next: Option<(NextAttempt, WallTime)>,
    /// Whether it is over and only remembered.
    pub history: bool,
    /// Published ports, as Docker writes them.
    pub ports: Vec<String>,
}

/// How far one slot is from what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// Which slot.
    pub slot: SlotName,
    /// Its task's row.
    pub task: TaskRow,
    /// Whether it runs the current revision, and has for a second.
    pub settled: bool,
    /// Why each node refuses it, if it is pending.
    pub refusals: Vec<RefusalRow>,
}

/// Why a node does not take a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// Which node.
    pub node: NodeId,
    /// The filter that refused.
    pub filter: &'static str,
    /// Its facts, in words.
    pub reason: String,
}

/// How far one service is from what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressRow {
    /// The service.
    pub service: ServiceRow,
    /// Each of its slots.
    pub slots: Vec<SlotRow>,
    /// Tasks that are to end and have not, on nodes that answer.
    pub ending: u32,
    /// Nodes that do not answer and still have tasks of it.
    pub waiting_for: Vec<NodeId>,
    /// Whether every node that answers has what it should have.
    pub converged: bool,
    /// Whether what is left cannot be placed.
    pub stuck: bool,
}

/// Why a slot's task is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyRow {
    /// The slot's task.
    pub task: TaskRow,
    /// The holder's decision, if one stands.
    pub assigned: Option<Assigned>,
    /// The tasks before it, newest first.
    pub history: Vec<TaskRow>,
    /// What every other node would answer.
    pub refusals: Vec<RefusalRow>,
}

/// What somebody might command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// A new service.
    Create {
        /// Its name.
        name: String,
        /// How many tasks it has.
        mode: Mode,
        /// How many replicas, if it is replicated.
        replicas: u32,
        /// What it runs.
        spec: Box<Revision>,
    },
    /// Another revision of a service.
    Update {
        /// Which.
        service: ServiceId,
        /// What it says.
        spec: Box<Revision>,
        /// How many replicas it has from then on.
        replicas: Option<u32>,
    },
    /// Other numbers of replicas.
    Scale(Vec<(ServiceId, u32)>),
    /// Nodes take work, or no more.
    Availability {
        /// Which.
        nodes: Vec<NodeId>,
        /// What they shall be.
        availability: Availability,
    },
}

/// What would come of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// What begins, ends and moves, in its order.
    pub moves: Vec<MoveRow>,
    /// Slots that no node would take, and why each refuses.
    pub pending: Vec<(SlotRef, Vec<RefusalRow>)>,
    /// Whether it was followed to its end.
    pub complete: bool,
}

/// A slot, by the name of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotRef {
    /// The service's name.
    pub service_name: String,
    /// Which slot.
    pub slot: SlotName,
}

/// One task that would begin, end, or give way to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveRow {
    /// Whose.
    pub slot: SlotRef,
    /// Where it is.
    pub from: Option<NodeId>,
    /// Where it is then.
    pub to: Option<NodeId>,
    /// Why there, if it is anywhere.
    pub choice: Option<(Cause, Choice)>,
}

/// A join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Which.
    pub id: TokenId,
    /// What is written of it.
    pub token: JoinToken,
    /// How long it is still good for, in milliseconds; `None` for ever.
    pub left_ms: Option<u64>,
}

/// An operator: a key that may command from afar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRow {
    /// Who, by the key.
    pub id: NodeId,
    /// What people call them.
    pub name: String,
    /// Through which node the key was admitted.
    pub author: NodeId,
    /// When, for display.
    pub at: WallTime,
}

/// Which tasks are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of one service only.
    pub service: Option<ServiceId>,
    /// On one node only.
    pub node: Option<NodeId>,
    /// Also those that are over.
    pub history: bool,
}
