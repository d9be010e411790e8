//! What the laws are told of: what agents did, as far as it can be seen from outside.

use sleep_core::io::Ticket;
use sleep_wire::Stamp;
use sleep_wire::durable::Write;
use sleep_wire::task::{TaskId, TaskLabel};

use super::{Answer, Time};

/// Something that an agent did, or that was done to it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When.
    pub at: Time,
    /// At which host.
    pub host: usize,
    /// What.
    pub what: Seen,
}

/// What was done.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A client's command about what people want was handed in; what follows until it was taken is its doing.
    Command {
        /// Whom to answer.
        ticket: Ticket,
    },
    /// The command was handled.
    CommandTaken {
        /// Whom to answer.
        ticket: Ticket,
    },
    /// A client was answered.
    Reply {
        /// Whom.
        ticket: Ticket,
        /// What it was told.
        reply: Answer,
    },
    /// Writes were handed to the disk.
    Persist(Vec<Write>),
    /// The oldest of them are durable.
    Synced,
    /// The engine was told to start a task.
    Launch(TaskLabel),
    /// The engine was told to stop a task.
    Stop {
        /// Which.
        task: TaskId,
        /// The engine's name for it.
        container: String,
    },
    /// The agent was killed.
    Killed,
    /// The agent was started.
    Started,
    /// The agent, which is of the next release, wrote what this release cannot read.
    Foretold {
        /// Where.
        key: Vec<u8>,
        /// When.
        stamp: Stamp,
    },
    /// The host's disk is not what it was: an older one, or an empty one. Its agent is not running.
    OtherDisk {
        /// The durable records that were on it before.
        had: Vec<Vec<u8>>,
    },
}
