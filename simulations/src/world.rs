//! Hosts, a network between them, one queue and virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sleep_core::io::{Command, Event as Told, Input, Output, Refusal, Reply, Ticket};
use sleep_core::node::Tuning;
use sleep_wire::NodeId;

use crate::crypto::Mint;
use crate::host::{Host, SimNode};
use crate::random::Stream;
use crate::trace::Trace;

/// Microseconds of virtual time since the world began.
pub type Time = u64;

/// A second of it.
pub const SECOND: Time = 1_000_000;

/// What the network between two hosts is like.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The least time that a frame takes, in microseconds.
    pub least: Time,
    /// The most.
    pub most: Time,
    /// How many datagrams of a thousand are lost; streams repeat what is lost, and take longer.
    pub loss_permille: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self { least: 200, most: 2_000, loss_permille: 0 }
    }
}

/// Something that is to happen at a host.
#[derive(Debug)]
enum Due {
    /// A frame arrives.
    Frame { from: NodeId, datagram: bool, bytes: Vec<u8>, life: u64 },
    /// A connection stands.
    Connected { peer: NodeId, life: u64 },
    /// The oldest write reaches the disk.
    Sync { life: u64 },
    /// Its engine has something to report.
    Engine,
    /// A newcomer asks at its door.
    Knock { newcomer: usize, newcomer_life: u64, ticket: Ticket, bytes: Vec<u8> },
    /// A door answers.
    Answer { ticket: Ticket, answer: Result<Vec<u8>, String>, life: u64 },
    /// Its agent asked to be woken.
    Wake { life: u64 },
}

struct Item {
    /// When; frames before timers at one moment; in order of asking.
    order: (Time, u8, u64),
    host: usize,
    due: Due,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

/// What a client was told.
pub type Answer = Result<Reply, Refusal>;

/// Everything.
pub struct World {
    /// The hosts, in order of number.
    pub hosts: Vec<Host>,
    /// The present moment.
    pub now: Time,
    /// What happened, hashed.
    pub trace: Trace,
    /// What clients were told, by ticket.
    pub answers: BTreeMap<Ticket, (Time, Answer)>,
    /// What agents told people, newest last.
    pub events: Vec<(Time, usize, Told)>,
    /// Bytes that each host has sent.
    pub sent: Vec<u64>,
    network: Network,
    seed: u64,
    mint: Mint,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    tickets: u64,
    /// Who waits for a door's answer: the newcomer, its life, its ticket.
    doors: BTreeMap<Ticket, (usize, u64, Ticket)>,
    places: BTreeMap<NodeId, usize>,
    links: BTreeMap<(usize, usize), Stream>,
    /// Pairs of agents, by host and life, between whom a connection stands.
    connected: BTreeSet<(usize, u64, usize, u64)>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(usize, usize)>,
    disks: Vec<Stream>,
    keys: Stream,
}

impl World {
    /// Hosts whose agents are running, each in no cluster.
    pub fn new(hosts: usize, seed: u64, network: Network, tuning: &Tuning) -> Self {
        let mint = Mint::default();
        let mut world = Self {
            hosts: Vec::with_capacity(hosts),
            now: 0,
            trace: Trace::default(),
            answers: BTreeMap::new(),
            events: Vec::new(),
            sent: vec![0; hosts],
            network,
            seed,
            mint: mint.clone(),
            queue: BinaryHeap::new(),
            order: 0,
            tickets: 0,
            doors: BTreeMap::new(),
            places: BTreeMap::new(),
            links: BTreeMap::new(),
            connected: BTreeSet::new(),
            cut: BTreeSet::new(),
            disks: (0..hosts).map(|host| Stream::new(seed, "disk", host as u64)).collect(),
            keys: Stream::new(seed, "keys", 0),
        };
        let mut walls = Stream::new(seed, "wall clocks", 0);
        for number in 0..hosts {
            let wall_off = i64::try_from(walls.below(1_200_000)).unwrap_or(0) - 600_000;
            let host = Host::new(number, seed, &mint, wall_off, tuning.clone());
            world.hosts.push(host);
            world.start(number);
        }
        world
    }

    /// Random bytes of a client: seeds of keys and names of commands.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.keys.bytes()
    }

    /// Starts a host's agent.
    pub fn start(&mut self, host: usize) {
        self.hosts[host].start(&self.mint, false);
        let now = self.hosts[host].now(self.now);
        self.hosts[host].engine.start_agent(now);
        self.arm_engine(host);
        self.places.insert(self.hosts[host].id, host);
        self.drain(host);
    }

    /// Kills a host's agent; its containers go on.
    pub fn kill(&mut self, host: usize) {
        self.hosts[host].kill();
        self.hosts[host].engine.crash_agent();
    }

    /// Nothing goes from one host to another any more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Everything goes everywhere again.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Gives a command to a host's agent.
    pub fn command(&mut self, host: usize, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.input(host, Input::Command { ticket, command: Box::new(command) });
        ticket
    }

    /// Lets the world go on until something holds, or time is up. True if it holds.
    pub fn until(&mut self, end: Time, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return holds(self);
            }
        }
    }

    /// Lets the next thing happen, unless that is later than `end`. False if nothing did.
    pub fn step(&mut self, end: Time) -> bool {
        if self.queue.peek().is_none_or(|Reverse(item)| item.order.0 > end) {
            return false;
        }
        let Some(Reverse(item)) = self.queue.pop() else { return false };
        self.now = item.order.0;
        self.happen(item.host, item.due);
        true
    }

    fn happen(&mut self, host: usize, due: Due) {
        let alive = |life: u64| self.hosts[host].life == life && self.hosts[host].node.is_some();
        match due {
            Due::Frame { from, datagram, bytes, life } => {
                if alive(life) {
                    self.trace.add(self.now, host, &bytes);
                    self.input(
                        host,
                        if datagram {
                            Input::Datagram { from, bytes }
                        } else {
                            Input::Message { from, bytes }
                        },
                    );
                }
            }
            Due::Connected { peer, life } => {
                if alive(life) {
                    self.input(host, Input::Connected { peer });
                }
            }
            Due::Sync { life } => {
                if alive(life)
                    && let Some(token) = self.hosts[host].disk.sync()
                {
                    self.input(host, Input::Durable { token, outcome: Ok(()) });
                }
            }
            Due::Engine => {
                let now = self.hosts[host].now(self.now);
                while let Some(report) = self.hosts[host].engine.poll(now) {
                    self.trace.add(self.now, host, b"engine");
                    self.input(host, Input::Engine(report));
                }
                self.arm_engine(host);
            }
            Due::Knock { newcomer, newcomer_life, ticket, bytes } => {
                self.knock(host, newcomer, newcomer_life, ticket, bytes);
            }
            Due::Answer { ticket, answer, life } => {
                if alive(life) {
                    self.input(host, Input::JoinAnswered { ticket, answer });
                }
            }
            Due::Wake { life } => {
                if alive(life) && self.hosts[host].wake == Some(self.now) {
                    self.hosts[host].wake = None;
                    self.trace.add(self.now, host, b"tick");
                    self.input(host, Input::Tick);
                }
            }
        }
    }

    fn input(&mut self, host: usize, input: Input) {
        self.hosts[host].handle(self.now, input);
        self.drain(host);
    }

    fn drain(&mut self, host: usize) {
        let known = &mut self.hosts[host];
        let cluster = known.node.as_ref().and_then(SimNode::cluster);
        if known.cluster != cluster {
            known.cluster = cluster;
            known.engine.set_cluster(cluster);
        }
        while let Some(output) = self.hosts[host].node.as_mut().and_then(SimNode::poll_output) {
            self.output(host, output);
        }
    }

    fn output(&mut self, host: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => self.send(host, to, true, bytes),
            Output::Message { to, bytes, .. } => self.send(host, to, false, bytes),
            Output::AskDoor { ticket, addresses, bytes } => self.ask_door(host, ticket, &addresses, bytes),
            Output::AnswerJoin { ticket, bytes } => {
                if let Some((newcomer, life, asked)) = self.doors.remove(&ticket) {
                    let after = self.delay(host, newcomer);
                    self.at(
                        self.now + after,
                        newcomer,
                        Due::Answer { ticket: asked, answer: Ok(bytes), life },
                    );
                }
            }
            Output::Persist { token, writes } => {
                self.hosts[host].disk.write(token, writes);
                let after = self.disks[host].between(200, 4_000);
                let life = self.hosts[host].life;
                self.at(self.now + after, host, Due::Sync { life });
            }
            Output::Engine(action) => {
                let now = self.hosts[host].now(self.now);
                self.hosts[host].engine.apply(now, action);
                self.arm_engine(host);
            }
            Output::Reply { ticket, reply } => drop(self.answers.insert(ticket, (self.now, reply))),
            Output::WakeAt(instant) => {
                let at = self.hosts[host].world_time(instant).max(self.now);
                if self.hosts[host].wake != Some(at) {
                    self.hosts[host].wake = Some(at);
                    let life = self.hosts[host].life;
                    self.at(at, host, Due::Wake { life });
                }
            }
            Output::Event(event) => self.events.push((self.now, host, event)),
            Output::Reset => {
                self.hosts[host].reset(&self.mint);
                self.places.insert(self.hosts[host].id, host);
            }
            Output::Introduce { .. }
            | Output::Expel { .. }
            | Output::Operator { .. }
            | Output::KeepConnected { .. } => {}
        }
    }

    fn at(&mut self, at: Time, host: usize, due: Due) {
        self.order += 1;
        let class = u8::from(matches!(due, Due::Wake { .. }));
        self.queue.push(Reverse(Item { order: (at, class, self.order), host, due }));
    }

    fn arm_engine(&mut self, host: usize) {
        if let Some(instant) = self.hosts[host].engine.next_at() {
            let at = self.hosts[host].world_time(instant).max(self.now);
            self.at(at, host, Due::Engine);
        }
    }

    fn delay(&mut self, from: usize, to: usize) -> Time {
        let (seed, network) = (self.seed, self.network);
        let stream = self
            .links
            .entry((from, to))
            .or_insert_with(|| Stream::new(seed, "link", ((from as u64) << 32) | to as u64));
        stream.between(network.least, network.most)
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        let loss = self.network.loss_permille;
        self.links.get_mut(&(from, to)).is_some_and(|stream| stream.permille(loss))
    }

    fn send(&mut self, from: usize, to: NodeId, datagram: bool, bytes: Vec<u8>) {
        self.sent[from] += bytes.len() as u64 + 60;
        let Some(place) = self.places.get(&to).copied() else { return };
        let (life, to_life) = (self.hosts[from].life, self.hosts[place].life);
        let reachable = self.hosts[place].node.is_some()
            && self.hosts[place].id == to
            && !self.cut.contains(&(from, place))
            && !self.cut.contains(&(place, from));
        if !reachable {
            return;
        }
        let mut delay = self.delay(from, place);
        let pair = if from < place { (from, life, place, to_life) } else { (place, to_life, from, life) };
        if self.connected.insert(pair) {
            let (mine, theirs) = (self.hosts[from].id, to);
            self.at(self.now + delay, place, Due::Connected { peer: mine, life: to_life });
            self.at(self.now + 2 * delay, from, Due::Connected { peer: theirs, life });
            delay += 1;
        }
        if self.is_lost(from, place) {
            if datagram {
                return;
            }
            delay += 4 * self.network.most + 10_000;
        }
        let from = self.hosts[from].id;
        self.at(self.now + delay, place, Due::Frame { from, datagram, bytes, life: to_life });
    }

    fn ask_door(&mut self, host: usize, ticket: Ticket, addresses: &[String], bytes: Vec<u8>) {
        let life = self.hosts[host].life;
        let door =
            addresses.iter().find_map(|name| self.hosts.iter().position(|known| known.name() == *name));
        let reachable = |door: &usize| self.hosts[*door].node.is_some() && !self.cut.contains(&(host, *door));
        if let Some(door) = door.filter(reachable) {
            let after = self.delay(host, door);
            let knock = Due::Knock { newcomer: host, newcomer_life: life, ticket, bytes };
            self.at(self.now + after, door, knock);
        } else {
            let answer = Err(String::from("nobody answers there"));
            self.at(self.now + SECOND, host, Due::Answer { ticket, answer, life });
        }
    }

    fn knock(&mut self, door: usize, newcomer: usize, life: u64, asked: Ticket, bytes: Vec<u8>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.doors.insert(ticket, (newcomer, life, asked));
        let key = self.hosts[newcomer].public_key(&self.mint);
        self.input(door, Input::JoinAsked { ticket, key, bytes });
    }
}
