//! One host's disk: what was asked for is durable after a while, and a crash loses what was not.

use std::collections::{BTreeMap, VecDeque};

use sleep_core::io::WriteToken;
use sleep_wire::durable::{Cell, Stored, Write};

/// A disk, and the writes that are on their way to it.
#[derive(Debug, Default)]
pub struct Disk {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    cells: BTreeMap<Cell, Vec<u8>>,
    pending: VecDeque<(WriteToken, Vec<Write>)>,
    /// How many batches have reached it.
    pub syncs: u64,
}

impl Disk {
    /// Takes a batch; it is durable once [`Disk::sync`] is called.
    pub fn write(&mut self, token: WriteToken, writes: Vec<Write>) {
        self.pending.push_back((token, writes));
    }

    /// The oldest batch reaches the disk.
    pub fn sync(&mut self) -> Option<WriteToken> {
        let (token, writes) = self.pending.pop_front()?;
        for write in writes {
            self.apply(write);
        }
        self.syncs += 1;
        Some(token)
    }

    /// The host loses power, or its agent dies: what was on its way is lost.
    pub fn crash(&mut self) {
        self.pending.clear();
    }

    /// All that is durable.
    pub fn stored(&self) -> Stored {
        Stored {
            records: self.records.values().cloned().collect(),
            cells: self.cells.iter().map(|(cell, value)| (*cell, value.clone())).collect(),
        }
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::PutRecord { key, record } => drop(self.records.insert(key, record)),
            Write::DeleteRecord { key } => drop(self.records.remove(&key)),
            Write::PutCell { cell, value } => drop(self.cells.insert(cell, value)),
            Write::Wipe => {
                self.records.clear();
                self.cells.clear();
            }
        }
    }
}
