//! Agents of the next release: when hosts change to it and back, and what such agents say more.

use sleep_core::io::Input;
use sleep_wire::NodeId;

use super::{Due, Seen, World};
use crate::random::Stream;
use crate::successor::{Author, Successor};

impl World {
    /// A host's agent is of the next release, or of this one again, from when it is started next.
    pub fn install(&mut self, host: usize, next: bool) {
        let stream = Stream::new(self.seed, "the next release", host as u64);
        let successor = &mut self.hosts[host].successor;
        if next {
            successor.get_or_insert_with(|| Successor::new(stream));
        } else {
            *successor = None;
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
        if !self.alive(host, life) || self.hosts[host].successor.as_ref().is_none_or(Successor::has_ceased) {
            return;
        }
        let author = self.author(host);
        if let Some(author) = author
            && let Some(successor) = &mut self.hosts[host].successor
        {
            let (record, bytes) = successor.writes(&author);
            self.input(host, Input::Message { from: author.me, bytes });
            self.saw(host, || Seen::Foretold { key: record.key, stamp: record.stamp });
        }
        self.foretell_later(host);
    }

    /// Who writes there, if its agent is in a cluster.
    fn author(&self, host: usize) -> Option<Author> {
        let known = &self.hosts[host];
        let node = known.node.as_ref()?;
        Some(Author {
            me: known.id,
            boot: u64::from(node.boot()),
            crypto: known.key(&self.mint),
            cluster: node.cluster()?,
            time: node.time(known.now(self.now))?,
            worker: known.plan.worker,
        })
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
