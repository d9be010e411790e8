//! A healthy task stops only because it was named, or its service removed.
//!
//! Judged when a node tells its engine to stop a container that runs: its slot's record names the task in
//! `retire`, a removal of its service or of its node is known there, a later attempt took its place, the node
//! leaves, or a stop for one of these reasons had begun already.

use std::collections::BTreeSet;

use sleep_wire::key::{DesiredKey, MembershipKey};
use sleep_wire::slot::Slot;
use sleep_wire::task::{TaskId, TaskLabel};
use sleep_wire::{Key, NodeId, Record, decode};

use super::{Law, Verdict};
use crate::host::Host;
use crate::world::{Observation, Seen, World};

/// Stops that had a reason, and tasks that were started.
#[derive(Default)]
pub struct RetiredByName {
    begun: BTreeSet<(NodeId, TaskId)>,
    launched: BTreeSet<(NodeId, TaskId)>,
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
                if !known && !superseded && !is_named(host, label) && !is_removed(host, label) {
                    return Err(format!("{container} is stopped, and nothing says so"));
                }
                self.begun.insert((host.id, *task));
            }
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Persist(_)
            | Seen::Synced
            | Seen::Killed
            | Seen::Started => {}
        }
        Ok(())
    }
}

fn is_named(host: &Host, label: &TaskLabel) -> bool {
    let key = Key::Slot(label.slot).to_bytes();
    let record = host.disk.latest(&key).and_then(|bytes| decode::<Record>(bytes).ok());
    let slot = record.and_then(|record| decode::<Slot>(&record.body).ok());
    slot.is_some_and(|slot| {
        let named = |assignment| assignment == label.task.assignment;
        slot.retire.iter().any(|retired| retired.node == label.node && named(retired.assignment))
    })
}

fn is_removed(host: &Host, label: &TaskLabel) -> bool {
    let service = Key::from(DesiredKey::ServiceRemoval { service: label.slot.service }).to_bytes();
    let removal = |key: &[u8]| {
        let key = Key::from_bytes(key);
        matches!(key, Ok(Some(Key::Membership(MembershipKey::Removal { node, .. }))) if node == label.node)
    };
    host.disk.latest(&service).is_some() || host.disk.records().any(|(key, _)| removal(key))
}
