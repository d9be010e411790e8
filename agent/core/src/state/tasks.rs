//! What is told of each slot's tasks, whoever tells it.
//!
//! A task's record stands under its node, for a node writes its own; whoever plans asks by slot. Without this
//! every question about a slot would be one to each member, and most of an answer would be of tasks that
//! ended long ago: a node keeps five of each slot that it ever had.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use sleep_wire::key::{ObservedKey, SlotKey};
use sleep_wire::slot::Slot;
use sleep_wire::task::{TaskId, TaskState};
use sleep_wire::{Key, NodeId, ServiceId, Stamp};

use super::entry::{Entry, Fact};
use crate::mutant::{Mutant, is_sown};

/// The records of tasks, by slot.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// Those of one slot by node and place.
    slots: BTreeMap<SlotKey, Vec<Told>>,
    /// How many tasks of a service are told of and not over.
    live: BTreeMap<ServiceId, usize>,
}

/// One task as its node tells of it.
#[derive(Debug)]
pub(crate) struct Told {
    node: NodeId,
    place: u8,
    task: TaskId,
    end: End,
    /// Whether its node has said something of the same task since, under another place: whoever has an older
    /// disk does not know where it said the first.
    repeated: bool,
    entry: Arc<Entry>,
}

/// Whether a task is over, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is not.
    Open,
    /// It failed: that may be held against its node, its slot or its revision.
    Failed,
    /// It was stopped, or did what it was to do.
    Past,
}

impl Told {
    fn of(entry: &Arc<Entry>) -> Option<(SlotKey, Self)> {
        match (entry.key()?, entry.fact()) {
            (Key::Observed(ObservedKey::Task { node, slot, place }), Fact::Task(status)) => {
                let end = match status.state {
                    TaskState::Failed => End::Failed,
                    over if over.is_over() => End::Past,
                    _open => End::Open,
                };
                let (task, entry) = (status.task, Arc::clone(entry));
                Some((*slot, Self { node: *node, place: *place, task, end, repeated: false, entry }))
            }
            _another_or_sealed => None,
        }
    }

    /// The record.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    fn is_open(&self) -> bool {
        self.end == End::Open && !self.repeated
    }

    fn is_repeated_by(&self, other: &Self) -> bool {
        let said = |told: &Self| (told.entry.stamp(), told.place);
        self.task == other.task && said(self) < said(other) && !is_sown(Mutant::OlderWordsCount)
    }
}

impl Tasks {
    /// Takes note of a record that stands now, if it is one of a task.
    pub(crate) fn insert(&mut self, entry: &Arc<Entry>) {
        let Some((slot, told)) = Told::of(entry) else { return };
        self.change(slot, told.node, |of_slot| match find(of_slot, told.node, told.place) {
            Ok(at) => of_slot[at] = told,
            Err(at) => of_slot.insert(at, told),
        });
    }

    /// Forgets a record that stood, if it is one of a task.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        let Some(Key::Observed(ObservedKey::Task { node, slot, place })) = entry.key() else { return };
        self.change(*slot, *node, |of_slot| {
            if let Ok(at) = find(of_slot, *node, *place) {
                of_slot.remove(at);
            }
        });
    }

    /// Changes what a node tells of a slot's tasks.
    fn change(&mut self, slot: SlotKey, node: NodeId, change: impl FnOnce(&mut Vec<Told>)) {
        let open = |told: &[Told]| told.iter().filter(|told| told.is_open()).count();
        let of_slot = self.slots.entry(slot).or_default();
        let before = open(&of_slot[range(of_slot, node)]);
        change(of_slot);
        let of_node = range(of_slot, node);
        for at in of_node.clone() {
            of_slot[at].repeated =
                of_slot[of_node.clone()].iter().any(|other| of_slot[at].is_repeated_by(other));
        }
        let after = open(&of_slot[of_node]);
        if of_slot.is_empty() {
            self.slots.remove(&slot);
        }
        let live = self.live.entry(slot.service).or_insert(0);
        *live = *live + after - before;
        if *live == 0 {
            self.live.remove(&slot.service);
        }
    }

    /// The slots of a service of which any task is told.
    pub(crate) fn slots_of(&self, service: ServiceId) -> impl Iterator<Item = SlotKey> {
        let slots = SlotKey::first_of(service)..=SlotKey::last_of(service);
        self.slots.range(slots).map(|(slot, _)| *slot)
    }

    /// What is told of a slot's tasks, by node and place: of each what its node said last.
    pub(crate) fn of_slot(&self, slot: SlotKey) -> impl Iterator<Item = &Told> {
        latest(self.told(slot))
    }

    /// What a node tells of a slot's tasks, by place: of each what it said last.
    pub(crate) fn at(&self, node: NodeId, slot: SlotKey) -> impl Iterator<Item = &Told> {
        let of_slot = self.told(slot);
        latest(&of_slot[range(of_slot, node)])
    }

    /// Whether what a node tells under a place is what it said last of that task.
    pub(crate) fn is_last_word(&self, node: NodeId, slot: SlotKey, place: u8) -> bool {
        let of_slot = self.told(slot);
        find(of_slot, node, place).is_ok_and(|at| !of_slot[at].repeated)
    }

    fn told(&self, slot: SlotKey) -> &[Told] {
        self.slots.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// Of these what a plan may rest on: tasks that are not over or failed, and every attempt at an
    /// assignment of which one is not over, or which the slot's record names.
    pub(crate) fn that_count(&self, slot: SlotKey, record: Option<&Slot>) -> impl Iterator<Item = &Told> {
        let of_slot = self.told(slot);
        let current = record.into_iter().flat_map(|slot| slot.current.iter().map(|named| named.assignment));
        let retired = record.into_iter().flat_map(|slot| slot.retire.iter().map(|named| named.assignment));
        let open = of_slot.iter().filter(|told| told.is_open()).map(|told| told.task.assignment);
        let named: Vec<Stamp> = current.chain(retired).chain(open).collect();
        latest(of_slot).filter(move |told| told.end != End::Past || named.contains(&told.task.assignment))
    }

    /// The services of which a task is told that is not over.
    pub(crate) fn running(&self) -> impl Iterator<Item = ServiceId> {
        self.live.keys().copied()
    }
}

fn latest(of_slot: &[Told]) -> impl Iterator<Item = &Told> {
    of_slot.iter().filter(|told| !told.repeated)
}

/// Where a slot has what a node tells.
fn range(of_slot: &[Told], node: NodeId) -> Range<usize> {
    let first = of_slot.partition_point(|told| told.node < node);
    first..of_slot.partition_point(|told| told.node <= node)
}

/// Where a slot has what a node tells under a place, or would have it.
fn find(of_slot: &[Told], node: NodeId, place: u8) -> Result<usize, usize> {
    of_slot.binary_search_by_key(&(node, place), |told| (told.node, told.place))
}
