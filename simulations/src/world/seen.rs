//! What the laws are told of: what agents did, as far as it can be seen from outside.

use std::rc::Rc;
use std::sync::Arc;

use sleep_core::io::Ticket;
use sleep_core::state::Entry;
use sleep_wire::Stamp;
use sleep_wire::durable::Write;
use sleep_wire::task::{TaskId, TaskLabel};

use super::{Answer, Time};
use crate::crypto::Mint;

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
    Persist(Persisted),
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

/// Writes that were handed to a disk; what they say is read once, for all laws and all disks.
#[derive(Clone, Debug)]
pub struct Persisted {
    writes: Rc<Vec<Write>>,
    read: Vec<Option<Known>>,
}

/// A record that was handed to a disk, read.
#[derive(Clone, Debug)]
pub struct Known {
    /// What stands for its bytes: no others have the same.
    pub id: u128,
    /// What they say, if they are a record: neither a void word nor anything else that is kept aside.
    pub entry: Option<Arc<Entry>>,
}

impl Persisted {
    /// Reads them.
    pub fn of(writes: Rc<Vec<Write>>, mint: &Mint) -> Self {
        let known = |write: &Write| match write {
            Write::PutRecord { record, .. } => {
                let (id, entry) = mint.read(record);
                Some(Known { id, entry })
            }
            Write::DeleteRecord { .. } | Write::PutCell { .. } | Write::Wipe => None,
        };
        let read = writes.iter().map(known).collect();
        Self { writes, read }
    }

    /// All of them, as they are.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The records among them: key and bytes, and what they are.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &[u8], &Known)> {
        self.writes.iter().zip(&self.read).filter_map(|(write, known)| match write {
            Write::PutRecord { key, record } => Some((key.as_slice(), record.as_slice(), known.as_ref()?)),
            Write::DeleteRecord { .. } | Write::PutCell { .. } | Write::Wipe => None,
        })
    }

    /// What those among them say that are records.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.read.iter().filter_map(|known| known.as_ref()?.entry.as_deref())
    }
}
