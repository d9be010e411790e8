//! What this node wrote before it knew that its role was gone, until others have said it again.
//!
//! Such words are void, so they stand nowhere; but people were told that they are done. They are kept on disk
//! and given to peers with every comparison, until what stands in their place is as new.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::Key;
use sleep_wire::durable::Write;
use sleep_wire::key::MembershipKey;
use sleep_wire::record::Batch;
use sleep_wire::trust::Role;

use super::entry::{Entry, Fact};
use super::push::BATCH_LIMIT;

/// The first byte of a stored value that is such a word: no record begins with it.
const MARK: u8 = 0xfe;

/// The first byte of the key of such a value: no family has it.
const FAMILY: u8 = 0;

#[derive(Debug, Default)]
pub(crate) struct Unsaid(BTreeMap<Key, Arc<Entry>>);

impl Unsaid {
    /// What was written here and is void now.
    pub(crate) fn add(&mut self, entry: &Arc<Entry>) -> Option<Write> {
        let key = entry.key().filter(|_| is_word(entry))?;
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

    /// Forgets what is said by these, which stand now, and what is before the horizon.
    pub(crate) fn settle(&mut self, merged: &[Arc<Entry>], gc_before_ms: u64) -> Vec<Write> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let is_old = |entry: &Entry| entry.time().is_some_and(|time| time.ms() < gc_before_ms);
        let is_over = |entry: &Entry| is_old(entry) || merged.iter().any(|other| says(other, entry));
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.values()
    }

    /// All of it, as messages carry it.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        let (mut batches, mut filled) = (Vec::<Batch>::new(), BATCH_LIMIT);
        for entry in self.0.values() {
            let len = entry.bytes().len();
            if filled + len > BATCH_LIMIT {
                batches.push(Batch::default());
                filled = 0;
            }
            filled += len;
            if let Some(batch) = batches.last_mut() {
                batch.records.push(entry.bytes().to_vec());
            }
        }
        batches
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

/// Whether a record that stands says what a void one said, or something newer.
fn says(stands: &Entry, void: &Entry) -> bool {
    match (stands.key(), void.key()) {
        (
            Some(Key::Membership(MembershipKey::Admission { node, .. })),
            Some(Key::Membership(MembershipKey::Admission { node: other, .. })),
        ) => node == other,
        (
            Some(Key::Membership(MembershipKey::Role { node, .. })),
            Some(Key::Membership(MembershipKey::Role { node: other, .. })),
        ) => node == other && stands.stamp() >= void.stamp(),
        (stands_at, void_at) => stands_at == void_at && stands.stamp() >= void.stamp(),
    }
}

fn place(entry: &Entry) -> Vec<u8> {
    [&[FAMILY], entry.key_bytes().as_slice()].concat()
}
