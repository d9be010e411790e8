//! What stood here, and was written before its author knew that its role was gone, until it is said again.
//!
//! Such words are void, so they stand nowhere; but people were told that they are done, and on how many
//! disks. So each of these keeps them, and gives them to peers with every comparison, until what stands in
//! their place is as new. If what took them away falls itself, they stand again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use sleep_wire::durable::Write;
use sleep_wire::key::MembershipKey;
use sleep_wire::record::Batch;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::trust::Role;
use sleep_wire::{Key, NodeId};

use super::entry::{Entry, Fact};
use super::horizon::{is_collectable, node_removal};
use super::intake::ASIDE_FAMILY;
use super::judge::{Judge, Verdict};
use super::push::BATCH_LIMIT;
use super::store::Store;

/// The first byte of a stored value that is such a word, as no record begins with it, and the second of its
/// key, as no family has it: under the same key something else may be kept aside.
const MARK: u8 = 0xfe;

/// The most that is given to a peer at a time: as many refusals cost it less than it bears of one peer.
const GIFT: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Unsaid {
    words: BTreeMap<Key, Word>,
    /// Where the next gift begins.
    next: Option<Key>,
}

#[derive(Debug)]
struct Word {
    entry: Arc<Entry>,
    /// What it was worth when it was judged last.
    worth: Verdict,
}

impl Word {
    /// Whether others have any use for it: not if nobody knows its author any more, or its key is in other
    /// hands. What this node wrote itself they are to judge.
    fn is_given(&self, me: NodeId) -> bool {
        self.worth == Verdict::Void || self.entry.author() == me
    }
}

impl Unsaid {
    /// What stood here and does not any more, unless something newer under its key waits already: it stood
    /// before, and an older one since.
    pub(crate) fn add(&mut self, entry: &Arc<Entry>, worth: Verdict) -> Option<Write> {
        let key = entry.key().filter(|_| is_word(entry))?;
        let may_stand = |word: &Word| !matches!(word.worth, Verdict::Invalid(_));
        if self.words.get(key).is_some_and(|word| may_stand(word) && word.entry.stamp() > entry.stamp()) {
            return None;
        }
        self.words.insert(key.clone(), Word { entry: Arc::clone(entry), worth });
        Some(Write::PutRecord { key: place(entry), record: [&[MARK], entry.bytes()].concat() })
    }

    /// The bytes of the word that a stored value is, if it is one.
    pub(crate) fn stored(value: &[u8]) -> Option<&[u8]> {
        value.strip_prefix(&[MARK])
    }

    /// Takes over what was stored. It is judged with everything else before it is given to anybody.
    pub(crate) fn restore(&mut self, entry: Arc<Entry>) {
        if let Some(key) = entry.key().cloned() {
            self.words.insert(key, Word { entry, worth: Verdict::UnknownAuthor });
        }
    }

    /// Judges each anew. Returns those that stand again, and those that are to be said again.
    pub(crate) fn judge(&mut self, me: NodeId, judge: &impl Judge) -> (Vec<Arc<Entry>>, Vec<Arc<Entry>>) {
        let (mut valid, mut to_say) = (Vec::new(), Vec::new());
        for word in self.words.values_mut() {
            word.worth = judge.judge(&word.entry.record());
            if word.worth == Verdict::Valid {
                valid.push(Arc::clone(&word.entry));
            } else if word.is_given(me) {
                to_say.push(Arc::clone(&word.entry));
            }
        }
        (valid, to_say)
    }

    /// Forgets what is said by what stands now, and what is before the horizon.
    pub(crate) fn settle(&mut self, store: &Store, gc_before_ms: u64) -> Vec<Write> {
        let is_over = |entry: &Entry| is_past(store, gc_before_ms, entry) || is_said(store, entry);
        let mut writes = Vec::new();
        self.words.retain(|_, Word { entry, .. }| {
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
        self.iter().filter_map(|entry| entry.time()).max().unwrap_or(ClusterTime::ZERO)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.words.values().map(|word| &word.entry)
    }

    /// Some of it, as a message carries it, and the next time what comes after.
    pub(crate) fn gift(&mut self, me: NodeId) -> Option<Batch> {
        let from = self.next.take().map_or(Bound::Unbounded, Bound::Included);
        let (mut batch, mut len) = (Batch::default(), 0);
        for (key, Word { entry, .. }) in
            self.words.range((from, Bound::Unbounded)).filter(|(_, word)| word.is_given(me))
        {
            if batch.records.len() == GIFT || len + entry.bytes().len() > BATCH_LIMIT {
                self.next = Some(key.clone());
                break;
            }
            len += entry.bytes().len();
            batch.records.push(entry.bytes().to_vec());
        }
        (!batch.records.is_empty()).then_some(batch)
    }
}

/// Whether a void word is not to be said any more: it is before the horizon, or would be gone for good as
/// soon as it were said.
pub(crate) fn is_past(store: &Store, gc_before_ms: u64, void: &Entry) -> bool {
    void.time().is_none_or(|time| time.ms() < gc_before_ms) || is_collectable(store, gc_before_ms, void)
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
            // Nobody promotes a node that was removed.
            node_removal(store, *node).is_some()
                || about(|node, entry| MembershipKey::Role { node, entry }, *node)
                    .any(|entry| entry.stamp() >= void.stamp())
        }
        _ => store.get(key).is_some_and(|entry| entry.stamp() >= void.stamp()),
    }
}

fn place(entry: &Entry) -> Vec<u8> {
    [&[ASIDE_FAMILY, MARK], entry.key_bytes().as_slice()].concat()
}
