//! What becomes of disks and keys: cards that are put back, or are new.
//!
//! # Not here
//! What a disk does while it is well: `disk`.

use sleep_wire::NodeId;
use sleep_wire::durable::{Cell, Write};

use super::{Seen, Time, World};

impl World {
    /// Remembers from now on what every disk held when.
    pub fn remember_disks(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.disk.remember());
    }

    /// The disk of a host that is off is as it was so long ago, but not before things began to go wrong. What
    /// its voter promised may be kept all the same, and is where a worker was promoted: it may have been one.
    pub fn put_back(&mut self, host: usize, age: Time, votes_kept: bool) {
        let to = self.now.saturating_sub(age).max(self.faults_from);
        self.trace.add(self.now, host, b"an old disk");
        let now = self.now;
        let votes_kept = votes_kept || self.promoted.contains(&self.hosts[host].id);
        let disk = &mut self.hosts[host].disk;
        let had = disk.records().map(|(_, bytes)| bytes.to_vec()).collect();
        let vote = disk.cell_bytes(Cell::Lease).filter(|_| votes_kept);
        disk.go_back(to);
        if let Some(value) = vote {
            disk.put(now, Write::PutCell { cell: Cell::Lease, value });
        }
        self.saw(host, || Seen::OtherDisk { had });
        self.check(host);
    }

    /// The disk of a host that is off is empty, its key is gone: it is a new node from here on, and an honest
    /// one.
    pub fn empty_disk(&mut self, host: usize) {
        self.trace.add(self.now, host, b"an empty disk");
        let had = self.hosts[host].disk.records().map(|(_, bytes)| bytes.to_vec()).collect();
        self.hosts[host].disk.empty();
        self.be_honest(host);
        self.new_key(host);
        self.hosts[host].cluster = None;
        self.hosts[host].engine.set_cluster(None);
        self.saw(host, || Seen::OtherDisk { had });
        self.check(host);
    }

    /// A host's next agent is a new node.
    pub(super) fn new_key(&mut self, host: usize) {
        self.hosts[host].new_key(&self.mint);
        self.places.insert(self.hosts[host].id, host);
    }

    /// The host whose key this is, or was.
    pub fn host_of(&self, node: NodeId) -> Option<usize> {
        self.places.get(&node).copied()
    }
}
