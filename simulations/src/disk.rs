//! One host's disk: what was asked for is durable after a while, and a crash loses what was not.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sleep_core::io::WriteToken;
use sleep_wire::durable::{Cell, Stored, Write};
use sleep_wire::key::MembershipKey;
use sleep_wire::{Key, NodeId, Record, Wire, decode};

/// A disk, and the writes that are on their way to it.
#[derive(Debug, Default)]
pub struct Disk {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    cells: BTreeMap<Cell, Vec<u8>>,
    pending: VecDeque<(WriteToken, Rc<Vec<Write>>)>,
    /// How many batches have reached it.
    pub syncs: u64,
    /// Until when none does, in microseconds of the world.
    pub stalled_until: u64,
    /// The next batch fails.
    fails_next: Option<Failing>,
    /// For how many reasons there is no room on it: as long as there is one, every batch fails.
    full: u32,
    /// All that ever reached it and when, if that is remembered.
    history: Option<Vec<(u64, Write)>>,
}

/// How soon a service manager starts an agent again that ended: `agent/sleepd.service` says so.
const RESTARTS_AFTER: u64 = 1_000_000;

/// How a void word begins that waits to be said again: no record does.
const UNSAID: u8 = 0xfe;

/// How a write fails.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    /// Whether it is on the disk all the same.
    pub written: bool,
    /// When the agent, which ends of it, is started again, in microseconds from then.
    pub back_after: u64,
}

/// What came of a write.
#[derive(Debug)]
pub struct Synced {
    /// Which.
    pub token: WriteToken,
    /// How it failed, if it did.
    pub failed: Option<Failing>,
    /// And why, in the operating system's words.
    pub why: &'static str,
}

impl Disk {
    /// Takes a batch; it is durable once [`Disk::sync`] is called.
    pub fn write(&mut self, token: WriteToken, writes: impl Into<Rc<Vec<Write>>>) {
        self.pending.push_back((token, writes.into()));
    }

    /// Remembers from the beginning what it held when: somebody will want it as it was.
    pub fn remember(&mut self) {
        self.history.get_or_insert_default();
    }

    /// The oldest batch reaches the disk, or fails to.
    pub fn sync(&mut self, now: u64) -> Option<Synced> {
        let (token, writes) = self.pending.pop_front()?;
        let full = Failing { written: false, back_after: RESTARTS_AFTER };
        let (failed, why) = if self.full > 0 {
            (Some(full), "no space left on device")
        } else {
            (self.fails_next.take(), "input/output error")
        };
        if failed.is_none_or(|failing| failing.written) {
            for write in Rc::unwrap_or_clone(writes) {
                self.put(now, write);
            }
        }
        self.syncs += 1;
        Some(Synced { token, failed, why })
    }

    /// The next batch fails.
    pub const fn fail_next(&mut self, failing: Failing) {
        self.fails_next = Some(failing);
    }

    /// There is no room on it any more, until there is again as often as this was said.
    pub const fn fill(&mut self) {
        self.full += 1;
    }

    /// There is room again, as far as one reason goes.
    pub const fn make_room(&mut self) {
        self.full = self.full.saturating_sub(1);
    }

    /// Every batch succeeds from now on.
    pub const fn be_well(&mut self) {
        self.fails_next = None;
        self.full = 0;
    }

    /// The host loses power, or its agent dies: what was on its way is lost.
    pub fn crash(&mut self) {
        self.pending.clear();
    }

    /// The durable record of a key.
    pub fn record(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.get(key).map(Vec::as_slice)
    }

    /// The record of a key as its agent last wrote it, durable or not.
    pub fn latest(&self, wanted: &[u8]) -> Option<&[u8]> {
        for write in self.pending.iter().rev().flat_map(|(_, writes)| writes.iter().rev()) {
            match write {
                Write::PutRecord { key, record } if key == wanted => return Some(record),
                Write::DeleteRecord { key } if key == wanted => return None,
                Write::Wipe => return None,
                Write::PutRecord { .. } | Write::DeleteRecord { .. } | Write::PutCell { .. } => {}
            }
        }
        self.record(wanted)
    }

    /// Every durable record.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.records.iter().map(|(key, record)| (key.as_slice(), record.as_slice()))
    }

    /// Whether what is written under a key takes no part, and is only kept.
    pub fn is_aside(key: &[u8]) -> bool {
        key.first() == Some(&0)
    }

    /// The key of a record, or of the void word that is kept under this one.
    pub fn word_of(key: &[u8]) -> &[u8] {
        key.strip_prefix(&[0, UNSAID]).unwrap_or(key)
    }

    /// The void word under a key that is kept until others have said it again.
    pub fn unsaid(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.get([&[0, UNSAID], key].concat().as_slice())?.strip_prefix(&[UNSAID])
    }

    /// Every durable record, and every void word, without its mark.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.records.values().map(|bytes| bytes.strip_prefix(&[UNSAID]).unwrap_or(bytes))
    }

    /// The durable records that say that a node was removed.
    pub fn removals(&self, of: NodeId) -> impl Iterator<Item = &[u8]> {
        self.membership(move |key| matches!(key, MembershipKey::Removal { node, .. } if node == of))
    }

    fn membership(&self, wanted: impl Fn(MembershipKey) -> bool) -> impl Iterator<Item = &[u8]> {
        let records = self.records().filter(move |(key, _)| match Key::from_bytes(key) {
            Ok(Some(Key::Membership(key))) => wanted(key),
            _other => false,
        });
        records.map(|(_, record)| record)
    }

    /// A cell's durable value.
    pub fn cell<T: Wire>(&self, cell: Cell) -> Option<T> {
        decode(self.cells.get(&cell)?).ok()
    }

    /// All that is durable.
    pub fn stored(&self) -> Stored {
        Stored {
            records: self.records.values().cloned().collect(),
            cells: self.cells.iter().map(|(cell, value)| (*cell, value.clone())).collect(),
        }
    }

    /// Somebody was at it while the agent was not running: this is all that it holds now.
    pub fn restore(&mut self, stored: Stored) {
        let key = |bytes: &[u8]| decode::<Record>(bytes).map_or_else(|_| bytes.to_vec(), |record| record.key);
        self.records = stored.records.into_iter().map(|bytes| (key(&bytes), bytes)).collect();
        self.cells = stored.cells.into_iter().collect();
        self.syncs += 1;
    }

    /// It is as it was at a moment, if that is remembered.
    pub fn go_back(&mut self, to: u64) {
        let Some(mut history) = self.history.take() else { return };
        history.retain(|(at, _)| *at <= to);
        self.empty();
        for (_, write) in &history {
            self.apply(write.clone());
        }
        self.history = Some(history);
    }

    /// There is another in its place, with nothing on it.
    pub fn empty(&mut self) {
        self.pending.clear();
        self.records.clear();
        self.cells.clear();
        self.history = self.history.take().map(|_| Vec::new());
        self.syncs += 1;
    }

    /// A cell's durable bytes.
    pub fn cell_bytes(&self, cell: Cell) -> Option<Vec<u8>> {
        self.cells.get(&cell).cloned()
    }

    /// Something is written at once, by nobody's agent.
    pub fn put(&mut self, now: u64, write: Write) {
        if let Some(history) = &mut self.history {
            history.push((now, write.clone()));
        }
        self.apply(write);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(value: u8) -> Vec<Write> {
        vec![Write::PutCell { cell: Cell::Fence, value: vec![value] }]
    }

    /// Nothing is on a disk that was full when it was written, and all is that was written with room.
    #[test]
    fn a_full_disk_takes_nothing() {
        let mut disk = Disk::default();
        let write = |disk: &mut Disk, value: u8| {
            disk.write(WriteToken(value.into()), fence(value));
            disk.sync(0).is_some_and(|synced| synced.failed.is_some())
        };
        disk.fill();
        disk.fill();
        assert!(write(&mut disk, 1));
        disk.make_room();
        assert!(write(&mut disk, 2));
        assert_eq!(disk.cell_bytes(Cell::Fence), None);
        disk.make_room();
        assert!(!write(&mut disk, 3));
        assert_eq!(disk.cell_bytes(Cell::Fence), Some(vec![3]));
    }

    /// What was on its way when it went back never arrives, and it goes on from there.
    #[test]
    fn a_disk_goes_back_to_any_moment() {
        let mut disk = Disk::default();
        disk.remember();
        for (at, value) in [(10, 1), (20, 2), (30, 3)] {
            disk.write(WriteToken(at), fence(value));
            disk.sync(at);
        }
        disk.write(WriteToken(40), fence(4));
        disk.go_back(25);
        assert_eq!((disk.cell_bytes(Cell::Fence), disk.sync(50).is_none()), (Some(vec![2]), true));
        disk.write(WriteToken(60), fence(6));
        disk.sync(60);
        disk.go_back(55);
        assert_eq!(disk.cell_bytes(Cell::Fence), Some(vec![2]));
        disk.go_back(5);
        assert_eq!(disk.cell_bytes(Cell::Fence), None);
    }
}
