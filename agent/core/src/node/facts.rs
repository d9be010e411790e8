//! The planner's facts, made from records and from what this node itself sees.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::{ObservedKey, SlotKey, SlotName};
use sleep_wire::trust::Role;
use sleep_wire::{Key, NodeId, RevisionId, ServiceId, Stamp};

use super::member::Member;
use crate::membership::Liveness as Seen;
use crate::placement::{Facts, Liveness, NodeFact, ServiceFact, SlotFact, TaskFact};
use crate::state::{SlotView, TaskView};
use crate::time::Instant;

impl Member {
    /// Everything that a plan rests on, as this node sees it now.
    pub(super) fn all_facts(&self, now: Instant) -> Facts {
        let nodes = self.trust.standings().map(|(node, _)| self.node_fact(now, node));
        let services = self.known_services().into_iter();
        let services = services.filter_map(|service| self.service_fact(now, service));
        Facts { nodes: nodes.collect(), services: services.collect(), brake: false }
    }

    /// Every service that stands, and every removed one of which something is left.
    pub(super) fn known_services(&self) -> BTreeSet<ServiceId> {
        self.state.standing().chain(self.state.running()).collect()
    }

    pub(super) fn node_fact(&self, now: Instant, node: NodeId) -> NodeFact {
        let facts = self.state.facts(node);
        let mut labels = BTreeMap::new();
        for label in facts.iter().flat_map(|facts| &facts.labels) {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            labels.insert(name.into(), value.into());
        }
        labels.extend(self.state.labels(node).map(|(name, value)| (name.into(), value.into())));
        let runtimes = facts.iter().flat_map(|facts| &facts.runtimes);
        NodeFact {
            id: node,
            name: facts.map(|facts| facts.name.clone()).unwrap_or_default(),
            availability: self.state.availability(node),
            liveness: self.liveness(now, node),
            activated: self.sightings.activated(node),
            role: self.trust.role(node).unwrap_or(Role::Worker),
            labels,
            cpu_milli: facts.map_or(0, |facts| facts.cpu_milli),
            memory: facts.map_or(0, |facts| facts.memory),
            architecture: facts.map(|facts| facts.architecture.clone()).unwrap_or_default(),
            os: facts.map(|facts| facts.os.clone()).unwrap_or_default(),
            runtimes: runtimes.map(|runtime| (runtime.runtime, runtime.ill.clone())).collect(),
            images: self
                .state
                .images(node)
                .map(|held| held.images.iter().cloned().collect())
                .unwrap_or_default(),
        }
    }

    fn liveness(&self, now: Instant, node: NodeId) -> Liveness {
        if self.trust.standing(node).is_none_or(|standing| standing.removed.is_some()) {
            return Liveness::Removed;
        }
        if node == self.membership.me().node {
            return Liveness::Up { since: self.started };
        }
        let Some(state) = self.membership.state(node) else {
            return Liveness::Down { since: now, confirmed: self.desk.is_confirmed(node) };
        };
        match state.liveness {
            Seen::Alive | Seen::Suspect => Liveness::Up { since: state.since },
            Seen::Down if state.held_until.is_some() => Liveness::Held,
            Seen::Down => Liveness::Down { since: state.since, confirmed: self.desk.is_confirmed(node) },
        }
    }

    pub(super) fn service_fact(&self, now: Instant, id: ServiceId) -> Option<ServiceFact> {
        let birth = self.birth(id)?;
        let standing = self.state.service(id);
        // No plan rests on what this release cannot read.
        if standing.as_ref().is_some_and(|service| service.sealed) {
            return None;
        }
        let revision = standing.as_ref().map_or(birth.revision, |service| service.current.id);
        let (removed, replicas) = (standing.is_none(), standing.as_ref().map_or(0, |known| known.replicas));
        let revisions = standing.map_or_else(|| self.state.revisions(id), |service| service.revisions);
        let slots = self.slot_facts(now, id);
        let mut wanted: BTreeSet<RevisionId> = BTreeSet::from([revision]);
        for slot in slots.values() {
            wanted.extend(slot.slot.current.iter().map(|current| current.revision));
            wanted.extend(slot.tasks.iter().map(|task| task.revision));
        }
        let named = revisions.iter().filter(|revision| wanted.contains(&revision.id));
        Some(ServiceFact {
            id,
            mode: birth.mode,
            replicas,
            removed,
            singleton: birth.singleton,
            revision,
            revisions: named.map(|revision| (revision.id, Arc::clone(revision.spec))).collect(),
            slots,
        })
    }

    /// Every slot of a service that has a record, or tasks that count.
    fn slot_facts(&self, now: Instant, service: ServiceId) -> BTreeMap<SlotName, SlotFact> {
        let keys = self.state.slots_known_of(service).into_iter();
        keys.filter_map(|key| Some((key.slot, self.slot_fact(now, key)?))).collect()
    }

    /// One slot; `None` if it has neither a record nor tasks that count.
    pub(super) fn slot_fact(&self, now: Instant, key: SlotKey) -> Option<SlotFact> {
        let record = self.state.slot(key);
        let tasks = self.state.tasks_that_count(key, record.map(|view| view.slot));
        let mut tasks = tasks.map(|task| self.task_fact(now, &task)).peekable();
        let written = record.map(|view| self.slot_written(now, view));
        if written.is_none() && tasks.peek().is_none() {
            return None;
        }
        // If nothing is written of it, there is no moment at which that was first seen.
        let mut fact = written.unwrap_or_else(|| SlotFact::vacant(self.started));
        fact.tasks.extend(tasks);
        Some(fact)
    }

    /// What a slot's record says, and since when.
    fn slot_written(&self, now: Instant, view: SlotView<'_>) -> SlotFact {
        let (written, assigned) = self.sightings.slot_since(now, view.key);
        SlotFact { slot: view.slot.clone(), written, assigned, tasks: Vec::new() }
    }

    fn task_fact(&self, now: Instant, task: &TaskView<'_>) -> TaskFact {
        // What a node told of its tasks before it last said what it is, in an earlier boot, may be over by
        // now.
        let facts = Key::Observed(ObservedKey::Facts { node: task.node });
        let present = self.state.record(&facts).map_or(0, |entry| boot(entry.stamp()));
        TaskFact {
            task: task.status.task,
            node: task.node,
            revision: task.status.revision,
            state: task.status.state,
            health: task.status.health,
            started: task.status.started_at.is_some(),
            running_for_ms: task.status.running_for_ms,
            seen: self.sightings.task_since(now, task.node, task.slot, task.place),
            fresh: boot(task.stamp) >= present,
        }
    }
}

const fn boot(stamp: Stamp) -> u64 {
    if let Stamp::Boot { boot, .. } = stamp { boot } else { 0 }
}
