//! The facts, kept so that a small change costs a small look.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sleep_wire::key::SlotKey;
use sleep_wire::node::Availability;
use sleep_wire::slot::Cause;
use sleep_wire::spec::Mode;
use sleep_wire::{NodeId, ServiceId};

use super::facts::{Facts, Liveness, NodeFact, ServiceFact, SlotFact};
use super::fleet::Fleet;
use super::pass::{Booking, Pass, Returns};
use super::plan::{Pending, Plan, SlotWrite};
use super::seek::{Queues, Tally};
use super::service::{Look, Service};
use super::{RETURN_LIMIT, RETURN_WINDOW, RETURNS_AFTER};
use crate::time::Instant;

/// All facts, and which services they may concern.
///
/// [`Planner::step`] changes nothing but its own notes: a write counts when the facts say so, through
/// [`Planner::set_slot`]. Until then the same facts give the same plan again.
#[derive(Debug, Default)]
pub struct Planner {
    pub(crate) fleet: Fleet,
    pub(crate) services: BTreeMap<ServiceId, Service>,
    pub(crate) brake: bool,
    dirty: BTreeSet<ServiceId>,
    globals: BTreeSet<ServiceId>,
    /// Services that have slots which no node takes.
    pending: BTreeSet<ServiceId>,
    /// Services that would do something if there were room.
    restless: BTreeSet<ServiceId>,
    /// When to look at a service again, and at all services because a node becomes ready.
    timers: BTreeSet<(Instant, ServiceId)>,
    node_timers: BTreeSet<(Instant, NodeId)>,
    /// Tasks that returned, by when.
    returned: BTreeSet<(Instant, SlotKey)>,
    /// How many slots have a task.
    active: u64,
    /// Whether some node may have more room than before.
    eased: bool,
    /// Whether some node may take work that did not before.
    gained: bool,
    tally: Tally,
}

/// The plan for these facts: the same on every node that knows them.
pub fn plan(facts: &Facts, now: Instant) -> Plan {
    Planner::new(facts.clone()).step(now)
}

impl Planner {
    /// Takes in these facts.
    pub fn new(facts: Facts) -> Self {
        let mut planner = Self { brake: facts.brake, ..Self::default() };
        for node in facts.nodes {
            planner.set_node(node);
        }
        for service in facts.services {
            planner.set_service(service);
        }
        planner
    }

    /// Takes in what is now known of a node. Nodes are never forgotten: one that left is
    /// [`Liveness::Removed`].
    pub fn set_node(&mut self, fact: NodeFact) {
        let id = fact.id;
        let (is_loss, since) = match fact.liveness {
            Liveness::Up { since } => (fact.availability != Availability::Active, Some(since)),
            Liveness::Down { .. } | Liveness::Held | Liveness::Removed => (true, None),
        };
        if self.fleet.fact(&id) == Some(&fact) {
            return;
        }
        let old = self.fleet.set_node(fact);
        if let Some(Liveness::Up { since }) = old.map(|old| old.liveness) {
            self.node_timers.remove(&(since + RETURNS_AFTER, id));
        }
        self.node_timers.extend(since.map(|since| (since + RETURNS_AFTER, id)));
        let place = self.fleet.place_or_new(id);
        self.dirty.extend(self.fleet.entry(place).services.keys().copied());
        self.dirty.extend(&self.globals);
        self.gained |= !is_loss;
    }

    /// Takes in what is now known of a service, its slots included.
    pub fn set_service(&mut self, fact: ServiceFact) {
        let id = fact.id;
        if self.services.get(&id).is_some_and(|known| known.fact == fact) {
            return;
        }
        self.forget_service(id);
        let service = Service::new(&mut self.fleet, fact);
        for (name, slot) in &service.fact.slots {
            self.active += u64::from(slot.slot.current.is_some());
            note_return(&mut self.returned, SlotKey { service: id, slot: *name }, slot, true);
            charge(&mut self.fleet, &service, slot, true);
        }
        if service.fact.mode == Mode::Global {
            self.globals.insert(id);
        }
        self.services.insert(id, service);
        self.dirty.insert(id);
    }

    /// Takes in what is now known of one slot of a known service; `None` if it has neither record nor tasks
    /// any more.
    pub fn set_slot(&mut self, key: SlotKey, fact: Option<SlotFact>) {
        let Some(service) = self.services.get_mut(&key.service) else { return };
        let old = match fact {
            Some(fact) => service.fact.slots.insert(key.slot, fact),
            None => service.fact.slots.remove(&key.slot),
        };
        let new = service.fact.slots.get(&key.slot);
        if old.as_ref() == new {
            return;
        }
        let takes = |slot: Option<&SlotFact>| slot.map_or_else(Vec::new, |slot| service.occupants(slot));
        self.eased |= takes(old.as_ref()) != takes(new);
        if let Some(old) = &old {
            charge(&mut self.fleet, service, old, false);
            note_return(&mut self.returned, key, old, false);
            self.active -= u64::from(old.slot.current.is_some());
        }
        if let Some(new) = new {
            charge(&mut self.fleet, service, new, true);
            note_return(&mut self.returned, key, new, true);
            self.active += u64::from(new.slot.current.is_some());
        }
        self.dirty.insert(key.service);
    }

    /// Forgets a service of which nothing is left.
    pub fn forget_service(&mut self, id: ServiceId) {
        let Some(service) = self.services.remove(&id) else { return };
        for (name, slot) in &service.fact.slots {
            charge(&mut self.fleet, &service, slot, false);
            note_return(&mut self.returned, SlotKey { service: id, slot: *name }, slot, false);
            self.active -= u64::from(slot.slot.current.is_some());
        }
        for spec in service.specs.values() {
            self.fleet.release(spec);
        }
        if let Some(wake) = service.last.wake {
            self.timers.remove(&(wake, id));
        }
        self.eased = true;
        self.dirty.remove(&id);
        self.globals.remove(&id);
        self.pending.remove(&id);
        self.restless.remove(&id);
    }

    /// Holds back, or lets go, the re-placement of work whose nodes are down.
    pub fn set_brake(&mut self, brake: bool) {
        if self.brake != brake {
            self.brake = brake;
            self.dirty.extend(self.services.keys());
        }
    }

    /// A service as it is known here.
    pub fn service(&self, id: &ServiceId) -> Option<&ServiceFact> {
        self.services.get(id).map(|service| &service.fact)
    }

    /// A node as it is known here.
    pub fn node(&self, id: &NodeId) -> Option<&NodeFact> {
        self.fleet.fact(id)
    }

    /// How many tasks take something on a node: none once a drain is through.
    pub fn tasks_on(&self, node: &NodeId) -> u32 {
        self.fleet.place(node).map_or(0, |place| self.fleet.entry(place).tasks())
    }

    /// What is to be written now. Looks at the services that may be concerned by what changed since the last
    /// time; the others want nothing.
    pub fn step(&mut self, now: Instant) -> Plan {
        self.wake(now);
        let mut returns = self.returns(now);
        let (mut writes, mut booked) = (Vec::new(), Vec::new());
        for id in core::mem::take(&mut self.dirty) {
            let written = writes.len();
            let Some(look) = self.look(id, now, &mut returns, &mut booked, &mut writes) else { continue };
            self.note(id, look);
            // It is looked at again until the facts say that it was written.
            if writes.len() > written {
                self.dirty.insert(id);
            }
        }
        for Booking { place, service, revision } in booked {
            let spec = self.services[&service].spec_of(revision).expect("only known revisions are booked");
            self.fleet.charge(place, service, &spec.needs, false);
        }
        let looks = self.pending.iter().map(|id| &self.services[id].last);
        let pending: Vec<Pending> = looks.flat_map(|look| look.pending.iter().cloned()).collect();
        let first = |timer: Option<Instant>, other: Option<Instant>| match (timer, other) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (found, None) | (None, found) => found,
        };
        let service = self.timers.first().map(|(at, _)| *at);
        let node = self.node_timers.first().map(|(at, _)| *at);
        Plan { writes, pending, wake_at: first(service, node) }
    }

    /// Marks what time and room concern.
    fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.dirty.insert(id);
        }
        while let Some(timer) = self.node_timers.first().copied().filter(|(at, _)| *at <= now) {
            self.node_timers.remove(&timer);
            self.gained = true;
        }
        if core::mem::take(&mut self.gained) {
            let crowded = |(_, service): &(&ServiceId, &Service)| service.last.peak >= 2;
            self.dirty.extend(self.services.iter().filter(crowded).map(|(id, _)| *id));
            self.eased = true;
        }
        if core::mem::take(&mut self.eased) {
            self.dirty.extend(&self.restless);
        }
    }

    fn returns(&self, now: Instant) -> Returns {
        let limit = RETURN_LIMIT.max(self.active / 100);
        // What returned exactly a window ago no longer counts; so does nobody need to look again at that
        // instant.
        let lately = || self.returned.iter().rev().take_while(|(at, _)| *at + RETURN_WINDOW > now);
        let (count, first) = (lately().count() as u64, lately().last());
        Returns { left: limit.saturating_sub(count), more_at: first.map(|(at, _)| *at + RETURN_WINDOW) }
    }

    fn look(
        &mut self,
        id: ServiceId,
        now: Instant,
        returns: &mut Returns,
        booked: &mut Vec<Booking>,
        writes: &mut Vec<SlotWrite>,
    ) -> Option<Look> {
        let Self { fleet, services, brake, tally, .. } = self;
        let service = services.get(&id)?;
        let Some(spec) = service.spec().filter(|_| !service.fact.removed) else {
            return Some(Look::default());
        };
        let (queues, failures, look) = (Queues::default(), BTreeMap::new(), Look::default());
        let brake = *brake;
        let pass =
            Pass { fleet, service, spec, now, brake, tally, queues, failures, returns, booked, writes, look };
        Some(pass.run())
    }

    fn note(&mut self, id: ServiceId, look: Look) {
        let service = self.services.get_mut(&id).expect("it was just looked at");
        if let Some(wake) = service.last.wake {
            self.timers.remove(&(wake, id));
        }
        self.timers.extend(look.wake.map(|wake| (wake, id)));
        let mark = |set: &mut BTreeSet<ServiceId>, wanted: bool| {
            if wanted {
                set.insert(id)
            } else {
                set.remove(&id)
            };
        };
        mark(&mut self.pending, !look.pending.is_empty());
        mark(&mut self.restless, look.restless);
        service.last = look;
    }
}

/// Puts what a slot's tasks take on their nodes, or takes it away again.
fn charge(fleet: &mut Fleet, service: &Service, slot: &SlotFact, on: bool) {
    let id = service.fact.id;
    for node in Service::named_nodes(slot) {
        let place = fleet.place_or_new(node);
        fleet.mention(place, id, on);
    }
    for (_, node, revision) in service.occupants(slot) {
        let place = fleet.place_or_new(node);
        if let Some(spec) = service.spec_of(revision) {
            fleet.charge(place, id, &spec.needs, on);
        }
    }
}

fn note_return(returned: &mut BTreeSet<(Instant, SlotKey)>, key: SlotKey, slot: &SlotFact, on: bool) {
    if let Some(current) = &slot.slot.current
        && matches!(current.cause, Cause::Rebalanced(_))
    {
        if on {
            returned.insert((slot.assigned, key));
        } else {
            returned.remove(&(slot.assigned, key));
        }
    }
}
