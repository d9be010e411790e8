//! A container, and what is remembered of it.

use sleep_core::Instant;
use sleep_wire::engine::Found;
use sleep_wire::spec::{Port, Runtime};
use sleep_wire::task::{Exit, Health, TaskId, TaskLabel};
use sleep_wire::{ClusterId, NodeId, WallTime};

/// A container or process.
#[derive(Clone, Debug)]
pub struct Container {
    /// The engine's name for it.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// What runs it.
    pub runtime: Runtime,
    /// Since when it runs, if it does.
    pub since: Option<Instant>,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
    pub(super) started_at: Option<WallTime>,
    pub(super) ports: Vec<Port>,
    pub(super) ears: Ears,
    /// Counts its runs: an end that was meant for an earlier one misses.
    pub(super) run: u64,
    /// How many lists in a row left it out.
    pub(super) hidden: u8,
}

/// Whose a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Somebody's: it bears no label of ours.
    Foreign,
    /// It bears a cluster's label, which cannot be read beyond that.
    Unreadable(ClusterId),
    /// A task's.
    Task(ClusterId, Box<TaskLabel>),
}

/// How a container's first process takes a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ears {
    /// It ends at once.
    Quick,
    /// It ends in its own time.
    Slow,
    /// It hears, and does not end.
    Stubborn,
    /// It cannot hear.
    Deaf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// By itself.
    Alone,
    /// A node asked for it.
    Told,
    /// The engine went down with it.
    Engine,
    /// The host went down with it.
    Rebooted,
    /// Somebody ended it by hand.
    ByHand,
}

/// What became of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it was run.
    pub starts: u32,
    /// How often a node asked for it to stop while it ran.
    pub stops: u32,
    /// How its runs ended: the container's name, and why.
    pub ends: Vec<(String, Ended)>,
}

/// An attempt to stop or remove what is not this node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The container.
    pub container: String,
    /// The node whose label it bears; `None` if it is not this cluster's at all.
    pub node: Option<NodeId>,
    /// When.
    pub at: Instant,
}

impl Container {
    /// Whether it runs.
    pub const fn running(&self) -> bool {
        self.since.is_some()
    }

    /// The label of the task that it is, if it is one.
    pub const fn label(&self) -> Option<&TaskLabel> {
        match &self.owner {
            Owner::Task(_, label) => Some(label),
            Owner::Foreign | Owner::Unreadable(_) => None,
        }
    }

    /// The task that it is, if it is one.
    pub fn task(&self) -> Option<TaskId> {
        self.label().map(|label| label.task)
    }

    pub(super) fn is_foreign_to(&self, cluster: Option<ClusterId>) -> bool {
        match &self.owner {
            Owner::Foreign => true,
            Owner::Unreadable(theirs) | Owner::Task(theirs, _) => cluster != Some(*theirs),
        }
    }

    pub(super) fn stop(&mut self, exit: Exit) {
        if self.since.take().is_some() {
            self.exit = Some(exit);
        }
    }

    /// The clock by which it was timed is no more.
    pub(super) const fn forget_times(&mut self) {
        self.since = None;
    }

    pub(super) fn found(&self) -> Found {
        Found {
            label: self.label().cloned(),
            container: self.name.clone(),
            running: self.running(),
            started_at: self.started_at,
            exit: self.exit,
            health: Health::None,
            image_digest: String::new(),
            last_lines: Vec::new(),
        }
    }
}
