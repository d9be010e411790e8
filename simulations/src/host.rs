//! One host: its agent's core, its disk, its engine, its clock.

use sleep_core::io::Input;
use sleep_core::node::{Node, Setup, Tuning};
use sleep_core::{Crypto, Instant, Now};
use sleep_wire::node::{Address, NodeFacts};
use sleep_wire::spec::Runtime;
use sleep_wire::trust::Role;
use sleep_wire::{ClusterId, NodeId, PublicKey, RELEASE, WallTime, message::PROTOCOL};

use crate::crypto::{Mint, SimCrypto};
use crate::disk::Disk;
use crate::engine::Engine;
use crate::scenario::HostPlan;
use crate::successor::{PROTOCOL_OF_SUCCESSOR, Successor};

/// The core of the simulated agents.
pub type SimNode = Node<SimCrypto>;

/// One host.
pub struct Host {
    /// Its agent; `None` while it is not running.
    pub node: Option<SimNode>,
    /// Its disk.
    pub disk: Disk,
    /// Its container engine.
    pub engine: Engine,
    /// Its present key's node.
    pub id: NodeId,
    /// The cluster that its engine was told of.
    pub cluster: Option<ClusterId>,
    /// Counts the starts of its agent, so that what was meant for an earlier one is not taken by a later.
    pub life: u64,
    /// When its agent asked to be woken: only the last wish counts.
    pub wake: Option<u64>,
    /// Whether the host went down since its agent last ran.
    pub rebooted: bool,
    /// Its name, its labels, and by how much its boot clock is too fast.
    pub plan: HostPlan,
    /// How long its agent takes over each thing, in microseconds.
    pub each: u64,
    /// Set if its agent is of the next release.
    pub successor: Option<Successor>,
    /// Where it is now.
    pub address: Address,
    /// Where it is as its agent last found.
    pub told_address: Address,
    number: usize,
    seed: u64,
    /// How many keys it has had: a new one after each leave, and with each empty disk.
    keys: u64,
    /// By how much its wall clock is off, in milliseconds.
    wall_off: i64,
    tuning: Tuning,
}

const MILLION: u128 = 1_000_000;

/// 2026-01-01, in milliseconds since 1970: when every world begins.
const BIRTH_MS: i64 = 1_767_225_600_000;

impl Host {
    /// A host whose agent has not been started.
    pub fn new(number: usize, plan: HostPlan, seed: u64, mint: &Mint, wall_off: i64, tuning: Tuning) -> Self {
        let mut host = Self {
            node: None,
            disk: Disk::default(),
            engine: Engine::new(seed ^ number as u64, NodeId([0; 16]), [Runtime::Docker]),
            id: NodeId([0; 16]),
            cluster: None,
            life: 0,
            wake: None,
            rebooted: false,
            plan,
            each: 0,
            successor: None,
            address: first_address(number),
            told_address: first_address(number),
            number,
            seed,
            keys: 0,
            wall_off,
            tuning,
        };
        host.id = host.key(mint).node_id(&host.public_key(mint));
        host.engine = Engine::new(seed ^ ((number as u64) << 20), host.id, [Runtime::Docker]);
        host
    }

    /// Its present key.
    pub fn key(&self, mint: &Mint) -> SimCrypto {
        mint.key(self.seed, ((self.number as u64) << 16) | self.keys)
    }

    /// What its clocks show at a moment of the world, in microseconds since it began.
    pub fn now(&self, at: u64) -> Now {
        let boot = self.boot_clock(at);
        let wall = BIRTH_MS + i64::try_from(at / 1000).unwrap_or(i64::MAX) + self.wall_off;
        Now { instant: Instant(boot), wall: WallTime(wall) }
    }

    /// The world's moment at which its boot clock shows this.
    pub fn world_time(&self, instant: Instant) -> u64 {
        let shown = u128::from(instant.0.saturating_sub(self.head_start()));
        let at = (shown * MILLION).div_ceil(self.rate());
        u64::try_from(at).unwrap_or(u64::MAX)
    }

    /// Its boot clock, in microseconds.
    fn boot_clock(&self, at: u64) -> u64 {
        let shown = u128::from(at) * self.rate() / MILLION;
        self.head_start() + u64::try_from(shown).unwrap_or(u64::MAX)
    }

    /// How far its boot clock shows the world's millionths of a second in a million.
    fn rate(&self) -> u128 {
        u128::try_from(1_000_000 + i64::from(self.plan.clock_ppm)).expect("no clock runs backwards")
    }

    const fn head_start(&self) -> u64 {
        1_000_000 * (self.number as u64 + 1)
    }

    /// Somebody sets its wall clock.
    pub const fn step_wall(&mut self, by_ms: i64) {
        self.wall_off += by_ms;
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Whether its agent runs, and may speak for its cluster as far as it knows.
    pub fn is_control(&self, at: u64) -> bool {
        let role = |node: &SimNode| node.status(self.now(at)).role;
        self.cluster.is_some() && self.node.as_ref().and_then(role) == Some(Role::Control)
    }

    /// The address that it had first.
    pub const fn first_address(&self) -> Address {
        first_address(self.number)
    }

    /// What its agent finds of it.
    pub fn facts(&self) -> NodeFacts {
        let next = self.successor.is_some();
        NodeFacts {
            name: self.plan.name.clone(),
            addresses: vec![self.address],
            release: if next { "next".to_owned() } else { RELEASE.to_owned() },
            protocol: if next { PROTOCOL_OF_SUCCESSOR } else { PROTOCOL },
            architecture: "x86_64".to_owned(),
            os: "linux".to_owned(),
            cpu_milli: 4_000,
            memory: 8 << 30,
            runtimes: Vec::new(),
            labels: self.plan.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            wall: WallTime::default(),
            at_ms: 0,
        }
    }

    /// Starts its agent on what its disk holds.
    pub fn start(&mut self, mint: &Mint, rebooted: bool) {
        self.told_address = self.address;
        self.life += 1;
        self.wake = None;
        self.node = Some(Node::new(Setup {
            crypto: self.key(mint),
            facts: self.facts(),
            runtimes: vec![Runtime::Docker],
            stored: self.disk.stored(),
            host_rebooted: rebooted,
            seed: self.seed ^ ((self.number as u64) << 32) ^ self.life,
            tuning: self.tuning.clone(),
        }));
    }

    /// Its agent dies at once. Its containers do not.
    pub fn kill(&mut self) {
        self.node = None;
        self.disk.crash();
        self.life += 1;
        self.wake = None;
    }

    /// It has another key: it left its cluster, or lost its disk.
    pub fn new_key(&mut self, mint: &Mint) {
        self.keys += 1;
        self.id = self.key(mint).node_id(&self.public_key(mint));
        self.engine.set_node(self.id);
    }

    /// Its present public key.
    pub fn public_key(&self, mint: &Mint) -> PublicKey {
        Crypto::public_key(&self.key(mint))
    }

    /// Hands an input to its agent, if it runs.
    pub fn handle(&mut self, at: u64, input: Input) {
        let now = self.now(at);
        if let Some(node) = &mut self.node {
            node.handle(now, input);
        }
    }
}

/// Where a host is until it moves.
const fn first_address(number: usize) -> Address {
    Address::V4([10, 0, (number >> 8) as u8, (number & 255) as u8], 7533)
}
