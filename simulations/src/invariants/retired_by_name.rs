//! A healthy task stops only because it was named, or its service removed.
//!
//! Judged when a node tells its engine to stop a container that runs: a slot's record that its disk has, or
//! has had since it decided, names the task in `retire`; or a removal of its service or of its node is known
//! there, a later attempt took its place, the node leaves, or a stop for one of these reasons had begun
//! already.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sleep_wire::durable::Write;
use sleep_wire::key::{DesiredKey, MembershipKey};
use sleep_wire::slot::Slot;
use sleep_wire::task::{TaskId, TaskLabel};
use sleep_wire::{Key, NodeId, Record, Stamp, decode};

use super::{Law, Verdict};
use crate::host::Host;
use crate::world::{Observation, Seen, World};

/// A task, as a slot's record names it: its node, and the stamp of its assignment.
type Named = (NodeId, Stamp);

/// Stops that had a reason, and tasks that were started.
#[derive(Default)]
pub struct RetiredByName {
    begun: BTreeSet<(NodeId, TaskId)>,
    launched: BTreeSet<(NodeId, TaskId)>,
    /// Whom each disk has named.
    named: BTreeMap<usize, BTreeSet<Named>>,
    /// Whom each disk is about to name, a batch each.
    writing: BTreeMap<usize, VecDeque<Vec<Named>>>,
}

impl Law for RetiredByName {
    fn name(&self) -> &'static str {
        "retired_by_name"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let host = &world.hosts[seen.host];
        match &seen.what {
            Seen::Launch(label) => drop(self.launched.insert((host.id, label.task))),
            Seen::Stop { task, container } => {
                let found = host.engine.running().find(|running| running.name == *container);
                let Some(label) = found.and_then(|found| found.label()) else { return Ok(()) };
                let later = TaskId { attempt: task.attempt + 1, ..*task };
                let last = TaskId { attempt: u32::MAX, ..*task };
                let superseded = self.launched.range((host.id, later)..=(host.id, last)).next().is_some();
                let known = self.begun.contains(&(host.id, *task));
                let named = self.named.get(&seen.host);
                let named = named.is_some_and(|named| named.contains(&(label.node, label.task.assignment)));
                if !known && !superseded && !named && !is_removed(host, label) {
                    return Err(format!("{container} is stopped, and nothing says so"));
                }
                self.begun.insert((host.id, *task));
            }
            Seen::Persist(writes) => {
                let names = writes.iter().flat_map(|write| match write {
                    Write::PutRecord { record, .. } => names_of(record),
                    Write::DeleteRecord { .. } | Write::PutCell { .. } | Write::Wipe => Vec::new(),
                });
                self.writing.entry(seen.host).or_default().push_back(names.collect());
            }
            Seen::Synced => {
                let written = self.writing.get_mut(&seen.host).and_then(VecDeque::pop_front);
                self.named.entry(seen.host).or_default().extend(written.into_iter().flatten());
            }
            Seen::Killed => drop(self.writing.remove(&seen.host)),
            Seen::Started => {
                let names = host.disk.records().flat_map(|(_, record)| names_of(record));
                self.named.insert(seen.host, names.collect());
            }
            Seen::Command { .. } | Seen::CommandTaken { .. } | Seen::Reply { .. } => {}
        }
        Ok(())
    }
}

fn names_of(record: &[u8]) -> Vec<Named> {
    let Ok(record) = decode::<Record>(record) else { return Vec::new() };
    if !matches!(Key::from_bytes(&record.key), Ok(Some(Key::Slot(_)))) {
        return Vec::new();
    }
    let Ok(slot) = decode::<Slot>(&record.body) else { return Vec::new() };
    slot.retire.iter().map(|retired| (retired.node, retired.assignment)).collect()
}

fn is_removed(host: &Host, label: &TaskLabel) -> bool {
    let service = Key::from(DesiredKey::ServiceRemoval { service: label.slot.service }).to_bytes();
    let removal = |key: &[u8]| {
        let key = Key::from_bytes(key);
        matches!(key, Ok(Some(Key::Membership(MembershipKey::Removal { node, .. }))) if node == label.node)
    };
    host.disk.record(&service).is_some() || host.disk.records().any(|(key, _)| removal(key))
}
