//! What a node says of its tasks.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bincode::{Decode, Encode};

use crate::codec::Wire;
use crate::id::{NodeId, RevisionId, WallTime};
use crate::key::{SlotKey, SlotName};
use crate::stamp::{Epoch, Stamp};

/// A task: an assignment and the node's count of attempts at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TaskId {
    /// The stamp of the record that first assigned it.
    pub assignment: Stamp,
    /// Counted by the node alone, from 1: a restart needs no holder.
    pub attempt: u32,
}

impl TaskId {
    /// A short name for people: unique enough for one cluster's tables, never parsed.
    ///
    /// FNV-1a over the encoded id, in base 36: the id itself travels wherever it matters.
    pub fn short(&self) -> String {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in crate::encode(self) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut text = String::with_capacity(12);
        for _ in 0..12 {
            let digit = u32::try_from(hash % 36).expect("a remainder of 36 is below 36");
            text.push(char::from_digit(digit, 36).expect("a digit below 36 is one in base 36"));
            hash /= 36;
        }
        text
    }
}

/// How far a task has come. It only moves forward.
///
/// `lost` is what a view says of a task whose node is down: nobody writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum TaskState {
    /// The node has seen the assignment.
    Assigned,
    /// It fetches the image, or waits for its turn.
    Preparing,
    /// The engine was told to start it.
    Starting,
    /// It runs.
    Running,
    /// It was told to stop.
    Stopping,
    /// It ended by itself, well.
    Complete,
    /// It ended by itself, badly, or could not be started.
    Failed,
    /// It was stopped.
    Stopped,
}

impl TaskState {
    /// Whether nothing more will happen to it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Stopped)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Assigned => "assigned",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// What the engine says of a task's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Health {
    /// It has none: running is healthy.
    None,
    /// Not known yet.
    Starting,
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
}

/// Body of a task's observed record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TaskStatus {
    /// Which task.
    pub task: TaskId,
    /// What it runs.
    pub revision: RevisionId,
    /// How far it has come.
    pub state: TaskState,
    /// What its health check says.
    pub health: Health,
    /// When it came to this state.
    pub since: WallTime,
    /// When it started, if it has.
    pub started_at: Option<WallTime>,
    /// For how long it had been running without interruption when this was written, by the node's own boot
    /// clock, in milliseconds: after a heal the longest-running task of a slot is its original.
    pub running_for_ms: u64,
    /// How it ended, if it has.
    pub exit: Option<Exit>,
    /// What is wrong, or why it was stopped, in words; empty if there is nothing to say.
    pub message: String,
    /// The engine's name for it, if it has one.
    pub container: String,
    /// The digest of the image that it runs, if known.
    pub image_digest: String,
    /// Its last lines of output, if it failed.
    pub last_lines: Vec<String>,
}

impl TaskStatus {
    /// Of which no more is known than how far it is, and since when.
    pub const fn new(task: TaskId, revision: RevisionId, state: TaskState, since: WallTime) -> Self {
        Self {
            task,
            revision,
            state,
            health: Health::None,
            since,
            started_at: None,
            running_for_ms: 0,
            exit: None,
            message: String::new(),
            container: String::new(),
            image_digest: String::new(),
            last_lines: Vec::new(),
        }
    }
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Exit {
    /// Its exit code; 128 + signal if a signal ended it.
    pub code: i32,
    /// Whether the kernel ended it for its memory.
    pub out_of_memory: bool,
}

impl Wire for TaskId {
    const LIMIT: usize = 128;
}

impl Wire for TaskStatus {
    const LIMIT: usize = 16 * 1024;
}

/// What a task's container or process carries, so that whoever finds it knows whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TaskLabel {
    /// Which node's.
    pub node: NodeId,
    /// Which slot it fills.
    pub slot: SlotKey,
    /// Which task it is.
    pub task: TaskId,
    /// What it runs.
    pub revision: RevisionId,
    /// The epoch under which it was started.
    pub epoch: Epoch,
}

impl Wire for TaskLabel {
    const LIMIT: usize = 512;
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Node(node) => write!(f, "{:.8}", alloc::format!("{node}")),
            Self::Run { run, number } => write!(f, "{run}-{number}"),
        }
    }
}
