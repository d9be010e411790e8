//! What lies between hosts: delays, losses, cuts, doors.

use serde::{Deserialize, Serialize};
use sleep_core::io::{Input, Ticket};
use sleep_wire::NodeId;
use sleep_wire::message::Envelope;

use super::connections::{Frame, IDLE, pair};
use super::{Due, SECOND, Time, World};
use crate::random::Stream;
use crate::span;

/// What the network between two hosts is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// The least time that a frame takes, in microseconds.
    #[serde(with = "span")]
    pub least: Time,
    /// The most.
    #[serde(with = "span")]
    pub most: Time,
    /// How many datagrams of a thousand are lost; streams repeat what is lost, and take longer.
    #[serde(skip_serializing_if = "is_zero")]
    pub loss_permille: u32,
    /// How many frames of a thousand arrive twice, the second time up to a minute later.
    #[serde(skip_serializing_if = "is_zero")]
    pub twice_permille: u32,
    /// How many frames of a thousand come twice over a stream: whoever sends over a connection that breaks
    /// may send again over the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub again_permille: u32,
    /// How many frames of a thousand take up to two seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub late_permille: u32,
    /// How many bytes a second it carries in one direction; 0 if that is no matter.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_per_second: u64,
}

const fn is_zero(value: &u32) -> bool {
    *value == 0
}

const fn is_nothing(value: &u64) -> bool {
    *value == 0
}

impl Default for Network {
    fn default() -> Self {
        Self {
            least: 200,
            most: 2_000,
            loss_permille: 0,
            twice_permille: 0,
            again_permille: 0,
            late_permille: 0,
            bytes_per_second: 0,
        }
    }
}

/// A network that is another between some hosts for a while.
pub(super) struct Weather {
    number: u64,
    nodes: Vec<usize>,
    towards: Vec<usize>,
    /// Whether only what comes to `nodes` is concerned.
    inbound: bool,
    network: Network,
}

impl Weather {
    fn is_between(&self, one: usize, other: usize) -> bool {
        if self.inbound {
            return self.nodes.contains(&other);
        }
        let to = |host| self.towards.is_empty() || self.towards.contains(&host);
        (self.nodes.contains(&one) && to(other)) || (self.nodes.contains(&other) && to(one))
    }
}

/// One direction between two hosts. A stream for each purpose: a new fault shifts no delay.
pub(super) struct Link {
    delays: Stream,
    losses: Stream,
    repeats: Stream,
    tails: Stream,
    /// When all that was sent over it is gone.
    idle_at: Time,
    /// Until when nothing arrives.
    clogged_until: Time,
    /// How often it was reset: what was sent over a stream before that does not arrive.
    pub(super) resets: u64,
}

/// Since when a direction carries nothing, and how many faults say so.
pub(super) struct Cut {
    since: Time,
    cuts: u32,
}

/// Datagrams that would wait longer than this for a slow link are dropped.
const BUFFER: Time = 2 * SECOND;

/// How long a newcomer waits for a door's answer.
const PATIENCE: Time = 20 * SECOND;

impl World {
    /// Nothing goes from one host to another any more, until it is mended as often as it was cut.
    pub fn cut(&mut self, from: usize, to: usize) {
        let now = self.now;
        self.cut.entry((from, to)).or_insert(Cut { since: now, cuts: 0 }).cuts += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.cut(now, from, to, true);
        }
    }

    /// What goes from one host to another arrives again. A connection that was cut for long is made anew.
    pub fn mend(&mut self, from: usize, to: usize) {
        let Some(cut) = self.cut.get_mut(&(from, to)) else { return };
        cut.cuts -= 1;
        if cut.cuts > 0 {
            return;
        }
        let since = cut.since;
        self.cut.remove(&(from, to));
        if let Some(recorder) = &mut self.recorder {
            recorder.cut(self.now, from, to, false);
        }
        if self.now - since >= IDLE {
            let pair = (from.min(to), from.max(to));
            self.connected.retain(|(one, _, other, _), _| (*one, *other) != pair);
        }
    }

    /// Everything goes everywhere again.
    pub fn heal(&mut self) {
        for cut in self.cut.values_mut() {
            cut.cuts = 1;
        }
        let cuts: Vec<_> = self.cut.keys().copied().collect();
        for (from, to) in cuts {
            self.mend(from, to);
        }
        self.weathers.clear();
        for link in self.links.values_mut() {
            link.clogged_until = 0;
        }
    }

    /// The network between some hosts and others (all, if none is named) is another. The number of it.
    pub fn rain(&mut self, nodes: Vec<usize>, towards: Vec<usize>, network: Network) -> u64 {
        let number = self.queue.number();
        self.weathers.push(Weather { number, nodes, towards, inbound: false, network });
        number
    }

    /// What comes to a host takes another network; what it sends does not. The number of it.
    pub fn rain_on(&mut self, host: usize, network: Network) -> u64 {
        let number = self.queue.number();
        let (nodes, towards) = (vec![host], Vec::new());
        self.weathers.push(Weather { number, nodes, towards, inbound: true, network });
        number
    }

    /// One of these is over.
    pub fn clear(&mut self, weather: u64) {
        self.weathers.retain(|known| known.number != weather);
    }

    /// What some hosts send, and what is sent to them, arrives in a while and all at once.
    pub fn clog(&mut self, nodes: &[usize], lasts: Time) {
        let until = self.now + lasts;
        for (one, other) in (0..self.hosts.len()).flat_map(|one| nodes.iter().map(move |other| (one, *other)))
        {
            for (from, to) in [(one, other), (other, one)] {
                let link = self.link(from, to);
                link.clogged_until = link.clogged_until.max(until);
            }
        }
    }

    /// What the network is like between two hosts now.
    fn network_between(&self, one: usize, other: usize) -> Network {
        let weather = self.weathers.iter().rev().find(|weather| weather.is_between(one, other));
        weather.map_or(self.network, |weather| weather.network)
    }

    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains_key(&(from, to))
    }

    /// Whether one of two agents has closed its door on the other.
    pub(super) fn is_expelled(&self, one: NodeId, other: NodeId) -> bool {
        self.expelled.contains_key(&(one, other)) || self.expelled.contains_key(&(other, one))
    }

    pub(super) fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let seed = self.seed;
        let stream = |purpose| Stream::new(seed, purpose, ((from as u64) << 32) | to as u64);
        self.links.entry((from, to)).or_insert_with(|| Link {
            delays: stream("delays"),
            losses: stream("losses"),
            repeats: stream("repeats"),
            tails: stream("tails"),
            idle_at: 0,
            clogged_until: 0,
            resets: 0,
        })
    }

    pub(super) fn delay(&mut self, from: usize, to: usize) -> Time {
        let network = self.network_between(from, to);
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
        let there = self.hosts[place].node.is_some() && self.hosts[place].id == to && !self.is_asleep(place);
        if !there || self.is_cut(from, place) {
            return;
        }
        if self.is_expelled(self.hosts[from].id, to) {
            return self.dismiss(from, place, to);
        }
        let mut delay = self.delay(from, place);
        let Some((target, after)) = self.connect(from, place, delay) else { return };
        delay += after;
        let (network, now) = (self.network_between(from, place), self.now);
        let link = self.link(from, place);
        if network.loss_permille > 0 && link.losses.permille(network.loss_permille) {
            if datagram {
                return;
            }
            delay += 4 * network.most + 10_000;
        }
        // Within a stream nothing is repeated: its transport sees to that.
        let twice = if datagram { network.twice_permille } else { network.again_permille };
        let span = if datagram { 60 * SECOND } else { 2 * SECOND };
        let again = (twice > 0 && link.repeats.permille(twice)).then(|| link.repeats.below(span));
        let mut at = now + delay;
        if let Some(taken) = (bytes.len() as u64 * SECOND).checked_div(network.bytes_per_second) {
            let waits = link.idle_at.saturating_sub(now);
            if datagram && waits > BUFFER {
                return;
            }
            link.idle_at = now + waits + taken;
            at += waits + taken;
        }
        at = at.max(link.clogged_until);
        let resets = link.resets;
        let (pair, way) = (pair((from, life), (place, to_life)), (self.hosts[from].address, target));
        let from = self.hosts[from].id;
        let frame =
            |bytes| Due::Frame(Frame { from, datagram, bytes, pair, resets, sent: now, tries: 0, way });
        if let Some(again) = again {
            self.at(at + again, place, frame(bytes.clone()));
        }
        self.at(at, place, frame(bytes));
    }

    /// A frame arrives at a host whose agent runs.
    pub(super) fn receive(&mut self, host: usize, from: NodeId, datagram: bool, sent: Time, bytes: Vec<u8>) {
        self.trace.add(self.now, host, &bytes);
        let header = bytes.first_chunk().and_then(|header| Envelope::read(*header).ok());
        self.overhears(host, from, datagram, &bytes);
        let before = self.events.len();
        let input = if datagram { Input::Datagram { from, bytes } } else { Input::Message { from, bytes } };
        self.input(host, input);
        if self.events.len() > before {
            let kind = header.map_or(0, |envelope| envelope.kind);
            self.heard(host, from, sent, kind, before..self.events.len());
        }
    }

    /// Whether what was sent over a stream arrives: its connection stands yet.
    pub(super) fn is_reset(&mut self, from: NodeId, to: usize, resets: u64) -> bool {
        let Some(from) = self.places.get(&from).copied() else { return false };
        self.link(from, to).resets != resets
    }

    /// Who comes to a door that was closed on it is told why, if it has a way to hear it.
    fn dismiss(&mut self, from: usize, place: usize, peer: NodeId) {
        let me = self.hosts[from].id;
        if let Some(farewell) = self.expelled.get(&(peer, me)).cloned()
            && !self.is_cut(place, from)
            && self.dial(from, peer, place).is_some()
        {
            let life = self.hosts[from].life;
            let after = self.delay(from, place) + self.delay(place, from);
            self.at(self.now + after, from, Due::Dismissed { peer, farewell, life });
        }
    }

    pub(super) fn ask_door(&mut self, host: usize, ticket: Ticket, addresses: &[String], bytes: Vec<u8>) {
        let life = self.hosts[host].life;
        let door = addresses
            .iter()
            .filter_map(|name| self.hosts.iter().position(|known| known.name() == name))
            .next();
        let reachable = |door: &usize| self.hosts[*door].node.is_some() && !self.is_cut(host, *door);
        let door = door.filter(reachable);
        self.asking.insert(ticket);
        if let Some(door) = door {
            let after = self.delay(host, door);
            let knock = Due::Knock { newcomer: host, newcomer_life: life, ticket, bytes };
            self.at(self.now + after, door, knock);
            let answer = Err(String::from("no answer in time"));
            self.at(self.now + PATIENCE, host, Due::Answer { ticket, answer, met: None, life });
        } else {
            let answer = Err(String::from("nobody answers there"));
            self.at(self.now + SECOND, host, Due::Answer { ticket, answer, met: None, life });
        }
    }

    pub(super) fn knock(&mut self, door: usize, newcomer: usize, life: u64, asked: Ticket, bytes: Vec<u8>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.doors.insert(ticket, (newcomer, life, asked));
        let key = self.hosts[newcomer].public_key(&self.mint);
        self.input(door, Input::JoinAsked { ticket, key, bytes });
    }
    /// A door answers a newcomer. Each knows then where the other is.
    pub(super) fn answer_newcomer(&mut self, door: usize, ticket: Ticket, bytes: Vec<u8>) {
        let Some((newcomer, life, ticket)) = self.doors.remove(&ticket) else { return };
        if self.is_cut(door, newcomer) {
            return;
        }
        let after = self.delay(door, newcomer);
        let (here, there) = (&self.hosts[door], &self.hosts[newcomer]);
        let met = Some((here.id, here.address));
        self.books[door].meet(there.id, there.address);
        self.at(self.now + after, newcomer, Due::Answer { ticket, answer: Ok(bytes), met, life });
    }
}
