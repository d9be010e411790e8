//! Agents of the next release: when hosts change to it and back, and what such agents say more.

use sleep_core::io::Input;
use sleep_wire::NodeId;

use super::{Due, World};
use crate::random::Stream;
use crate::successor::{Author, Successor};

impl World {
    /// A host's agent is of the next release, or of this one again, from when it is started next.
    pub fn install(&mut self, host: usize, next: bool) {
        let (seed, number) = (self.seed, host as u64);
        let successor = || Successor::new(Stream::new(seed, "the next release", number));
        if next && self.hosts[host].successor.is_none() {
            self.hosts[host].successor = Some(successor());
        } else if !next {
            self.hosts[host].successor = None;
        }
    }

    /// An agent of the next release writes something new from now on.
    pub(super) fn foretell_later(&mut self, host: usize) {
        let life = self.hosts[host].life;
        let pause = self.hosts[host].successor.as_mut().and_then(Successor::pause);
        if let Some(pause) = pause {
            self.at(self.now + pause, host, Due::Foretell { life });
        }
    }

    /// It does so: what it wrote is a record of its own store, and goes from there where others go.
    pub(super) fn foretell(&mut self, host: usize, life: u64) {
        let known = &mut self.hosts[host];
        if known.life != life || known.successor.as_ref().is_none_or(Successor::has_ceased) {
            return;
        }
        let now = known.now(self.now);
        let (me, worker) = (known.id, known.plan.worker);
        let (Some(node), crypto) = (&known.node, known.key(&self.mint)) else { return };
        if let Some((cluster, time)) = node.cluster().zip(node.time(now))
            && let Some(successor) = &mut known.successor
        {
            let author = Author { me, boot: u64::from(node.boot()), crypto, cluster, time, worker };
            let bytes = successor.writes(&author);
            self.input(host, Input::Message { from: me, bytes });
        }
        self.foretell_later(host);
    }

    /// What an agent sends goes out, and now and then something after it that is unknown to this release.
    pub(super) fn say(&mut self, host: usize, to: NodeId, datagram: bool, bytes: Vec<u8>) {
        let more = self.hosts[host].successor.as_mut().and_then(|successor| successor.follows(&bytes));
        self.tell(host, to, datagram, bytes);
        if let Some(bytes) = more {
            self.send(host, to, datagram, bytes);
        }
    }
}
