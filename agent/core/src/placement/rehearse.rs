//! What a planner would do, step after step, if everybody carried out each step at once and well.
//!
//! Nobody is told of it: the planner is the real one, on facts that are made up from real ones.
//!
//! # Not here
//! What is rehearsed: whoever asks changes the facts first.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::key::SlotKey;
use sleep_wire::slot::{Cause, Choice, Slot};
use sleep_wire::task::{Health, TaskId, TaskState};
use sleep_wire::{Epoch, NodeId, RevisionId, Stamp, WallTime};

use super::facts::{Facts, Liveness, SlotFact, TaskFact};
use super::plan::{Plan, SlotWrite};
use super::planner::Planner;
use crate::time::Instant;

/// How far ahead time may run: what takes longer is not a consequence of a command.
const HORIZON: Duration = Duration::from_secs(3600);

/// The most steps; a plan that goes on is not shown to its end.
const MAX_STEPS: usize = 10_000;

/// How long a made-up task has run, in milliseconds: no window of an update is open any more.
const RUN_FOR_MS: u64 = 24 * 3600 * 1000;

/// One task begins, ends, or gives way to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Whose.
    pub key: SlotKey,
    /// Where the slot's task was, and what it ran.
    pub from: Option<(NodeId, RevisionId)>,
    /// Where it is then, and what it runs.
    pub to: Option<(NodeId, RevisionId)>,
    /// Why there, if it is anywhere.
    pub choice: Option<(Cause, Choice)>,
}

/// A planner that was led through what it plans.
#[derive(Debug)]
pub struct Rehearsal {
    facts: Facts,
    planner: Planner,
    now: Instant,
    until: Instant,
    counter: u64,
    steps: usize,
    pending: Vec<SlotKey>,
}

impl Rehearsal {
    /// Begins with what is, and lets all that is under way come to its end: what follows is not its doing.
    pub fn new(mut facts: Facts, now: Instant) -> Self {
        let up = nodes_up(&facts);
        for slot in facts.services.iter_mut().flat_map(|service| service.slots.values_mut()) {
            carry_out(slot, &up, now);
        }
        let planner = Planner::new(facts.clone());
        let mut rehearsal =
            Self { facts, planner, now, until: now + HORIZON, counter: 0, steps: 0, pending: Vec::new() };
        rehearsal.run();
        rehearsal
    }

    /// Changes the facts, and says what follows, in its order.
    pub fn change(&mut self, change: impl FnOnce(&mut Facts, Instant)) -> Vec<Move> {
        change(&mut self.facts, self.now);
        for node in &self.facts.nodes {
            self.planner.set_node(node.clone());
        }
        for service in &self.facts.services {
            self.planner.set_service(service.clone());
        }
        self.until = self.now + HORIZON;
        self.run()
    }

    /// Slots that no node takes then.
    pub fn pending(&self) -> &[SlotKey] {
        &self.pending
    }

    /// The planner as it is then, and when that is.
    pub fn planner(&self) -> (&Planner, Instant) {
        (&self.planner, self.now)
    }

    /// Whether it came to its end.
    pub fn is_complete(&self) -> bool {
        self.steps < MAX_STEPS
    }

    fn run(&mut self) -> Vec<Move> {
        let mut moves = Vec::new();
        while self.steps < MAX_STEPS {
            self.steps += 1;
            let Plan { writes, pending, wake_at } = self.planner.step(self.now);
            self.pending = pending.into_iter().map(|pending| pending.key).collect();
            for write in &writes {
                moves.extend(self.write(write));
            }
            match wake_at {
                _ if !writes.is_empty() => {}
                Some(at) if at <= self.until => self.now = self.now.max(at),
                Some(_) | None => break,
            }
        }
        moves
    }

    /// Writes a slot's record, and has it carried out.
    fn write(&mut self, write: &SlotWrite) -> Option<Move> {
        let Self { facts, planner, now, counter, .. } = self;
        let up = nodes_up(facts);
        let service = facts.services.iter_mut().find(|service| service.id == write.key.service)?;
        let slot = service.slots.entry(write.key.slot).or_insert_with(|| SlotFact::vacant(*now));
        *counter += 1;
        // Above every stamp that a real holder ever wrote.
        let epoch = Epoch { generation: u16::MAX, term: u64::MAX, candidate: NodeId([0xff; 16]) };
        let body = write.body(Stamp::Lease { epoch, counter: *counter }, WallTime::default());
        let place = |slot: &Slot| slot.current.as_ref().map(|current| (current.node, current.revision));
        let (from, to) = (place(&slot.slot), place(&body));
        let choice = write.new_assignment().map(|new| (new.cause.clone(), new.choice.clone()));
        if slot.slot.current != body.current {
            slot.assigned = *now;
        }
        (slot.slot, slot.written) = (body, *now);
        carry_out(slot, &up, *now);
        planner.set_slot(write.key, Some(slot.clone()));
        let moved = choice.is_some() || (from.is_some() && to.is_none());
        moved.then_some(Move { key: write.key, from, to, choice })
    }
}

fn nodes_up(facts: &Facts) -> BTreeSet<NodeId> {
    let up = facts.nodes.iter().filter(|node| matches!(node.liveness, Liveness::Up { .. }));
    up.map(|node| node.id).collect()
}

/// What a record says is so at once, on nodes that answer: its task runs well, and what is retired has ended.
fn carry_out(slot: &mut SlotFact, up: &BTreeSet<NodeId>, now: Instant) {
    for task in slot.tasks.iter_mut().filter(|task| up.contains(&task.node)) {
        let retired = slot.slot.retire.iter().any(|retired| retired.assignment == task.task.assignment);
        if retired && !task.state.is_over() {
            task.state = TaskState::Stopped;
        }
    }
    let Some(current) = slot.slot.current.as_ref().filter(|current| up.contains(&current.node)) else {
        return;
    };
    let fact = TaskFact {
        task: TaskId { assignment: current.assignment, attempt: 1 },
        node: current.node,
        revision: current.revision,
        state: TaskState::Running,
        health: Health::None,
        started: true,
        running_for_ms: RUN_FOR_MS,
        seen: now,
        fresh: true,
    };
    let latest = slot.latest(&current.assignment).map(|task| (task.task, task.state));
    match latest {
        None => slot.tasks.push(fact),
        // What failed is not made well by asking, and what runs is left as it is.
        Some((_, state)) if state.is_over() => {}
        Some((latest, _)) => {
            for task in slot.tasks.iter_mut().filter(|task| task.task == latest) {
                *task = TaskFact { task: latest, ..fact.clone() };
            }
        }
    }
}
