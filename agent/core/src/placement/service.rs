//! One service, made ready for planning.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sleep_wire::key::SlotName;
use sleep_wire::spec::RestartCondition;
use sleep_wire::{NodeId, RevisionId, Stamp};

use super::facts::{ServiceFact, SlotFact, TaskFact};
use super::fleet::{Fleet, Spec};
use super::hash::{mix, seed};
use super::plan::Pending;
use crate::time::Instant;

/// A service's facts, and what the last look at it left behind.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) fact: ServiceFact,
    pub(crate) specs: BTreeMap<RevisionId, Spec>,
    /// Revisions whose tasks are the same as the present one's.
    same: BTreeSet<RevisionId>,
    pub(crate) seed: u64,
    pub(crate) last: Look,
}

/// What a look at a service left behind.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) pending: Vec<Pending>,
    /// When time alone may change its plan.
    pub(crate) wake: Option<Instant>,
    /// The most tasks on one node, or in one of several domains.
    pub(crate) peak: u32,
    /// Whether it would do something if there were room.
    pub(crate) restless: bool,
}

impl Service {
    pub(crate) fn new(fleet: &mut Fleet, fact: ServiceFact) -> Self {
        let specs = fact.revisions.iter().map(|(id, revision)| (*id, fleet.ready(revision))).collect();
        let current = fact.revisions.get(&fact.revision);
        let is_same = |id: &RevisionId| {
            *id == fact.revision
                || current.is_some_and(|current| fact.revisions[id].template == current.template)
        };
        let same = fact.revisions.keys().copied().filter(is_same).collect();
        Self { seed: seed(&fact.id.0), specs, same, last: Look::default(), fact }
    }

    /// The present revision; `None` while only its id is known.
    pub(crate) fn spec(&self) -> Option<&Spec> {
        self.specs.get(&self.fact.revision)
    }

    /// The revision of a task, or the present one if that is not known.
    pub(crate) fn spec_of(&self, revision: RevisionId) -> Option<&Spec> {
        self.specs.get(&revision).or_else(|| self.spec())
    }

    /// Whether a task of this revision is to give way to one of the present.
    pub(crate) fn is_outdated(&self, revision: RevisionId) -> bool {
        revision != self.fact.revision && !self.same.contains(&revision)
    }

    pub(crate) fn condition(&self, revision: RevisionId) -> RestartCondition {
        self.spec_of(revision).map_or(RestartCondition::Any, |spec| spec.revision.template.restart.condition)
    }

    pub(crate) fn slot_seed(slot: SlotName) -> u64 {
        match slot {
            SlotName::Number(number) => u64::from(number),
            SlotName::Node(node) => seed(&node.0),
            SlotName::Run { run, number } => mix(run, u64::from(number)),
        }
    }

    /// The nodes whose changes concern this slot; some more than once.
    pub(crate) fn named_nodes(slot: &SlotFact) -> impl Iterator<Item = NodeId> {
        let named = slot.slot.current.iter().map(|current| current.node);
        named
            .chain(slot.slot.retire.iter().map(|retired| retired.node))
            .chain(slot.unlisted().map(|task| task.node))
    }

    /// What takes something from a node for this slot: the assignment, where, and of which revision.
    pub(crate) fn occupants(&self, slot: &SlotFact) -> Vec<(Stamp, NodeId, RevisionId)> {
        let mut found = Vec::with_capacity(1);
        if let Some(current) = &slot.slot.current {
            let takes = match slot.latest(&current.assignment) {
                Some(task) if self.fact.removed => !task.state.is_over(),
                Some(task) => !task.is_done(self.condition(current.revision)),
                None => !self.fact.removed,
            };
            if takes {
                found.push((current.assignment, current.node, current.revision));
            }
        }
        for retired in &slot.slot.retire {
            let task = slot.latest(&retired.assignment);
            if !task.is_some_and(|task| task.state.is_over()) {
                let revision = task.map_or(self.fact.revision, |task| task.revision);
                found.push((retired.assignment, retired.node, revision));
            }
        }
        let unlisted = |task: &TaskFact| (task.task.assignment, task.node, task.revision);
        found.extend(slot.unlisted().map(unlisted));
        found
    }
}
