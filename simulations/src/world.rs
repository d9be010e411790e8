//! Hosts, a network between them, one queue and virtual time.

use std::collections::{BTreeMap, BTreeSet};

use sleep_core::Now;
use sleep_core::io::{Command, Event as Told, Input, Refusal, Reply, Ticket};
use sleep_core::node::Tuning;
use sleep_wire::NodeId;
use sleep_wire::engine::EngineReport;
use sleep_wire::node::Address;
use sleep_wire::trust::Role;

use crate::crypto::Mint;
use crate::engine::Engine;
use crate::host::Host;
use crate::invariants::{Checks, Violation};
use crate::liar::Liar;
use crate::lines::Lines;
use crate::random::Stream;
use crate::report::recorder::Recorder;
use crate::scenario::{Fault, HostPlan};
use crate::trace::Trace;

mod addresses;
mod agents;
mod cards;
mod connections;
mod lying;
mod network;
mod queue;
mod recorded;
mod releases;
mod seen;

use addresses::Book;
use connections::{Connection, Frame, Pair};
pub use network::Network;
use queue::Queue;
pub use seen::{Known, Observation, Persisted, Seen};

/// Microseconds of virtual time since the world began.
pub type Time = u64;

/// A second of it.
pub const SECOND: Time = 1_000_000;

/// Something that is to happen at a host.
#[derive(Debug)]
enum Due {
    /// A frame arrives.
    Frame(Frame),
    /// A connection stands.
    Connected { peer: NodeId, life: u64 },
    /// A peer closed its door for good, and says why.
    Dismissed { peer: NodeId, farewell: Vec<u8>, life: u64 },
    /// A connection is gone.
    Disconnected { peer: NodeId, life: u64 },
    /// The oldest write reaches the disk.
    Sync { life: u64 },
    /// Its service manager starts its agent again.
    Start { life: u64 },
    /// Its engine has something to report.
    Engine,
    /// Its agent, which was paused, hears of it.
    Report { report: Box<EngineReport>, life: u64 },
    /// A newcomer asks at its door.
    Knock { newcomer: usize, newcomer_life: u64, ticket: Ticket, bytes: Vec<u8> },
    /// A door answers, which is this node at that address.
    Answer { ticket: Ticket, answer: Result<Vec<u8>, String>, met: Option<(NodeId, Address)>, life: u64 },
    /// Its agent looks at its addresses.
    Look { life: u64 },
    /// Its agent asked to be woken.
    Wake { life: u64 },
    /// It lies again.
    Lie { liar: u64 },
    /// Its agent, which is of the next release, writes something new.
    Foretell { life: u64 },
}

impl Due {
    /// Whether it waits while the agent is paused; engine and disk go on without it.
    const fn is_for_the_agent(&self) -> bool {
        match self {
            Self::Engine | Self::Start { .. } | Self::Lie { .. } => false,
            Self::Frame(_)
            | Self::Look { .. }
            | Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::Dismissed { .. }
            | Self::Sync { .. }
            | Self::Report { .. }
            | Self::Knock { .. }
            | Self::Answer { .. }
            | Self::Foretell { .. }
            | Self::Wake { .. } => true,
        }
    }
}

/// From when to when an agent gets nothing to do.
#[derive(Clone, Copy, Default)]
struct Pause {
    since: Time,
    until: Time,
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
    /// What went wrong, and when.
    pub suffered: Vec<(Time, Fault)>,
    /// Bytes that each host has sent.
    pub sent: Vec<u64>,
    /// What the network is like now.
    pub network: Network,
    /// What is checked after every event, if anything is.
    pub checks: Option<Checks>,
    /// What is recorded for a report, if anything is.
    recorder: Option<Box<Recorder>>,
    /// The first law that was broken: nothing happens after it.
    pub broken: Option<Violation>,
    /// Which world.
    pub seed: u64,
    seen: Vec<Observation>,
    /// When each host's agent gets nothing to do.
    paused: Vec<Pause>,
    /// When each host's engine is looked at next.
    engines: Vec<Option<Time>>,
    mint: Mint,
    queue: Queue,
    tickets: u64,
    /// Which configs of voters follow from which, as long as laws watch.
    pub lines: Lines,
    /// Nodes that a person told to found the next generation.
    pub told_to_recover: BTreeSet<NodeId>,
    /// Nodes whose role somebody changed, or tried to.
    pub given_roles: BTreeSet<NodeId>,
    /// Those of them that somebody promoted, or tried to.
    pub promoted: BTreeSet<NodeId>,
    /// Who waits for a door's answer: the newcomer, its life, its ticket.
    doors: BTreeMap<Ticket, (usize, u64, Ticket)>,
    /// Newcomers' questions that have no answer yet.
    asking: BTreeSet<Ticket>,
    places: BTreeMap<NodeId, usize>,
    links: BTreeMap<(usize, usize), network::Link>,
    /// Pairs of agents between whom a connection stands.
    connected: BTreeMap<Pair, Connection>,
    /// Where each host's agent takes others to be.
    books: Vec<Book>,
    /// How many addresses hosts were given beside their first ones.
    moves: u64,
    /// When agents look at their addresses.
    looks: Stream,
    /// Whom each host's agents have expelled: no connection between them carries anything.
    expelled: BTreeMap<(NodeId, NodeId), Vec<u8>>,
    /// Directions in which nothing arrives.
    cut: BTreeMap<(usize, usize), network::Cut>,
    /// Networks that are others for a while, newest last.
    weathers: Vec<network::Weather>,
    disks: Vec<Stream>,
    keys: Stream,
    /// Who lies, by host.
    liars: BTreeMap<usize, Liar>,
    /// When things began to go wrong: no disk goes further back.
    pub faults_from: Time,
}

impl World {
    /// So many hosts whose agents are running, each in no cluster.
    pub fn new(hosts: usize, seed: u64, network: Network, tuning: &Tuning) -> Self {
        let plans: Vec<HostPlan> = (0..hosts).map(HostPlan::numbered).collect();
        Self::of(&plans, seed, network, tuning)
    }

    /// Hosts whose agents are running, each in no cluster.
    pub fn of(plans: &[HostPlan], seed: u64, network: Network, tuning: &Tuning) -> Self {
        let hosts = plans.len();
        let mint = Mint::default();
        let mut world = Self {
            hosts: Vec::with_capacity(hosts),
            now: 0,
            trace: Trace::default(),
            answers: BTreeMap::new(),
            events: Vec::new(),
            suffered: Vec::new(),
            sent: vec![0; hosts],
            network,
            checks: None,
            recorder: None,
            broken: None,
            seed,
            seen: Vec::new(),
            paused: vec![Pause::default(); hosts],
            engines: vec![None; hosts],
            mint: mint.clone(),
            queue: Queue::default(),
            tickets: 0,
            lines: Lines::default(),
            told_to_recover: BTreeSet::new(),
            given_roles: BTreeSet::new(),
            promoted: BTreeSet::new(),
            doors: BTreeMap::new(),
            asking: BTreeSet::new(),
            places: BTreeMap::new(),
            links: BTreeMap::new(),
            connected: BTreeMap::new(),
            books: vec![Book::default(); hosts],
            moves: 0,
            looks: Stream::new(seed, "looks at addresses", 0),
            expelled: BTreeMap::new(),
            cut: BTreeMap::new(),
            weathers: Vec::new(),
            disks: (0..hosts).map(|host| Stream::new(seed, "disk", host as u64)).collect(),
            keys: Stream::new(seed, "keys", 0),
            liars: BTreeMap::new(),
            faults_from: 0,
        };
        let mut walls = Stream::new(seed, "wall clocks", 0);
        for (number, plan) in plans.iter().enumerate() {
            let wall_off = i64::try_from(walls.below(1_200_000)).unwrap_or(0) - 600_000;
            let host = Host::new(number, plan.clone(), seed, &mint, wall_off, tuning.clone());
            world.hosts.push(host);
            world.start(number);
        }
        world
    }

    /// What makes the keys of this world.
    pub const fn mint(&self) -> &Mint {
        &self.mint
    }

    /// Random bytes of a client: seeds of keys and names of commands.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.keys.bytes()
    }

    /// Starts a host's agent, if it does not run.
    pub fn start(&mut self, host: usize) {
        if self.hosts[host].node.is_some() {
            return;
        }
        let rebooted = std::mem::take(&mut self.hosts[host].rebooted);
        self.books[host] = Book::default();
        self.hosts[host].start(&self.mint, rebooted);
        let now = self.hosts[host].now(self.now);
        self.hosts[host].engine.start_agent(now);
        self.arm_engine(host);
        self.places.insert(self.hosts[host].id, host);
        self.trace.add(self.now, host, b"start");
        self.saw(host, || Seen::Started);
        self.drain(host);
        self.foretell_later(host);
        self.check(host);
    }

    /// Kills a host's agent, if it runs; its containers go on.
    pub fn kill(&mut self, host: usize) {
        if self.hosts[host].node.is_none() {
            return;
        }
        self.trace.add(self.now, host, b"kill");
        self.hosts[host].kill();
        self.hosts[host].engine.crash_agent();
        self.paused[host] = Pause::default();
        self.saw(host, || Seen::Killed);
        self.check(host);
    }

    /// A host goes down at once, its containers with it.
    pub fn power_off(&mut self, host: usize) {
        self.kill(host);
        self.trace.add(self.now, host, b"power off");
        self.hosts[host].life += 1;
        self.hosts[host].rebooted = true;
        self.hosts[host].engine.reboot();
        self.check(host);
    }

    /// Tells a host's agent to stop, which ends as soon as it has said goodbye.
    pub fn stop(&mut self, host: usize) {
        if self.hosts[host].node.is_some() {
            self.input(host, Input::Stopping);
            // The laws look at what it still did while it is there to be asked.
            self.check(host);
            self.kill(host);
        }
    }

    /// What is written on a host reaches its disk only after a while.
    pub fn stall_disk(&mut self, host: usize, time: Time) {
        let until = self.now + time;
        let disk = &mut self.hosts[host].disk;
        disk.stalled_until = disk.stalled_until.max(until);
    }

    /// A host's agent gets nothing to do for a while: what comes for it waits.
    pub fn pause(&mut self, host: usize, time: Time) {
        let pause = &mut self.paused[host];
        if pause.until <= self.now {
            pause.since = self.now;
        }
        pause.until = pause.until.max(self.now + time);
        if let Some(recorder) = &mut self.recorder {
            recorder.paused(host, pause.since, pause.until);
        }
    }

    /// When every agent, disk and engine does its work again: now, if they do.
    pub fn awake(&self) -> Time {
        let disks = self.hosts.iter().map(|host| host.disk.stalled_until);
        let engines = self.hosts.iter().map(|host| host.world_time(host.engine.well_at()));
        self.paused.iter().map(|pause| pause.until).chain(disks).chain(engines).fold(self.now, Time::max)
    }

    /// Something happens to a host's engine.
    pub fn with_engine(&mut self, host: usize, change: impl FnOnce(&mut Engine, Now)) {
        let now = self.hosts[host].now(self.now);
        change(&mut self.hosts[host].engine, now);
        self.arm_engine(host);
        self.check(host);
    }

    /// Gives a command to a host's agent.
    pub fn command(&mut self, host: usize, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.trace.add(self.now, host, format!("{command:?}").as_bytes());
        // Who demotes a node also says again what that one said too late: nobody asked for that.
        let asks = !matches!(command, Command::NodeRole { .. });
        match command {
            Command::Recover { .. } => drop(self.told_to_recover.insert(self.hosts[host].id)),
            Command::NodeRole { node, role, .. } => {
                self.given_roles.insert(node);
                if role == Role::Control {
                    self.promoted.insert(node);
                }
            }
            _ => {}
        }
        if asks {
            self.saw(host, || Seen::Command { ticket });
        }
        self.input(host, Input::Command { ticket, command: Box::new(command) });
        self.saw(host, || Seen::CommandTaken { ticket });
        self.check(host);
        ticket
    }

    /// Something comes to a host's agent that nobody sent: for whoever asks what anything at all may do to
    /// it.
    pub fn inject(&mut self, host: usize, input: Input) {
        if self.hosts[host].node.is_some() {
            self.trace.add(self.now, host, b"inject");
            self.input(host, input);
            self.check(host);
        }
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

    /// Lets the next thing happen, unless that is later than `end` or a law was broken. False if nothing did.
    pub fn step(&mut self, end: Time) -> bool {
        if self.broken.is_some() || self.queue.next_at().is_none_or(|at| at > end) {
            return false;
        }
        let Some((at, host, due)) = self.queue.pop() else { return false };
        self.now = at;
        if self.is_outdated(host, &due) {
            return true;
        }
        if self.paused[host].until > at && due.is_for_the_agent() {
            self.wait(host, due);
            return true;
        }
        self.happen(host, due);
        self.check(host);
        true
    }

    /// Whether nothing happens after all: an agent asked to be woken, and later for another moment.
    fn is_outdated(&self, host: usize, due: &Due) -> bool {
        let asks = |wake: Option<Time>| wake.is_some_and(|wake| wake <= self.now);
        matches!(due, Due::Wake { life } if !self.alive(host, *life) || !asks(self.hosts[host].wake))
    }

    /// Notes something for the laws.
    fn saw(&mut self, host: usize, what: impl FnOnce() -> Seen) {
        if self.checks.is_some() {
            self.seen.push(Observation { at: self.now, host, what: what() });
        }
    }

    fn check(&mut self, host: usize) {
        self.recorded(host);
        let Some(mut checks) = self.checks.take() else { return };
        let seen = std::mem::take(&mut self.seen);
        for seen in &seen {
            self.lines.see(&self.hosts[seen.host], &seen.what);
        }
        if self.broken.is_none() {
            self.broken = checks.after(self, host, &seen).err();
        }
        self.checks = Some(checks);
    }

    fn at(&mut self, at: Time, host: usize, due: Due) {
        self.queue.push(at, host, due);
    }

    fn arm_engine(&mut self, host: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.stir(host);
        }
        if let Some(instant) = self.hosts[host].engine.next_at() {
            let at = self.hosts[host].world_time(instant).max(self.now);
            if self.engines[host].is_none_or(|armed| at < armed) {
                self.engines[host] = Some(at);
                self.at(at, host, Due::Engine);
            }
        }
    }
}
