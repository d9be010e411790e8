//! A slot's record is written by who holds the lease of its epoch, at that moment.
//!
//! Judged when a node hands a slot's record of its own epoch to its disk for the first time.

use std::collections::BTreeMap;

use sleep_core::state::Entry;
use sleep_wire::{Key, NodeId, Stamp};

use super::{Law, Verdict};
use crate::world::{Observation, Seen, World};

/// The last stamp that each node has written under its epoch.
#[derive(Default)]
pub struct UnderItsLease {
    written: BTreeMap<NodeId, Stamp>,
}

impl Law for UnderItsLease {
    fn name(&self) -> &'static str {
        "plans_under_its_lease"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let Seen::Persist(writes) = &seen.what else { return Ok(()) };
        let host = &world.hosts[seen.host];
        for stamp in writes.entries().filter_map(slot_stamp) {
            let Stamp::Lease { epoch, .. } = stamp else { continue };
            if epoch.candidate != host.id || self.written.get(&host.id).is_some_and(|last| *last >= stamp) {
                continue;
            }
            let held = host.node.as_ref().and_then(|node| node.holding(host.now(seen.at)));
            if held != Some(epoch) {
                return Err(format!("it plans under {epoch:?}, and holds {held:?}"));
            }
            self.written.insert(host.id, stamp);
        }
        Ok(())
    }
}

/// The stamp of a slot's record.
pub(super) fn slot_stamp(entry: &Entry) -> Option<Stamp> {
    matches!(entry.key(), Some(Key::Slot(_))).then(|| entry.stamp())
}
