//! Which record stands under each key.
//!
//! ```text
//! bytes ── read ──▶ Entry ── held already? ──▶ Same | Older
//!                              │ no
//!                              ▼
//!                            judged ──▶ Refused | Unknown
//!                              │ valid
//!                              ▼
//!                            Merged: stands under its key, counted in the trie, named in the changes
//! ```
//! # Invariants
//! - `merge_is_a_semilattice`: of two records of a key the one with the greater stamp stands, of equal stamps
//!   the one with the greater bytes; so merging is commutative, associative and idempotent.
//! - `equal_sets_equal_sums`: the trie's sums are a function of the records that stand.
//!
//! # Not here
//! Disk, peers, timers. Whether a record is valid: [`super::Judge`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeBounds;

use sleep_wire::key::DesiredKey;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::{Digest, Epoch, Key, NodeId, ServiceId, Stamp};

use super::commands::Commands;
use super::entry::{Entry, Fact, Place, Unread};
use super::tasks::Tasks;
use super::trie::Trie;

/// How many records under keys of later releases are kept: those whose keys have the smallest hashes.
/// Choosing by hash keeps merging a semilattice: whichever order they come in, the same ones stay.
pub const FOREIGN_QUOTA: usize = 1_024;

/// How many of them are kept of what one node says of itself: no member takes the room of others.
pub const REPORTS_QUOTA: usize = 64;

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It stands.
    Merged,
    /// What stands under its key is newer.
    Older,
    /// It stood already.
    Same,
    /// It is not valid, or not readable.
    Refused(&'static str),
    /// Its author is not a member yet, as far as this node knows.
    Unknown,
}

/// What merging changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// The record stands now; the second one gave way for want of room, not to it.
    Stands(Option<Arc<Entry>>),
    /// There is no room for it.
    NoRoom,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Entry {}

#[derive(Debug)]
pub(crate) struct Store {
    known: BTreeMap<Key, Arc<Entry>>,
    /// By whose report it is, if it is one's, and the key's hash.
    foreign: BTreeMap<Option<NodeId>, BTreeMap<Digest, Arc<Entry>>>,
    trie: Trie,
    authors: BTreeMap<NodeId, u32>,
    commands: Commands,
    tasks: Tasks,
    names: BTreeMap<String, BTreeSet<(Stamp, ServiceId)>>,
    changes: BTreeSet<Key>,
    time: ClusterTime,
    epoch: Epoch,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            foreign: BTreeMap::new(),
            trie: Trie::new(),
            authors: BTreeMap::new(),
            commands: Commands::default(),
            tasks: Tasks::default(),
            names: BTreeMap::new(),
            changes: BTreeSet::new(),
            time: ClusterTime::ZERO,
            epoch: Epoch::ZERO,
        }
    }

    /// What stands under a key.
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.known.get(key)
    }

    /// What stands in a record's place.
    pub(crate) fn at(&self, place: &Place) -> Option<&Arc<Entry>> {
        match place {
            Place::Known(key) => self.known.get(key),
            Place::Foreign(Unread { of, key }) => self.foreign.get(of)?.get(key),
        }
    }

    /// What stands under the keys of a range, in the order of keys.
    pub(crate) fn range(
        &self,
        keys: impl RangeBounds<Key>,
    ) -> impl DoubleEndedIterator<Item = (&Key, &Arc<Entry>)> {
        self.known.range(keys)
    }

    /// Everything, known families first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.known.values().chain(self.foreign.values().flat_map(BTreeMap::values))
    }

    pub(crate) const fn trie(&self) -> &Trie {
        &self.trie
    }

    pub(crate) const fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(crate) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The greatest cluster time of any record that ever stood here.
    pub(crate) const fn time(&self) -> ClusterTime {
        self.time
    }

    /// The greatest epoch of any record that ever stood here.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether any record of this author stands.
    pub(crate) fn has_records_of(&self, author: &NodeId) -> bool {
        self.authors.contains_key(author)
    }

    /// Keys under which something changed since the last call.
    pub(crate) fn take_changes(&mut self) -> BTreeSet<Key> {
        core::mem::take(&mut self.changes)
    }

    /// How a record compares with what stands in its place; `None` if it would take that place.
    pub(crate) fn compare(&self, entry: &Entry) -> Option<Receipt> {
        let held = self.at(entry.place())?;
        if held.hash() == entry.hash() {
            Some(Receipt::Same)
        } else if entry.supersedes(held) {
            None
        } else {
            Some(Receipt::Older)
        }
    }

    /// Whether a record that [`Store::compare`] let pass would stay.
    pub(crate) fn has_room_for(&self, entry: &Entry) -> bool {
        match entry.place() {
            Place::Known(_) => true,
            Place::Foreign(Unread { of, key }) => self.foreign.get(of).is_none_or(|alike| {
                alike.len() < quota(*of) || alike.last_key_value().is_some_and(|(last, _)| key <= last)
            }),
        }
    }

    /// What stands by some authors.
    pub(crate) fn by(&self, of: impl Fn(&NodeId) -> bool) -> Vec<Arc<Entry>> {
        self.iter().filter(|entry| of(&entry.author())).map(Arc::clone).collect()
    }

    /// The births that claim a name, oldest first, removed services included.
    pub(crate) fn births_named(&self, name: &str) -> impl Iterator<Item = (Stamp, ServiceId)> {
        self.names.get(name).into_iter().flatten().copied()
    }

    /// Puts a record that [`Store::compare`] let pass, and that is valid, in its place.
    pub(crate) fn put(&mut self, entry: Arc<Entry>) -> Merge {
        let given_way = match entry.place().clone() {
            Place::Known(key) => {
                self.changes.insert(key.clone());
                if let Some(before) = self.known.insert(key, Arc::clone(&entry)) {
                    self.forget(&before);
                }
                None
            }
            Place::Foreign(Unread { of, key }) => {
                let alike = self.foreign.entry(of).or_default();
                let before = alike.insert(key, Arc::clone(&entry));
                let over = alike.len() > quota(of);
                let evicted = over.then(|| alike.pop_last()).flatten().map(|(_, evicted)| evicted);
                if let Some(before) = before {
                    self.forget(&before);
                }
                if evicted.as_ref().is_some_and(|evicted| evicted.hash() == entry.hash()) {
                    return Merge::NoRoom;
                }
                if let Some(evicted) = &evicted {
                    self.forget(evicted);
                }
                evicted
            }
        };
        self.count(&entry);
        self.trie.insert(entry);
        Merge::Stands(given_way)
    }

    /// Takes a record away, if it stands.
    pub(crate) fn take_away(&mut self, entry: &Entry) -> bool {
        if self.at(entry.place()).is_none_or(|held| held.hash() != entry.hash()) {
            return false;
        }
        match entry.place() {
            Place::Known(key) => {
                self.changes.insert(key.clone());
                self.known.remove(key);
            }
            Place::Foreign(Unread { of, key }) => {
                if let Some(alike) = self.foreign.get_mut(of) {
                    alike.remove(key);
                }
            }
        }
        self.forget(entry);
        true
    }

    fn count(&mut self, entry: &Arc<Entry>) {
        self.tasks.insert(entry);
        *self.authors.entry(entry.author()).or_insert(0) += 1;
        match entry.stamp() {
            Stamp::Time { time, .. } => self.time = self.time.max(time),
            Stamp::Lease { epoch, .. } => self.epoch = self.epoch.max(epoch),
            Stamp::Boot { .. } => {}
        }
        if let Some((service, name)) = named(entry) {
            self.names.entry(name.into()).or_default().insert((entry.stamp(), service));
        }
        if let (Some(used), Some(at)) = (entry.used(), entry.time()) {
            self.commands.remember(used, at.ms(), self.time.ms());
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.trie.remove(entry);
        self.tasks.remove(entry);
        if let Some((service, name)) = named(entry)
            && let Some(claims) = self.names.get_mut(name)
        {
            claims.remove(&(entry.stamp(), service));
            if claims.is_empty() {
                self.names.remove(name);
            }
        }
        if let Some(count) = self.authors.get_mut(&entry.author()) {
            *count -= 1;
            if *count == 0 {
                self.authors.remove(&entry.author());
            }
        }
    }
}

/// How many records under unread keys are kept of this kind.
const fn quota(of: Option<NodeId>) -> usize {
    if of.is_some() { REPORTS_QUOTA } else { FOREIGN_QUOTA }
}

/// The name that a birth claims.
fn named(entry: &Entry) -> Option<(ServiceId, &str)> {
    match (entry.key(), entry.fact()) {
        (Some(Key::Desired(DesiredKey::ServiceBirth { service })), Fact::Birth(birth)) => {
            Some((*service, birth.name.as_str()))
        }
        _other => None,
    }
}
