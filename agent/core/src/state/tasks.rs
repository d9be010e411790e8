//! What is told of each slot's tasks, whoever tells it.
//!
//! A task's record stands under its node, for a node writes its own; whoever plans asks by slot. Without this
//! every question about a slot would be one to each member, and most of an answer would be of tasks that
//! ended long ago: a node keeps five of each slot that it ever had.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::{ObservedKey, SlotKey};
use sleep_wire::slot::Slot;
use sleep_wire::task::TaskState;
use sleep_wire::{Key, NodeId, ServiceId, Stamp};

use super::entry::{Entry, Fact};

/// The records of tasks, by slot.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// Those of one slot by node and place.
    slots: BTreeMap<SlotKey, Vec<Told>>,
    /// How many tasks of a service are told of and not over.
    live: BTreeMap<ServiceId, u32>,
}

/// One task as its node tells of it.
#[derive(Debug)]
pub(crate) struct Told {
    node: NodeId,
    place: u8,
    assignment: Stamp,
    end: End,
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
                let (assignment, entry) = (status.task.assignment, Arc::clone(entry));
                Some((*slot, Self { node: *node, place: *place, assignment, end, entry }))
            }
            _another_or_sealed => None,
        }
    }

    /// The record.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Tasks {
    /// Takes note of a record that stands now, if it is one of a task.
    pub(crate) fn insert(&mut self, entry: &Arc<Entry>) {
        let Some((slot, told)) = Told::of(entry) else { return };
        if told.end == End::Open {
            *self.live.entry(slot.service).or_insert(0) += 1;
        }
        let of_slot = self.slots.entry(slot).or_default();
        match find(of_slot, told.node, told.place) {
            Ok(at) => of_slot[at] = told,
            Err(at) => of_slot.insert(at, told),
        }
    }

    /// Forgets a record that stood, if it is one of a task.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        let Some(Key::Observed(ObservedKey::Task { node, slot, place })) = entry.key() else { return };
        let Some(of_slot) = self.slots.get_mut(slot) else { return };
        let Ok(at) = find(of_slot, *node, *place) else { return };
        let told = of_slot.remove(at);
        if of_slot.is_empty() {
            self.slots.remove(slot);
        }
        if told.end == End::Open
            && let Some(live) = self.live.get_mut(&slot.service)
        {
            *live -= 1;
            if *live == 0 {
                self.live.remove(&slot.service);
            }
        }
    }

    /// The slots of a service of which any task is told.
    pub(crate) fn slots_of(&self, service: ServiceId) -> impl Iterator<Item = SlotKey> {
        let slots = SlotKey::first_of(service)..=SlotKey::last_of(service);
        self.slots.range(slots).map(|(slot, _)| *slot)
    }

    /// All that is told of a slot's tasks, by node and place.
    pub(crate) fn of_slot(&self, slot: SlotKey) -> &[Told] {
        self.slots.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// What a node tells of a slot's tasks, by place.
    pub(crate) fn at(&self, node: NodeId, slot: SlotKey) -> &[Told] {
        let of_slot = self.of_slot(slot);
        let first = of_slot.partition_point(|told| told.node < node);
        let len = of_slot[first..].partition_point(|told| told.node == node);
        &of_slot[first..first + len]
    }

    /// Of these what a plan may rest on: tasks that are not over or failed, and every attempt at an
    /// assignment of which one is not over, or which the slot's record names.
    pub(crate) fn that_count<'a>(
        of_slot: &'a [Told],
        record: Option<&Slot>,
    ) -> impl Iterator<Item = &'a Told> {
        let current = record.into_iter().flat_map(|slot| slot.current.iter().map(|named| named.assignment));
        let retired = record.into_iter().flat_map(|slot| slot.retire.iter().map(|named| named.assignment));
        let open = of_slot.iter().filter(|told| told.end == End::Open).map(|told| told.assignment);
        let named: Vec<Stamp> = current.chain(retired).chain(open).collect();
        of_slot.iter().filter(move |told| told.end != End::Past || named.contains(&told.assignment))
    }

    /// The services of which a task is told that is not over.
    pub(crate) fn running(&self) -> impl Iterator<Item = ServiceId> {
        self.live.keys().copied()
    }
}

/// Where a slot has what a node tells under a place, or would have it.
fn find(of_slot: &[Told], node: NodeId, place: u8) -> Result<usize, usize> {
    of_slot.binary_search_by_key(&(node, place), |told| (told.node, told.place))
}
