//! Where hosts are, and where their agents take each other to be.
//!
//! # Not here
//! What an agent is told of others' addresses, and when: that is the core's. Which connections stand:
//! `connections`.

use std::collections::BTreeMap;

use sleep_core::io::Input;
use sleep_wire::NodeId;
use sleep_wire::node::Address;

use super::{Due, SECOND, Time, World};

/// How often an agent looks at its host's addresses.
const LOOK_AGAIN: Time = 30 * SECOND;

/// An address that was not tried in vain for so long is not waited for: the next is tried beside it.
const STAGGER: Time = SECOND / 4;

/// Where an agent takes the members to be that its core has told it of. It is forgotten when the agent ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    members: BTreeMap<NodeId, Known>,
    /// Where newcomers and doors met.
    met: BTreeMap<NodeId, Address>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// What it says of itself, best first.
    told: Vec<Address>,
    /// Where it was last connected.
    seen: Option<Address>,
}

impl Book {
    /// A member may be dialled there.
    pub(super) fn introduce(&mut self, peer: NodeId, told: Vec<Address>) {
        let met = || Known { told: Vec::new(), seen: self.met.get(&peer).copied() };
        self.members.entry(peer).or_insert_with(met).told = told;
    }

    /// Somebody asked or answered from there who may be a member soon.
    pub(super) fn meet(&mut self, stranger: NodeId, at: Address) {
        self.met.insert(stranger, at);
    }

    /// One is a member no longer.
    pub(super) fn expel(&mut self, peer: NodeId) {
        self.members.remove(&peer);
    }

    /// A member was seen there.
    pub(super) fn saw(&mut self, peer: NodeId, at: Address) {
        if let Some(known) = self.members.get_mut(&peer) {
            known.seen = Some(at);
        }
    }

    /// Whether one may connect.
    pub(super) fn has(&self, peer: NodeId) -> bool {
        self.members.contains_key(&peer)
    }

    /// Where a member is dialled, in this order.
    fn addresses(&self, peer: NodeId) -> impl Iterator<Item = Address> {
        let known = self.members.get(&peer);
        let seen = known.and_then(|known| known.seen);
        let told = known.into_iter().flat_map(|known| known.told.iter().copied());
        seen.into_iter().chain(told.filter(move |told| Some(*told) != seen))
    }
}

impl World {
    /// A host has another address from now on, one that nobody had before.
    pub fn move_away(&mut self, host: usize) {
        self.moves += 1;
        let number = self.moves;
        self.move_to(host, Address::V4([10, 1, (number >> 8) as u8, (number & 255) as u8], 7533));
    }

    /// Each of two hosts has the other's address from now on.
    pub fn swap_addresses(&mut self, one: usize, other: usize) {
        let (here, there) = (self.hosts[one].address, self.hosts[other].address);
        self.move_to(one, there);
        self.move_to(other, here);
    }

    /// People see to it that agents of a cluster find each other: as long as there are some that nobody
    /// finds, a host is given an address at which it is looked for. Nothing else would help them, ever.
    pub fn find_the_lost(&mut self) {
        let mut makes_room = self.hosts.len();
        loop {
            let parts = self.parts(None);
            let better = |(host, at): &(usize, Address)| self.parts(Some((*host, *at))) < parts;
            let free = |at: &Address| self.hosts.iter().all(|host| host.address != *at);
            let looked_for = self.books.iter().flat_map(|book| {
                let hosts = self.hosts.iter().enumerate();
                hosts.flat_map(|(number, host)| book.addresses(host.id).map(move |at| (number, at)))
            });
            let (free, taken): (Vec<_>, Vec<_>) = looked_for.partition(|(_, at)| free(at));
            if let Some((host, at)) = free.into_iter().find(better) {
                self.move_to(host, at);
                continue;
            }
            // Two that have each other's are parted for ever, unless one gives way.
            let Some((_, at)) = taken.into_iter().find(better).filter(|_| makes_room > 0) else { return };
            makes_room -= 1;
            if let Some(there) = self.hosts.iter().position(|host| host.address == at) {
                self.move_away(there);
            }
        }
    }

    fn move_to(&mut self, host: usize, address: Address) {
        self.trace.add(self.now, host, b"another address");
        self.hosts[host].address = address;
        let life = self.hosts[host].life;
        let after = self.looks.below(LOOK_AGAIN);
        self.at(self.now + after, host, Due::Look { life });
    }

    /// An agent looks at its host's addresses, and tells its core if they are others.
    pub(super) fn look(&mut self, host: usize) {
        let facts = self.hosts[host].facts();
        if self.hosts[host].told_address != self.hosts[host].address {
            self.hosts[host].told_address = self.hosts[host].address;
            self.input(host, Input::Facts(Box::new(facts)));
        }
    }

    /// Where an agent reaches another when it dials, and how long it tries elsewhere before.
    pub(super) fn dial(&self, from: usize, peer: NodeId, place: usize) -> Option<(Address, Time)> {
        let mut tried = 0;
        for address in self.books[from].addresses(peer) {
            if self.hosts[place].address == address {
                return Some((address, tried));
            }
            // Whoever lives there has another key, and that shows at once.
            let answers = |host: &crate::host::Host| host.address == address && host.node.is_some();
            if !self.hosts.iter().any(answers) {
                tried += STAGGER;
            }
        }
        None
    }

    /// Into how many parts the agents of a cluster fall, each of which comes to hear of all in it if
    /// everybody looks where it takes others to be; if one moved, too.
    fn parts(&self, moved: Option<(usize, Address)>) -> usize {
        let runs = |host: &usize| self.hosts[*host].node.is_some() && self.hosts[*host].cluster.is_some();
        let mut left: Vec<usize> = (0..self.hosts.len()).filter(runs).collect();
        let knows = |one: usize, other: usize| {
            let moves = moved.filter(|(host, _)| *host == other).map(|(_, at)| at);
            let at = moves.unwrap_or(self.hosts[other].address);
            // Who does not know that the dialler is a member lets nobody in.
            self.books[other].has(self.hosts[one].id)
                && self.books[one].addresses(self.hosts[other].id).any(|known| known == at)
        };
        let mut parts = 0;
        while let Some(first) = left.pop() {
            parts += 1;
            let mut next = vec![first];
            while let Some(one) = next.pop() {
                let found = |other: &usize| knows(one, *other) || knows(*other, one);
                let (more, rest): (Vec<usize>, Vec<usize>) = left.into_iter().partition(found);
                next.extend(more);
                left = rest;
            }
        }
        parts
    }
}
