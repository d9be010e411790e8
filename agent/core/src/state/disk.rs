//! What is on its way to the local disk, and who waits for it.
//!
//! # Invariants
//! - `durable_before_it_leaves`: a record of this node leaves it only after the write that holds it is
//!   durable.
//! - `acked_is_durable`: a push is acknowledged only after every record of it, or a newer one, is durable.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::{Digest, NodeId};

use super::entry::Entry;

/// An acknowledgement that a peer is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The last write that it rests on.
    pub(crate) token: u64,
    /// To whom.
    pub(crate) peer: NodeId,
    /// As the peer named it.
    pub(crate) ack: u64,
}

/// The most acknowledgements owed at a time; a peer that gets none asks another.
const OWED: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    last: u64,
    writing: BTreeMap<u64, Batch>,
    pending: BTreeMap<Digest, u64>,
    held_back: BTreeSet<Digest>,
    owed: Vec<Owed>,
}

#[derive(Debug)]
struct Batch {
    hashes: Vec<Digest>,
    leaving: Vec<Arc<Entry>>,
    quiet: bool,
}

impl Disk {
    /// Names a write. `leaving` are those of its records that may leave this node once it is durable; `quiet`
    /// if they are offered to peers in another way than by [`Disk::finish`].
    pub(crate) fn begin(&mut self, entries: &[Arc<Entry>], leaving: Vec<Arc<Entry>>, quiet: bool) -> u64 {
        self.last += 1;
        let hashes: Vec<Digest> = entries.iter().map(|entry| entry.hash()).collect();
        self.pending.extend(hashes.iter().map(|hash| (*hash, self.last)));
        self.held_back.extend(leaving.iter().map(|entry| entry.hash()));
        self.writing.insert(self.last, Batch { hashes, leaving, quiet });
        self.last
    }

    /// A write is durable: these records are to be pushed now.
    pub(crate) fn finish(&mut self, token: u64) -> Vec<Arc<Entry>> {
        let Some(batch) = self.writing.remove(&token) else { return Vec::new() };
        for hash in &batch.hashes {
            if self.pending.get(hash) == Some(&token) {
                self.pending.remove(hash);
            }
        }
        for entry in &batch.leaving {
            self.held_back.remove(&entry.hash());
        }
        if batch.quiet { Vec::new() } else { batch.leaving }
    }

    /// Whether a record must not leave yet.
    pub(crate) fn holds_back(&self, entry: &Entry) -> bool {
        self.held_back.contains(&entry.hash())
    }

    /// The write that a record waits for, if it is not durable.
    pub(crate) fn waits_for(&self, entry: &Entry) -> Option<u64> {
        self.pending.get(&entry.hash()).copied()
    }

    /// Whether every record is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// What this node wrote of its own and is not durable yet.
    pub(crate) fn leaving(&self) -> Vec<Arc<Entry>> {
        self.writing.values().flat_map(|batch| batch.leaving.iter().cloned()).collect()
    }

    /// Whether every write up to this one is durable.
    pub(crate) fn is_durable(&self, token: u64) -> bool {
        self.writing.first_key_value().is_none_or(|(oldest, _)| *oldest > token)
    }

    /// Remembers that a peer is owed an acknowledgement.
    pub(crate) fn owe(&mut self, owed: Owed) {
        if self.owed.len() < OWED {
            self.owed.push(owed);
        }
    }

    /// Acknowledgements that can be given now.
    pub(crate) fn due(&mut self) -> Vec<Owed> {
        let owed = core::mem::take(&mut self.owed);
        let (due, later) = owed.into_iter().partition(|owed| self.is_durable(owed.token));
        self.owed = later;
        due
    }
}
