//! A second look at a plan before it is written: nothing here plans, everything is counted afresh.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sleep_wire::key::SlotKey;
use sleep_wire::node::Availability;
use sleep_wire::slot::{Cause, Retired};
use sleep_wire::spec::{Mode, Order};
use sleep_wire::{NodeId, RevisionId, Stamp};

use super::constraint::parse_constraint;
use super::facts::{Facts, Liveness, NodeFact, ServiceFact, SlotFact};
use super::plan::{Current, NewAssignment, Plan, SlotWrite};

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LintError {
    /// More would be reserved on a node than it has, where the plan puts a task.
    OverCapacity(NodeId),
    /// A task is put on a node that does not take it.
    NotEligible(SlotKey, NodeId),
    /// A task is replaced for a reason that the facts do not bear out.
    NeedlessMove(SlotKey, Cause),
    /// A task that serves is retired, and nothing takes its place.
    FloorBroken(SlotKey),
    /// A task is retired that the slot never had.
    RetiredWithoutReason(SlotKey, Stamp),
    /// A task is neither kept nor named, and its node is not gone.
    Forgotten(SlotKey, Stamp),
    /// A new task has no greater fence number, or an old one another.
    Fence(SlotKey),
    /// A slot is written twice, or for a service that is not known or gone.
    Misplaced(SlotKey),
}

/// What is wrong with a plan, given the facts that it was made of; nothing, if the planner is right.
pub fn lint(plan: &Plan, facts: &Facts) -> Vec<LintError> {
    let nodes = facts.nodes.iter().map(|node| (node.id, node)).collect();
    let services = facts.services.iter().map(|service| (service.id, service)).collect();
    let mut lint = Lint { nodes, services, found: Vec::new() };
    let mut last = None;
    for write in &plan.writes {
        let service = lint.services.get(&write.key.service).copied().filter(|service| !service.removed);
        match service {
            Some(service) if last < Some(write.key) => lint.write(service, write),
            Some(_) | None => lint.found.push(LintError::Misplaced(write.key)),
        }
        last = Some(write.key);
    }
    lint.floor(plan);
    lint.capacity(plan);
    lint.found
}

struct Lint<'a> {
    nodes: BTreeMap<NodeId, &'a NodeFact>,
    services: BTreeMap<sleep_wire::ServiceId, &'a ServiceFact>,
    found: Vec<LintError>,
}

impl<'a> Lint<'a> {
    fn write(&mut self, service: &ServiceFact, write: &SlotWrite) {
        let vacant = SlotFact::vacant(crate::time::Instant::default());
        let fact = service.slots.get(&write.key.slot).unwrap_or(&vacant);
        self.names(fact, write);
        let new = write.new_assignment();
        let fence = fact.slot.fence;
        if if new.is_some() { write.fence <= fence } else { write.fence != fence } {
            self.found.push(LintError::Fence(write.key));
        }
        let Some(new) = new else { return };
        if !self.is_eligible(service, new) {
            self.found.push(LintError::NotEligible(write.key, new.node));
        }
        if !self.is_needed(service, fact, new) {
            self.found.push(LintError::NeedlessMove(write.key, new.cause.clone()));
        }
    }

    /// Who is named by the new body, and who no longer.
    fn names(&mut self, fact: &SlotFact, write: &SlotWrite) {
        let before = |stamp: &Stamp| {
            fact.slot.current.as_ref().is_some_and(|current| current.assignment == *stamp)
                || fact.slot.retire.iter().any(|retired| retired.assignment == *stamp)
                || fact.tasks.iter().any(|task| task.task.assignment == *stamp)
        };
        for Retired { assignment, .. } in &write.retire {
            if !before(assignment) {
                self.found.push(LintError::RetiredWithoutReason(write.key, *assignment));
            }
        }
        let kept = match &write.current {
            Some(Current::Kept(assigned)) => Some(assigned.assignment),
            Some(Current::Adopted { assignment, .. }) => Some(*assignment),
            Some(Current::New(_)) | None => None,
        };
        let Some(old) = &fact.slot.current else { return };
        let named = kept == Some(old.assignment)
            || write.retire.iter().any(|retired| retired.assignment == old.assignment);
        let over = fact.latest(&old.assignment).is_some_and(|task| task.state.is_over());
        if !named && !over && !self.is_gone(&old.node) {
            self.found.push(LintError::Forgotten(write.key, old.assignment));
        }
    }

    fn is_gone(&self, node: &NodeId) -> bool {
        match self.nodes.get(node).map(|node| node.liveness) {
            Some(Liveness::Removed) => true,
            Some(Liveness::Down { confirmed, .. }) => confirmed,
            Some(Liveness::Up { .. } | Liveness::Held) | None => false,
        }
    }

    fn is_eligible(&self, service: &ServiceFact, new: &NewAssignment) -> bool {
        let (Some(node), Some(revision)) =
            (self.nodes.get(&new.node), service.revisions.get(&service.revision))
        else {
            return false;
        };
        let rules = revision.placement.constraints.iter();
        matches!(node.liveness, Liveness::Up { .. })
            && node.availability == Availability::Active
            && node.runtimes.get(&revision.template.runtime).is_some_and(alloc::string::String::is_empty)
            && rules.map(|text| parse_constraint(text)).all(|rule| rule.is_ok_and(|rule| rule.holds(node)))
    }

    fn is_needed(&self, service: &ServiceFact, fact: &SlotFact, new: &NewAssignment) -> bool {
        let Some(old) = &fact.slot.current else { return new.cause == Cause::Wanted };
        let node = self.nodes.get(&old.node);
        match &new.cause {
            Cause::Adopted | Cause::Commanded => false,
            Cause::Wanted => fact.latest(&old.assignment).is_some_and(|task| task.state.is_over()),
            Cause::NodeDown(id) | Cause::NodeRemoved(id) => *id == old.node && self.is_gone(id),
            Cause::Drained(id) => {
                *id == old.node && node.is_some_and(|node| node.availability == Availability::Drained)
            }
            Cause::Updated => old.revision != service.revision,
            Cause::Rebalanced(id) => *id == old.node && !service.singleton && *id != new.node,
            Cause::Failed(id) | Cause::Unfit(id) => *id == old.node && *id != new.node,
        }
    }

    /// Replicated services keep as many slots with a task as their scale says, if they had them.
    fn floor(&mut self, plan: &Plan) {
        let mut lost: BTreeMap<sleep_wire::ServiceId, Vec<SlotKey>> = BTreeMap::new();
        for write in &plan.writes {
            let service = self.services.get(&write.key.service);
            let had = service.and_then(|service| service.slots.get(&write.key.slot));
            if write.current.is_none() && had.is_some_and(|had| had.slot.current.is_some()) {
                lost.entry(write.key.service).or_default().push(write.key);
            }
        }
        for (id, keys) in lost {
            let service = self.services[&id];
            let had = service.slots.values().filter(|slot| slot.slot.current.is_some()).count();
            if service.mode == Mode::Replicated && had - keys.len() < service.replicas as usize {
                self.found.extend(keys.into_iter().map(LintError::FloorBroken));
            }
        }
    }

    /// Counts what would be reserved where the plan puts tasks.
    fn capacity(&mut self, plan: &Plan) {
        let writes: BTreeMap<SlotKey, &SlotWrite> =
            plan.writes.iter().map(|write| (write.key, write)).collect();
        let mut booked: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
        for service in self.services.values() {
            for (name, fact) in &service.slots {
                let write = writes.get(&SlotKey { service: service.id, slot: *name }).copied();
                for (node, revision) in occupants(service, fact, write) {
                    book(&mut booked, service, node, revision);
                }
            }
        }
        let mut touched = Vec::new();
        for write in &plan.writes {
            if let (Some(new), Some(service)) =
                (write.new_assignment(), self.services.get(&write.key.service))
            {
                book(&mut booked, service, new.node, new.revision);
                touched.push((new.node, service.revisions.get(&new.revision).map(|r| r.template.resources)));
            }
        }
        touched.sort_unstable_by_key(|(node, _)| *node);
        for (id, needs) in touched {
            let (cpu, memory) = booked.get(&id).copied().unwrap_or_default();
            let Some(node) = self.nodes.get(&id) else { continue };
            let over = needs.is_some_and(|needs| {
                (needs.reserve_cpu_milli > 0 && cpu > node.cpu_milli)
                    || (needs.reserve_memory > 0 && memory > node.memory)
            });
            if over && self.found.last() != Some(&LintError::OverCapacity(id)) {
                self.found.push(LintError::OverCapacity(id));
            }
        }
    }
}

fn book(
    booked: &mut BTreeMap<NodeId, (u64, u64)>,
    service: &ServiceFact,
    node: NodeId,
    revision: RevisionId,
) {
    let known = service.revisions.get(&revision).or_else(|| service.revisions.get(&service.revision));
    if let Some(revision) = known {
        let (cpu, memory) = booked.entry(node).or_default();
        *cpu = cpu.saturating_add(revision.template.resources.reserve_cpu_milli);
        *memory = memory.saturating_add(revision.template.resources.reserve_memory);
    }
}

/// What a slot's old tasks take while its new one runs: all of them, but where the new one waits for them to
/// end.
fn occupants(service: &ServiceFact, fact: &SlotFact, write: Option<&SlotWrite>) -> Vec<(NodeId, RevisionId)> {
    let waits_at = write
        .filter(|write| write.order == Order::StopFirst)
        .and_then(|write| write.new_assignment().map(|new| new.node));
    let mut found = Vec::new();
    if let Some(current) = &fact.slot.current {
        let task = fact.latest(&current.assignment);
        let condition = service.revisions.get(&current.revision).map(|r| r.template.restart.condition);
        let done = task
            .is_some_and(|task| task.is_done(condition.unwrap_or(sleep_wire::spec::RestartCondition::Any)));
        let gone = service.removed && task.is_none_or(|task| task.state.is_over());
        if !done && !gone && waits_at != Some(current.node) {
            found.push((current.node, current.revision));
        }
    }
    for retired in &fact.slot.retire {
        let task = fact.latest(&retired.assignment);
        if !task.is_some_and(|task| task.state.is_over()) && waits_at != Some(retired.node) {
            found.push((retired.node, task.map_or(service.revision, |task| task.revision)));
        }
    }
    found.extend(fact.unlisted().map(|task| (task.node, task.revision)));
    found
}
