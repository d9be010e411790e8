//! The holder's desk: the roll call that opens it, and the plans that leave it.
//!
//! ```text
//!  lease acquired ─▶ RollCall ─ all answered, or 2 s ─▶ every slot rewritten ─▶ Open ─ lease lost ─▶ Closed
//! ```
//! Nothing is decided here: `placement` and `rollout` say what is to be written, and this writes it under the
//! epoch, as long as the lease is held.
//!
//! # Invariants
//! - `plan_is_a_function`: the planner is told of each change, so that what it knows is what would be read
//!   anew.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::{DesiredKey, SlotKey};
use sleep_wire::message::{Message, RollCallMessage};
use sleep_wire::record::Batch;
use sleep_wire::{Epoch, Key, NodeId, ServiceId, Stamp, encode};

use super::context::Context;
use super::earlier;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Event, Lane};
use crate::membership::MembershipInput;
use crate::mutant::{Mutant, is_sown};
use crate::placement::{Liveness, Planner};
use crate::reconcile::ReconcileInput;
use crate::state::{BODY_VERSION, Draft};
use crate::time::Instant;

/// How long a new holder waits for answers.
const ROLL_CALL: Duration = Duration::from_secs(2);

/// How long after its start a node waits for members too of which it has heard nothing: by then each was
/// sought several times, and whoever did not answer will not do so within a roll call.
const MEETS_WITHIN: Duration = Duration::from_secs(10);

/// The longest batch of an answer, in bytes.
const BATCH: usize = 256 * 1024;

/// How long until a node that somebody reached is asked about again, while it does not answer this node.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Where a node stands as planner.
#[derive(Debug, Default)]
pub(crate) enum Desk {
    /// Another plans, or nobody.
    #[default]
    Closed,
    /// It was just made the planner, and asks what there is.
    RollCall(RollCall),
    /// It plans.
    Open(Box<Open>),
}

#[derive(Debug)]
pub(crate) struct RollCall {
    epoch: Epoch,
    waiting: BTreeSet<NodeId>,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Open {
    epoch: Epoch,
    planner: Planner,
    /// Counts this tenure's records.
    counter: u64,
    confirmed: BTreeSet<NodeId>,
    /// Nodes that were asked about, and when that may be done again.
    asked: BTreeMap<NodeId, Instant>,
    dirty: bool,
    wake: Option<Instant>,
}

impl Desk {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self {
            Self::Closed => None,
            Self::RollCall(call) => Some(call.until),
            Self::Open(open) => open.asked.values().copied().map(Some).fold(open.wake, earlier),
        }
    }

    /// Whether others could not reach a node either. Who does not plan does not ask others: what it tells
    /// people of a node that it believes dead is that.
    pub(super) fn is_confirmed(&self, node: NodeId) -> bool {
        match self {
            Self::Open(open) => open.confirmed.contains(&node),
            Self::RollCall(_) => false,
            Self::Closed => true,
        }
    }
}

impl Member {
    /// This node holds the lease now: it asks everybody what there is.
    pub(super) fn open_desk<C: Crypto>(&mut self, cx: &mut Context<'_, C>, epoch: Epoch) {
        // One that was started a moment ago has heard of nobody yet: that is not to be alone. And who was cut
        // off believes those dead who have just voted for it.
        let now = cx.now.instant;
        let votes = |node: &NodeId| self.sightings.has_voted(now, *node, ROLL_CALL);
        let others = self.trust.members().filter(|node| *node != cx.me);
        let is_new = now.since(self.started) < MEETS_WITHIN;
        let may_answer = |node: &NodeId| {
            let is_unmet = is_new && !self.membership.has_heard_of(*node);
            self.down_since(*node).is_none() || is_unmet || votes(node)
        };
        let waiting: BTreeSet<NodeId> = others.filter(may_answer).collect();
        for node in &waiting {
            let call = Message::RollCall(RollCallMessage::Call { epoch });
            self.send(cx, *node, Lane::Urgent, call);
        }
        let until = now + ROLL_CALL;
        self.desk = Desk::RollCall(RollCall { epoch, waiting, until });
    }

    /// A node answers only now, which may have been believed dead: if the roll is being called, it is asked
    /// too, and waited for as long as the others are.
    pub(super) fn call_latecomer<C: Crypto>(&mut self, cx: &mut Context<'_, C>, node: NodeId) {
        if let Desk::RollCall(RollCall { epoch, waiting, .. }) = &mut self.desk {
            waiting.insert(node);
            let call = Message::RollCall(RollCallMessage::Call { epoch: *epoch });
            self.send(cx, node, Lane::Urgent, call);
        }
    }

    /// A new holder asks: slot records, and this node's own tasks with how long they have been running.
    pub(super) fn answer_roll_call<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        from: NodeId,
        epoch: Epoch,
    ) {
        if epoch.candidate != from {
            return;
        }
        self.reconcile.handle(cx.now, ReconcileInput::RollCall);
        let mut batches = Vec::from([Batch::default()]);
        let mut size = 0;
        for record in self.state.roll() {
            if size + record.len() > BATCH {
                batches.push(Batch::default());
                size = 0;
            }
            size += record.len();
            if let Some(batch) = batches.last_mut() {
                batch.records.push(record);
            }
        }
        let count = batches.len();
        for (at, batch) in batches.into_iter().enumerate() {
            let answer = RollCallMessage::Answer { epoch, batch, more: at + 1 < count };
            self.send(cx, from, Lane::Delta, Message::RollCall(answer));
        }
    }

    pub(super) fn roll_answered<C: Crypto>(
        &mut self,
        _cx: &mut Context<'_, C>,
        from: NodeId,
        epoch: Epoch,
        more: bool,
    ) {
        if let Desk::RollCall(call) = &mut self.desk
            && call.epoch == epoch
            && !more
        {
            call.waiting.remove(&from);
        }
    }

    /// Opens the desk once the roll is called, or writes what the plan says. True if anything was written.
    pub(super) fn plan<C: Crypto>(&mut self, cx: &mut Context<'_, C>) -> bool {
        let now = cx.now.instant;
        let held = self.lease.holding(now).or(match &self.desk {
            Desk::Open(open) if is_sown(Mutant::PlansWithoutLease) => Some(open.epoch),
            Desk::Open(_) | Desk::Closed | Desk::RollCall(_) => None,
        });
        let Some(held) = held else { return false };
        match &self.desk {
            Desk::Closed => false,
            Desk::RollCall(call) => {
                // Its own host answers like any other: until then it would seem to be ill.
                let called = call.waiting.is_empty() && self.reconcile.has_looked();
                let answered = called || is_sown(Mutant::NoRollCall);
                let due = call.epoch == held && (answered || now >= call.until);
                if due {
                    self.take_over(cx, held);
                }
                due
            }
            Desk::Open(open) => {
                let due = open.epoch == held && (open.dirty || open.wake.is_some_and(|at| now >= at));
                due && self.write_plan(cx)
            }
        }
    }

    /// Every live slot is rewritten under this epoch, unchanged: what an earlier holder still writes then
    /// loses by merge.
    fn take_over<C: Crypto>(&mut self, cx: &mut Context<'_, C>, epoch: Epoch) {
        let planner = Planner::new(self.all_facts(cx.now.instant));
        self.desk = Desk::Open(Box::new(Open {
            epoch,
            planner,
            counter: 0,
            confirmed: BTreeSet::new(),
            asked: BTreeMap::new(),
            dirty: true,
            wake: None,
        }));
        if !is_sown(Mutant::SlotsNotRewritten) {
            let slots: Vec<SlotKey> = self.state.slots().map(|view| view.key).collect();
            self.restamp(cx, &slots);
        }
        self.ask_about_the_down(cx);
    }

    /// Rewrites slots whose records are of another epoch, unchanged.
    fn restamp<C: Crypto>(&mut self, cx: &mut Context<'_, C>, slots: &[SlotKey]) {
        let Desk::Open(open) = &mut self.desk else { return };
        if self.lease.holding(cx.now.instant) != Some(open.epoch) {
            return;
        }
        let mut drafts = Vec::new();
        for key in slots {
            let Some(view) = self.state.slot(*key) else { continue };
            if matches!(view.stamp, Stamp::Lease { epoch, .. } if epoch == open.epoch) {
                continue;
            }
            if self.state.is_removed(key.service) {
                continue;
            }
            drafts.push(open.draft(*key, encode(view.slot)));
        }
        if !drafts.is_empty() {
            self.write(cx, drafts, None);
        }
    }

    fn write_plan<C: Crypto>(&mut self, cx: &mut Context<'_, C>) -> bool {
        let Desk::Open(open) = &mut self.desk else { return false };
        open.dirty = false;
        let plan = open.planner.step(cx.now.instant);
        open.wake = plan.wake_at;
        let mut drafts = Vec::with_capacity(plan.writes.len() + 1);
        for write in &plan.writes {
            let stamp = open.next_stamp();
            let body = write.body(stamp, cx.now.wall);
            drafts.push(Draft {
                key: Key::Slot(write.key),
                stamp,
                version: BODY_VERSION,
                body: encode(&body),
            });
        }
        if let Some(horizon) = self.state.horizon_due(self.clock.present(cx.now.instant)) {
            drafts.push(self.draft(cx, DesiredKey::Horizon, &horizon));
        }
        let any = !drafts.is_empty();
        if any {
            self.write(cx, drafts, None);
        }
        any
    }

    pub(super) fn desk_tick<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        self.sightings.tick(cx.now.instant);
        self.part_with_the_removed(cx);
        self.ask_about_the_down(cx);
    }

    const fn is_planning(&self) -> bool {
        matches!(self.desk, Desk::Open(_))
    }

    pub(super) fn desk_node<C: Crypto>(&mut self, cx: &mut Context<'_, C>, node: NodeId) {
        if !self.is_planning() {
            return;
        }
        let fact = self.node_fact(cx.now.instant, node);
        let down = matches!(fact.liveness, Liveness::Down { .. });
        let Desk::Open(open) = &mut self.desk else { return };
        if !down {
            open.confirmed.remove(&node);
            open.asked.remove(&node);
        }
        if !is_sown(Mutant::NodesOverlooked) {
            open.planner.set_node(fact);
        }
        open.dirty = true;
        self.ask_about_the_down(cx);
    }

    pub(super) fn desk_service<C: Crypto>(&mut self, cx: &mut Context<'_, C>, service: ServiceId) {
        if !self.is_planning() {
            return;
        }
        let fact = self.service_fact(cx.now.instant, service);
        let Desk::Open(open) = &mut self.desk else { return };
        let stood = open.planner.service(&service).is_some_and(|known| !known.removed);
        let stands = fact.as_ref().is_some_and(|fact| !fact.removed);
        match fact {
            Some(fact) => open.planner.set_service(fact),
            None => open.planner.forget_service(service),
        }
        open.dirty = true;
        // It may stand again, as what removed it was void: nobody has rewritten its slots while it was gone.
        if stands && !stood {
            let slots: Vec<SlotKey> = self.state.slots_of(service).map(|view| view.key).collect();
            self.restamp(cx, &slots);
        }
    }

    pub(super) fn desk_slot<C: Crypto>(&mut self, cx: &mut Context<'_, C>, slot: SlotKey) {
        let Desk::Open(open) = &self.desk else { return };
        let fact = self.slot_fact(cx.now.instant, slot);
        let known = open.planner.service(&slot.service).map(|service| &service.revisions);
        let is_news_of_its_service = known.is_none_or(|known| {
            let named = fact.iter().flat_map(|fact| {
                let tasks = fact.tasks.iter().map(|task| task.revision);
                tasks.chain(fact.slot.current.iter().map(|current| current.revision))
            });
            named.into_iter().any(|revision| !known.contains_key(&revision))
        });
        if is_news_of_its_service {
            self.desk_service(cx, slot.service);
        } else if let Desk::Open(open) = &mut self.desk {
            open.planner.set_slot(slot, fact);
            open.dirty = true;
        }
        // Whatever else it is: what an earlier holder wrote is acted upon only under this epoch.
        if !is_sown(Mutant::LateSlotsNotRewritten) {
            self.restamp(cx, &[slot]);
        }
    }

    /// Before work moves, others try to reach a node that does not answer this one.
    fn ask_about_the_down<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        if !self.is_planning() {
            return;
        }
        let now = cx.now.instant;
        let down: BTreeSet<NodeId> =
            self.trust.members().filter(|node| *node != cx.me && self.down_since(*node).is_some()).collect();
        let Desk::Open(open) = &mut self.desk else { return };
        let mut ask = Vec::new();
        for node in self.trust.members() {
            let may = open.asked.get(&node).is_none_or(|again| now >= *again);
            let down = down.contains(&node);
            if down && may && !open.confirmed.contains(&node) {
                open.asked.insert(node, now + ASK_AGAIN);
                ask.push(node);
            } else if !down {
                open.asked.remove(&node);
            }
        }
        for node in ask {
            self.membership.handle(now, MembershipInput::ConfirmDown { node });
        }
    }

    /// What this node plans with that is not as records and members say it is now, if it plans.
    pub(super) fn overlooked(&self, now: Instant) -> Option<String> {
        let Desk::Open(open) = &self.desk else { return None };
        let facts = self.all_facts(now);
        let mut nodes = facts.nodes.iter().map(|fact| (fact, open.planner.node(&fact.id)));
        if let Some((fact, known)) = nodes.find(|(fact, known)| *known != Some(fact)) {
            return Some(format!("{fact:?}\nand plans with {known:?}"));
        }
        for fact in &facts.services {
            let Some(known) = open.planner.service(&fact.id) else {
                return Some(format!("{} and plans without it", fact.id));
            };
            let slots = fact.slots.keys().chain(known.slots.keys());
            let mut slots = slots.map(|name| (name, fact.slots.get(name), known.slots.get(name)));
            if let Some((name, fact, known)) = slots.find(|(_, fact, known)| fact != known) {
                return Some(format!("slot {name}: {fact:?}\nand plans with {known:?}"));
            }
            if !fact.asks_for_what(known) {
                return Some(format!("{fact:?}\nand plans with {known:?}"));
            }
        }
        None
    }

    /// Others have tried to reach a node, and could not.
    pub(super) fn confirmed_down<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        node: NodeId,
        confirmed: (u8, u8),
    ) {
        let down = self.down_since(node).is_some();
        let Desk::Open(open) = &mut self.desk else { return };
        if !down {
            return;
        }
        open.asked.remove(&node);
        if open.confirmed.insert(node) {
            cx.out.event(Event::NodeDown { node, confirmed });
            let fact = self.node_fact(cx.now.instant, node);
            if let Desk::Open(open) = &mut self.desk {
                open.planner.set_node(fact);
                open.dirty = true;
            }
        }
    }
}

impl Open {
    fn next_stamp(&mut self) -> Stamp {
        if !is_sown(Mutant::StampsRepeat) || self.counter == 0 {
            self.counter += 1;
        }
        Stamp::Lease { epoch: self.epoch, counter: self.counter }
    }

    fn draft(&mut self, key: SlotKey, body: Vec<u8>) -> Draft {
        Draft { key: Key::Slot(key), stamp: self.next_stamp(), version: BODY_VERSION, body }
    }
}
