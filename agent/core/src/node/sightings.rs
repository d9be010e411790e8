//! When this node first saw what it sees: windows are counted on its own clock, and no two clocks are
//! compared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::SlotKey;
use sleep_wire::node::{Address, Availability};
use sleep_wire::slot::Slot;
use sleep_wire::task::{Health, TaskId, TaskState};
use sleep_wire::{NodeId, Stamp};

use super::earlier;
use crate::state::{State, TaskView};
use crate::time::Instant;

/// How long a task must have run before it counts as settled.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// How long the connection to a removed member stays: what it asked as a member is still answered, and it
/// hears of its removal itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// First sights of states, not of records: a record that says the same again is no news.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    tasks: BTreeMap<(NodeId, SlotKey, u8), TaskSight>,
    slots: BTreeMap<SlotKey, SlotSight>,
    nodes: BTreeMap<NodeId, NodeSight>,
    told: BTreeMap<NodeId, Vec<Address>>,
    removed: BTreeSet<NodeId>,
    /// When each member last had a word in who leads.
    voted: BTreeMap<NodeId, Instant>,
    /// Removed members to which the connection still stands, and until when.
    parting: BTreeMap<NodeId, Instant>,
    members: BTreeSet<NodeId>,
    answering: BTreeMap<NodeId, Instant>,
    /// When a task that runs becomes a settled one.
    settling: BTreeSet<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TaskSight {
    task: TaskId,
    state: TaskState,
    health: Health,
    since: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SlotSight {
    slot: Slot,
    written: Instant,
    assigned: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NodeSight {
    availability: Availability,
    activated: Option<Instant>,
}

impl Sightings {
    /// Looks at what a node tells of a slot's tasks. A report under one place may take the word of another.
    pub(super) fn tasks(&mut self, now: Instant, node: NodeId, slot: SlotKey, state: &State) {
        let told = || state.tasks_at(node, slot);
        let seen = self.tasks.range((node, slot, 0)..=(node, slot, u8::MAX)).map(|(key, _)| *key);
        let gone: Vec<_> = seen.filter(|(.., place)| told().all(|view| view.place != *place)).collect();
        for key in gone {
            self.tasks.remove(&key);
        }
        for TaskView { status, place, .. } in told() {
            let key = (node, slot, place);
            let known = self.tasks.get(&key).filter(|known| {
                (known.task, known.state, known.health) == (status.task, status.state, status.health)
            });
            if known.is_none() {
                let sight =
                    TaskSight { task: status.task, state: status.state, health: status.health, since: now };
                self.tasks.insert(key, sight);
                if status.state == TaskState::Running {
                    self.settling.insert(now + SETTLED_AFTER);
                }
            }
        }
    }

    /// Since when a task is as its last report says.
    pub(super) fn task_since(&self, now: Instant, node: NodeId, slot: SlotKey, place: u8) -> Instant {
        self.tasks.get(&(node, slot, place)).map_or(now, |sight| sight.since)
    }

    /// Looks at a slot's record; says when it and its assignment were first seen.
    pub(super) fn slot(&mut self, now: Instant, key: SlotKey, slot: Option<&Slot>) {
        let Some(slot) = slot else {
            self.slots.remove(&key);
            return;
        };
        let name = |slot: &Slot| -> Option<Stamp> { slot.current.as_ref().map(|current| current.assignment) };
        match self.slots.get_mut(&key) {
            Some(known) if known.slot == *slot => {}
            Some(known) => {
                if name(&known.slot) != name(slot) {
                    known.assigned = now;
                }
                known.written = now;
                known.slot.clone_from(slot);
            }
            None => {
                let sight = SlotSight { slot: slot.clone(), written: now, assigned: now };
                self.slots.insert(key, sight);
            }
        }
    }

    /// When a slot's body and its assignment were first seen.
    pub(super) fn slot_since(&self, now: Instant, key: SlotKey) -> (Instant, Instant) {
        self.slots.get(&key).map_or((now, now), |sight| (sight.written, sight.assigned))
    }

    /// Looks at whether a node takes work.
    pub(super) fn node(&mut self, now: Instant, node: NodeId, availability: Availability) {
        let fresh = NodeSight { availability, activated: None };
        let known = self.nodes.entry(node).or_insert(fresh);
        if known.availability != availability {
            known.availability = availability;
            known.activated = (availability == Availability::Active).then_some(now);
        }
    }

    /// When a command last made a node take work again.
    pub(super) fn activated(&self, node: NodeId) -> Option<Instant> {
        self.nodes.get(&node).and_then(|sight| sight.activated)
    }

    /// Whether the network has not been told these addresses of a peer.
    pub(super) fn is_new_address(&mut self, peer: NodeId, addresses: &[Address]) -> bool {
        let known = self.told.get(&peer).is_some_and(|known| known == addresses);
        if !known {
            self.told.insert(peer, addresses.to_vec());
        }
        !known
    }

    /// A member has just had a word in who leads.
    pub(super) fn voted(&mut self, now: Instant, node: NodeId) {
        self.voted.insert(node, now);
    }

    /// Whether a member had a word in who leads within this time.
    pub(super) fn has_voted(&self, now: Instant, node: NodeId, within: Duration) -> bool {
        self.voted.get(&node).is_some_and(|at| now.since(*at) < within)
    }

    /// Those of the removed that were not known to be.
    pub(super) fn newly_removed(&mut self, removed: Vec<NodeId>) -> Vec<NodeId> {
        let mut new = removed;
        new.retain(|node| self.removed.insert(*node));
        for node in &new {
            self.told.remove(node);
            self.members.remove(node);
            self.voted.remove(node);
        }
        new
    }

    /// Those of these strangers that were taken for members.
    pub(super) fn no_members(&mut self, strangers: Vec<NodeId>) -> Vec<NodeId> {
        let mut new = strangers;
        new.retain(|node| self.members.remove(node));
        new
    }

    /// All that are removed.
    pub(super) const fn removed(&self) -> &BTreeSet<NodeId> {
        &self.removed
    }

    /// Whether a node was a member when that was looked at last.
    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.members.contains(&node)
    }

    /// All members, sorted.
    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().copied()
    }

    /// A member was removed: its connection is to end soon.
    pub(super) fn part(&mut self, now: Instant, node: NodeId) {
        self.parting.insert(node, now + FAREWELL);
    }

    /// Removed members whose connections are to end now: those whose time is up, or whom `at_once` names.
    pub(super) fn parted(&mut self, now: Instant, at_once: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let due = |(node, until): (&NodeId, &Instant)| (now >= *until || at_once(*node)).then_some(*node);
        let due: Vec<NodeId> = self.parting.iter().filter_map(due).collect();
        self.parting.retain(|node, _| !due.contains(node));
        due
    }

    /// Since when each of the live members has answered: a suspicion that was refuted is no gap.
    pub(super) fn answering(
        &mut self,
        now: Instant,
        live: &BTreeSet<NodeId>,
    ) -> impl Iterator<Item = (NodeId, Instant)> {
        self.answering.retain(|node, _| live.contains(node));
        for node in live {
            self.answering.entry(*node).or_insert(now);
        }
        self.answering.iter().map(|(node, since)| (*node, *since))
    }

    /// Those of the members that were not known to be.
    pub(super) fn newly_admitted(&mut self, members: Vec<NodeId>) -> Vec<NodeId> {
        let mut new = members;
        new.retain(|node| self.members.insert(*node));
        for node in &new {
            // Its removal may be void: whoever wrote that had no word any more.
            self.removed.remove(node);
            self.parting.remove(node);
        }
        new
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.settling = self.settling.split_off(&(now + Duration::from_micros(1)));
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        earlier(self.settling.first().copied(), self.parting.values().min().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A removal may turn out to be void before whom it removed has been shown the door.
    #[test]
    fn who_is_a_member_again_is_not_shown_the_door() {
        let (node, now) = (NodeId([7; 16]), Instant(1_000_000));
        let mut sightings = Sightings::default();
        assert_eq!(sightings.newly_admitted(Vec::from([node])), [node]);
        for (back, expected) in [(false, Vec::from([node])), (true, Vec::new())] {
            sightings.newly_removed(Vec::from([node]));
            sightings.part(now, node);
            if back {
                sightings.newly_admitted(Vec::from([node]));
            }
            assert_eq!(sightings.parted(now + FAREWELL, |_| false), expected);
            sightings.newly_admitted(Vec::from([node]));
        }
    }
}
