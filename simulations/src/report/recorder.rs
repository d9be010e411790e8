//! Who was up, who held the lease, what ran, and what each agent believed, at every moment of a run.
//!
//! # Invariants
//! - It draws no chance, asks agents only for their views, and changes nothing: the trace of a run that is
//!   recorded is that of one that is not.
//! - A world without a recorder pays for a test of one pointer an event.
//!
//! # Not here
//! What it all means: `timeline` and whatever reads that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sleep_core::io::Event;
use sleep_core::view::Life;
use sleep_wire::{Epoch, NodeId, ServiceId};

use super::series::Series;
use crate::host::Host;
use crate::world::{SECOND, Time, World};

/// How many messages that mattered are kept, the newest.
const MESSAGES: usize = 20_000;
/// In larger clusters views are looked at now and then, not whenever an agent tells something.
const SMALL: usize = 64;
/// A pause that is shorter is an agent that is slow.
const PAUSE: Time = SECOND / 20;

/// Whether a host's agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Up {
    /// It does.
    Runs,
    /// It does not; containers go on.
    AgentDown,
    /// The whole host is off.
    Off,
}

/// What an agent believes of another, as a small number for the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belief {
    /// It has not heard of it.
    Unknown,
    /// It answers.
    Alive,
    /// It did not answer lately.
    Suspect,
    /// It announced a restart.
    Restarting,
    /// It does not answer.
    Down,
}

impl From<Life> for Belief {
    fn from(life: Life) -> Self {
        match life {
            Life::Alive => Self::Alive,
            Life::Suspect => Self::Suspect,
            Life::Restarting => Self::Restarting,
            Life::Down => Self::Down,
        }
    }
}

/// How many tasks of a service an agent says run, and should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub service: ServiceId,
    /// How many run.
    pub running: u32,
    /// How many should.
    pub desired: u32,
}

/// One host over time.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// Whether its agent runs.
    pub up: Series<Option<Up>>,
    /// How many others it cannot speak with, in one direction at least.
    pub apart: Series<u32>,
    /// The lease, while its agent believes that it holds it.
    pub holds: Series<Option<Epoch>>,
    /// What its engine runs of each service.
    pub tasks: Series<BTreeMap<ServiceId, u32>>,
    /// When its agent got nothing to do.
    pub pauses: Vec<(Time, Time)>,
    /// What its agent came to believe of others, each time it changed.
    pub beliefs: Vec<(Time, usize, Belief)>,
    /// Whom its agent takes for the leader, and whether that is fresh.
    pub leader: Series<Option<(Epoch, bool)>>,
    /// What its agent tells of services; nothing while it does not run or is in no cluster.
    pub services: Series<Option<Vec<Told>>>,
    /// Bytes that it has sent until each look.
    pub sent: Vec<(Time, u64)>,
    /// What its agent believes now.
    now: BTreeMap<usize, Belief>,
    /// Whether its engine may run something else than when it was looked at.
    stirred: bool,
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Things begin to go wrong.
    Faults,
    /// They no longer do.
    Calm,
}

/// A message whose receiver told something as it was handled.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it was sent.
    pub sent: Time,
    /// By whom.
    pub from: usize,
    /// When it was received.
    pub at: Time,
    /// By whom.
    pub to: usize,
    /// The kind in its envelope.
    pub kind: u16,
    /// What was told, as numbers into the world's list.
    pub told: std::ops::Range<usize>,
}

/// Everything that it saw.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The hosts, in order.
    pub lanes: Vec<Lane>,
    /// What people call services.
    pub services: BTreeMap<ServiceId, String>,
    /// When each part began.
    pub phases: Vec<(Time, Phase)>,
    /// Messages that mattered, oldest first.
    pub heard: VecDeque<Heard>,
    /// How many more there were before them.
    pub forgotten: u64,
    /// Which host a node's key was or is on.
    pub hosts: BTreeMap<NodeId, usize>,
    cut: BTreeSet<(usize, usize)>,
    period: Time,
    look_at: Time,
    told: usize,
}

impl Recorder {
    /// One for so many hosts and a run of about this length.
    pub fn new(hosts: usize, lasts: Time) -> Self {
        let large = (hosts as u64).div_ceil(SMALL as u64);
        Self {
            lanes: vec![Lane::default(); hosts],
            period: (lasts / 4_000).max(SECOND / 4) * large,
            ..Self::default()
        }
    }

    /// Something happened at a host.
    pub fn after(&mut self, world: &World, host: usize) {
        self.hosts.insert(world.hosts[host].id, host);
        self.truth(world, host);
        let from = std::mem::replace(&mut self.told, world.events.len());
        for (at, who, event) in &world.events[from..] {
            self.believe_event(*at, *who, event);
        }
        let news = |(_, _, event): &(Time, usize, Event)| !matches!(event, Event::Task { .. });
        if world.events[from..].iter().any(news) && self.lanes.len() <= SMALL {
            self.ask(world, host);
        }
        if world.now >= self.look_at {
            self.look_at = world.now + self.period;
            for host in 0..world.hosts.len() {
                self.truth(world, host);
                self.ask(world, host);
                self.lanes[host].sent.push((world.now, world.sent[host]));
            }
        }
    }

    /// A last look, at the end of a run.
    pub fn close(&mut self, world: &World) {
        self.look_at = 0;
        self.after(world, 0);
    }

    /// A direction carries nothing any more, or carries again.
    pub fn cut(&mut self, now: Time, from: usize, to: usize, cut: bool) {
        if cut {
            self.cut.insert((from, to))
        } else {
            self.cut.remove(&(from, to))
        };
        for host in [from, to] {
            let apart = |other: &usize| {
                *other != host && (self.cut.contains(&(host, *other)) || self.cut.contains(&(*other, host)))
            };
            let count = (0..self.lanes.len()).filter(apart).count();
            self.lanes[host].apart.set(now, u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// An agent gets nothing to do until then.
    pub fn paused(&mut self, host: usize, since: Time, until: Time) {
        if until - since < PAUSE {
            return;
        }
        let pauses = &mut self.lanes[host].pauses;
        match pauses.last_mut() {
            Some(last) if last.0 == since => last.1 = until,
            Some(_) | None => pauses.push((since, until)),
        }
    }

    /// Something was done to an engine, or by it.
    pub fn stir(&mut self, host: usize) {
        self.lanes[host].stirred = true;
    }

    /// A part of the run begins.
    pub fn mark(&mut self, now: Time, phase: Phase) {
        self.phases.push((now, phase));
    }

    /// A message was handled, and its receiver told something.
    pub fn hear(&mut self, heard: Heard) {
        if self.heard.len() == MESSAGES {
            self.heard.pop_front();
            self.forgotten += 1;
        }
        self.heard.push_back(heard);
    }

    fn truth(&mut self, world: &World, number: usize) {
        let (now, host, lane) = (world.now, &world.hosts[number], &mut self.lanes[number]);
        let up = match (&host.node, host.rebooted) {
            (Some(_), _) => Up::Runs,
            (None, false) => Up::AgentDown,
            (None, true) => Up::Off,
        };
        if lane.up.last() != Some(&Some(up)) {
            lane.up.set(now, Some(up));
            lane.stirred = true;
            if up != Up::Runs {
                lane.silence(now);
            }
        }
        lane.holds.set(now, host.node.as_ref().and_then(|node| node.holding(host.now(now))));
        if std::mem::take(&mut lane.stirred) {
            let mut tasks = BTreeMap::new();
            for label in host.engine.running().filter_map(|container| container.label()) {
                *tasks.entry(label.slot.service).or_default() += 1;
            }
            lane.tasks.set(now, tasks);
        }
    }

    /// What an agent believes, as it would tell.
    fn ask(&mut self, world: &World, number: usize) {
        let Host { node: Some(node), .. } = &world.hosts[number] else { return };
        if node.cluster().is_none() {
            return;
        }
        let now = world.hosts[number].now(world.now);
        let mut known = BTreeSet::new();
        for row in node.nodes(now) {
            if let Some(of) = self.hosts.get(&row.id) {
                known.insert(*of);
                self.lanes[number].believe(world.now, *of, row.life.into());
            }
        }
        let lane = &mut self.lanes[number];
        let gone: Vec<usize> = lane.now.keys().copied().filter(|of| !known.contains(of)).collect();
        gone.into_iter().for_each(|of| lane.believe(world.now, of, Belief::Unknown));
        lane.leader.set(world.now, node.status(now).leader);
        let rows = node.services(now);
        for row in &rows {
            self.services.entry(row.id).or_insert_with(|| row.name.clone());
        }
        let told = |row: sleep_core::view::ServiceRow| Told {
            service: row.id,
            running: row.running,
            desired: row.desired,
        };
        self.lanes[number].services.set(world.now, Some(rows.into_iter().map(told).collect()));
    }

    fn believe_event(&mut self, at: Time, host: usize, event: &Event) {
        let (node, belief) = match event {
            Event::NodeUp { node } => (node, Belief::Alive),
            Event::NodeSuspect { node, .. } => (node, Belief::Suspect),
            Event::NodeDown { node, .. } => (node, Belief::Down),
            Event::NodeGone { node } => (node, Belief::Unknown),
            Event::LeaseAcquired { .. }
            | Event::LeaseLost { .. }
            | Event::HolderChanged { .. }
            | Event::Recovered { .. }
            | Event::Task { .. }
            | Event::RecordRefused { .. }
            | Event::BadFrame { .. }
            | Event::NodeDoubted { .. }
            | Event::UnspokenProtocol { .. }
            | Event::Alarm(_) => return,
        };
        if let Some(of) = self.hosts.get(node) {
            self.lanes[host].believe(at, *of, belief);
        }
    }
}

impl Lane {
    fn believe(&mut self, now: Time, of: usize, belief: Belief) {
        if self.now.get(&of).copied().unwrap_or(Belief::Unknown) == belief {
            return;
        }
        if belief == Belief::Unknown {
            self.now.remove(&of)
        } else {
            self.now.insert(of, belief)
        };
        self.beliefs.push((now, of, belief));
    }

    /// Who does not run believes nothing, and tells nothing.
    fn silence(&mut self, now: Time) {
        for of in std::mem::take(&mut self.now).into_keys() {
            self.beliefs.push((now, of, Belief::Unknown));
        }
        self.leader.set(now, None);
        self.services.set(now, None);
    }
}
