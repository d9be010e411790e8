//! A little world for tests: many members, one queue of events, one seed.

extern crate std;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use foca::State;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sleep_wire::lease::Hint;
use sleep_wire::message::{Carried, Frame, MAX_DATAGRAM, MAX_SWIM, Message};
use sleep_wire::stamp::ClusterTime;
use sleep_wire::swim::Peer;
use sleep_wire::{Epoch, NodeId};

use super::{Liveness, Membership, MembershipInput, MembershipOutput, Profile};
use crate::time::Instant;

pub(super) const MS: u64 = 1000;
pub(super) const SECOND: u64 = 1000 * MS;

enum Event {
    Deliver { from: usize, to: usize, message: Message },
    Wake { node: usize },
}

struct Member {
    room: Membership,
    boot: u32,
    wake: Option<u64>,
    stalled_until: u64,
}

/// Who said what, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: u64,
    pub(super) node: usize,
    pub(super) what: MembershipOutput,
}

/// What a stall ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalls {
    /// Packets waited, and are handled before timers: so does an agent's loop.
    PacketsFirst,
    /// Packets waited, and are handled after timers.
    TimersFirst,
    /// Packets are lost.
    Deaf,
}

/// Members, and the network between them.
pub(super) struct World {
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    order: u64,
    members: Vec<Option<Member>>,
    rng: SmallRng,
    /// In thousandths.
    pub(super) loss: u32,
    /// What is lost besides of all that these send and are sent, in thousandths.
    pub(super) bad: BTreeMap<usize, u32>,
    /// In microseconds.
    pub(super) latency: (u64, u64),
    /// Whether a packet from one to another gets through.
    pub(super) open: Box<dyn Fn(usize, usize) -> bool>,
    pub(super) told: Vec<Told>,
    /// What becomes of a stalled member's packets and timers.
    pub(super) stalls: Stalls,
    /// Whether bytes are counted, which takes time.
    pub(super) counting: bool,
    pub(super) bytes: Vec<u64>,
}

pub(super) fn id(node: usize) -> NodeId {
    let mut id = [0x5a; 16];
    id[..8].copy_from_slice(&(node as u64).to_be_bytes());
    NodeId(id)
}

pub(super) fn index(node: NodeId) -> usize {
    let bytes = node.0.first_chunk::<8>().expect("an id has 16 bytes");
    usize::try_from(u64::from_be_bytes(*bytes)).expect("few nodes")
}

impl World {
    /// So many nodes that know each other's names, and start within the first second.
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let mut world = Self::empty(count, seed);
        for node in 0..count {
            world.now = (node as u64 * SECOND) / count as u64;
            world.start(node, 1, 0..count);
        }
        world
    }

    pub(super) fn empty(count: usize, seed: u64) -> Self {
        Self {
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            members: (0..count).map(|_| None).collect(),
            rng: SmallRng::seed_from_u64(seed),
            loss: 0,
            bad: BTreeMap::new(),
            latency: (200, 2 * MS),
            open: Box::new(|_, _| true),
            told: Vec::new(),
            stalls: Stalls::PacketsFirst,
            counting: false,
            bytes: std::vec![0; count],
        }
    }

    pub(super) fn start(&mut self, node: usize, boot: u32, knows: impl Iterator<Item = usize>) {
        self.start_as(node, Peer { node: id(node), boot, renewal: 0 }, knows);
    }

    /// Starts a node in the middle of a boot.
    pub(super) fn start_as(&mut self, node: usize, me: Peer, knows: impl Iterator<Item = usize>) {
        let seed = self.rng.random();
        let room = Membership::new(me, Profile::LAN, seed, Instant(self.now));
        self.members[node] = Some(Member { room, boot: me.boot, wake: None, stalled_until: 0 });
        let added = knows.map(id).collect();
        self.input(node, MembershipInput::Members { added, removed: Vec::new() });
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.members[node] = None;
    }

    /// Nothing runs on that node for a while; what arrives waits.
    pub(super) fn stall(&mut self, node: usize, until: u64) {
        if let Some(member) = &mut self.members[node] {
            member.stalled_until = until;
        }
    }

    pub(super) fn room(&self, node: usize) -> &Membership {
        &self.members[node].as_ref().expect("a test asks nodes that run").room
    }

    pub(super) fn boot(&self, node: usize) -> u32 {
        self.members[node].as_ref().expect("a test asks nodes that run").boot
    }

    pub(super) fn input(&mut self, node: usize, input: MembershipInput) {
        let now = self.now;
        let Some(member) = &mut self.members[node] else { return };
        member.room.handle(Instant(now), input);
        let mut sends = Vec::new();
        while let Some(output) = member.room.poll_output() {
            match output {
                MembershipOutput::Send { to, message } => sends.push((index(to), message)),
                what => self.told.push(Told { at: now, node, what }),
            }
        }
        let wake = member.room.next_wake().map(|at| at.0.max(now));
        if wake != member.wake {
            member.wake = wake;
            if let Some(at) = wake {
                self.push(at, Event::Wake { node });
            }
        }
        for (to, message) in sends {
            self.send(node, to, message);
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        if let Message::Swim(bytes) = &message {
            assert!(bytes.len() <= MAX_SWIM, "{} bytes of SWIM", bytes.len());
        }
        if self.counting {
            let epoch = Epoch { generation: 0, term: 300, candidate: id(0) };
            let hint = Some(Hint { epoch, renewal: 70_000, signatures: Vec::new() });
            let time = ClusterTime::from_ms(0, 1 << 32);
            let frame = Frame { carried: Carried { time, hint }, message: message.clone() };
            let bytes = frame.to_bytes();
            assert!(bytes.len() <= MAX_DATAGRAM || !message.is_datagram());
            assert_eq!(Frame::from_bytes(&bytes), Ok(frame));
            self.bytes[from] += bytes.len() as u64;
        }
        let mut latency = self.rng.random_range(self.latency.0..=self.latency.1);
        while self.loses(from, to) {
            if message.is_datagram() {
                return;
            }
            latency += 200 * MS;
        }
        if (self.open)(from, to) {
            self.push(self.now + latency, Event::Deliver { from, to, message });
        }
    }

    fn loses(&mut self, from: usize, to: usize) -> bool {
        let bad = [from, to].map(|node| self.bad.get(&node).copied().unwrap_or_default());
        let losses = [self.loss].into_iter().chain(bad.into_iter().filter(|loss| *loss > 0));
        losses.fold(false, |lost, loss| lost | (self.rng.random_range(0..1000) < loss))
    }

    fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// Runs for so long, in microseconds.
    pub(super) fn run(&mut self, time: u64) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.step(event);
        }
        self.now = end;
    }

    fn step(&mut self, event: Event) {
        let node = match &event {
            Event::Deliver { to, .. } => *to,
            Event::Wake { node } => *node,
        };
        let Some(member) = &mut self.members[node] else { return };
        if member.stalled_until > self.now {
            let wakes = matches!(event, Event::Wake { .. });
            let until = match (self.stalls, wakes) {
                (Stalls::PacketsFirst, true) | (Stalls::TimersFirst, false) => member.stalled_until + 1,
                (Stalls::PacketsFirst, false) | (Stalls::TimersFirst | Stalls::Deaf, true) => {
                    member.stalled_until
                }
                (Stalls::Deaf, false) => return,
            };
            if wakes {
                member.wake = Some(until);
            }
            self.push(until, event);
            return;
        }
        match event {
            Event::Deliver { from, message: Message::Swim(bytes), .. } => {
                self.input(node, MembershipInput::Swim { from: id(from), bytes });
            }
            Event::Deliver { from, message: Message::Membership(message), .. } => {
                self.input(node, MembershipInput::Message { from: id(from), message });
            }
            Event::Deliver { message, .. } => unreachable!("this room does not say {message:?}"),
            Event::Wake { .. } => {
                if member.wake == Some(self.now) {
                    member.wake = None;
                    self.input(node, MembershipInput::Tick);
                }
            }
        }
    }

    /// Runs until something holds, looking every ten milliseconds. Returns how long that took, in
    /// microseconds.
    pub(super) fn run_until(&mut self, most: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let begin = self.now;
        while self.now - begin <= most {
            if holds(self) {
                return Some(self.now - begin);
            }
            self.run(10 * MS);
        }
        None
    }

    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|node| self.members[*node].is_some()).collect()
    }

    pub(super) fn sees(&self, node: usize, other: usize) -> Option<Liveness> {
        self.room(node).state(id(other)).map(|state| state.liveness)
    }

    /// Whether all that run see all that run alive, and all others down.
    pub(super) fn agrees(&self) -> bool {
        let running = self.running();
        running.iter().all(|node| {
            let component: Vec<usize> = self.room(*node).component().into_iter().map(index).collect();
            component == running
        })
    }

    pub(super) fn told_down(&self) -> Vec<&Told> {
        self.told.iter().filter(|told| matches!(told.what, MembershipOutput::Down { .. })).collect()
    }

    /// Holds each table against foca's own.
    pub(super) fn assert_tables_equal_foca(&self) {
        for node in self.running() {
            let room = self.room(node);
            let foca: BTreeMap<NodeId, (Peer, u16, Liveness)> = room
                .engine
                .iter_membership_state()
                .map(|member| {
                    let liveness = match member.state() {
                        State::Alive => Liveness::Alive,
                        State::Suspect => Liveness::Suspect,
                        State::Down => Liveness::Down,
                    };
                    (member.id().node, (*member.id(), member.incarnation(), liveness))
                })
                .collect();
            let table: BTreeMap<NodeId, (Peer, u16, Liveness)> = (0..self.members.len())
                .filter_map(|other| room.table.get(id(other)))
                .filter(|known| known.is_heard_of())
                .map(|known| (known.peer.node, (known.peer, known.incarnation, known.liveness)))
                .collect();
            assert_eq!(table, foca, "at {} µs, node {node}", self.now);
        }
    }
}
