//! Members that lie: what they overhear, what they say, and what becomes of what their agents say.

use sleep_wire::NodeId;

use super::{Due, World};
use crate::liar::{Known, Liar, Lie};
use crate::random::Stream;

impl World {
    /// A host lies from now on, besides what its agent does.
    pub fn lie(&mut self, host: usize, lies: Vec<Lie>) {
        let number = self.queue.number();
        let stream = Stream::new(self.seed, "lies", ((host as u64) << 32) | self.suffered.len() as u64);
        self.liars.insert(host, Liar::new(number, lies, stream));
        self.at(self.now, host, Due::Lie { liar: number });
    }

    /// Whether a host lies.
    pub fn lies_at(&self, host: usize) -> bool {
        self.liars.contains_key(&host)
    }

    /// It lies no more.
    pub fn be_honest(&mut self, host: usize) {
        self.liars.remove(&host);
    }

    /// It says something now, and later again.
    pub(super) fn lies(&mut self, host: usize, number: u64) {
        let known = self.known_to(host);
        let liar = self.liars.get_mut(&host).filter(|liar| liar.number == number);
        let Some(liar) = liar else { return };
        let said = known.map(|known| liar.say(&known)).unwrap_or_default();
        let pause = liar.pause();
        for (to, datagram, bytes) in said {
            self.send(host, to, datagram, bytes);
        }
        self.at(self.now + pause, host, Due::Lie { liar: number });
    }

    fn known_to(&self, host: usize) -> Option<Known> {
        let liar = &self.hosts[host];
        let node = liar.node.as_ref()?;
        let others: Vec<NodeId> = node.live().into_iter().filter(|node| *node != liar.id).collect();
        (others.len() > 1).then_some(Known {
            me: liar.id,
            cluster: node.cluster()?,
            crypto: liar.key(&self.mint),
            others,
            service: node.standing().next(),
            worker: liar.plan.worker && !self.promoted.contains(&liar.id),
        })
    }

    /// A frame comes to a host: if it lies, it remembers, and may answer.
    pub(super) fn overhears(&mut self, host: usize, from: NodeId, datagram: bool, bytes: &[u8]) {
        let said = self.liars.get_mut(&host).and_then(|liar| liar.hear(from, datagram, bytes));
        if let Some((to, datagram, bytes)) = said {
            self.send(host, to, datagram, bytes);
        }
    }

    /// What an agent sends goes out as it is, unless its host lies.
    pub(super) fn tell(&mut self, host: usize, to: NodeId, datagram: bool, bytes: Vec<u8>) {
        let told = match self.liars.get_mut(&host) {
            Some(liar) => liar.twist(bytes),
            None => Some(bytes),
        };
        if let Some(bytes) = told {
            self.send(host, to, datagram, bytes);
        }
    }
}
