//! A small world for leases: hosts with clocks of their own, disks that take their time, a network that
//! loses.
//!
//! It watches over the room's invariants after every event.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{ConfigId, Hint, LeaseMessage, LeaseTimes, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::super::config::quorums_meet;
use super::super::random::Random;
use super::super::{Electorate, Lease, LeaseInput, LeaseOutput, LeaseSettings};
use crate::time::Instant;

pub(super) const EMPTY: LeaseCell = LeaseCell { promise: Epoch::ZERO, config: None };
pub(super) const MS: u64 = 1_000;
pub(super) const SECOND: u64 = 1_000_000;

pub(super) const SETTINGS: LeaseSettings = LeaseSettings {
    times: LeaseTimes { lease_ms: 4_000, rho_ppm: 10_000, margin_ms: 100 },
    growth_wait: Duration::from_secs(1),
    impatience: Duration::ZERO,
    gossip_round: Duration::from_millis(500),
};

pub(super) const fn id(node: usize) -> NodeId {
    NodeId([node as u8 + 1; 16])
}

pub(super) fn index(node: NodeId) -> usize {
    usize::from(node.0[0]) - 1
}

/// How bad the world is. Durations in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Out of a thousand messages.
    pub(super) lost: u64,
    /// Out of a thousand messages.
    pub(super) doubled: u64,
    /// The longest that a message takes.
    pub(super) delay: u64,
    /// The longest that a write takes.
    pub(super) write: u64,
}

pub(super) const CALM: Weather = Weather { lost: 0, doubled: 0, delay: 2 * MS, write: 5 * MS };

pub(super) struct Host {
    pub(super) lease: Option<Lease>,
    disk: LeaseCell,
    disk_busy_until: u64,
    boot: u32,
    /// By how much its clock is fast, in millionths.
    rate: i64,
    offset: u64,
    paused_until: u64,
    wake_at: Option<u64>,
}

#[derive(Clone)]
enum Event {
    Deliver { from: usize, to: usize, message: Option<LeaseMessage>, hint: Option<Hint> },
    Written { node: usize, boot: u32, token: u64, cell: LeaseCell },
    Wake { node: usize },
    Gossip,
    Census,
}

pub(super) struct World {
    pub(super) hosts: Vec<Host>,
    /// Microseconds of real time.
    pub(super) real: u64,
    pub(super) weather: Weather,
    pub(super) random: Random,
    seed: u64,
    /// A person has broken the laws: they are not watched.
    pub(super) lawless: bool,
    /// Who is a control node.
    pub(super) control: BTreeSet<usize>,
    /// Pairs that do not hear each other.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// What was said that is neither message nor write, and by whom.
    pub(super) told: Vec<(usize, LeaseOutput)>,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    reached_since: BTreeMap<(usize, usize), u64>,
    laws: Laws,
}

/// What was seen, to judge the invariants by.
#[derive(Default)]
struct Laws {
    top: Option<Epoch>,
    configs: BTreeMap<ConfigId, VoterConfig>,
    /// Who granted an epoch.
    grants: BTreeMap<Epoch, BTreeSet<NodeId>>,
    present: BTreeMap<usize, VoterConfig>,
}

impl World {
    pub(super) fn new(hosts: usize, seed: u64, weather: Weather) -> Self {
        let mut random = Random::new(seed);
        let hosts = (0..hosts).map(|_| Host {
            lease: None,
            disk: EMPTY,
            disk_busy_until: 0,
            boot: 0,
            rate: 0,
            offset: random.pick(1 << 40),
            paused_until: 0,
            wake_at: None,
        });
        let hosts: Vec<Host> = hosts.collect();
        let mut world = Self {
            control: (0..hosts.len()).collect(),
            hosts,
            real: 0,
            weather,
            random,
            seed,
            lawless: false,
            cut: BTreeSet::new(),
            told: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            reached_since: BTreeMap::new(),
            laws: Laws::default(),
        };
        (0..world.hosts.len()).for_each(|node| world.start(node));
        world.later(0, Event::Gossip);
        world.later(0, Event::Census);
        world
    }

    /// Gives every clock a rate of its own, within 1 ± ρ.
    pub(super) fn skew(&mut self) {
        let rho = i64::from(SETTINGS.times.rho_ppm);
        for host in &mut self.hosts {
            host.rate = self.random.pick(2 * rho as u64 + 1) as i64 - rho;
        }
    }

    pub(super) fn now(&self, node: usize) -> Instant {
        let host = &self.hosts[node];
        let elapsed = i128::from(self.real) * i128::from(1_000_000 + host.rate) / 1_000_000;
        Instant(host.offset + u64::try_from(elapsed).expect("clocks run forwards"))
    }

    fn real_at(&self, node: usize, at: Instant) -> u64 {
        let host = &self.hosts[node];
        let elapsed = i128::from(at.0.saturating_sub(host.offset)) * 1_000_000;
        let real = elapsed / i128::from(1_000_000 + host.rate) + 1;
        u64::try_from(real).expect("clocks run forwards").max(self.real)
    }

    fn later(&mut self, after: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.real + after, self.queued), event);
    }

    // ----------------------------------------------------------------------------------------------- faults

    pub(super) fn start(&mut self, node: usize) {
        let now = self.now(node);
        let seed = self.random.pick(u64::MAX);
        let host = &mut self.hosts[node];
        host.boot += 1;
        host.lease = Some(Lease::new(id(node), now, host.disk.clone(), SETTINGS, seed));
        self.after(node);
    }

    pub(super) fn crash(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.lease = None;
        host.boot += 1;
        host.wake_at = None;
        self.laws.present.remove(&node);
    }

    pub(super) fn pause(&mut self, node: usize, micros: u64) {
        self.hosts[node].paused_until = self.real + micros;
    }

    pub(super) fn separate(&mut self, left: &[usize]) {
        for a in 0..self.hosts.len() {
            for b in 0..self.hosts.len() {
                if left.contains(&a) != left.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    fn hears(&self, from: usize, to: usize) -> bool {
        let up = |node: usize| self.hosts[node].lease.is_some() && self.hosts[node].paused_until <= self.real;
        up(from) && up(to) && !self.cut.contains(&(from, to))
    }

    // ------------------------------------------------------------------------------------------------- time

    /// Lets the world run for so long.
    pub(super) fn run(&mut self, micros: u64) {
        let end = self.real + micros;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.real = self.real.max(at);
            self.happen(event);
            self.judge();
        }
        self.real = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message, hint } => {
                if self.hosts[to].paused_until > self.real {
                    let after = self.hosts[to].paused_until - self.real;
                    return self.later(after, Event::Deliver { from, to, message, hint });
                }
                if self.cut.contains(&(from, to)) {
                    return;
                }
                if let Some(hint) = hint {
                    self.input(to, LeaseInput::Hint { from: id(from), hint, from_control: true });
                }
                if let Some(message) = message {
                    self.input(to, LeaseInput::Message { from: id(from), message });
                }
            }
            Event::Written { node, boot, token, cell } => {
                if self.hosts[node].boot == boot {
                    self.hosts[node].disk = cell;
                    self.input(node, LeaseInput::Durable { token });
                }
            }
            Event::Wake { node } => {
                if self.hosts[node].wake_at != Some(self.real) {
                    return;
                }
                self.hosts[node].wake_at = None;
                match self.hosts[node].paused_until.checked_sub(self.real) {
                    Some(paused) if paused > 0 => {
                        self.hosts[node].wake_at = Some(self.real + paused);
                        self.later(paused, Event::Wake { node });
                    }
                    Some(_) | None => self.input(node, LeaseInput::Tick),
                }
            }
            Event::Gossip => {
                for node in 0..self.hosts.len() {
                    let to = self.random.pick(self.hosts.len() as u64) as usize;
                    if to != node {
                        self.post(node, to, None);
                    }
                }
                self.later(100 * MS, Event::Gossip);
            }
            Event::Census => {
                (0..self.hosts.len()).for_each(|node| self.census(node));
                self.later(250 * MS, Event::Census);
            }
        }
    }

    fn census(&mut self, node: usize) {
        let mut up = BTreeMap::new();
        for other in (0..self.hosts.len()).filter(|other| *other != node) {
            if self.hears(node, other) && self.hears(other, node) {
                let since = *self.reached_since.entry((node, other)).or_insert(self.real);
                up.insert(id(other), Duration::from_micros(self.real - since));
            } else {
                self.reached_since.remove(&(node, other));
            }
        }
        let control: BTreeSet<NodeId> = self.control.iter().map(|node| id(*node)).collect();
        let me_control = control.contains(&id(node));
        if self.hosts[node].paused_until <= self.real {
            self.input(node, LeaseInput::Electorate(Electorate { control, up, me_control }));
        }
    }

    /// Hands an input to a node that runs.
    pub(super) fn input(&mut self, node: usize, input: LeaseInput) {
        let now = self.now(node);
        if let Some(lease) = &mut self.hosts[node].lease {
            lease.handle(now, input);
            self.after(node);
        }
    }

    pub(super) fn found(&mut self, node: usize) {
        let now = self.now(node);
        if let Some(lease) = &mut self.hosts[node].lease {
            lease.found(now);
            self.after(node);
        }
    }

    fn after(&mut self, node: usize) {
        while let Some(output) = self.hosts[node].lease.as_mut().and_then(Lease::poll_output) {
            self.laws.watch(node, self.hosts[node].lease.as_ref());
            match output {
                LeaseOutput::Send { to, message } => self.post(node, index(to), Some(message)),
                LeaseOutput::Persist { token, cell } => {
                    // In order: a later write is never durable before an earlier one.
                    let done = self.real + self.random.pick(self.weather.write + 1);
                    let host = &mut self.hosts[node];
                    host.disk_busy_until = host.disk_busy_until.max(done);
                    let (boot, after) = (host.boot, host.disk_busy_until - self.real);
                    self.later(after, Event::Written { node, boot, token, cell });
                }
                LeaseOutput::Acquired { epoch } => {
                    if !self.lawless {
                        self.laws.acquired(epoch, self.hosts[node].lease.as_ref());
                    }
                    self.told.push((node, LeaseOutput::Acquired { epoch }));
                }
                told @ (LeaseOutput::Lost { .. }
                | LeaseOutput::HolderSeen { .. }
                | LeaseOutput::Announced { .. }
                | LeaseOutput::HandedOver) => {
                    self.told.push((node, told));
                }
            }
        }
        self.laws.watch(node, self.hosts[node].lease.as_ref());
        if let Some(at) = self.hosts[node].lease.as_ref().and_then(Lease::next_wake) {
            let at = self.real_at(node, at);
            if self.hosts[node].wake_at != Some(at) {
                self.hosts[node].wake_at = Some(at);
                self.later(at - self.real, Event::Wake { node });
            }
        }
    }

    fn post(&mut self, from: usize, to: usize, message: Option<LeaseMessage>) {
        let now = self.now(from);
        let Some(lease) = &self.hosts[from].lease else { return };
        let hint = lease.hint(now);
        let copies = 1 + u64::from(self.random.pick(1000) < self.weather.doubled);
        for _ in 0..copies {
            if self.random.pick(1000) >= self.weather.lost {
                let after = self.random.pick(self.weather.delay + 1);
                self.later(after, Event::Deliver { from, to, message: message.clone(), hint: hint.clone() });
            }
        }
    }

    // ------------------------------------------------------------------------------------------------- laws

    /// Who believes that it holds the lease.
    pub(super) fn holders(&self) -> Vec<(usize, Epoch)> {
        let holding = |node: usize| self.hosts[node].lease.as_ref()?.holding(self.now(node));
        (0..self.hosts.len()).filter_map(|node| holding(node).map(|epoch| (node, epoch))).collect()
    }

    fn judge(&self) {
        let holders = self.holders();
        assert!(
            self.lawless || holders.len() <= 1,
            "seed {}: one_holder: {holders:?} at {} µs",
            self.seed,
            self.real
        );
    }

    pub(super) fn lease(&self, node: usize) -> &Lease {
        self.hosts[node].lease.as_ref().expect("the test did not stop it")
    }

    /// The voters of a node's config with their weights.
    pub(super) fn voters(&self, node: usize) -> Vec<(usize, u8)> {
        let config = self.lease(node).config();
        config.map_or(Vec::new(), |config| config.voters.iter().map(|v| (index(v.node), v.weight)).collect())
    }
}

impl Laws {
    /// `quorum_evidence`, the second half: every quorum of a config meets every quorum of the next.
    fn watch(&mut self, node: usize, lease: Option<&Lease>) {
        let Some(lease) = lease else { return };
        let Some(config) = lease.config() else { return };
        if let Some(epoch) = lease.protocol.voter().granted() {
            self.grants.entry(epoch).or_default().insert(id(node));
        }
        let old = self.present.insert(node, config.clone());
        let first = self.configs.insert(config.id, config.clone()).is_none();
        let same_generation = |old: &VoterConfig| old.id.epoch.generation == config.id.epoch.generation;
        if let Some(old) = old.filter(|old| first && same_generation(old)) {
            assert_eq!(config.id.epoch.candidate, id(node), "a config is first seen where it was written");
            assert!(quorums_meet(&old.voters, &config.voters), "quorums do not meet: {old:?} {config:?}");
        }
    }

    /// `epochs_rise`, and the first half of `quorum_evidence`.
    fn acquired(&mut self, epoch: Epoch, lease: Option<&Lease>) {
        assert!(self.top.is_none_or(|top| top < epoch), "epochs_rise: {epoch:?} after {:?}", self.top);
        self.top = Some(epoch);
        let tenure = lease.and_then(|lease| lease.protocol.role().tenure()).expect("it has just acquired it");
        let config = self.configs.get(&tenure.under).expect("it was written somewhere");
        let granted = self.grants.get(&epoch).cloned().unwrap_or_default();
        assert!(config.is_quorum(granted.iter().copied()), "quorum_evidence: {epoch:?} by {granted:?}");
    }
}
