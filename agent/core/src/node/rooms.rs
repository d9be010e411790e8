//! Frames and outputs, each to the room that it concerns.

use alloc::vec::Vec;

use sleep_wire::durable::{Cell, Fence, Write};
use sleep_wire::engine::EngineReport;
use sleep_wire::key::ObservedKey;
use sleep_wire::message::{BadFrame, Carried, Frame, Message, RollCallMessage};
use sleep_wire::trust::Role;
use sleep_wire::{NodeId, encode};

use super::context::{Context, Purpose};
use super::member::{Court, Member};
use super::plan::Desk;
use crate::clock::Observed;
use crate::crypto::Crypto;
use crate::io::{Event, Lane, Output};
use crate::lease::{Evidence, LeaseInput, LeaseOutput};
use crate::membership::{MembershipInput, MembershipOutput};
use crate::mutant::{Mutant, is_sown};
use crate::reconcile::{Peers, ReconcileInput, ReconcileOutput};
use crate::state::StateInput;

impl Member {
    pub(super) fn on_frame<C: Crypto>(&mut self, cx: &mut Context<'_, C>, from: NodeId, bytes: &[u8]) {
        let (envelope, frame) = match Frame::from_bytes_up_to(self.facts.protocol, bytes) {
            Ok(read) => read,
            // A later release's: not meant for this one.
            Err(BadFrame::UnknownKind { .. }) => return,
            Err(BadFrame::Protocol { theirs, .. }) if self.trust.is_member(from) => {
                return self.hears_unspoken(cx, from, theirs);
            }
            Err(_) => return cx.out.event(Event::BadFrame { from }),
        };
        if !self.trust.is_member(from) {
            return;
        }
        self.hears(from, envelope);
        let now = cx.now.instant;
        match self.clock.observe(now, from, frame.carried.time) {
            Observed::Taken => {}
            Observed::Ahead(alarm) => cx.out.event(Event::Alarm(alarm)),
            Observed::Invalid => return cx.out.event(Event::BadFrame { from }),
        }
        if let Some(hint) = frame.carried.hint {
            let from_control = self.has_a_say(now, hint.epoch.candidate, hint.epoch.generation);
            self.lease.handle(now, LeaseInput::Hint { from, hint, from_control });
        }
        match frame.message {
            Message::Swim(bytes) => self.membership.handle(now, MembershipInput::Swim { from, bytes }),
            Message::Membership(message) => {
                self.membership.handle(now, MembershipInput::Message { from, message });
            }
            Message::Lease(message) => {
                if self.has_a_say(now, from, message.config.id.epoch.generation) {
                    self.sightings.voted(now, from);
                    self.lease.handle(now, LeaseInput::Message { from, message });
                }
            }
            Message::Push(message) => self.tell_state(cx, StateInput::Push { from, message }),
            Message::Sync(message) => {
                let time = self.clock.present(now);
                let holder_side = matches!(self.lease.evidence(now), Evidence::Fresh(_));
                self.tell_state(cx, StateInput::Sync { from, message, time, holder_side });
            }
            Message::RollCall(message) => self.on_roll_call(cx, from, message),
            Message::Admit(message) => self.on_admit(cx, from, message),
            // Doors are asked over connections of their own; permits come with a later release.
            Message::Join(_) | Message::Joined(_) | Message::Permit(_) => {}
        }
    }

    /// Whether a member has a say in who leads. Whoever is demoted has it for as long as it has a seat:
    /// without its vote nobody could be given that. One who does not know whose the seats are, or whom nobody
    /// else leads as far as it knows, listens to all who may have one: the seats that it knows of may be
    /// others' by now. And whoever founded a later generation did what a person said, and planned in it.
    fn has_a_say(&self, now: crate::Instant, node: NodeId, generation: u16) -> bool {
        match self.trust.role(node) {
            Some(Role::Control) => true,
            Some(Role::Worker) => {
                let is_led = matches!(self.lease.evidence(now), Evidence::Fresh(by) if by.candidate != node);
                let seated = self.lease.config().is_some_and(|config| config.weight(node) > 0);
                let is_later = generation > self.lease.generation();
                seated || (is_later || !is_led) && self.trust.was_control(node)
            }
            None => false,
        }
    }

    pub(super) fn tell_state<C: Crypto>(&mut self, cx: &mut Context<'_, C>, input: StateInput) {
        let court = Court { trust: &self.trust, crypto: cx.crypto };
        self.state.handle(cx.now.instant, input, &court, cx.crypto);
    }

    pub(super) fn on_report<C: Crypto>(&mut self, cx: &mut Context<'_, C>, report: EngineReport) {
        self.reconcile.handle(cx.now, ReconcileInput::Engine(report));
    }

    pub(super) fn carried(&self, now: crate::Instant) -> Carried {
        Carried { time: self.clock.present(now), hint: self.lease.hint(now) }
    }

    pub(super) fn send<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        to: NodeId,
        lane: Lane,
        message: Message,
    ) {
        let carried = self.carried(cx.now.instant);
        let protocols = (self.protocol_for(to, &message), self.facts.protocol);
        cx.send(to, lane, protocols, carried, message);
    }

    pub(super) fn on_membership<C: Crypto>(&mut self, cx: &mut Context<'_, C>, output: MembershipOutput) {
        match output {
            MembershipOutput::Send { to, message } => self.send(cx, to, Lane::Urgent, message),
            MembershipOutput::Up { node } => {
                cx.out.event(Event::NodeUp { node });
                if !self.synced {
                    self.reconcile.handle(cx.now, ReconcileInput::Peers(Peers::Found));
                }
                self.node_changed(cx, node);
                self.call_latecomer(cx, node);
            }
            MembershipOutput::Suspect { node, by } => {
                cx.out.event(Event::NodeSuspect { node, by });
                self.node_changed(cx, node);
            }
            MembershipOutput::Down { node } => {
                cx.out.event(Event::NodeDown { node, confirmed: (0, 0) });
                self.node_changed(cx, node);
            }
            MembershipOutput::Doubted { node, hold } => {
                let hold_ms = u32::try_from(hold.as_millis()).unwrap_or(u32::MAX);
                cx.out.event(Event::NodeDoubted { node, hold_ms });
            }
            MembershipOutput::Refuted { node }
            | MembershipOutput::Restarting { node, .. }
            | MembershipOutput::Left { node } => self.node_changed(cx, node),
            MembershipOutput::ProbeVerdict { node, failures, asked, confirmed, .. } => {
                if confirmed {
                    self.confirmed_down(cx, node, (failures, asked));
                }
            }
            MembershipOutput::OldDisk { known } => self.disk_is_old(cx, known),
            // A start counts the boot up, which is all that is needed, and stops no container.
            MembershipOutput::UsedUp => cx.out.push(Output::Restart),
            MembershipOutput::Clone { node } => self.told_of_a_clone(cx, node),
            MembershipOutput::BadFrame { from } => cx.out.event(Event::BadFrame { from }),
        }
    }

    pub(super) fn drain_lease<C: Crypto>(&mut self, cx: &mut Context<'_, C>) -> bool {
        let mut any = false;
        while let Some(output) = self.lease.poll_output() {
            any = true;
            match output {
                LeaseOutput::Send { to, message } => self.send(cx, to, Lane::Urgent, Message::Lease(message)),
                LeaseOutput::Persist { token, cell } => {
                    self.founding_is_written(token, self.lease.generation());
                    let write = Write::PutCell { cell: Cell::Lease, value: encode(&cell) };
                    self.persist(cx, Purpose::Lease(token), Vec::from([write]));
                }
                LeaseOutput::Acquired { epoch } => {
                    cx.out.event(Event::LeaseAcquired { epoch });
                    self.reconcile.handle(cx.now, ReconcileInput::EpochSeen(epoch));
                    self.open_desk(cx, epoch);
                }
                LeaseOutput::Lost { epoch, why } => {
                    cx.out.event(Event::LeaseLost { epoch, why: why.as_str() });
                    if !is_sown(Mutant::PlansWithoutLease) {
                        self.desk = Desk::default();
                    }
                }
                LeaseOutput::HolderSeen { epoch } => {
                    cx.out.event(Event::HolderChanged { epoch });
                }
                LeaseOutput::Announced { epoch } => {
                    self.heard_of_generation(cx, epoch.generation, epoch.candidate);
                    self.reconcile.handle(cx.now, ReconcileInput::EpochSeen(epoch));
                }
                LeaseOutput::HandedOver => self.handed_over(cx),
            }
        }
        any
    }

    pub(super) fn on_reconcile<C: Crypto>(&mut self, cx: &mut Context<'_, C>, output: ReconcileOutput) {
        match output {
            ReconcileOutput::Engine(action) => cx.out.push(Output::Engine(action)),
            ReconcileOutput::Publish { slot, place, status } => {
                let key = ObservedKey::Task { node: cx.me, slot, place };
                self.observe(cx, key, &*status);
            }
            // Observed records are bounded a slot; they go when their service's tombstone does.
            ReconcileOutput::Forget { .. } => {}
            ReconcileOutput::PersistFence { epoch } => {
                let write = Write::PutCell { cell: Cell::Fence, value: encode(&Fence { epoch }) };
                self.persist(cx, Purpose::Fence(epoch), Vec::from([write]));
            }
            ReconcileOutput::RuntimesChanged => {
                self.publish_facts(cx);
                // What an earlier boot wrote of a task may be over: what runs is said anew.
                self.reconcile.handle(cx.now, ReconcileInput::RollCall);
            }
            ReconcileOutput::ImagesChanged => self.publish_images(cx),
            ReconcileOutput::Event(event) => cx.out.event(event),
        }
    }

    pub(super) fn on_roll_call<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        from: NodeId,
        message: RollCallMessage,
    ) {
        match message {
            RollCallMessage::Call { epoch } => self.answer_roll_call(cx, from, epoch),
            RollCallMessage::Answer { epoch, batch, more } => {
                let court = Court { trust: &self.trust, crypto: cx.crypto };
                self.state.receive_records(cx.now.instant, from, &batch.records, &court, cx.crypto);
                self.roll_answered(cx, from, epoch, more);
            }
        }
    }
}
