//! Agents, played: they start and stop tasks as the slot records say, one step a tick.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use sleep_wire::key::{SlotKey, SlotName};
use sleep_wire::node::Availability;
use sleep_wire::spec::{Order, Revision};
use sleep_wire::task::{Health, TaskId, TaskState};
use sleep_wire::{NodeId, RevisionId, ServiceId, Stamp, WallTime};

use crate::placement::facts::{Facts, Liveness, NodeFact, ServiceFact, SlotFact, TaskFact};
use crate::placement::testing::{node_id, stamp};
use crate::placement::{Plan, Planner, lint, plan};
use crate::time::Instant;

/// One tick, in microseconds.
const TICK: u64 = 250_000;

/// So many ticks without a change, and nothing goes on.
const QUIET: u32 = 8;

/// A task as it really is.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) key: SlotKey,
    pub(crate) node: NodeId,
    pub(crate) revision: RevisionId,
    pub(crate) attempt: u32,
    pub(crate) state: TaskState,
    pub(crate) started: bool,
    running_since: Instant,
    retry_at: Instant,
    /// Whether its node has read that it is retired: then nothing revives it.
    retired: bool,
}

/// A cluster whose planner sees what its nodes report.
pub(crate) struct World {
    pub(crate) facts: Facts,
    pub(crate) now: Instant,
    pub(crate) tasks: BTreeMap<Stamp, Task>,
    /// Nodes that cannot be reached; what runs there runs on, and obeys what it read before.
    pub(crate) cut: BTreeSet<NodeId>,
    /// Revisions that cannot be started on these nodes.
    pub(crate) broken: BTreeSet<(RevisionId, NodeId)>,
    /// Every write so far.
    pub(crate) written: usize,
    planner: Planner,
    counter: u64,
    pub(crate) plan: Plan,
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for service in &self.facts.services {
            let spec = &service.revisions[&service.revision];
            let (update, placement, resources) = (spec.update, &spec.placement, spec.template.resources);
            let (kind, ports) =
                ((service.mode, service.singleton, service.replicas), spec.template.ports.len());
            write!(f, "{kind:?} {update:?} {placement:?} {resources:?} {ports} {:?}; ", spec.partition)?;
        }
        Ok(())
    }
}

impl World {
    pub(crate) fn new(nodes: Vec<NodeFact>, services: Vec<ServiceFact>) -> Self {
        let facts = Facts { nodes, services, brake: false };
        let planner = Planner::new(facts.clone());
        Self {
            facts,
            now: Instant(3_600_000_000),
            tasks: BTreeMap::new(),
            cut: BTreeSet::new(),
            broken: BTreeSet::new(),
            written: 0,
            planner,
            counter: 0,
            plan: Plan::default(),
        }
    }

    pub(crate) fn node(&mut self, number: u32) -> &mut NodeFact {
        let id = node_id(number);
        self.facts.nodes.iter_mut().find(|node| node.id == id).expect("a node of this world")
    }

    pub(crate) fn service(&mut self, at: usize) -> &mut ServiceFact {
        &mut self.facts.services[at]
    }

    /// Gives a service another revision.
    pub(crate) fn update(&mut self, at: usize, id: RevisionId, change: impl FnOnce(&mut Revision)) {
        let service = self.service(at);
        let mut revision = Revision::clone(&service.revisions[&service.revision]);
        change(&mut revision);
        service.revisions.insert(id, Arc::new(revision));
        service.revision = id;
    }

    pub(crate) fn drain(&mut self, number: u32) {
        self.node(number).availability = Availability::Drained;
    }

    pub(crate) fn activate(&mut self, number: u32) {
        let now = self.now;
        let node = self.node(number);
        (node.availability, node.activated) = (Availability::Active, Some(now));
    }

    /// Cuts a node off, or kills it with all that runs there.
    pub(crate) fn lose(&mut self, number: u32, dies: bool) {
        let now = self.now;
        self.node(number).liveness = Liveness::Down { since: now, confirmed: true };
        let id = node_id(number);
        self.cut.insert(id);
        for task in self.tasks.values_mut().filter(|task| dies && task.node == id && !task.state.is_over()) {
            task.state = TaskState::Failed;
            task.retry_at = Instant(u64::MAX);
        }
    }

    pub(crate) fn find(&mut self, number: u32) {
        let now = self.now;
        self.node(number).liveness = Liveness::Up { since: now };
        self.cut.remove(&node_id(number));
        for task in self.tasks.values_mut().filter(|task| task.node == node_id(number)) {
            task.retry_at = task.retry_at.min(now);
        }
    }

    /// Lets agents act and report, the planner plan, and writes what it says.
    pub(crate) fn tick(&mut self) {
        self.now = Instant(self.now.0 + TICK);
        self.act();
        self.report();
        self.replan();
    }

    /// Ticks until nothing happens any more, and time alone would change nothing. Skips the time in between.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0_u32;
        for _ in 0..20_000 {
            let (written, tasks) = (self.written, self.states());
            self.tick();
            quiet = if written == self.written && tasks == self.states() { quiet + 1 } else { 0 };
            match self.plan.wake_at {
                Some(at) if quiet == QUIET => {
                    (self.now, quiet) = (self.now.max(Instant(at.0.saturating_sub(TICK))), 0);
                }
                None if quiet == QUIET => return,
                Some(_) | None => {}
            }
        }
        panic!("never comes to rest: {:#?}", self.plan);
    }

    fn states(&self) -> Vec<(TaskState, u32)> {
        self.tasks.values().map(|task| (task.state, task.attempt)).collect()
    }

    pub(crate) fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// Plans both ways, checks the plan, writes it.
    fn replan(&mut self) {
        self.tell();
        self.plan = self.planner.step(self.now);
        let afresh = plan(&self.facts, self.now);
        assert_eq!(self.plan, afresh, "the incremental plan is the whole one");
        assert_eq!(lint(&self.plan, &self.facts), [], "{:#?}", self.plan);
        let (now, written) = (self.now, core::mem::take(&mut self.plan.writes));
        for write in &written {
            self.counter += 1;
            self.written += 1;
            let body = write.body(stamp(self.counter), WallTime(0));
            let services = &mut self.facts.services;
            let service = services.iter_mut().find(|service| service.id == write.key.service);
            let slots = &mut service.expect("a service of this world").slots;
            let slot = slots.entry(write.key.slot).or_insert_with(|| SlotFact::vacant(now));
            if slot.slot.current != body.current {
                slot.assigned = now;
            }
            (slot.slot, slot.written) = (body, now);
        }
        self.plan.writes = written;
        self.tell();
    }

    fn tell(&mut self) {
        self.planner.set_brake(self.facts.brake);
        for node in &self.facts.nodes {
            self.planner.set_node(node.clone());
        }
        for service in &self.facts.services {
            let known = self.planner.service(&service.id).cloned();
            let Some(mut known) = known else {
                self.planner.set_service(service.clone());
                continue;
            };
            for (name, slot) in &service.slots {
                self.planner.set_slot(SlotKey { service: service.id, slot: *name }, Some(slot.clone()));
            }
            known.slots.clone_from(&service.slots);
            if known != *service {
                self.planner.set_service(service.clone());
            }
        }
    }

    fn act(&mut self) {
        self.advance();
        let (mut start, mut stop) = (Vec::new(), Vec::new());
        for service in &self.facts.services {
            for (name, fact) in &service.slots {
                let key = SlotKey { service: service.id, slot: *name };
                let current = fact.slot.current.as_ref();
                if let Some(current) = current
                    && !service.removed
                    && !self.cut.contains(&current.node)
                    && !self.tasks.contains_key(&current.assignment)
                    && (fact.slot.order == Order::StartFirst || self.have_ended(fact))
                {
                    start.push((current.assignment, key, current.node, current.revision));
                }
                let served = current
                    .is_none_or(|current| fact.latest(&current.assignment).is_some_and(TaskFact::is_healthy));
                for retired in &fact.slot.retire {
                    if !self.cut.contains(&retired.node)
                        && (fact.slot.order == Order::StopFirst || served || service.removed)
                    {
                        stop.push((retired.assignment, key, retired.node));
                    }
                }
            }
        }
        let now = self.now;
        for (assignment, key, node, revision) in start {
            let task = Task {
                key,
                node,
                revision,
                attempt: 1,
                state: TaskState::Starting,
                started: false,
                running_since: now,
                retry_at: now,
                retired: false,
            };
            self.tasks.insert(assignment, task);
        }
        for (assignment, key, node) in stop {
            let revision = self.facts.services[0].revision;
            let unknown = Task {
                key,
                node,
                revision,
                attempt: 0,
                state: TaskState::Stopped,
                started: false,
                running_since: now,
                retry_at: now,
                retired: false,
            };
            let task = self.tasks.entry(assignment).or_insert(unknown);
            task.retired = true;
            match task.state {
                TaskState::Assigned | TaskState::Preparing | TaskState::Starting | TaskState::Running => {
                    task.state = TaskState::Stopping;
                }
                TaskState::Failed | TaskState::Complete | TaskState::Stopping | TaskState::Stopped => {}
            }
        }
    }

    /// Whether all that is retired has ended, as far as anybody can know.
    fn have_ended(&self, fact: &SlotFact) -> bool {
        fact.slot.retire.iter().all(|retired| {
            let node = self.facts.nodes.iter().find(|node| node.id == retired.node);
            let gone =
                node.is_some_and(|node| matches!(node.liveness, Liveness::Down { .. } | Liveness::Removed));
            gone || fact.latest(&retired.assignment).is_some_and(|task| task.state.is_over())
        })
    }

    fn advance(&mut self) {
        let services = self.facts.services.iter();
        let gone: BTreeSet<ServiceId> =
            services.filter(|service| service.removed).map(|service| service.id).collect();
        for task in self.tasks.values_mut() {
            match task.state {
                TaskState::Starting if self.broken.contains(&(task.revision, task.node)) => {
                    task.state = TaskState::Failed;
                    task.retry_at = Instant(self.now.0 + 4 * TICK);
                }
                TaskState::Starting => {
                    (task.state, task.started, task.running_since) = (TaskState::Running, true, self.now);
                }
                TaskState::Stopping => task.state = TaskState::Stopped,
                TaskState::Failed
                    if task.retry_at <= self.now && !task.retired && !gone.contains(&task.key.service) =>
                {
                    (task.state, task.attempt, task.started) = (TaskState::Starting, task.attempt + 1, false);
                }
                TaskState::Running if gone.contains(&task.key.service) => task.state = TaskState::Stopping,
                TaskState::Assigned
                | TaskState::Preparing
                | TaskState::Running
                | TaskState::Complete
                | TaskState::Failed
                | TaskState::Stopped => {}
            }
        }
    }

    fn report(&mut self) {
        for (assignment, task) in &self.tasks {
            if self.cut.contains(&task.node) {
                continue;
            }
            let services = &mut self.facts.services;
            let service = services.iter_mut().find(|service| service.id == task.key.service);
            let now = self.now;
            let slots = &mut service.expect("a service of this world").slots;
            let slot = slots.entry(task.key.slot).or_insert_with(|| SlotFact::vacant(now));
            let id = TaskId { assignment: *assignment, attempt: task.attempt };
            let known = slot.tasks.iter().position(|known| known.task == id);
            if known.is_some_and(|at| slot.tasks[at].state == task.state) {
                continue;
            }
            let running_for_ms = match task.started {
                true => self.now.since(task.running_since).as_millis() as u64,
                false => 0,
            };
            let fact = TaskFact {
                task: id,
                node: task.node,
                revision: task.revision,
                state: task.state,
                health: Health::None,
                started: task.started,
                running_for_ms,
                seen: self.now,
                fresh: true,
            };
            match known {
                Some(at) => slot.tasks[at] = fact,
                None => slot.tasks.push(fact),
            }
            let on_node = slot.tasks.iter().filter(|known| known.node == task.node).count();
            if on_node > 5
                && let Some(oldest) = slot.tasks.iter().position(|known| known.node == task.node)
            {
                slot.tasks.remove(oldest);
            }
        }
    }

    /// Tasks of a service that really run, by node, those on lost nodes left out.
    pub(crate) fn running(&self, at: usize) -> BTreeMap<NodeId, u32> {
        let id = self.facts.services[at].id;
        let mut found = BTreeMap::new();
        for task in self.tasks.values() {
            if task.key.service == id && task.state == TaskState::Running && !self.cut.contains(&task.node) {
                *found.entry(task.node).or_insert(0) += 1;
            }
        }
        found
    }

    /// How many slots of a service have a running task that can be reached.
    pub(crate) fn served(&self, at: usize) -> usize {
        let id = self.facts.services[at].id;
        let running = self.tasks.values().filter(|task| {
            task.key.service == id && task.state == TaskState::Running && !self.cut.contains(&task.node)
        });
        running.map(|task| task.key.slot).collect::<BTreeSet<SlotName>>().len()
    }

    /// The running tasks of a service: slot, assignment, node.
    pub(crate) fn tasks_of(&self, at: usize) -> Vec<(SlotName, Stamp, NodeId)> {
        let id = self.facts.services[at].id;
        let of =
            self.tasks.iter().filter(|(_, task)| task.key.service == id && task.state == TaskState::Running);
        let mut found: Vec<_> = of.map(|(stamp, task)| (task.key.slot, *stamp, task.node)).collect();
        found.sort_unstable();
        found
    }

    /// How many tasks of a service run on each node, those with none included, most first.
    pub(crate) fn spread(&self, at: usize) -> Vec<u32> {
        let running = self.running(at);
        let nodes = self.facts.nodes.iter();
        let mut spread: Vec<u32> =
            nodes.map(|node| running.get(&node.id).copied().unwrap_or_default()).collect();
        spread.sort_unstable_by(|a, b| b.cmp(a));
        spread
    }

    pub(crate) fn planner(&self) -> &Planner {
        &self.planner
    }
}
