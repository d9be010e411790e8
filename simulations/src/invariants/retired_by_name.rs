//! A healthy task stops only because it was named, or its service removed.
//!
//! Judged when a node says that it stops a task, and when it tells its engine to stop a container that runs:
//! a slot's record on its disk names the task in `retire`, a removal of its service or of its node is there,
//! a later attempt took its place, or it had said so for one of these reasons: what has begun is not taken
//! back. A node whose disk went back counts attempts anew; once it has learnt of a later one that it had
//! begun before, that one takes the place of what it runs, and so does the end of this one, if it had told
//! that. So does what once named its assignment, though the disk has it no more.

use std::collections::BTreeSet;

use sleep_wire::key::{DesiredKey, SlotKey};
use sleep_wire::slot::Slot;
use sleep_wire::task::{TaskId, TaskState};
use sleep_wire::{Key, NodeId, Record, Stamp, decode};

use super::fenced::own_status;
use super::{Law, Verdict};
use crate::host::Host;
use crate::world::{Observation, Seen, World};

/// Stops that had a reason, and tasks that were started.
#[derive(Default)]
pub struct RetiredByName {
    begun: BTreeSet<(NodeId, TaskId)>,
    launched: BTreeSet<(NodeId, TaskId)>,
    /// What nodes told before their disks went back.
    told: BTreeSet<(NodeId, TaskId)>,
    /// The same, of what they told the end of.
    ended: BTreeSet<(NodeId, TaskId)>,
    /// Assignments of which a task was stopped by name, or with its service.
    named: BTreeSet<(NodeId, Stamp)>,
    aged: BTreeSet<NodeId>,
}

impl Law for RetiredByName {
    fn name(&self) -> &'static str {
        "retired_by_name"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let host = &world.hosts[seen.host];
        match &seen.what {
            Seen::Launch(label) => drop(self.launched.insert((host.id, label.task))),
            Seen::Persist(writes) => {
                let stopping = |status: TaskState| status == TaskState::Stopping;
                let own = writes.entries().filter_map(|entry| own_status(entry, host.id));
                self.told.extend(own.clone().map(|(_, status)| (host.id, status.task)));
                let over = own.clone().filter(|(_, status)| status.state.is_over());
                self.ended.extend(over.map(|(_, status)| (host.id, status.task)));
                for (slot, status) in own.filter(|(_, status)| stopping(status.state)) {
                    self.begin(host, host.id, slot, status.task)?;
                }
            }
            Seen::Stop { task, container } => {
                let found = host.engine.running().find(|running| running.name == *container);
                if let Some(label) = found.and_then(|found| found.label()) {
                    self.begin(host, label.node, label.slot, *task)?;
                }
            }
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Synced
            | Seen::Killed
            | Seen::Foretold { .. }
            | Seen::Started => {}
            Seen::OtherDisk { .. } => drop(self.aged.insert(host.id)),
        }
        Ok(())
    }
}

impl RetiredByName {
    /// A stop begins, if it has not already: then something says so.
    fn begin(&mut self, host: &Host, node: NodeId, slot: SlotKey, task: TaskId) -> Verdict {
        let later = TaskId { attempt: task.attempt + 1, ..task };
        let last = TaskId { attempt: u32::MAX, ..task };
        let is_later = |known: &BTreeSet<(NodeId, TaskId)>| {
            known.range((host.id, later)..=(host.id, last)).next().is_some()
        };
        let was_over = self.ended.contains(&(host.id, task));
        let was_named = self.named.contains(&(host.id, task.assignment));
        let forgotten = self.aged.contains(&host.id) && (was_over || was_named || is_later(&self.told));
        let superseded = is_later(&self.launched) || forgotten;
        if is_named(host, node, slot, task) || is_removed(host, node, slot) {
            self.named.insert((host.id, task.assignment));
        } else if !superseded && !self.begun.contains(&(host.id, task)) {
            return Err(format!("{task:?} of {slot:?} is stopped, and nothing says so"));
        }
        self.begun.insert((host.id, task));
        Ok(())
    }
}

fn is_named(host: &Host, node: NodeId, slot: SlotKey, task: TaskId) -> bool {
    let record = host.disk.record(&Key::Slot(slot).to_bytes());
    let record = record.and_then(|bytes| decode::<Record>(bytes).ok());
    let slot = record.and_then(|record| decode::<Slot>(&record.body).ok());
    slot.is_some_and(|slot| {
        slot.retire.iter().any(|retired| retired.node == node && retired.assignment == task.assignment)
    })
}

fn is_removed(host: &Host, of: NodeId, slot: SlotKey) -> bool {
    let service = Key::from(DesiredKey::ServiceRemoval { service: slot.service }).to_bytes();
    host.disk.record(&service).is_some() || host.disk.removals(of).next().is_some()
}
