//! One look at one service: what its slots want, in the order in which they get it.
//!
//! Settle slots with two tasks · let surplus go · place work that lost its node, then what is missing · move
//! what cannot stay, update what is old · let work return · forget what has ended.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use sleep_wire::RevisionId;
use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::slot::{Cause, Choice, RetireReason, Retired};
use sleep_wire::spec::{Mode, Order};
use sleep_wire::task::TaskState;

use super::FAILURES_COUNT_FOR;
use super::facts::ServiceFact;
use super::fleet::{Fleet, Spec, Want};
use super::load::Needs;
use super::plan::{Current, NewAssignment, Pending, SlotWrite, Why};
use super::seek::{Queues, Seek, Tally};
use super::service::{Look, Service};
use crate::rollout::paused_by;
use crate::rollout::seat::{Reader, Seat, Standing, sooner};
use crate::rollout::step::{Step, steps};
use crate::time::Instant;

/// One look at one service.
pub(crate) struct Pass<'a> {
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) service: &'a Service,
    pub(crate) spec: &'a Spec,
    pub(crate) now: Instant,
    pub(crate) brake: bool,
    pub(crate) tally: &'a mut Tally,
    pub(crate) queues: Queues,
    /// How many starts of the present revision failed lately, by node.
    pub(crate) failures: BTreeMap<u32, u32>,
    /// How many tasks may return, in all services, and when more may.
    pub(crate) returns: &'a mut Returns,
    /// What this plan has put where, for its end to take away again.
    pub(crate) booked: &'a mut Vec<Booking>,
    pub(crate) writes: &'a mut Vec<SlotWrite>,
    pub(crate) look: Look,
}

/// How many tasks may return, in all services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returns {
    pub(crate) left: u64,
    pub(crate) more_at: Option<Instant>,
}

/// A task that this plan puts on a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booking {
    pub(crate) place: u32,
    pub(crate) service: sleep_wire::ServiceId,
    pub(crate) revision: RevisionId,
}

/// Starts of the present revision that failed lately, by node, and when the first of them is forgotten.
pub(crate) fn failures(
    fleet: &Fleet,
    fact: &ServiceFact,
    now: Instant,
) -> (BTreeMap<u32, u32>, Option<Instant>) {
    let (mut failures, mut wake) = (BTreeMap::new(), None);
    for task in fact.slots.values().flat_map(|slot| &slot.tasks) {
        if task.state != TaskState::Failed || !task.could_not_start() || task.revision != fact.revision {
            continue;
        }
        let until = task.seen + FAILURES_COUNT_FOR;
        if until > now
            && let Some(place) = fleet.place(&task.node)
        {
            *failures.entry(place).or_insert(0) += 1;
            sooner(&mut wake, until);
        }
    }
    (failures, wake)
}

impl<'a> Pass<'a> {
    pub(crate) fn run(mut self) -> Look {
        let first = self.writes.len();
        let (failures, wake) = failures(self.fleet, &self.service.fact, self.now);
        (self.failures, self.look.wake) = (failures, wake);
        let mut seats = self.read();
        self.settle(&mut seats);
        self.count(&seats);
        match self.service.fact.mode {
            Mode::Replicated => self.replicated(&mut seats, first),
            Mode::Global => self.global(&mut seats),
        }
        self.tidy(&seats);
        self.writes[first..].sort_by_key(|write| write.key);
        self.look.pending.sort_by_key(|pending| pending.key);
        for wake in seats.iter().filter_map(|seat| seat.wake) {
            sooner(&mut self.look.wake, wake);
        }
        self.look.peak = self.tally.peak();
        self.look.restless |= !self.look.pending.is_empty();
        self.look
    }

    fn reader(&self) -> Reader<'_> {
        let Self { fleet, service, spec, now, brake, failures, .. } = self;
        Reader { fleet, service, spec, now: *now, brake: *brake, failures }
    }

    fn read(&self) -> Vec<Seat<'a>> {
        let service = self.service;
        service.fact.slots.iter().map(|(name, slot)| self.reader().read(*name, slot)).collect()
    }

    fn settle(&mut self, seats: &mut [Seat<'a>]) {
        let mut active = seats.iter().filter(|seat| seat.is_active()).count();
        // Slots that have a task first: they say how many more are wanted.
        for vacant in [false, true] {
            for seat in seats.iter_mut().filter(|seat| !seat.acted && seat.is_active() != vacant) {
                let wanted = match self.service.fact.mode {
                    Mode::Replicated => active < self.service.fact.replicas as usize,
                    Mode::Global => seat.name_is_wanted(self.fleet, self.spec),
                };
                let Some(settled) = self.reader().settle(seat, wanted) else { continue };
                if let Some(place) = settled.adopted {
                    active += usize::from(!seat.is_active());
                    (seat.place, seat.standing) = (Some(place), Standing::Starting);
                }
                seat.acted = true;
                self.writes.push(SlotWrite {
                    key: self.key(seat.name),
                    current: settled.current,
                    order: settled.order,
                    fence: seat.fact.slot.fence,
                    retire: settled.retire,
                    why: Why::Settled,
                });
            }
        }
    }

    fn count(&mut self, seats: &[Seat<'_>]) {
        let pool = self.fleet.pool(self.spec.pool);
        self.tally.clear(self.fleet.len(), pool.domains.len());
        for place in seats.iter().filter(|seat| seat.is_placed()).filter_map(|seat| seat.place) {
            self.tally.add(pool, place);
        }
    }

    fn replicated(&mut self, seats: &mut [Seat<'a>], first: usize) {
        let wanted = self.service.fact.replicas as usize;
        let active = seats.iter().filter(|seat| seat.is_active()).count();
        self.let_go(seats, active.saturating_sub(wanted));
        let paused = paused_by(self.service, seats).is_some();
        for seat in seats.iter_mut().filter(|seat| !seat.acted) {
            if let Standing::Lost(cause) = &seat.standing {
                let cause = cause.clone();
                let revision = self.revision_for(seat, paused);
                self.place(seat, cause, revision);
            }
        }
        let filled = self.fill(seats, wanted.saturating_sub(active));
        self.queues.forget();
        self.step(seats, paused, filled);
        if self.writes.len() == first && self.look.pending.is_empty() {
            self.rebalance(seats, paused);
        }
    }

    /// Gives tasks to slots that have none: the lowest numbers that are free. Returns how many got one.
    fn fill(&mut self, seats: &mut [Seat<'a>], missing: usize) -> usize {
        let before = self.writes.len();
        let (mut left, mut number, mut at) = (missing, 1, 0);
        while left > 0 {
            while seats.get(at).is_some_and(|seat| seat.name < SlotName::Number(number)) {
                at += 1;
            }
            let name = SlotName::Number(number);
            number += 1;
            let seat = seats.get_mut(at).filter(|seat| seat.name == name);
            match seat {
                Some(seat) if seat.is_active() => continue,
                // Settled in this very plan, and not wanted: the next plan may give it a task.
                Some(seat) if seat.acted => continue,
                Some(seat) => self.place(seat, Cause::Wanted, self.service.fact.revision),
                None => self.place_new(name),
            }
            left -= 1;
        }
        self.writes.len() - before
    }

    fn place_new(&mut self, name: SlotName) {
        let revision = self.service.fact.revision;
        match self.seek(name, revision) {
            Some((place, choice)) => {
                let current = self.book(place, revision, Cause::Wanted, choice);
                self.write(
                    name,
                    current,
                    self.service.fact.order(),
                    1,
                    Vec::new(),
                    Why::Assigned(Cause::Wanted),
                );
            }
            None => self.pend(name, Cause::Wanted),
        }
    }

    /// Gives a task to a slot that has none, or whose task's node is gone: nothing is retired.
    pub(crate) fn place(&mut self, seat: &mut Seat<'a>, cause: Cause, revision: RevisionId) {
        let Some((place, choice)) = self.seek(seat.name, revision) else {
            return self.pend(seat.name, cause);
        };
        let current = self.book(place, revision, cause.clone(), choice);
        seat.acted = true;
        let fence = seat.fact.slot.fence.saturating_add(1);
        let order = self.service.fact.order();
        self.write(seat.name, current, order, fence, seat.retire.clone(), Why::Assigned(cause));
    }

    /// What a slot gets when its task has to be replaced for another reason than an update.
    pub(crate) fn revision_for(&self, seat: &Seat<'_>, paused: bool) -> RevisionId {
        let known = seat.current().map(|current| current.revision);
        let known = known.filter(|revision| paused && self.service.specs.contains_key(revision));
        known.unwrap_or(self.service.fact.revision)
    }

    /// Lets slots take their next steps; `filled` others have just been given a task.
    pub(crate) fn step(&mut self, seats: &mut [Seat<'a>], paused: bool, filled: usize) {
        let (steps, wait) = steps(self.service, seats, paused, filled, self.now);
        if let Some(wait) = wait {
            sooner(&mut self.look.wake, wait);
        }
        for step in steps.failed.iter().chain(&steps.retarget) {
            self.replace(seats, step, paused);
        }
        let (mut left, mut updates) = (steps.may_leave, steps.may_update);
        for step in &steps.leaving {
            if left == 0 {
                break;
            }
            let moved = usize::from(self.replace(seats, step, paused));
            left -= moved;
            updates = updates.saturating_sub(moved);
        }
        for step in &steps.outdated {
            // One that no node takes would stand in the way of those behind it for ever: it does not count.
            if updates == 0 {
                break;
            }
            updates -= usize::from(self.replace(seats, step, paused));
        }
    }

    /// Gives a slot another task and retires the one it has. Returns whether a node took it.
    fn replace(&mut self, seats: &mut [Seat<'a>], step: &Step, paused: bool) -> bool {
        let seat = &mut seats[step.seat];
        let (Some(current), Some(old)) = (seat.current(), seat.place) else { return false };
        let revision = match step.cause {
            Cause::Updated => self.service.fact.revision,
            _ => self.revision_for(seat, paused),
        };
        let order = self.service.fact.order();
        let service = self.service;
        let needs = service.spec_of(current.revision).map(|spec| &spec.needs);
        let frees = match order {
            Order::StopFirst => needs.map(|needs| (old, needs)),
            Order::StartFirst => None,
        };
        let placed = seat.is_placed();
        if placed {
            self.tally.take(self.fleet.pool(self.spec.pool), old);
        }
        let stays = step.cause == Cause::Updated;
        let found = if stays { self.seek_at(old, revision, frees) } else { None };
        let Some((place, choice)) = found.or_else(|| self.seek_anew(seat.name, revision, frees)) else {
            if placed {
                self.tally.add(self.fleet.pool(self.spec.pool), old);
            }
            self.pend(seat.name, step.cause.clone());
            return false;
        };
        let new = self.book(place, revision, step.cause.clone(), choice);
        let mut retire = seat.retire.clone();
        if seat.standing != Standing::Done {
            retire.push(Retired {
                assignment: current.assignment,
                node: current.node,
                reason: reason(&step.cause),
            });
        }
        seat.acted = true;
        let fence = seat.fact.slot.fence.saturating_add(1);
        self.write(seat.name, new, order, fence, retire, Why::Assigned(step.cause.clone()));
        true
    }

    fn tidy(&mut self, seats: &[Seat<'_>]) {
        for seat in seats.iter().filter(|seat| !seat.acted && seat.is_untidy()) {
            self.writes.push(SlotWrite {
                key: self.key(seat.name),
                current: seat.current().cloned().map(Current::Kept),
                order: seat.fact.slot.order,
                fence: seat.fact.slot.fence,
                retire: seat.retire.clone(),
                why: Why::Ended,
            });
        }
    }
}

/// What a task that gives way is told.
fn reason(cause: &Cause) -> RetireReason {
    match cause {
        Cause::Drained(_) | Cause::Updated | Cause::Wanted | Cause::Commanded => RetireReason::Command,
        Cause::NodeDown(_)
        | Cause::Rebalanced(_)
        | Cause::Failed(_)
        | Cause::NodeRemoved(_)
        | Cause::Unfit(_)
        | Cause::Adopted => RetireReason::Moved,
    }
}

impl<'a> Pass<'a> {
    pub(crate) fn key(&self, slot: SlotName) -> SlotKey {
        SlotKey { service: self.service.fact.id, slot }
    }

    pub(crate) fn pend(&mut self, slot: SlotName, cause: Cause) {
        let key = self.key(slot);
        self.look.pending.push(Pending { key, cause });
    }

    pub(crate) fn write(
        &mut self,
        slot: SlotName,
        current: NewAssignment,
        order: Order,
        fence: u64,
        retire: Vec<Retired>,
        why: Why,
    ) {
        let (key, current) = (self.key(slot), Some(Current::New(current)));
        self.writes.push(SlotWrite { key, current, order, fence, retire, why });
    }

    /// Puts a task on a node for the rest of this plan.
    pub(crate) fn book(
        &mut self,
        place: u32,
        revision: RevisionId,
        cause: Cause,
        choice: Choice,
    ) -> NewAssignment {
        let service = self.service.fact.id;
        let spec = self.service.spec_of(revision).unwrap_or(self.spec);
        self.fleet.charge(place, service, &spec.needs, true);
        self.booked.push(Booking { place, service, revision });
        self.tally.add(self.fleet.pool(self.spec.pool), place);
        NewAssignment { node: self.fleet.entry(place).id, revision, cause, choice }
    }

    pub(crate) fn want<'w>(&'w self, revision: RevisionId, frees: Option<(u32, &'w Needs)>) -> Want<'w> {
        let spec = self.service.spec_of(revision).unwrap_or(self.spec);
        Want {
            service: self.service.fact.id,
            spec,
            holders: self.fleet.holders(spec),
            pool: self.fleet.pool(self.spec.pool),
            max_per_node: match self.service.fact.mode {
                Mode::Replicated => self.spec.revision.placement.max_per_node,
                Mode::Global => 0,
            },
            frees,
            failures: (revision == self.service.fact.revision).then_some(&self.failures),
        }
    }

    pub(crate) fn searcher<'w>(&'w self, want: Want<'w>) -> Seek<'w> {
        Seek { fleet: self.fleet, tally: self.tally, want, service_seed: self.service.seed }
    }

    /// A node for a task while tasks are only added: what one search learns serves the next.
    fn seek(&mut self, name: SlotName, revision: RevisionId) -> Option<(u32, Choice)> {
        let mut queues = core::mem::take(&mut self.queues);
        queues.start(revision);
        let want = self.want(revision, None);
        let seek = self.searcher(want);
        let found = queues.run(|queues| seek.best(Service::slot_seed(name), Some(queues)));
        self.queues = queues;
        found
    }

    /// A node for a task at any time. A global service's task has but one.
    fn seek_anew(
        &self,
        name: SlotName,
        revision: RevisionId,
        frees: Option<(u32, &Needs)>,
    ) -> Option<(u32, Choice)> {
        match self.service.fact.mode {
            Mode::Replicated => {
                self.searcher(self.want(revision, frees)).best(Service::slot_seed(name), None)
            }
            Mode::Global => None,
        }
    }

    /// One node, if it takes a task. No other is asked: a task stays where the one before it is, and a global
    /// service has one on each.
    pub(crate) fn seek_at(
        &self,
        place: u32,
        revision: RevisionId,
        frees: Option<(u32, &Needs)>,
    ) -> Option<(u32, Choice)> {
        let seek = self.searcher(self.want(revision, frees));
        let (place, _, _) = seek.best_of(core::iter::once(place))?;
        let rule = match self.service.fact.mode {
            Mode::Replicated => "stays",
            Mode::Global => "each",
        };
        Some((place, Choice { fitting: 1, refused: 0, decided_by: rule.to_string() }))
    }
}
