//! What lies between hosts: delays, losses, cuts, doors.

use sleep_core::io::{Input, Ticket};
use sleep_wire::NodeId;

use super::{Due, SECOND, Time, World};
use crate::random::Stream;

/// What the network between two hosts is like.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The least time that a frame takes, in microseconds.
    pub least: Time,
    /// The most.
    pub most: Time,
    /// How many datagrams of a thousand are lost; streams repeat what is lost, and take longer.
    pub loss_permille: u32,
    /// How many frames of a thousand arrive twice, the second time up to a minute later.
    pub twice_permille: u32,
    /// How many frames of a thousand take up to two seconds.
    pub late_permille: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self { least: 200, most: 2_000, loss_permille: 0, twice_permille: 0, late_permille: 0 }
    }
}

/// One direction between two hosts. A stream for each purpose: a new fault shifts no delay.
pub(super) struct Link {
    delays: Stream,
    losses: Stream,
    repeats: Stream,
    tails: Stream,
}

/// After so long without an answer a connection is given up.
const IDLE: Time = 10 * SECOND;

impl World {
    /// Nothing goes from one host to another any more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.entry((from, to)).or_insert(self.now);
    }

    /// What goes from one host to another arrives again. A connection that was cut for long is made anew.
    pub fn mend(&mut self, from: usize, to: usize) {
        let Some(since) = self.cut.remove(&(from, to)) else { return };
        if self.now - since >= IDLE {
            let pair = (from.min(to), from.max(to));
            self.connected.retain(|(one, _, other, _)| (*one, *other) != pair);
        }
    }

    /// Everything goes everywhere again.
    pub fn heal(&mut self) {
        let cuts: Vec<_> = self.cut.keys().copied().collect();
        for (from, to) in cuts {
            self.mend(from, to);
        }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains_key(&(from, to))
    }

    /// Whether one of two agents has closed its door on the other.
    pub(super) fn is_expelled(&self, one: NodeId, other: NodeId) -> bool {
        self.expelled.contains(&(one, other)) || self.expelled.contains(&(other, one))
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let seed = self.seed;
        let stream = |purpose| Stream::new(seed, purpose, ((from as u64) << 32) | to as u64);
        self.links.entry((from, to)).or_insert_with(|| Link {
            delays: stream("delays"),
            losses: stream("losses"),
            repeats: stream("repeats"),
            tails: stream("tails"),
        })
    }

    pub(super) fn delay(&mut self, from: usize, to: usize) -> Time {
        let network = self.network;
        let link = self.link(from, to);
        let delay = link.delays.between(network.least, network.most);
        if network.late_permille > 0 && link.tails.permille(network.late_permille) {
            delay + link.tails.below(2 * SECOND)
        } else {
            delay
        }
    }

    pub(super) fn send(&mut self, from: usize, to: NodeId, datagram: bool, bytes: Vec<u8>) {
        self.sent[from] += bytes.len() as u64 + 60;
        let Some(place) = self.places.get(&to).copied() else { return };
        let (life, to_life) = (self.hosts[from].life, self.hosts[place].life);
        let there = self.hosts[place].node.is_some() && self.hosts[place].id == to;
        if !there || self.is_cut(from, place) || self.is_expelled(self.hosts[from].id, to) {
            return;
        }
        let mut delay = self.delay(from, place);
        let pair = if from < place { (from, life, place, to_life) } else { (place, to_life, from, life) };
        if !self.connected.contains(&pair) {
            // A connection takes a frame each way.
            if self.is_cut(place, from) {
                return;
            }
            self.connected.insert(pair);
            let (mine, theirs) = (self.hosts[from].id, to);
            self.at(self.now + delay, place, Due::Connected { peer: mine, life: to_life });
            self.at(self.now + 2 * delay, from, Due::Connected { peer: theirs, life });
            delay += 1;
        }
        let network = self.network;
        let link = self.link(from, place);
        if network.loss_permille > 0 && link.losses.permille(network.loss_permille) {
            if datagram {
                return;
            }
            delay += 4 * network.most + 10_000;
        }
        // A stream's frames are not repeated: its transport sees to that.
        let again = (datagram && network.twice_permille > 0 && link.repeats.permille(network.twice_permille))
            .then(|| link.repeats.below(60 * SECOND));
        let from = self.hosts[from].id;
        if let Some(again) = again {
            let bytes = bytes.clone();
            self.at(self.now + delay + again, place, Due::Frame { from, datagram, bytes, life: to_life });
        }
        self.at(self.now + delay, place, Due::Frame { from, datagram, bytes, life: to_life });
    }

    pub(super) fn ask_door(&mut self, host: usize, ticket: Ticket, addresses: &[String], bytes: Vec<u8>) {
        let life = self.hosts[host].life;
        let door = addresses
            .iter()
            .filter_map(|name| self.hosts.iter().position(|known| known.name() == *name))
            .next();
        let reachable = |door: &usize| self.hosts[*door].node.is_some() && !self.is_cut(host, *door);
        if let Some(door) = door.filter(reachable) {
            let after = self.delay(host, door);
            let knock = Due::Knock { newcomer: host, newcomer_life: life, ticket, bytes };
            self.at(self.now + after, door, knock);
        } else {
            let answer = Err(String::from("nobody answers there"));
            self.at(self.now + SECOND, host, Due::Answer { ticket, answer, life });
        }
    }

    pub(super) fn knock(&mut self, door: usize, newcomer: usize, life: u64, asked: Ticket, bytes: Vec<u8>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.doors.insert(ticket, (newcomer, life, asked));
        let key = self.hosts[newcomer].public_key(&self.mint);
        self.input(door, Input::JoinAsked { ticket, key, bytes });
    }
}
