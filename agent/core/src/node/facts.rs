//! The planner's facts, made from records and from what this node itself sees.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::trust::Role;
use sleep_wire::{Key, NodeId, RevisionId, ServiceId, Stamp};

use super::member::Member;
use crate::membership::Liveness as Seen;
use crate::placement::{Facts, Liveness, NodeFact, ServiceFact, SlotFact, TaskFact};
use crate::state::TaskView;
use crate::time::Instant;

impl Member {
    /// Everything that a plan rests on, as this node sees it now.
    pub(super) fn all_facts(&self, now: Instant) -> Facts {
        let nodes = self.trust.standings().map(|(node, _)| self.node_fact(now, node));
        let services =
            self.known_services().into_iter().filter_map(|service| self.service_fact(now, service));
        Facts { nodes: nodes.collect(), services: services.collect(), brake: false }
    }

    /// Every service that stands, and every removed one of which something is left.
    pub(super) fn known_services(&self) -> BTreeSet<ServiceId> {
        let standing = self.state.services().into_iter().map(|service| service.id);
        let running =
            self.state.tasks().filter(|task| !task.status.state.is_over()).map(|task| task.slot.service);
        standing.chain(running).collect()
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
        let revisions = self.state.revisions(id);
        let standing = self.state.service(id);
        // No plan rests on what this release cannot read.
        if standing.as_ref().is_some_and(|service| service.sealed) {
            return None;
        }
        let revision = standing.as_ref().map_or(birth.revision, |service| service.current.id);
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
            replicas: standing.as_ref().map_or(0, |service| service.replicas),
            removed: standing.is_none(),
            singleton: birth.singleton,
            revision,
            revisions: named.map(|revision| (revision.id, Arc::new(revision.spec.clone()))).collect(),
            slots,
        })
    }

    fn slot_facts(&self, now: Instant, service: ServiceId) -> BTreeMap<SlotName, SlotFact> {
        let mut tasks: BTreeMap<SlotName, Vec<TaskFact>> = BTreeMap::new();
        for (node, _) in self.trust.standings() {
            for task in self.state.tasks_for(node, service) {
                tasks.entry(task.slot.slot).or_default().push(self.task_fact(now, &task));
            }
        }
        let mut names: BTreeSet<SlotName> = self.state.slots_of(service).map(|view| view.key.slot).collect();
        names.extend(tasks.keys().copied());
        let fact = |slot| {
            (slot, self.slot_with(now, SlotKey { service, slot }, tasks.remove(&slot).unwrap_or_default()))
        };
        names.into_iter().map(fact).collect()
    }

    /// One slot; `None` if it has neither record nor tasks.
    pub(super) fn slot_fact(&self, now: Instant, key: SlotKey) -> Option<SlotFact> {
        let mut tasks = Vec::new();
        for (node, _) in self.trust.standings() {
            tasks.extend(self.state.tasks_at(node, key).map(|task| self.task_fact(now, &task)));
        }
        let known = !tasks.is_empty() || self.state.slot(key).is_some();
        known.then(|| self.slot_with(now, key, tasks))
    }

    fn slot_with(&self, now: Instant, key: SlotKey, tasks: Vec<TaskFact>) -> SlotFact {
        let mut fact = SlotFact { tasks, ..SlotFact::vacant(now) };
        if let Some(view) = self.state.slot(key) {
            fact.slot.clone_from(view.slot);
            (fact.written, fact.assigned) = self.sightings.slot_since(now, key);
        }
        fact
    }

    pub(super) fn task_fact(&self, now: Instant, task: &TaskView<'_>) -> TaskFact {
        let boot = |stamp| if let Stamp::Boot { boot, .. } = stamp { boot } else { 0 };
        let facts = Key::Observed(sleep_wire::key::ObservedKey::Facts { node: task.node });
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
