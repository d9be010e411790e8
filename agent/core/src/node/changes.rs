//! Who is told when records, members or their lives have changed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::{DesiredKey, MembershipKey, ObservedKey, SlotKey};
use sleep_wire::record::Batch;
use sleep_wire::{Key, NodeId, ServiceId, Stamp, decode, encode};

use super::context::Context;
use super::member::{Court, Member};
use crate::crypto::Crypto;
use crate::io::{Event, Output};
use crate::lease::{Electorate, Evidence, LeaseInput};
use crate::membership::MembershipInput;
use crate::mutant::{Mutant, is_sown};
use crate::reconcile::ReconcileInput;
use crate::state::StateInput;

/// The most bytes of records in a farewell: it closes a connection, in one packet.
const FAREWELL: usize = 900;

impl Member {
    /// These were admitted, removed, or given another role: whoever rests on it is told.
    pub(super) fn membership_changed<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        touched: &BTreeSet<NodeId>,
    ) {
        let removed_of =
            |node: &NodeId| self.trust.standing(*node).is_some_and(|known| known.removed.is_some());
        let removed: Vec<NodeId> = touched.iter().copied().filter(removed_of).collect();
        let mut members: Vec<NodeId> =
            touched.iter().copied().filter(|node| self.trust.is_member(*node)).collect();
        let mut strangers = Vec::new();
        // Whom a member let in that had no word any more is none; a newcomer has let in nobody.
        if touched.iter().any(|node| removed_of(node) || self.sightings.is_member(*node)) {
            strangers =
                self.sightings.members().filter(|node| self.trust.standing(*node).is_none()).collect();
            members = self.trust.members().collect();
        }
        for node in &members {
            self.introduce(cx, *node);
        }
        let mut gone = self.sightings.newly_removed(removed);
        for peer in &gone {
            self.speech.forget(*peer);
            self.sightings.part(cx.now.instant, *peer);
            cx.out.event(Event::NodeGone { node: *peer });
        }
        self.part_with_the_removed(cx);
        if !gone.is_empty() {
            let removed = self.sightings.removed().clone();
            self.reconcile.handle(cx.now, ReconcileInput::RemovedNodes(removed));
        }
        gone.extend(self.sightings.no_members(strangers));
        let added = self.sightings.newly_admitted(members);
        debug_assert!(self.trust.members().eq(self.sightings.members()), "every member was noticed");
        if added.contains(&cx.me) {
            self.tell_anew(cx);
        }
        self.membership.handle(cx.now.instant, MembershipInput::Members { added, removed: gone });
        self.lives_changed();
        if self.trust.standing(cx.me).is_some_and(|standing| standing.removed.is_some()) {
            let keys = self.trust.removals(cx.me).into_iter().map(Key::Membership);
            self.removed_by = keys.filter_map(|key| self.state.write_under_way(&key)).min();
            if self.removed_by.is_none() {
                self.was_removed(cx);
            }
        } else {
            self.removed_by = None;
        }
    }

    /// This node is a member, or is one again: what it said of itself meanwhile, and before, may have been
    /// void.
    fn tell_anew<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let (me, state) = (cx.me, &self.state);
        let key = |slot, place| Key::Observed(ObservedKey::Task { node: me, slot, place });
        self.reconcile.tell_anew(cx.now, |slot, place| state.record(&key(slot, place)).is_some());
        self.publish_facts(cx);
        let images = Key::Observed(ObservedKey::Images { node: cx.me });
        if self.reconcile.has_looked() && self.state.record(&images).is_none() {
            self.publish_images(cx);
        }
    }

    /// Who lives, or who may vote, is another: that is told once all is known of it.
    pub(super) const fn lives_changed(&mut self) {
        self.lives_due = true;
        self.electorate_due = true;
    }

    /// Ends the connections of removed members: at once where the key may be in other hands.
    pub(super) fn part_with_the_removed<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let parted = self.sightings.parted(cx.now.instant, |node| self.trust.is_stolen(node));
        for peer in parted {
            let Some(key) = self.trust.key_of(peer) else { continue };
            cx.out.push(Output::Expel { peer, key, farewell: encode(&self.farewell(peer)) });
        }
    }

    /// What a removed member is told that was away: the record of its removal, and as much of what proves its
    /// author a member as there is room for.
    fn farewell(&self, node: NodeId) -> Batch {
        let record = |key: &Key| self.state.record(key);
        let removals = self.trust.removals(node);
        let removal = removals.iter().find_map(|key| record(&Key::Membership(*key)));
        let proof = removal.map(|entry| self.trust.door_chain(&[entry.record().author])).unwrap_or_default();
        let mut left = FAREWELL;
        let entries = removal.into_iter().chain(proof.iter().filter_map(record));
        let short = entries.map(|entry| entry.bytes().to_vec()).take_while(|bytes| {
            let fits = bytes.len() <= left;
            left = left.saturating_sub(bytes.len());
            fits
        });
        Batch { records: short.collect() }
    }

    /// A peer closes its door on this node, and says why: what it says is a record like any other.
    pub(super) fn on_dismissal<C: Crypto>(&mut self, cx: &mut Context<'_, C>, peer: NodeId, farewell: &[u8]) {
        let Ok(batch) = decode::<Batch>(farewell) else {
            return cx.out.event(Event::BadFrame { from: peer });
        };
        let court = Court { trust: &self.trust, crypto: cx.crypto };
        self.state.receive_records(cx.now.instant, peer, &batch.records, &court, cx.crypto);
    }

    pub(super) fn introduce<C: Crypto>(&mut self, cx: &mut Context<'_, C>, peer: NodeId) {
        if peer == cx.me {
            return;
        }
        let Some(key) = self.trust.key_of(peer) else { return };
        let addresses = self.state.facts(peer).map(|facts| facts.addresses.clone()).unwrap_or_default();
        if self.sightings.is_new_address(peer, &addresses) {
            cx.out.push(Output::Introduce { peer, key, addresses });
        }
    }

    /// Tells the lease room who may vote and who is up, if that is another. Whether it was.
    pub(super) fn tell_electorate<C: Crypto>(&mut self, cx: &mut Context<'_, C>) -> bool {
        if !core::mem::take(&mut self.electorate_due) {
            return false;
        }
        let now = cx.now.instant;
        let control: BTreeSet<NodeId> = self.trust.controls().collect();
        let mut up: BTreeMap<NodeId, Duration> = BTreeMap::from([(cx.me, now.since(self.started))]);
        let live: BTreeSet<NodeId> = self.membership.live().collect();
        up.extend(self.sightings.answering(now, &live).map(|(node, since)| (node, now.since(since))));
        let me_control = control.contains(&cx.me) && self.leaving.is_none();
        self.lease.handle(now, LeaseInput::Electorate(Electorate { control, up, me_control }));
        true
    }

    /// Records have changed: each reader looks at what concerns it.
    pub(super) fn on_changes<C: Crypto>(&mut self, cx: &mut Context<'_, C>, changes: Vec<Key>) {
        let mut touched = BTreeSet::new();
        let mut membership = false;
        let (mut services, mut slots) = (BTreeSet::<ServiceId>::new(), BTreeSet::<SlotKey>::new());
        self.clock.rise(cx.now.instant, self.state.greatest_time());
        for key in &changes {
            match key {
                Key::Membership(entry) => {
                    membership = true;
                    touched.extend(match self.state.record(key).map(crate::state::Entry::record) {
                        Some(record) => self.trust.apply(&record, cx.crypto),
                        None => self.trust.withdraw(entry),
                    });
                    self.on_membership_record(cx, entry);
                }
                Key::Desired(key) => match key {
                    DesiredKey::ServiceBirth { service }
                    | DesiredKey::ServiceRevision { service, .. }
                    | DesiredKey::ServiceScale { service }
                    | DesiredKey::ServiceRemoval { service } => drop(services.insert(*service)),
                    DesiredKey::NodeAvailability { node } | DesiredKey::NodeLabel { node, .. } => {
                        self.node_changed(cx, *node);
                    }
                    DesiredKey::JoinToken { .. }
                    | DesiredKey::Secret { .. }
                    | DesiredKey::Config { .. }
                    | DesiredKey::Horizon => {}
                },
                Key::Slot(slot) => {
                    slots.insert(*slot);
                    self.tell_epoch(cx, key);
                }
                // Islands are of a later release.
                Key::Island(_) => {}
                Key::Observed(ObservedKey::Task { node, slot, .. }) => {
                    self.sightings.tasks(cx.now.instant, *node, *slot, &self.state);
                    slots.insert(*slot);
                }
                Key::Observed(ObservedKey::Facts { node } | ObservedKey::Images { node }) => {
                    self.introduce(cx, *node);
                    self.node_changed(cx, *node);
                    // What it told in an earlier boot is not fresh any more.
                    if !is_sown(Mutant::OldTasksAreFresh) {
                        slots.extend(self.state.tasks_on(*node).map(|task| task.slot));
                    }
                }
            }
        }
        if !touched.is_empty() {
            let court = Court { trust: &self.trust, crypto: cx.crypto };
            self.state.rejudge(cx.now.instant, &touched, &court);
        }
        if membership {
            self.membership_changed(cx, &touched);
            for node in touched {
                self.node_changed(cx, node);
            }
        }
        for service in services {
            self.service_changed(cx, service);
        }
        for slot in slots {
            self.slot_changed(cx, slot);
        }
    }

    /// Tells the lease room in which epoch a slot was planned, if that is news.
    fn tell_epoch<C: Crypto>(&mut self, cx: &Context<'_, C>, key: &Key) {
        let now = cx.now.instant;
        if let Some(Stamp::Lease { epoch, .. }) = self.state.record(key).map(crate::state::Entry::stamp)
            && self.lease.is_outdone(now, epoch)
        {
            self.lease.handle(now, LeaseInput::Planned { epoch });
        }
    }

    pub(super) fn on_membership_record<C: Crypto>(&mut self, cx: &mut Context<'_, C>, key: &MembershipKey) {
        let (MembershipKey::Operator { operator, .. } | MembershipKey::OperatorRemoval { operator, .. }) =
            key
        else {
            return;
        };
        if let Some(key) = self.trust.key_of(*operator) {
            let allowed = self.trust.is_operator(*operator);
            cx.out.push(Output::Operator { key, allowed });
        }
    }

    /// What a node is, or what is believed of it, has changed.
    pub(super) fn node_changed<C: Crypto>(&mut self, cx: &mut Context<'_, C>, node: NodeId) {
        self.sightings.node(cx.now.instant, node, self.state.availability(node));
        self.lives_changed();
        self.desk_node(cx, node);
        let slots: Vec<SlotKey> = self.slots_that_wait_for(node);
        for slot in slots {
            self.feed(cx, slot);
        }
    }

    pub(super) fn tell_who_lives<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        debug_assert!(self.lives_due || self.membership.live().eq(self.live.iter().copied()), "it was told");
        if core::mem::take(&mut self.lives_due) {
            let live: Vec<NodeId> = self.membership.live().collect();
            if live != self.live {
                self.live.clone_from(&live);
                self.tell_state(cx, StateInput::Peers { live });
                while let Some(output) = self.state.poll_output() {
                    self.on_state(cx, output);
                }
            }
        }
        let mut keep: Vec<NodeId> = self
            .lease
            .config()
            .map(|config| config.voters.iter().map(|voter| voter.node).collect())
            .unwrap_or_default();
        if let Evidence::Fresh(epoch) | Evidence::Stale(epoch) = self.lease.evidence(cx.now.instant) {
            keep.push(epoch.candidate);
        }
        keep.retain(|node| *node != cx.me);
        keep.sort_unstable();
        keep.dedup();
        if keep != self.kept {
            self.kept.clone_from(&keep);
            cx.out.push(Output::KeepConnected { peers: keep });
        }
    }
}
