//! What a plan is made of: nodes, services, slots and tasks, as one planner sees them.
//!
//! Every instant here is of the planner's own boot clock: when *it* first saw a fact. So windows start again
//! with a new holder, and no two clocks are ever compared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::SlotName;
use sleep_wire::node::Availability;
use sleep_wire::slot::Slot;
use sleep_wire::spec::{Mode, Order, RestartCondition, Revision, Runtime};
use sleep_wire::task::{Health, TaskId, TaskState};
use sleep_wire::trust::Role;
use sleep_wire::{NodeId, RevisionId, ServiceId, Stamp};

use crate::time::Instant;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFact {
    /// Which.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// What its operator wants of it.
    pub availability: Availability,
    /// Whether it answers.
    pub liveness: Liveness,
    /// When it was last made active again by a command, or came back as a member: work returns to it at once.
    pub activated: Option<Instant>,
    /// Its role.
    pub role: Role,
    /// Its labels: the host's own, overlaid by those that were set by command.
    pub labels: BTreeMap<String, String>,
    /// In thousandths of a core.
    pub cpu_milli: u64,
    /// In bytes.
    pub memory: u64,
    /// As the kernel calls it.
    pub architecture: String,
    /// As the kernel calls it.
    pub os: String,
    /// What can run tasks there, and what is wrong with it; empty if it is well. What is not listed is
    /// missing.
    pub runtimes: BTreeMap<Runtime, String>,
    /// The images it holds, as its engine lists them.
    pub images: BTreeSet<String>,
}

/// Whether a node answers, in the planner's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It does.
    Up {
        /// Since when.
        since: Instant,
    },
    /// It does not.
    Down {
        /// Since when it has been suspected dead.
        since: Instant,
        /// Whether others, asked to try at once, could not reach it either: before that no work moves.
        confirmed: bool,
    },
    /// It said that it restarts: its tasks run on, and are left alone.
    Held,
    /// It left the cluster, for good.
    Removed,
}

/// One service, with its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFact {
    /// Which.
    pub id: ServiceId,
    /// How many tasks it has.
    pub mode: Mode,
    /// How many replicas; means nothing for a global service.
    pub replicas: u32,
    /// Whether it is gone: its agents stop its tasks, nothing is planned.
    pub removed: bool,
    /// Whether it must never run twice.
    pub singleton: bool,
    /// Its present revision.
    pub revision: RevisionId,
    /// The present revision and every other that a slot or a task names.
    pub revisions: BTreeMap<RevisionId, Arc<Revision>>,
    /// Every slot that has a record, or tasks as [`SlotFact::tasks`] tells.
    pub slots: BTreeMap<SlotName, SlotFact>,
}

/// One slot: its record, and what is observed of its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFact {
    /// The body of its record; [`SlotFact::vacant`] if it has none.
    pub slot: Slot,
    /// When the planner first saw this body.
    pub written: Instant,
    /// When the planner first saw the present `current`.
    pub assigned: Instant,
    /// Every task of the slot that a node reports and that is not over, or failed, and every attempt at an
    /// assignment that the record names, or of which one is not over. In any order.
    pub tasks: Vec<TaskFact>,
}

/// One attempt at a task, as its node reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFact {
    /// Which attempt at which assignment.
    pub task: TaskId,
    /// Where.
    pub node: NodeId,
    /// What it runs.
    pub revision: RevisionId,
    /// How far it has come.
    pub state: TaskState,
    /// What its health check says.
    pub health: Health,
    /// Whether it ever started.
    pub started: bool,
    /// For how long it had been running when its node wrote this, by that node's own clock, in milliseconds.
    pub running_for_ms: u64,
    /// When the planner first saw this state and health.
    pub seen: Instant,
    /// Whether its node wrote this in its present boot. What an earlier boot wrote may be over by now.
    pub fresh: bool,
}

/// Everything that a plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every node ever admitted, in any order.
    pub nodes: Vec<NodeFact>,
    /// Every service, in any order.
    pub services: Vec<ServiceFact>,
    /// Whether the re-placement of work whose nodes are down is held back: too many vanished at once.
    pub brake: bool,
}

impl ServiceFact {
    /// Whether people ask here for what they ask for there: its slots aside, and revisions that none names.
    pub(crate) fn asks_for_what(&self, other: &Self) -> bool {
        let Self { id, mode, replicas, removed, singleton, revision, revisions, slots: _ } = self;
        let asked = (other.id, other.mode, other.replicas, other.removed, other.singleton, other.revision);
        (*id, *mode, *replicas, *removed, *singleton, *revision) == asked
            && revisions.iter().all(|(id, spec)| other.revisions.get(id) == Some(spec))
    }
}

impl SlotFact {
    /// A slot without a record.
    pub fn vacant(now: Instant) -> Self {
        let slot = Slot { current: None, order: Order::StopFirst, fence: 0, retire: Vec::new() };
        Self { slot, written: now, assigned: now, tasks: Vec::new() }
    }

    /// The last attempt at an assignment that its node reports.
    pub fn latest(&self, assignment: &Stamp) -> Option<&TaskFact> {
        let of = self.tasks.iter().filter(|task| task.task.assignment == *assignment);
        of.max_by_key(|task| task.task.attempt)
    }

    /// The last attempt at each assignment that the record does not name, and which is not over.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = &TaskFact> {
        self.tasks.iter().filter(|task| {
            let assignment = &task.task.assignment;
            !task.state.is_over()
                && self.slot.current.as_ref().is_none_or(|current| current.assignment != *assignment)
                && self.slot.retire.iter().all(|retired| retired.assignment != *assignment)
                && self.latest(assignment).is_some_and(|latest| latest.task == task.task)
        })
    }
}

impl TaskFact {
    /// Whether it runs, and its check, if it has one, passes.
    pub fn is_healthy(&self) -> bool {
        let well = match self.health {
            Health::None | Health::Healthy => true,
            Health::Starting | Health::Unhealthy => false,
        };
        self.fresh && well && self.state == TaskState::Running
    }

    /// For how long it has been running without interruption, as far as the planner knows, in milliseconds.
    pub fn running_ms(&self, now: Instant) -> u64 {
        let seen_for = u64::try_from(now.since(self.seen).as_millis()).unwrap_or(u64::MAX);
        self.running_for_ms.saturating_add(seen_for)
    }

    /// Whether it could not be started: no image, no port, no such command.
    pub fn could_not_start(&self) -> bool {
        self.state == TaskState::Failed && !self.started
    }

    /// Whether it is over and its restart policy asks for no more.
    pub(crate) fn is_done(&self, condition: RestartCondition) -> bool {
        match (self.state, condition) {
            (TaskState::Complete, RestartCondition::None | RestartCondition::OnFailure)
            | (TaskState::Failed, RestartCondition::None) => true,
            (
                TaskState::Assigned
                | TaskState::Preparing
                | TaskState::Starting
                | TaskState::Running
                | TaskState::Stopping
                | TaskState::Complete
                | TaskState::Failed
                | TaskState::Stopped,
                _,
            ) => false,
        }
    }
}

impl ServiceFact {
    /// Which of two tasks of a slot goes first when one replaces the other. A singleton's never overlap.
    pub(crate) fn order(&self) -> Order {
        match self.revisions.get(&self.revision) {
            Some(revision) if !self.singleton => revision.update.order,
            Some(_) | None => Order::StopFirst,
        }
    }
}
