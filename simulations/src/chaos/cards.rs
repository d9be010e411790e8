//! Classes of faults that befall what a node is: its disk, and with it its key; its release.
//!
//! # Not here
//! Disks that stall, or fail once: they are a class beside the engines'.

use super::Draw;
use crate::scenario::Fault;
use crate::world::SECOND;

impl Draw {
    /// A disk is put back to what it was. What a control node promised as a voter is on it all the same: the
    /// lease is proven for voters that remember, and every control node may have been one.
    pub(super) fn old_disks(&mut self) {
        let mut stream = self.stream("old disks");
        for _ in 0..stream.between(1, 3) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let (age, lasts) = (stream.between(SECOND, self.lasts), stream.between(SECOND, 30 * SECOND));
            let votes_kept = !self.workers.contains(&node);
            self.add(at, Fault::OldDisk { node, age, lasts, votes_kept });
        }
    }

    /// There is no room on a disk for a while, now and then on several at once.
    pub(super) fn full_disks(&mut self) {
        let mut stream = self.stream("full disks");
        for _ in 0..stream.between(1, 4) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = Some(stream.between(SECOND / 10, 60 * SECOND));
            self.add(at, Fault::DiskFull { node, lasts });
        }
    }

    /// Agents change to the next release and back, one after the other or all over each other.
    pub(super) fn releases(&mut self) {
        let mut stream = self.stream("releases");
        for _ in 0..stream.between(1, 2 * self.hosts) {
            let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
            let lasts = stream.between(SECOND / 10, 10 * SECOND);
            let back = stream.permille(300);
            self.add(at, if back { Fault::Rollback { node, lasts } } else { Fault::Upgrade { node, lasts } });
        }
    }

    /// A disk is lost with its key. Two at once would be the majority of three voters.
    pub(super) fn empty_disks(&mut self) {
        let mut stream = self.stream("empty disks");
        let (at, node) = (stream.below(self.lasts), self.host(&mut stream));
        let lasts = stream.between(SECOND, 30 * SECOND);
        if self.may_lose() {
            self.add(at, Fault::EmptyDisk { node, lasts, recover: false });
        }
    }
}
