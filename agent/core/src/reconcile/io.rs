//! What goes into this room and what comes out.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::engine::{EngineAction, EngineReport};
use sleep_wire::key::SlotKey;
use sleep_wire::spec::Runtime;
use sleep_wire::task::TaskStatus;
use sleep_wire::{ClusterId, Epoch, NodeId};

use super::desired::StopCause;
use super::engine::RuntimeHealth;
use crate::io::Event;

/// How many engine calls may be under way, and how often this node looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Starts, fetching aside: each costs the engine real work.
    pub starts: usize,
    /// Starts that wait for their image; when it comes they go on beside the others. They keep back nobody
    /// whose image is there.
    pub pulls: usize,
    /// Stops: each is mostly a wait for the task's grace.
    pub stops: usize,
    /// Removals.
    pub removes: usize,
    /// From one list of a runtime to the next.
    pub list_every: Duration,
    /// How long a host that was restarted looks for its peers before it trusts its own last word.
    pub seek_peers: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            starts: 4,
            pulls: 16,
            stops: 64,
            removes: 8,
            list_every: Duration::from_secs(10),
            seek_peers: Duration::from_secs(10),
        }
    }
}

/// What a node knows before it starts.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Itself.
    pub me: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The highest epoch that is durable here.
    pub fence: Epoch,
    /// Whether the host, not only the agent, was restarted.
    pub host_rebooted: bool,
    /// For jitter.
    pub seed: u64,
    /// The runtimes that it has. One that reports later is added.
    pub runtimes: Vec<Runtime>,
    /// Bounds.
    pub limits: Limits,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileInput {
    /// This node's own observed records, read at the start before anything else.
    Recovered(Vec<Recovered>),
    /// The engine reports.
    Engine(EngineReport),
    /// It is later.
    Tick,
    /// An epoch was seen that the lease room takes for genuine.
    EpochSeen(Epoch),
    /// The write of a fence is durable.
    FenceDurable(Epoch),
    /// The write of a fence failed.
    FenceFailed,
    /// All nodes that were ever removed from the cluster.
    RemovedNodes(BTreeSet<NodeId>),
    /// Whom this node has found since it started.
    Peers(Peers),
    /// A new holder asks: say anew for how long each task has been running.
    RollCall,
    /// This node leaves the cluster: stop everything, start nothing.
    Leave,
}

/// One observed record of this node's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Of which slot.
    pub slot: SlotKey,
    /// At which place of its history.
    pub place: u8,
    /// What it says.
    pub status: TaskStatus,
}

/// Whom a node has found since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Somebody, whose state is not here yet: keep waiting for it.
    Found,
    /// Somebody, and their state is here; or there is nobody else in the cluster.
    Synced,
}

/// Something is to be done. In order; each exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileOutput {
    /// Do something with a container.
    Engine(EngineAction),
    /// Write an observed record.
    Publish {
        /// Of which slot.
        slot: SlotKey,
        /// At which place of its history.
        place: u8,
        /// What it says.
        status: Box<TaskStatus>,
    },
    /// This node has nothing more to say of a slot: its observed records may be dropped.
    Forget {
        /// Which.
        slot: SlotKey,
    },
    /// Make this durable; answer with [`ReconcileInput::FenceDurable`] or [`ReconcileInput::FenceFailed`].
    PersistFence {
        /// The fence.
        epoch: Epoch,
    },
    /// [`Reconcile::runtimes`] has changed.
    RuntimesChanged,
    /// The images of [`Reconcile::runtimes`] have changed.
    ImagesChanged,
    /// Something worth telling people.
    Event(Event),
}

/// One runtime, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeView<'a> {
    /// Which.
    pub runtime: Runtime,
    /// How it is.
    pub health: &'a RuntimeHealth,
    /// The engine's own id; empty if it has not said.
    pub engine: &'a str,
    /// Its version; empty if it has not said.
    pub version: &'a str,
    /// The images that it holds, sorted.
    pub images: &'a [String],
    /// Containers whose labels cannot be read: they are left alone.
    pub unreadable: &'a [String],
}

/// One task of this node, as it would be published now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Which slot it fills.
    pub slot: SlotKey,
    /// What there is to say of its newest attempt.
    pub status: TaskStatus,
    /// Whether the slot's record names it: a task that no record names keeps running until its holder
    /// decides.
    pub listed: bool,
    /// Why it is being stopped, if it is.
    pub stop: Option<StopCause>,
}
