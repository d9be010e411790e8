//! No assignment of an epoch below the durable one is newly acted upon, nor of one that is not durable yet.
//!
//! An assignment is taken up when its node first writes a status of it; from then on it goes on, whatever the
//! fence says. The first launch names the epoch under which it was taken up. A fence on a disk never falls,
//! unless the disk itself goes back: then its node knows no more than that one says, also of when it took up
//! what it holds.

use std::collections::BTreeMap;

use sleep_core::state::{Entry, Fact};
use sleep_wire::durable::{Cell, Fence};
use sleep_wire::key::{ObservedKey, SlotKey};
use sleep_wire::task::TaskStatus;
use sleep_wire::{Epoch, Key, NodeId, Stamp};

use super::{Law, Verdict};
use crate::world::{Observation, Seen, World};

/// The fence of each node's disk, and what it was when each assignment was taken up there.
#[derive(Default)]
pub struct Fenced {
    durable: BTreeMap<NodeId, Epoch>,
    taken_up: BTreeMap<(NodeId, Stamp), Epoch>,
}

impl Law for Fenced {
    fn name(&self) -> &'static str {
        "fenced"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let host = &world.hosts[seen.host];
        match &seen.what {
            Seen::Synced => {
                let Some(fence) = host.disk.cell::<Fence>(Cell::Fence) else { return Ok(()) };
                let before = self.durable.insert(host.id, fence.epoch);
                match before.filter(|before| *before > fence.epoch) {
                    Some(before) => Err(format!("the fence fell from {before:?} to {:?}", fence.epoch)),
                    None => Ok(()),
                }
            }
            Seen::Persist(writes) => {
                let fence = self.durable.get(&host.id).copied().unwrap_or(Epoch::ZERO);
                for (_, status) in writes.entries().filter_map(|entry| own_status(entry, host.id)) {
                    self.taken_up.entry((host.id, status.task.assignment)).or_insert(fence);
                }
                Ok(())
            }
            Seen::Launch(label) => {
                let fence = self.durable.get(&host.id).copied().unwrap_or(Epoch::ZERO);
                if label.epoch > fence {
                    let task = label.task;
                    return Err(format!(
                        "{task:?} is started under {:?}: its fence is {fence:?}",
                        label.epoch
                    ));
                }
                let then = *self.taken_up.entry((host.id, label.task.assignment)).or_insert(fence);
                if label.epoch >= then {
                    return Ok(());
                }
                Err(format!(
                    "{:?} was taken up under {:?}, below the fence {then:?}",
                    label.task, label.epoch
                ))
            }
            Seen::Command { .. }
            | Seen::CommandTaken { .. }
            | Seen::Reply { .. }
            | Seen::Stop { .. }
            | Seen::Killed
            | Seen::Foretold { .. }
            | Seen::Started => Ok(()),
            Seen::OtherDisk { .. } => {
                let fence = host.disk.cell::<Fence>(Cell::Fence).map_or(Epoch::ZERO, |fence| fence.epoch);
                self.durable.insert(host.id, fence);
                let its_own = self.taken_up.iter_mut().filter(|((node, _), _)| *node == host.id);
                its_own.for_each(|(_, then)| *then = fence.min(*then));
                Ok(())
            }
        }
    }
}

/// What a node says of one of its own tasks.
pub(super) fn own_status(entry: &Entry, node: NodeId) -> Option<(SlotKey, &TaskStatus)> {
    match (entry.key()?, entry.fact()) {
        (Key::Observed(ObservedKey::Task { node: whose, slot, .. }), Fact::Task(status))
            if *whose == node =>
        {
            Some((*slot, status))
        }
        _another_or_sealed => None,
    }
}
