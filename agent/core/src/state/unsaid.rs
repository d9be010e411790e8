//! What stood here, and was written before its author knew that its role was gone, until it is said again.
//!
//! Such words are void, so they stand nowhere; but people were told that they are done, and on how many disks.
//! So each of these keeps them, and gives them to peers with every comparison, until what stands in their
//! place is as new. If what took them away falls itself, they stand again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::durable::Write;
use sleep_wire::key::MembershipKey;
use sleep_wire::record::Batch;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::Role;
use sleep_wire::{Key, NodeId};

use super::entry::{Entry, Fact};
use super::intake::ASIDE_FAMILY;
use super::push::batches;
use super::store::Store;

/// The first byte of a stored value that is such a word, as no record begins with it, and the second of its
/// key, as no family has it: under the same key something else may be kept aside.
const MARK: u8 = 0xfe;

#[derive(Debug, Default)]
pub(crate) struct Unsaid(BTreeMap<Key, Arc<Entry>>);

impl Unsaid {
    /// What stood here and is void now, unless something newer under its key waits already: it stood before,
    /// and an older one since.
    pub(crate) fn add(&mut self, entry: &Arc<Entry>) -> Option<Write> {
        let key = entry.key().filter(|_| is_word(entry))?;
        if self.0.get(key).is_some_and(|waits| waits.stamp() > entry.stamp()) {
            return None;
        }
        self.0.insert(key.clone(), Arc::clone(entry));
        Some(Write::PutRecord { key: place(entry), record: [&[MARK], entry.bytes()].concat() })
    }

    /// The bytes of the word that a stored value is, if it is one.
    pub(crate) fn stored(value: &[u8]) -> Option<&[u8]> {
        value.strip_prefix(&[MARK])
    }

    /// Takes over what was stored.
    pub(crate) fn restore(&mut self, entry: Arc<Entry>) {
        if let Some(key) = entry.key() {
            self.0.insert(key.clone(), entry);
        }
    }

    /// Forgets what is said by what stands now, and what is before the horizon.
    pub(crate) fn settle(&mut self, store: &Store, gc_before_ms: u64) -> Vec<Write> {
        let is_old = |entry: &Entry| entry.time().is_some_and(|time| time.ms() < gc_before_ms);
        let is_over = |entry: &Entry| is_old(entry) || is_said(store, entry);
        let mut writes = Vec::new();
        self.0.retain(|_, entry| {
            let over = is_over(entry);
            if over {
                writes.push(Write::DeleteRecord { key: place(entry) });
            }
            !over
        });
        writes
    }

    /// When the last of them was written.
    pub(crate) fn time(&self) -> ClusterTime {
        self.0.values().filter_map(|entry| entry.time()).max().unwrap_or(ClusterTime::ZERO)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.values()
    }

    /// All of it, as messages carry it.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        batches(self.0.values())
    }
}

/// Whether a record is said again by others if its author's role is gone: what people want, and who may join
/// and write, on which others' words rest. Nothing rests on a demotion or a removal.
pub(crate) fn is_word(entry: &Entry) -> bool {
    match entry.fact() {
        Fact::Admission(_) => true,
        Fact::Role(change) => change.role == Role::Control,
        _ => matches!(entry.key(), Some(Key::Desired(_))),
    }
}

/// Whether what a void word said stands, or something newer in its place.
pub(crate) fn is_said(store: &Store, void: &Entry) -> bool {
    let Some(key) = void.key() else { return true };
    let about = |of: fn(NodeId, [u8; 8]) -> MembershipKey, node: NodeId| {
        let keys = Key::Membership(of(node, [0; 8]))..=Key::Membership(of(node, [0xff; 8]));
        store.range(keys).map(|(_, entry)| entry)
    };
    match key {
        Key::Membership(MembershipKey::Admission { node, .. }) => {
            about(|node, entry| MembershipKey::Admission { node, entry }, *node).next().is_some()
        }
        Key::Membership(MembershipKey::Role { node, .. }) => {
            about(|node, entry| MembershipKey::Role { node, entry }, *node)
                .any(|entry| entry.stamp() >= void.stamp())
        }
        _ => store.get(key).is_some_and(|entry| entry.stamp() >= void.stamp()),
    }
}

fn place(entry: &Entry) -> Vec<u8> {
    [&[ASIDE_FAMILY, MARK], entry.key_bytes().as_slice()].concat()
}
