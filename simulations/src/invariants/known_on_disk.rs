//! What a node starts, its disk knows of.
//!
//! Judged when a node tells its engine to start a task: the record of its slot and the birth of its service
//! are durable there. Else a crash at that moment leaves a container that nobody knows, for ever.

use sleep_wire::Key;
use sleep_wire::key::DesiredKey;

use super::{Law, Verdict};
use crate::world::{Observation, Seen, World};

/// Nothing to remember.
#[derive(Default)]
pub struct KnownOnDisk;

impl Law for KnownOnDisk {
    fn name(&self) -> &'static str {
        "known_on_disk"
    }

    fn see(&mut self, world: &World, seen: &Observation) -> Verdict {
        let Seen::Launch(label) = &seen.what else { return Ok(()) };
        let service = label.slot.service;
        let wanted = [Key::Slot(label.slot), Key::Desired(DesiredKey::ServiceBirth { service })];
        let disk = &world.hosts[seen.host].disk;
        match wanted.into_iter().find(|key| disk.record(&key.to_bytes()).is_none()) {
            Some(missing) => Err(format!("{:?} is started, and {missing:?} is not on disk", label.task)),
            None => Ok(()),
        }
    }
}
