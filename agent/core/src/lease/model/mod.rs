//! Everything that could be asked of the protocol, in every order: three nodes, a network, disks and clocks,
//! under stateright.
//!
//! The nodes are [`Protocol`] itself. What [`super::Lease`] would time, the model tries at any moment:
//! standing, renewing, releasing, changing voters. A run bounds how often; within its bounds it is exhausted.
//!
//! - **Network**: a message in flight may be delivered at any time, any number of times, in any order, or
//!   never.
//! - **Clocks**: deadlines are kept as what remains of them, so a state has no history. One tick takes a
//!   second off every deadline of one node, and no node is ever more than `skew` ticks ahead of another.
//! - **Disks**: a write is durable at once, or (`slow_disks`) at any later time; a crash forgets what is not.
//!
//! A message that can no longer change anything but bind a voter to an epoch that is over counts as lost.

extern crate std;

mod mutants;
mod runs;
mod shared;

use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{ConfigId, LeaseBody, LeaseMessage, LeaseTimes, Voter, VoterConfig};
use sleep_wire::{Epoch, NodeId};
use stateright::{Model, Property};

use super::Ending;
use super::protocol::{Effect, Protocol};
use super::rules::{Rule, Rules};
use super::tenure::{Role, Tenure};
use crate::time::Instant;
use shared::Shared;

/// Every node's clock, always: deadlines come nearer instead.
const NOW: Instant = Instant(1_000_000_000);
const TICK: Duration = Duration::from_secs(1);
const NODES: usize = 3;

/// One bounded run.
#[derive(Clone, Debug)]
struct Run {
    rules: Rules,
    times: LeaseTimes,
    /// The voters at the start. If it is the first node alone, that node has just founded the cluster and the
    /// others know nothing.
    voters: Vec<Voter>,
    /// Whether the first node holds the lease at the start, granted and renewed by everybody, with nothing in
    /// flight.
    led: bool,
    /// How often each node may stand.
    stands: [u8; NODES],
    /// Whether a poll comes first.
    polls: bool,
    renewals: u8,
    releases: u8,
    crashes: u8,
    /// Who may crash.
    fragile: [bool; NODES],
    /// The voter sets that a holder may change to, one after the other.
    changes: Vec<Vec<Voter>>,
    skew: u8,
    /// Whose writes are durable later.
    slow_disks: [bool; NODES],
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    nodes: Vec<Shared<Protocol>>,
    disks: Vec<Disk>,
    /// Sorted, each once.
    flights: Vec<Flight>,
    ahead: [u8; NODES],
    spent: Spent,
    /// The greatest epoch that was ever acquired.
    top: Epoch,
    /// Whether an epoch was acquired after one that is not smaller.
    fell: bool,
    /// Whether a node acquired the lease after another.
    passed_on: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Disk {
    cell: Shared<LeaseCell>,
    waiting: Vec<(u64, Shared<LeaseCell>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Spent {
    stands: [u8; NODES],
    renewals: u8,
    releases: u8,
    crashes: u8,
    changes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Flight {
    from: usize,
    to: usize,
    message: Shared<LeaseMessage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Tick(Option<usize>),
    Stand(usize),
    Renew(usize),
    Release(usize),
    Change(usize),
    Crash(usize),
    Written(usize),
    Deliver(Flight),
}

const fn id(node: usize) -> NodeId {
    NodeId([node as u8 + 1; 16])
}

fn index(node: NodeId) -> usize {
    usize::from(node.0[0]) - 1
}

fn weights(weights: &[u8]) -> Vec<Voter> {
    let voters = weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
    voters.map(|(node, weight)| Voter { node: id(node), weight: *weight }).collect()
}

impl Run {
    /// Three voters, two of whom stand once; a lease of two ticks; clocks that agree.
    fn fixed() -> Self {
        Self {
            rules: Rules::default(),
            times: LeaseTimes { lease_ms: 2000, rho_ppm: 0, margin_ms: 0 },
            voters: weights(&[1, 1, 1]),
            led: false,
            stands: [1, 1, 0],
            polls: false,
            renewals: 0,
            releases: 0,
            crashes: 0,
            fragile: [true; NODES],
            changes: Vec::new(),
            skew: 0,
            slow_disks: [false; NODES],
        }
    }

    /// One voter that grows to three.
    fn growth() -> Self {
        let changes = Vec::from([weights(&[2, 1, 1]), weights(&[1, 1, 1])]);
        Self { voters: weights(&[1]), changes, ..Self::fixed() }
    }

    fn restart(&self, node: usize, cell: LeaseCell, started: Instant) -> Protocol {
        let mut protocol = Protocol::restart(id(node), self.rules, started, cell, self.times);
        protocol.age(NOW, Duration::ZERO);
        protocol
    }

    fn start(&self) -> World {
        let founder = Epoch { generation: 0, term: 0, candidate: id(0) };
        let config = VoterConfig {
            id: ConfigId { epoch: founder, version: 1 },
            voters: self.voters.clone(),
            times: self.times,
        };
        let cells = (0..NODES).map(|node| {
            if config.weight(id(node)) > 0 {
                LeaseCell { promise: founder, config: Some(config.clone()) }
            } else {
                LeaseCell { promise: Epoch::ZERO, config: None }
            }
        });
        let cells: Vec<LeaseCell> = cells.collect();
        let node =
            |(node, cell): (usize, &LeaseCell)| Shared::new(self.restart(node, cell.clone(), Instant(0)));
        World {
            nodes: cells.iter().enumerate().map(node).collect(),
            disks: cells
                .into_iter()
                .map(|cell| Disk { cell: Shared::new(cell), waiting: Vec::new() })
                .collect(),
            flights: Vec::new(),
            ahead: [0; NODES],
            spent: Spent::default(),
            top: Epoch::ZERO,
            fell: false,
            passed_on: false,
        }
    }

    /// Does something at a node, and carries out what comes of it.
    fn at(&self, world: &mut World, node: usize, act: impl FnOnce(&mut Protocol)) {
        let mut changed = Protocol::clone(&world.nodes[node]);
        let protocol = &mut changed;
        act(protocol);
        while let Some(effect) = protocol.effect() {
            match effect {
                Effect::Send { to, mut message } => {
                    // How long to wait is a courtesy: the model tries every moment anyway.
                    if let LeaseBody::Reject { wait_ms, .. } = &mut message.body {
                        *wait_ms = 0;
                    }
                    let flight = Flight { from: node, to: index(to), message: Shared::new(message) };
                    if let Err(at) = world.flights.binary_search(&flight) {
                        world.flights.insert(at, flight);
                    }
                }
                Effect::Persist { token, cell } => {
                    world.disks[node].waiting.push((token, Shared::new(cell)));
                    if !self.slow_disks[node] {
                        let (token, cell) = world.disks[node].waiting.remove(0);
                        world.disks[node].cell = cell;
                        protocol.durable(NOW, token);
                    }
                }
                Effect::Acquired { epoch } => {
                    world.fell |= epoch <= world.top;
                    world.passed_on |= world.top != Epoch::ZERO && world.top.candidate != epoch.candidate;
                    world.top = world.top.max(epoch);
                }
                Effect::Lost { .. }
                | Effect::Failed { .. }
                | Effect::Ended { .. }
                | Effect::Resigned { .. } => {}
            }
        }
        let by = protocol.rebase_tokens();
        for (token, _) in &mut world.disks[node].waiting {
            *token -= by;
        }
        if changed != *world.nodes[node] {
            world.nodes[node] = Shared::new(changed);
        }
    }

    fn deliver(&self, world: &mut World, flight: &Flight) {
        self.at(world, flight.to, |protocol| {
            protocol.receive(NOW, id(flight.from), LeaseMessage::clone(&flight.message), false);
        });
    }

    fn tick(&self, world: &mut World, node: usize) {
        self.at(world, node, |protocol| {
            protocol.age(NOW, TICK);
            protocol.expire(NOW);
        });
    }
}

impl Model for Run {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut world = self.start();
        if self.led {
            for step in [Step::Stand(0), Step::Renew(0)] {
                world = self.next_state(&world, step).expect("nothing is against it");
                while let Some(flight) = world.flights.first().cloned() {
                    world.flights.remove(0);
                    self.deliver(&mut world, &flight);
                }
            }
            world.spent = Spent::default();
        }
        Vec::from([world])
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if self.skew == 0 {
            steps.push(Step::Tick(None));
        }
        for node in 0..NODES {
            let protocol = &world.nodes[node];
            if self.skew > 0 && world.ahead[node] < self.skew {
                steps.push(Step::Tick(Some(node)));
            }
            if world.spent.stands[node] < self.stands[node] && protocol.may_stand(NOW) {
                steps.push(Step::Stand(node));
            }
            if self.fragile[node] && world.spent.crashes < self.crashes {
                steps.push(Step::Crash(node));
            }
            if !world.disks[node].waiting.is_empty() {
                steps.push(Step::Written(node));
            }
            if protocol.tenure(NOW).is_some() {
                if world.spent.renewals < self.renewals {
                    steps.push(Step::Renew(node));
                }
                if world.spent.releases < self.releases {
                    steps.push(Step::Release(node));
                }
                if usize::from(world.spent.changes) < self.changes.len() {
                    steps.push(Step::Change(node));
                }
            }
        }
        steps.extend(world.flights.iter().cloned().map(Step::Deliver));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Tick(None) => (0..NODES).for_each(|node| self.tick(&mut world, node)),
            Step::Tick(Some(node)) => {
                self.tick(&mut world, node);
                world.ahead[node] += 1;
                let least = world.ahead.into_iter().min().unwrap_or_default();
                world.ahead = world.ahead.map(|ahead| ahead - least);
            }
            Step::Stand(node) => {
                world.spent.stands[node] += 1;
                self.at(&mut world, node, |protocol| match self.polls {
                    true => protocol.stand(NOW),
                    false => protocol.stand_unasked(NOW),
                });
            }
            Step::Renew(node) => {
                world.spent.renewals += 1;
                self.at(&mut world, node, |protocol| protocol.renew(NOW));
            }
            Step::Release(node) => {
                world.spent.releases += 1;
                self.at(&mut world, node, |protocol| protocol.release(NOW, Ending::HandedOver));
            }
            Step::Change(node) => {
                let voters = self.changes[usize::from(world.spent.changes)].clone();
                let mut changed = false;
                self.at(&mut world, node, |protocol| changed = protocol.change(NOW, voters));
                if !changed {
                    return None;
                }
                world.spent.changes += 1;
            }
            Step::Crash(node) => {
                world.spent.crashes += 1;
                world.disks[node].waiting.clear();
                let cell = LeaseCell::clone(&world.disks[node].cell);
                world.nodes[node] = Shared::new(self.restart(node, cell, NOW));
            }
            Step::Written(node) => {
                let (token, cell) = world.disks[node].waiting.remove(0);
                world.disks[node].cell = cell;
                self.at(&mut world, node, |protocol| protocol.durable(NOW, token));
            }
            Step::Deliver(flight) => self.deliver(&mut world, &flight),
        }
        world.forget_what_is_over(self.rules);
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = Vec::from([
            Property::always("one holder", |_, world: &World| world.tenures().count() <= 1),
            Property::always("epochs rise", |_, world: &World| !world.fell),
            Property::sometimes("a lease", |_, world: &World| world.tenures().next().is_some()),
        ]);
        if self.stands[1..].iter().any(|stands| *stands > 0) {
            all.push(Property::sometimes("another holder later", |_, world: &World| world.passed_on));
        }
        if self.renewals > 0 {
            all.push(Property::sometimes("a renewal", |_, world: &World| {
                world.tenures().any(|tenure| tenure.seq > 1)
            }));
        }
        if !self.changes.is_empty() {
            all.push(Property::sometimes(
                "a lease that rests on the last voters",
                |run: &Self, world: &World| {
                    let last = run.changes.last();
                    let rests = |node: usize| {
                        let config = world.nodes[node].config();
                        let tenure = world.nodes[node].tenure(NOW);
                        let under = tenure.zip(config).filter(|(tenure, config)| tenure.under == config.id);
                        under.is_some_and(|(_, config)| Some(&config.voters) == last)
                    };
                    (0..NODES).any(rests)
                },
            ));
        }
        all
    }
}

impl World {
    fn tenures(&self) -> impl Iterator<Item = &Tenure> {
        self.nodes.iter().filter_map(|node| node.tenure(NOW))
    }

    fn forget_what_is_over(&mut self, rules: Rules) {
        let nodes = &self.nodes;
        self.flights.retain(|flight| {
            let (from, to) = (&nodes[flight.from], &nodes[flight.to]);
            let LeaseMessage { config, body } = &*flight.message;
            if to.config().is_none_or(|installed| installed < config) {
                return true;
            }
            let current = to.config() == Some(config);
            let unheard = |role: &Role| match role {
                Role::Holding(tenure) => {
                    let mut installed = tenure.installed.clone();
                    installed.add(Rules::default(), config, id(flight.from));
                    current && installed != tenure.installed
                }
                Role::Follower | Role::Polling(_) | Role::Preparing(_) | Role::Granting(..) => false,
            };
            match *body {
                LeaseBody::PreVote { epoch } => epoch_at(from, Phase::Poll) == Some(epoch),
                LeaseBody::Prepare { epoch } => epoch_at(from, Phase::Prepare) == Some(epoch),
                LeaseBody::Grant { epoch, seq } => asks_for(from, epoch, seq),
                LeaseBody::PreVoteAnswer { epoch, .. } => current && epoch_at(to, Phase::Poll) == Some(epoch),
                LeaseBody::Promise { epoch } => current && epoch_at(to, Phase::Prepare) == Some(epoch),
                LeaseBody::Granted { epoch, seq, .. } => {
                    current && asks_for(to, epoch, seq) || unheard(to.role())
                }
                LeaseBody::Reject { epoch, .. } => {
                    current && stands_or_holds(to, epoch) || unheard(to.role())
                }
                LeaseBody::Installed { .. } => unheard(to.role()),
                LeaseBody::Install | LeaseBody::Resign => current,
                // A grant that is still on its way counts as lost once its epoch is over; unless epochs come
                // back.
                LeaseBody::Release { epoch } => {
                    to.voter().granted() == Some(epoch)
                        || to.voter().added_by() == Some(epoch)
                        || !rules.hold(Rule::EndedStaysEnded)
                }
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Poll,
    Prepare,
}

fn epoch_at(node: &Protocol, phase: Phase) -> Option<Epoch> {
    match node.role() {
        Role::Polling(attempt) if phase == Phase::Poll => Some(attempt.epoch),
        Role::Preparing(attempt) if phase == Phase::Prepare => Some(attempt.epoch),
        Role::Follower | Role::Polling(_) | Role::Preparing(_) | Role::Granting(..) | Role::Holding(_) => {
            None
        }
    }
}

fn asks_for(node: &Protocol, epoch: Epoch, seq: u64) -> bool {
    match node.role() {
        Role::Granting(attempt, _) => attempt.epoch == epoch && seq == 1,
        Role::Holding(tenure) => {
            tenure.epoch == epoch && tenure.asked.as_ref().is_some_and(|asked| asked.seq == seq)
        }
        Role::Follower | Role::Polling(_) | Role::Preparing(_) => false,
    }
}

fn stands_or_holds(node: &Protocol, epoch: Epoch) -> bool {
    match node.role() {
        Role::Polling(attempt) | Role::Preparing(attempt) | Role::Granting(attempt, _) => {
            attempt.epoch == epoch
        }
        Role::Holding(tenure) => tenure.epoch == epoch,
        Role::Follower => false,
    }
}
