//! What can be known of a world from its disks: names that mean something in it, for others to repeat.

use std::collections::BTreeSet;

use sleep_sim::host::Host;
use sleep_sim::world::World;
use sleep_wire::key::{DesiredKey, SlotKey};
use sleep_wire::slot::Slot;
use sleep_wire::stamp::ClusterTime;
use sleep_wire::task::{TaskId, TaskStatus};
use sleep_wire::{Epoch, Key, NodeId, Record, RevisionId, ServiceId, Stamp, TokenId, decode};

/// How a value ends that was damaged on purpose.
const MARK: [u8; 4] = *b"\xffbad";

/// Whether a value was damaged on purpose.
pub(super) fn is_damaged(bytes: &[u8]) -> bool {
    bytes.ends_with(&MARK)
}

/// Marks a value as damaged on purpose: its length alone tells every reader.
pub(super) fn mark(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&MARK);
}

/// The most of each kind.
const MOST: usize = 64;

/// Names that mean something.
#[derive(Default)]
pub(super) struct Known {
    pub(super) nodes: Vec<NodeId>,
    pub(super) services: Vec<ServiceId>,
    pub(super) revisions: Vec<RevisionId>,
    pub(super) slots: Vec<SlotKey>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) stamps: Vec<Stamp>,
    pub(super) times: Vec<ClusterTime>,
    pub(super) tasks: Vec<TaskId>,
    pub(super) tokens: Vec<TokenId>,
    pub(super) containers: Vec<String>,
    /// Records as they are.
    pub(super) records: Vec<Vec<u8>>,
    /// How often each host's disk was written when it was last looked at.
    syncs: Vec<(NodeId, u64)>,
}

fn note<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        if list.len() == MOST {
            list.remove(0);
        }
        list.push(value);
    }
}

impl Known {
    /// Whether a host's disk was written since it was last looked at.
    pub(super) fn is_news(&self, host: &Host) -> bool {
        !self.syncs.contains(&(host.id, host.disk.syncs))
    }

    /// Looks at every disk that was written.
    pub(super) fn learn(&mut self, world: &World) {
        for host in &world.hosts {
            if self.is_news(host) {
                self.syncs.retain(|(id, _)| *id != host.id);
                self.syncs.push((host.id, host.disk.syncs));
                note(&mut self.nodes, host.id);
                let seen: BTreeSet<&[u8]> = self.records.iter().map(Vec::as_slice).collect();
                let fresh: Vec<Vec<u8>> = host
                    .disk
                    .records()
                    .filter(|(_, record)| !seen.contains(record))
                    .map(|(_, record)| record.to_vec())
                    .collect();
                for bytes in fresh {
                    self.read(&bytes);
                    note(&mut self.records, bytes);
                }
            }
            for container in host.engine.containers() {
                note(&mut self.containers, container.name.clone());
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let Ok(record) = decode::<Record>(bytes) else { return };
        note(&mut self.stamps, record.stamp);
        match record.stamp {
            Stamp::Time { time, .. } => note(&mut self.times, time),
            Stamp::Lease { epoch, .. } => note(&mut self.epochs, epoch),
            Stamp::Boot { .. } => {}
        }
        match Key::from_bytes(&record.key) {
            Ok(Some(Key::Desired(DesiredKey::ServiceBirth { service }))) => note(&mut self.services, service),
            Ok(Some(Key::Desired(DesiredKey::ServiceRevision { revision, .. }))) => {
                note(&mut self.revisions, revision);
            }
            Ok(Some(Key::Desired(DesiredKey::JoinToken { token }))) => note(&mut self.tokens, token),
            Ok(Some(Key::Slot(key))) => {
                note(&mut self.slots, key);
                let current = decode::<Slot>(&record.body).ok().and_then(|slot| slot.current);
                if let Some(assigned) = current {
                    note(&mut self.revisions, assigned.revision);
                    note(&mut self.tasks, TaskId { assignment: assigned.assignment, attempt: 1 });
                }
            }
            Ok(Some(Key::Observed(_))) => {
                if let Ok(status) = decode::<TaskStatus>(&record.body) {
                    note(&mut self.tasks, status.task);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}
