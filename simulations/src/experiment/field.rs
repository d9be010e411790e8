//! Many nodes that do nothing but know who is alive: one queue of events, one seed, links with faults.
//!
//! # Not here
//! Disks, engines, records, leases: see [`crate::world`], whose links these are without their rarer faults.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use sleep_wire::message::Message;

use super::agent::{Agent, Being, Effects, Start, System};
use crate::random::Stream;
use crate::world::{Network, SECOND, Time};

/// What wrong there is with one node's connection to all others, in thousandths of what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Lost of what comes in.
    pub(super) inward: u32,
    /// Lost of what goes out.
    pub(super) outward: u32,
}

/// What a stopped node does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Anything: its process is stopped.
    Process,
    /// Sending and receiving: its timers go on.
    Sockets,
}

/// Somebody's belief changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: Time,
    pub(super) by: usize,
    pub(super) about: usize,
    pub(super) up: bool,
}

enum Event {
    Deliver { from: usize, message: Message },
    Wake,
    Resume,
}

/// One node: its agent, and what its host holds back while it is stopped.
struct Place {
    agent: Option<Box<dyn Agent>>,
    wake: Option<Time>,
    stopped: Option<(Stop, Time)>,
    inbox: Vec<(usize, Message)>,
    outbox: Vec<(usize, Message)>,
    trouble: Trouble,
    delays: Stream,
    losses: Stream,
    /// Whom it believes up.
    up: Vec<bool>,
}

/// The nodes, and the network between them.
pub(super) struct Field {
    pub(super) now: Time,
    pub(super) told: Vec<Told>,
    /// How many messages were sent.
    pub(super) sent: u64,
    network: Network,
    places: Vec<Place>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(usize, usize)>,
    /// By time, class and order: what arrives goes before what is due.
    queue: BTreeMap<(Time, u8, u64), (usize, Event)>,
    order: u64,
    seed: u64,
}

/// So many datagrams wait for a stopped process, as Linux has it by default; more are lost.
const BUFFER: usize = 256;

/// When a stream first repeats what was lost; twice as long after each further loss, as QUIC has it.
const REPEAT_AFTER: Time = SECOND / 20;

/// A stream that was not heard of for so long is given up.
const IDLE: Time = 10 * SECOND;

impl Field {
    /// So many nodes that believe in each other, as after a long calm.
    pub(super) fn settled(system: System, count: usize, seed: u64) -> Self {
        let mut field = Self::empty(count, seed);
        for node in 0..count {
            // They do not march in step.
            field.run_to(SECOND * node as u64 / count as u64);
            field.start(system, node, Start::Settled);
        }
        field.run(20 * SECOND);
        field.forget();
        field
    }

    /// So many nodes that do not run yet.
    pub(super) fn empty(count: usize, seed: u64) -> Self {
        let place = |node| Place {
            agent: None,
            wake: None,
            stopped: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
            trouble: Trouble::default(),
            delays: Stream::new(seed, "delays", node),
            losses: Stream::new(seed, "losses", node),
            up: vec![false; count],
        };
        Self {
            now: 0,
            told: Vec::new(),
            sent: 0,
            network: Network::default(),
            places: (0..count as u64).map(place).collect(),
            cut: BTreeSet::new(),
            queue: BTreeMap::new(),
            order: 0,
            seed,
        }
    }

    /// Forgets what was told and sent so far.
    pub(super) fn forget(&mut self) {
        self.told.clear();
        self.sent = 0;
    }

    /// How many nodes there are, running or not.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Starts a node.
    pub(super) fn start(&mut self, system: System, node: usize, start: Start) {
        let seed = Stream::new(self.seed, "agents", node as u64).any();
        let being = Being { node, count: self.count(), seed };
        let mut effects = Effects::default();
        let agent = system.start(being, start, self.now, &mut effects);
        let place = &mut self.places[node];
        place.agent = Some(agent);
        place.up.fill(false);
        place.up[node] = true;
        self.follow(node, effects);
    }

    /// Ends a node, at once and without a word.
    pub(super) fn kill(&mut self, node: usize) {
        self.places[node].agent = None;
    }

    /// Stops a node for a while.
    pub(super) fn stop(&mut self, node: usize, stop: Stop, time: Time) {
        let until = self.now + time;
        self.places[node].stopped = Some((stop, until));
        self.push(until, node, Event::Resume);
    }

    /// There is something wrong with a node's connection from now on.
    pub(super) fn trouble(&mut self, node: usize, trouble: Trouble) {
        self.places[node].trouble = trouble;
    }

    /// Nothing passes between two nodes from now on.
    pub(super) fn cut(&mut self, one: usize, other: usize) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Whether one node believes another up.
    pub(super) fn sees(&self, node: usize, other: usize) -> bool {
        self.places[node].up[other]
    }

    /// Whether everybody who runs believes up exactly who runs.
    pub(super) fn agrees(&self) -> bool {
        let runs: Vec<bool> = self.places.iter().map(|place| place.agent.is_some()).collect();
        self.places.iter().filter(|place| place.agent.is_some()).all(|place| place.up == runs)
    }

    /// Runs for so long.
    pub(super) fn run(&mut self, time: Time) {
        self.run_to(self.now + time);
    }

    /// Runs until something holds, looking now and then. When it did.
    pub(super) fn run_until(
        &mut self,
        end: Time,
        every: Time,
        holds: impl Fn(&Self) -> bool,
    ) -> Option<Time> {
        loop {
            if holds(self) {
                return Some(self.now);
            }
            if self.now >= end {
                return None;
            }
            self.run_to((self.now + every).min(end));
        }
    }

    fn run_to(&mut self, end: Time) {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, ..), (node, event)) = entry.remove_entry();
            self.now = at;
            self.happen(node, event);
        }
        self.now = end;
    }

    fn happen(&mut self, node: usize, event: Event) {
        let now = self.now;
        let place = &mut self.places[node];
        let Some(agent) = &mut place.agent else { return };
        let mut effects = Effects::default();
        match event {
            Event::Deliver { from, message } => {
                if place.stopped.is_some() {
                    if place.inbox.len() < BUFFER || !message.is_datagram() {
                        place.inbox.push((from, message));
                    }
                    return;
                }
                agent.hear(now, from, message, &mut effects);
            }
            Event::Wake => {
                if place.wake != Some(now) {
                    return;
                }
                if let Some((Stop::Process, until)) = place.stopped {
                    place.wake = Some(until);
                    self.push(until, node, Event::Wake);
                    return;
                }
                place.wake = None;
                agent.tick(now, &mut effects);
            }
            Event::Resume => return self.resume(node),
        }
        self.follow(node, effects);
    }

    /// A node goes on, with all that has waited.
    fn resume(&mut self, node: usize) {
        let place = &mut self.places[node];
        if place.stopped.is_none_or(|(_, until)| until > self.now) {
            return;
        }
        place.stopped = None;
        let (inbox, outbox) = (std::mem::take(&mut place.inbox), std::mem::take(&mut place.outbox));
        outbox.into_iter().for_each(|(to, message)| self.send(node, to, message));
        inbox.into_iter().for_each(|(from, message)| self.happen(node, Event::Deliver { from, message }));
    }

    fn follow(&mut self, node: usize, effects: Effects) {
        let place = &mut self.places[node];
        for (about, up) in effects.told {
            if std::mem::replace(&mut place.up[about], up) != up {
                self.told.push(Told { at: self.now, by: node, about, up });
            }
        }
        let wake = place.agent.as_ref().and_then(|agent| agent.next_wake()).map(|at| at.max(self.now));
        if wake != place.wake {
            place.wake = wake;
            if let Some(at) = wake {
                self.push(at, node, Event::Wake);
            }
        }
        for (to, message) in effects.sends {
            self.send(node, to, message);
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let place = &mut self.places[from];
        if place.stopped.is_some() {
            place.outbox.push((to, message));
            return;
        }
        self.sent += 1;
        let outward = place.trouble.outward;
        let inward = self.places[to].trouble.inward;
        let mut delay = self.places[from].delays.between(self.network.least, self.network.most);
        let losses = &mut self.places[from].losses;
        let mut repeat = REPEAT_AFTER;
        while losses.permille(outward) || losses.permille(inward) {
            if message.is_datagram() || delay > IDLE {
                return;
            }
            delay += repeat;
            repeat *= 2;
        }
        if !self.cut.contains(&(from, to)) {
            self.push(self.now + delay, to, Event::Deliver { from, message });
        }
    }

    fn push(&mut self, at: Time, node: usize, event: Event) {
        self.order += 1;
        let class = match event {
            Event::Deliver { .. } => 0,
            Event::Resume => 1,
            Event::Wake => 2,
        };
        self.queue.insert((at, class, self.order), (node, event));
    }
}

/// So many different nodes, drawn from a stream, in order.
pub(super) fn draw(stream: &mut Stream, count: usize, from: usize) -> Vec<usize> {
    let mut all: BTreeMap<Reverse<u64>, usize> =
        (0..from).map(|node| (Reverse(stream.any()), node)).collect();
    let mut drawn: Vec<usize> =
        std::iter::from_fn(|| all.pop_first()).map(|(_, node)| node).take(count).collect();
    drawn.sort_unstable();
    drawn
}
