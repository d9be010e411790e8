//! Everything else that stands, typed: slots, tasks, nodes, tokens. Each view is a scan over the keys
//! concerned.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use sleep_wire::key::{DesiredKey, IslandKey, MembershipKey, ObservedKey, SlotKey};
use sleep_wire::node::{Availability, NodeFacts, NodeImages, NodeIntent};
use sleep_wire::slot::Slot;
use sleep_wire::task::TaskStatus;
use sleep_wire::trust::{JoinToken, OperatorAdmission};
use sleep_wire::{Key, NodeId, ServiceId, SlotName, Stamp, TokenId};

use super::State;
use super::entry::{Entry, Fact};
use super::tasks::Told;

/// What a slot's record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView<'a> {
    /// Which slot.
    pub key: SlotKey,
    /// Orders it against another record of the slot.
    pub stamp: Stamp,
    /// Who wrote it.
    pub author: NodeId,
    /// What it says.
    pub slot: &'a Slot,
}

/// What a node says of one of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskView<'a> {
    /// Whose task.
    pub node: NodeId,
    /// Which slot it fills.
    pub slot: SlotKey,
    /// Its place in the slot's history on that node.
    pub place: u8,
    /// Orders it against other reports of that node.
    pub stamp: Stamp,
    /// What it says.
    pub status: &'a TaskStatus,
}

impl State {
    /// The record under a key.
    pub fn record(&self, key: &Key) -> Option<&Entry> {
        self.store.get(key).map(|entry| &**entry)
    }

    /// Every record of membership: what the trust room rests on. In the order of keys, not of time.
    pub fn membership_records(&self) -> impl Iterator<Item = &Entry> {
        let first = MembershipKey::Admission { node: NodeId([0; 16]), entry: [0; 8] };
        let last = MembershipKey::OperatorRemoval { operator: NodeId([255; 16]), entry: [255; 8] };
        self.entries(Key::Membership(first)..=Key::Membership(last)).map(|(_, entry)| entry)
    }

    /// Operators' admissions, whether or not they count: whose, by whom, and what they say.
    pub fn operators(&self) -> impl Iterator<Item = (NodeId, NodeId, &OperatorAdmission)> {
        let of = |id| Key::Membership(MembershipKey::Operator { operator: NodeId([id; 16]), entry: [id; 8] });
        self.entries(of(0)..=of(255)).filter_map(|(key, entry)| match (key, entry.fact()) {
            (Key::Membership(MembershipKey::Operator { operator, .. }), Fact::Operator(fact)) => {
                Some((*operator, entry.author(), fact))
            }
            _sealed => None,
        })
    }

    /// Every record, those of unknown families last.
    pub fn records(&self) -> impl Iterator<Item = &Entry> {
        self.store.iter().map(|entry| &**entry)
    }

    /// Those that these wrote. Who has written nothing is not looked for.
    pub fn records_by(&self, authors: &BTreeSet<NodeId>) -> impl Iterator<Item = &Arc<Entry>> {
        let of: BTreeSet<NodeId> =
            authors.iter().filter(|author| self.store.has_records_of(author)).copied().collect();
        let some = (!of.is_empty()).then(|| self.store.iter());
        some.into_iter().flatten().filter(move |entry| of.contains(&entry.author()))
    }

    /// The same, as nodes share them that were sent equal bytes.
    pub fn shared(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.store.iter()
    }

    /// What the quorum's holder says of a slot.
    pub fn slot(&self, key: SlotKey) -> Option<SlotView<'_>> {
        slot_view(key, self.store.get(&Key::Slot(key))?)
    }

    /// Every slot of a service, whether the service stands or not.
    pub fn slots_of(&self, service: ServiceId) -> impl Iterator<Item = SlotView<'_>> {
        self.slots_in(SlotKey { service, slot: SlotName::FIRST }..=SlotKey { service, slot: SlotName::LAST })
    }

    /// Every slot.
    pub fn slots(&self) -> impl Iterator<Item = SlotView<'_>> {
        let (first, last) = all_slots();
        self.slots_in(first..=last)
    }

    fn slots_in(&self, keys: RangeInclusive<SlotKey>) -> impl Iterator<Item = SlotView<'_>> {
        let (first, last) = keys.into_inner();
        self.entries(Key::Slot(first)..=Key::Slot(last)).filter_map(|(key, entry)| match key {
            Key::Slot(key) => slot_view(*key, entry),
            _other => None,
        })
    }

    /// What island planners say of a slot, by planner.
    pub fn island_slots(&self, slot: SlotKey) -> impl Iterator<Item = SlotView<'_>> {
        let of = |author| Key::Island(IslandKey { slot, author });
        self.entries(of(NodeId([0; 16]))..=of(NodeId([255; 16])))
            .filter_map(move |(_, entry)| slot_view(slot, entry))
    }

    /// Everything that island planners say.
    pub fn islands(&self) -> impl Iterator<Item = SlotView<'_>> {
        let (first, last) = all_slots();
        let first = Key::Island(IslandKey { slot: first, author: NodeId([0; 16]) });
        let last = Key::Island(IslandKey { slot: last, author: NodeId([255; 16]) });
        self.entries(first..=last).filter_map(|(key, entry)| match key {
            Key::Island(key) => slot_view(key.slot, entry),
            _other => None,
        })
    }

    /// What a node says of itself.
    pub fn facts(&self, node: NodeId) -> Option<&NodeFacts> {
        match self.record(&Key::Observed(ObservedKey::Facts { node }))?.fact() {
            Fact::Facts(facts) => Some(facts),
            _sealed => None,
        }
    }

    /// Which images a node holds.
    pub fn images(&self, node: NodeId) -> Option<&NodeImages> {
        match self.record(&Key::Observed(ObservedKey::Images { node }))?.fact() {
            Fact::Images(images) => Some(images),
            _sealed => None,
        }
    }

    /// What people want of a node, if they ever said.
    pub fn intent(&self, node: NodeId) -> Option<&NodeIntent> {
        match self.record(&Key::Desired(DesiredKey::NodeAvailability { node }))?.fact() {
            Fact::Intent(intent) => Some(intent),
            _sealed => None,
        }
    }

    /// Whether a node takes work: it does unless somebody said otherwise.
    pub fn availability(&self, node: NodeId) -> Availability {
        self.intent(node).map_or(Availability::Active, |intent| intent.availability)
    }

    /// The labels that people gave a node, by name.
    pub fn labels(&self, node: NodeId) -> impl Iterator<Item = (&str, &str)> {
        let first = Key::Desired(DesiredKey::NodeLabel { node, label: String::new() });
        let theirs = self.store.range(first..).map_while(move |(key, entry)| match key {
            Key::Desired(DesiredKey::NodeLabel { node: of, label }) if *of == node => Some((label, entry)),
            _another => None,
        });
        theirs.filter_map(|(label, entry)| match entry.fact() {
            Fact::Label(fact) => Some((label.as_str(), fact.value.as_deref()?)),
            _sealed => None,
        })
    }

    /// Every task that a node reports, by slot.
    pub fn tasks_on(&self, node: NodeId) -> impl Iterator<Item = TaskView<'_>> {
        let (first, last) = task_keys(node);
        self.last_words(first..=last)
    }

    /// The tasks of a slot that a node reports.
    pub fn tasks_at(&self, node: NodeId, slot: SlotKey) -> impl Iterator<Item = TaskView<'_>> {
        self.store.tasks().at(node, slot).filter_map(told_view)
    }

    /// Every slot of a service that has a record, or of which any node reports a task.
    pub fn slots_known_of(&self, service: ServiceId) -> BTreeSet<SlotKey> {
        let written = self.slots_of(service).map(|view| view.key);
        written.chain(self.store.tasks().slots_of(service)).collect()
    }

    /// Every task of a slot that any node reports, by node.
    pub fn tasks_of(&self, slot: SlotKey) -> impl Iterator<Item = TaskView<'_>> {
        self.store.tasks().of_slot(slot).filter_map(told_view)
    }

    /// Those of them that a plan may rest on, if this is the slot's record: all that are not over or failed,
    /// and every attempt at an assignment of which one is not over, or which the record names. By node.
    pub fn tasks_that_count(
        &self,
        slot: SlotKey,
        record: Option<&Slot>,
    ) -> impl Iterator<Item = TaskView<'_>> {
        self.store.tasks().that_count(slot, record).filter_map(told_view)
    }

    /// The services of which some node reports a task that is not over, removed ones included.
    pub fn running(&self) -> impl Iterator<Item = ServiceId> {
        self.store.tasks().running()
    }

    /// Every task that any node reports, by node.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView<'_>> {
        let ((first, _), (_, last)) = (task_keys(NodeId([0; 16])), task_keys(NodeId([255; 16])));
        self.last_words(first..=last)
    }

    /// The tasks under some keys, each as its node told of it last.
    fn last_words(&self, keys: RangeInclusive<Key>) -> impl Iterator<Item = TaskView<'_>> {
        let told = self.entries(keys).filter_map(|(key, entry)| task_view(key, entry));
        told.filter(|task| self.store.tasks().is_last_word(task.node, task.slot, task.place))
    }

    /// Every join token, revoked and expired ones included.
    pub fn join_tokens(&self) -> impl Iterator<Item = (TokenId, &JoinToken)> {
        let of = |token| Key::Desired(DesiredKey::JoinToken { token });
        self.entries(of(TokenId([0; 16]))..=of(TokenId([255; 16]))).filter_map(|(key, entry)| {
            match (key, entry.fact()) {
                (Key::Desired(DesiredKey::JoinToken { token }), Fact::Token(fact)) => Some((*token, fact)),
                _sealed => None,
            }
        })
    }

    /// The greatest boot of a node that any of its reports names: its disk is old if it believes in a lower
    /// one.
    pub fn highest_boot(&self, node: NodeId) -> Option<u64> {
        let facts = Key::Observed(ObservedKey::Facts { node });
        let images = Key::Observed(ObservedKey::Images { node });
        let (first, last) = task_keys(node);
        let entries = self.entries(facts.clone()..=facts);
        let entries = entries.chain(self.entries(first..=last)).chain(self.entries(images.clone()..=images));
        entries
            .filter_map(|(_, entry)| match entry.stamp() {
                Stamp::Boot { boot, .. } => Some(boot),
                Stamp::Time { .. } | Stamp::Lease { .. } => None,
            })
            .max()
    }

    /// Tombstones stamped earlier than this, in milliseconds of cluster time, are gone.
    pub const fn gc_before_ms(&self) -> u64 {
        self.progress.gc_before_ms()
    }

    /// Slot records, and a node's own reports, as a new holder's roll call is answered.
    pub fn roll(&self) -> Vec<Vec<u8>> {
        let (first, last) = all_slots();
        let slots = self.entries(Key::Slot(first)..=Key::Slot(last));
        let (first, last) = task_keys(self.me);
        let tasks = self.entries(first..=last);
        slots
            .chain(tasks)
            .filter(|(_, entry)| !self.disk.holds_back(entry))
            .map(|(_, entry)| entry.bytes().to_vec())
            .collect()
    }

    fn entries(&self, keys: RangeInclusive<Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        self.store.range(keys).map(|(key, entry)| (key, &**entry))
    }
}

fn slot_view(key: SlotKey, entry: &Entry) -> Option<SlotView<'_>> {
    match entry.fact() {
        Fact::Slot(slot) => Some(SlotView { key, stamp: entry.stamp(), author: entry.author(), slot }),
        _sealed => None,
    }
}

fn told_view(told: &Told) -> Option<TaskView<'_>> {
    task_view(told.entry().key()?, told.entry())
}

fn task_view<'a>(key: &Key, entry: &'a Entry) -> Option<TaskView<'a>> {
    match (key, entry.fact()) {
        (Key::Observed(ObservedKey::Task { node, slot, place }), Fact::Task(status)) => {
            Some(TaskView { node: *node, slot: *slot, place: *place, stamp: entry.stamp(), status })
        }
        _another_or_sealed => None,
    }
}

const fn all_slots() -> (SlotKey, SlotKey) {
    (
        SlotKey { service: ServiceId([0; 16]), slot: SlotName::FIRST },
        SlotKey { service: ServiceId([255; 16]), slot: SlotName::LAST },
    )
}

/// The first and the last key of a node's tasks.
const fn task_keys(node: NodeId) -> (Key, Key) {
    let (first, last) = all_slots();
    (
        Key::Observed(ObservedKey::Task { node, slot: first, place: 0 }),
        Key::Observed(ObservedKey::Task { node, slot: last, place: u8::MAX }),
    )
}
