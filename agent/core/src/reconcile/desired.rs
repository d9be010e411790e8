//! What the cluster wants of one slot, as far as this node needs to know it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::slot::{RetireReason, Slot};
use sleep_wire::spec::{Order, Revision, TaskTemplate};
use sleep_wire::task::{Health, TaskState};
use sleep_wire::{Epoch, NodeId, RevisionId, Stamp};

use super::fence::{Fence, Verdict};

/// What the cluster wants of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// What people call the service.
    pub service_name: String,
    /// Whether the service's birth *and* its removal are known.
    pub removed: bool,
    /// Whether the service must never run twice: then nothing of it is started without a permit.
    pub singleton: bool,
    /// The slot's record. `None` if there is none here, which is a reason for nothing.
    pub record: Option<SlotRecord>,
    /// What the revisions say: that of `current`, and those of the tasks that this node has of the slot.
    pub templates: Vec<Template>,
    /// What is known of the slot's tasks on other nodes.
    pub peers: Vec<PeerTask>,
}

/// A slot's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// The record's own stamp: its epoch is what the fence judges.
    pub stamp: Stamp,
    /// What it says.
    pub slot: Slot,
}

/// What a revision's tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Which revision.
    pub revision: RevisionId,
    /// What its tasks run.
    pub spec: Arc<Revision>,
}

/// A task of the slot on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTask {
    /// Its assignment.
    pub assignment: Stamp,
    /// Its node.
    pub node: NodeId,
    /// How far the newest attempt has come; `None` if that node has said nothing of it.
    pub state: Option<TaskState>,
    /// What its health check says.
    pub health: Health,
    /// Whether that node was removed, or is confirmed down and the service's delay is over.
    pub node_down_confirmed: bool,
}

/// Why a task is stopped. A permit that ends and a policy for isolation will have their places here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopCause {
    /// A slot record retires it by name.
    Retired(RetireReason),
    /// Its service is removed.
    ServiceRemoved,
    /// The node whose label it bears is removed, and it runs on this node's engine.
    NodeRemoved,
    /// This node was told to leave its cluster.
    Leaving,
    /// It was being stopped when the agent went away.
    Begun,
    /// It was believed to have ended, and a later attempt took its place.
    Superseded,
}

impl StopCause {
    /// In words, for a task's status.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Retired(RetireReason::Moved) => "retired: another node runs it now",
            Self::Retired(RetireReason::Command) => "retired by a command",
            Self::Retired(RetireReason::Duplicate) => "retired: its slot had two tasks",
            Self::ServiceRemoved => "its service is removed",
            Self::NodeRemoved => "its node is removed from the cluster",
            Self::Leaving => "this node leaves the cluster",
            Self::Begun => "it was being stopped when the agent restarted",
            Self::Superseded => "a later attempt took its place",
        }
    }
}

/// What this node itself knows of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// Not all runtimes have been listed yet.
    Unknown,
    /// It has nothing of it.
    Nothing,
    /// It is not over.
    Live {
        /// Whether it runs and its health check, if any, passes.
        up: bool,
    },
    /// It is over.
    Over {
        /// Whether it ended by itself, well.
        complete: bool,
    },
}

impl SlotRecord {
    /// The epoch that wrote it; `None` for records of islands, which this release does not obey.
    pub(crate) const fn epoch(&self) -> Option<Epoch> {
        match self.stamp {
            Stamp::Lease { epoch, .. } => Some(epoch),
            Stamp::Time { .. } | Stamp::Boot { .. } => None,
        }
    }

    /// What may newly be done because of it.
    pub(crate) fn verdict(&self, fence: &Fence) -> Verdict {
        self.epoch().map_or(Verdict::Stale, |epoch| fence.verdict(epoch))
    }

    fn is_current(&self, assignment: &Stamp) -> bool {
        self.slot.current.as_ref().is_some_and(|current| current.assignment == *assignment)
    }
}

impl Desired {
    /// What a revision's tasks run, if it is known here.
    pub(crate) fn template(&self, revision: &RevisionId) -> Option<&TaskTemplate> {
        self.spec(revision).map(|spec| &spec.template)
    }

    /// What a revision says, if it is known here.
    pub(crate) fn spec(&self, revision: &RevisionId) -> Option<&Arc<Revision>> {
        self.templates.iter().find(|known| known.revision == *revision).map(|known| &known.spec)
    }

    /// Whether the record names an assignment at all.
    pub(crate) fn names(&self, assignment: &Stamp) -> bool {
        self.record.as_ref().is_some_and(|record| {
            record.is_current(assignment)
                || record.slot.retire.iter().any(|retired| retired.assignment == *assignment)
        })
    }

    /// Whether a task that this node holds may have further attempts: not if its slot is another's now.
    pub(crate) fn may_repeat(&self, assignment: &Stamp) -> bool {
        !self.removed && self.record.as_ref().is_none_or(|record| record.is_current(assignment))
    }

    /// Why a task of this node is named in `retire`, if it is: `current` is what is to run, whatever else is
    /// said.
    pub(crate) fn retired(&self, me: NodeId, assignment: &Stamp) -> Option<RetireReason> {
        let record = self.record.as_ref().filter(|record| !record.is_current(assignment))?;
        let named = |r: &&sleep_wire::slot::Retired| r.node == me && r.assignment == *assignment;
        record.slot.retire.iter().find(named).map(|retired| retired.reason)
    }

    /// Whether retired tasks of the slot may stop: always with stop-first, else when `current` is up.
    pub(crate) fn retired_may_stop(&self, me: NodeId, local: impl Fn(&Stamp) -> Local) -> bool {
        let Some(record) = &self.record else { return false };
        let Some(current) = &record.slot.current else { return true };
        match record.slot.order {
            Order::StopFirst => true,
            Order::StartFirst if current.node == me => match local(&current.assignment) {
                Local::Unknown | Local::Nothing => false,
                Local::Live { up } => up,
                Local::Over { complete } => complete,
            },
            Order::StartFirst => self.peers.iter().any(|peer| {
                peer.assignment == current.assignment
                    && peer.node == current.node
                    && (peer.is_up() || peer.state == Some(TaskState::Complete))
            }),
        }
    }

    /// Whether `current` may start as far as the tasks that it replaces are concerned.
    pub(crate) fn current_may_start(&self, me: NodeId, local: impl Fn(&Stamp) -> Local) -> bool {
        let Some(record) = &self.record else { return true };
        match record.slot.order {
            Order::StartFirst => true,
            Order::StopFirst => record.slot.retire.iter().all(|retired| {
                if record.is_current(&retired.assignment) {
                    return true;
                }
                if retired.node == me {
                    return match local(&retired.assignment) {
                        Local::Unknown | Local::Live { .. } => false,
                        Local::Nothing | Local::Over { .. } => true,
                    };
                }
                self.peers.iter().any(|peer| {
                    peer.assignment == retired.assignment && peer.node == retired.node && peer.is_ended()
                })
            }),
        }
    }
}

impl PeerTask {
    fn is_up(&self) -> bool {
        self.state == Some(TaskState::Running) && is_well(self.health) && !self.node_down_confirmed
    }

    fn is_ended(&self) -> bool {
        self.node_down_confirmed || self.state.is_some_and(TaskState::is_over)
    }
}

/// Whether a health check, if any, passes.
pub(crate) const fn is_well(health: Health) -> bool {
    match health {
        Health::None | Health::Healthy => true,
        Health::Starting | Health::Unhealthy => false,
    }
}
