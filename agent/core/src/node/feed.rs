//! What of the replicated state this node's own tasks rest on, handed to the reconcile room.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::{DesiredKey, SlotKey};
use sleep_wire::slot::Slot;
use sleep_wire::spec::ServiceBirth;
use sleep_wire::task::Health;
use sleep_wire::{Key, NodeId, RevisionId, ServiceId, Stamp};

use super::context::Context;
use super::member::Member;
use crate::crypto::Crypto;
use crate::mutant::{Mutant, is_sown};
use crate::reconcile::{Desired, PeerTask, SlotRecord, Template};
use crate::state::{Entry, Fact, Place};
use crate::time::Instant;

/// The key of a record that this release can read.
pub(super) fn key_of(entry: &Entry) -> Option<Key> {
    match entry.place() {
        Place::Known(key) => Some(key.clone()),
        Place::Foreign(_) => None,
    }
}

impl Member {
    /// A slot's record, or what is observed of its tasks, has changed.
    pub(super) fn slot_changed<C: Crypto>(&mut self, cx: &mut Context<'_, C>, slot: SlotKey) {
        let now = cx.now.instant;
        let record = self.state.slot(slot).map(|view| view.slot);
        self.sightings.slot(now, slot, record);
        self.desk_slot(cx, slot);
        self.feed(cx, slot);
    }

    /// A service was created, changed, scaled or removed.
    pub(super) fn service_changed<C: Crypto>(&mut self, cx: &mut Context<'_, C>, service: ServiceId) {
        self.desk_service(cx, service);
        for slot in self.slots_known_of(service) {
            self.feed(cx, slot);
        }
    }

    /// Every slot of a service that has a record or one of this node's tasks.
    fn slots_known_of(&self, service: ServiceId) -> BTreeSet<SlotKey> {
        let fed = self.fed.range(SlotKey::first_of(service)..=SlotKey::last_of(service)).copied();
        self.state.slots_of(service).map(|view| view.key).chain(fed).collect()
    }

    /// Slots of this node whose next step waits for another node.
    pub(super) fn slots_that_wait_for(&self, node: NodeId) -> Vec<SlotKey> {
        let waits = |slot: &&SlotKey| self.slot_record(**slot).is_some_and(|(_, slot)| names(slot, node));
        self.fed.iter().filter(waits).copied().collect()
    }

    /// Tells the reconcile room what is wanted of a slot, if the slot is any of this node's business.
    pub(super) fn feed<C: Crypto>(&mut self, cx: &mut Context<'_, C>, slot: SlotKey) {
        let record = self.slot_record(slot);
        let concerns = record.is_some_and(|(_, record)| names(record, cx.me))
            || self.fed.contains(&slot)
            || self.state.tasks_at(cx.me, slot).next().is_some();
        if !concerns {
            return;
        }
        let record = record.map(|(stamp, slot)| SlotRecord { stamp, slot: slot.clone() });
        self.fed.insert(slot);
        if let Some(write) = self.write_under_way(slot, record.as_ref()) {
            self.unwritten.entry(write).or_default().insert(slot);
            self.delays.remove(&slot);
            return;
        }
        match record.as_ref().and_then(|record| self.delay_over_at(cx.now.instant, cx.me, slot, record)) {
            Some(at) => drop(self.delays.insert(slot, at)),
            None => drop(self.delays.remove(&slot)),
        }
        let desired = self.desired(cx.now.instant, cx.me, slot, record);
        self.reconcile.set_assignment(slot, desired);
    }

    /// The write that has to be durable before anything is done about a slot: whoever starts or stops a task
    /// and then forgets why has a task that nobody knows, or a slot whose task is gone.
    fn write_under_way(&self, slot: SlotKey, record: Option<&SlotRecord>) -> Option<u64> {
        if is_sown(Mutant::ActsBeforeDurable) || self.state.is_written() {
            return None;
        }
        let service = slot.service;
        let current = record.and_then(|record| record.slot.current.as_ref());
        let revision = current.map(|current| current.revision);
        let revision = revision.map(|revision| DesiredKey::ServiceRevision { service, revision });
        let keys = [DesiredKey::ServiceBirth { service }, DesiredKey::ServiceRemoval { service }];
        let keys = keys.into_iter().chain(revision).map(Key::Desired).chain([Key::Slot(slot)]);
        keys.filter_map(|key| self.state.write_under_way(&key)).max()
    }

    /// What slots rest on is durable: they are looked at.
    pub(super) fn feed_written<C: Crypto>(&mut self, cx: &mut Context<'_, C>, write: u64) {
        let later = self.unwritten.split_off(&(write + 1));
        let written = core::mem::replace(&mut self.unwritten, later);
        for slot in written.into_values().flatten() {
            self.feed(cx, slot);
        }
        if self.removed_by.is_some_and(|removal| removal <= write) {
            self.removed_by = None;
            self.was_removed(cx);
        }
    }

    /// Nodes that are down are given up after a while, and nothing but time says so: those slots are looked
    /// at again.
    pub(super) fn feed_delayed<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now.instant;
        let due: Vec<SlotKey> =
            self.delays.iter().filter(|(_, at)| **at <= now).map(|(slot, _)| *slot).collect();
        for slot in due {
            self.feed(cx, slot);
        }
    }

    /// When the first of the other nodes that a slot's record names is given up, if one is down that is not
    /// yet.
    fn delay_over_at(&self, now: Instant, me: NodeId, slot: SlotKey, record: &SlotRecord) -> Option<Instant> {
        let first = nodes_of(&record.slot)
            .filter(|node| *node != me)
            .filter_map(|node| self.down_since(node))
            .map(|since| since + self.reschedule_delay(slot.service))
            .filter(|at| *at > now);
        first.min()
    }

    /// How long a service's tasks are left to a node that is down.
    fn reschedule_delay(&self, service: ServiceId) -> Duration {
        self.state.service(service).map_or(Duration::ZERO, |service| {
            Duration::from_millis(service.current.spec.partition.reschedule_delay_ms)
        })
    }

    fn desired(
        &self,
        now: Instant,
        me: NodeId,
        slot: SlotKey,
        record: Option<SlotRecord>,
    ) -> Option<Desired> {
        let birth = self.birth(slot.service);
        if birth.is_none() && record.is_none() {
            return None;
        }
        let told = self.state.tasks_at(me, slot).map(|task| task.status.revision);
        let current = record.iter().filter_map(|record| record.slot.current.as_ref());
        let wanted: BTreeSet<RevisionId> = told.chain(current.map(|current| current.revision)).collect();
        // A service whose birth has not come yet has no name: nothing of it is started under another.
        let wanted = wanted.into_iter().filter(|_| birth.is_some());
        let templates = wanted.filter_map(|revision| {
            let spec = self.state.revision(slot.service, revision)?;
            Some(Template { revision, spec: Arc::clone(spec) })
        });
        Some(Desired {
            service_name: self
                .service_name(slot.service)
                .unwrap_or_else(|| birth.map_or_else(|| String::from("unknown"), |birth| birth.name.clone())),
            removed: birth.is_some() && self.state.is_removed(slot.service),
            singleton: birth.is_some_and(|birth| birth.singleton),
            templates: templates.collect(),
            peers: record.as_ref().map(|record| self.peers(now, me, slot, record)).unwrap_or_default(),
            record,
        })
    }

    /// What is known of the slot's other tasks, by the names that its record has for them.
    fn peers(&self, now: Instant, me: NodeId, slot: SlotKey, record: &SlotRecord) -> Vec<PeerTask> {
        let current = record.slot.current.iter().map(|current| (current.node, current.assignment));
        let retired = record.slot.retire.iter().map(|retired| (retired.node, retired.assignment));
        let others = current.chain(retired).filter(|(node, _)| *node != me);
        others.map(|(node, assignment)| self.peer(now, slot, node, assignment)).collect()
    }

    fn peer(&self, now: Instant, slot: SlotKey, node: NodeId, assignment: Stamp) -> PeerTask {
        let newest = self
            .state
            .tasks_at(node, slot)
            .filter(|task| task.status.task.assignment == assignment)
            .max_by_key(|task| task.status.task.attempt);
        let is_over = |since: Instant| now >= since + self.reschedule_delay(slot.service);
        let removed = self.trust.standing(node).is_none_or(|standing| standing.removed.is_some());
        PeerTask {
            assignment,
            node,
            state: newest.map(|task| task.status.state),
            health: newest.map_or(Health::None, |task| task.status.health),
            node_down_confirmed: removed || self.down_since(node).is_some_and(is_over),
        }
    }

    /// A service's birth, removed or not.
    pub(super) fn birth(&self, service: ServiceId) -> Option<&ServiceBirth> {
        match self.state.record(&Key::Desired(DesiredKey::ServiceBirth { service }))?.fact() {
            Fact::Birth(birth) => Some(birth),
            _sealed => None,
        }
    }

    /// What people call a service; a removed one has its name still, as far as views show it.
    pub(super) fn service_name(&self, service: ServiceId) -> Option<String> {
        match self.state.name(service) {
            Some(name) => Some(name.text),
            None => self.birth(service).map(|birth| birth.name.clone()),
        }
    }
}

/// The nodes that a slot's record names: one that has its task, and those that are to end theirs.
fn nodes_of(slot: &Slot) -> impl Iterator<Item = NodeId> {
    let current = slot.current.iter().map(|current| current.node);
    current.chain(slot.retire.iter().map(|retired| retired.node))
}

fn names(slot: &Slot, node: NodeId) -> bool {
    nodes_of(slot).any(|named| named == node)
}
