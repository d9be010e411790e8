//! One node: which room hears what, and in which order. It decides nothing itself.
//!
//! ```text
//!            boot counter durable            init, join
//! Starting ───────────────────────▶ Alone ──────────────▶ Member ── leave ──▶ (wiped) Alone
//!     └──────── it was a member before ──────────────────────▲
//! ```
//! # Invariants
//! - `drain_rule`: [`Node::poll_output`] is drained until `None` before the next [`Node::handle`].
//! - Nothing of a boot leaves the node before the boot's number is durable.
//! - `known_on_disk`: a slot is acted upon once its record and its service's are durable here, see `feed`.
//! - `plans_under_its_lease`, `plans_on_what_is_known`: see `plan`.
//! - A record is durable here before it leaves; a promise, a config and a fence before what rests on them.
//!
//! # Not here
//! Rules. Each is in its room: see the table in `ARCHITECTURE.md`.

mod changes;
mod command;
mod compare;
mod context;
mod door;
mod earlier;
mod facts;
mod feed;
mod forward;
mod leave;
mod member;
mod operators;
mod plan;
mod propose;
mod recover;
mod rooms;
mod sightings;
mod speech;
mod succession;
mod task_views;
mod views;
mod wish;
mod words;
mod writes;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use sleep_wire::durable::{self, Boots, Cell, Stored, Write};
use sleep_wire::engine::EngineReport;
use sleep_wire::node::NodeFacts;
use sleep_wire::spec::Runtime;
use sleep_wire::{ClusterId, NodeId, PublicKey, ServiceId, decode, encode};

use crate::crypto::Crypto;
use crate::io::{Alarm, Command, Event, Input, Output, Refusal, Ticket};
use crate::lease::LeaseSettings;
use crate::membership::Profile;
use crate::reconcile::Limits;
use crate::time::{Instant, Now};
use context::{Context, Outbox, Purpose};
use door::Asking;
use member::{Beginning, Member};

/// Durations and bounds that a test or a slow network may set otherwise.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Of the lease.
    pub lease: LeaseSettings,
    /// Of probes and suspicion.
    pub membership: Profile,
    /// Of engine calls.
    pub limits: Limits,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { lease: LeaseSettings::default(), membership: Profile::LAN, limits: Limits::default() }
    }
}

/// What a node is given at its start.
pub struct Setup<C> {
    /// Its key.
    pub crypto: C,
    /// What its host is; runtimes are filled in from their own reports.
    pub facts: NodeFacts,
    /// What runs tasks there.
    pub runtimes: Vec<Runtime>,
    /// All that its disk holds.
    pub stored: Stored,
    /// Whether the host, not only the agent, was restarted since the last time.
    pub host_rebooted: bool,
    /// All its randomness comes from here.
    pub seed: u64,
    /// Durations and bounds.
    pub tuning: Tuning,
}

/// One node of a cluster, or one that is in none.
pub struct Node<C> {
    crypto: C,
    me: NodeId,
    boot: u32,
    home: Home,
    phase: Phase,
    out: Outbox,
}

/// What of the setup is needed again, when the node joins a cluster later.
pub(crate) struct Home {
    pub(crate) facts: NodeFacts,
    pub(crate) runtimes: Vec<Runtime>,
    pub(crate) tuning: Tuning,
    pub(crate) seed: u64,
    pub(crate) host_rebooted: bool,
    /// What each runtime last said of itself: it says so once, whether the node is in a cluster by then or
    /// not.
    pub(crate) engines: BTreeMap<Runtime, EngineReport>,
}

enum Phase {
    /// The boot's number is not durable yet: commands wait.
    Starting { stored: Box<Stored>, waiting: Vec<(Ticket, Box<Command>)> },
    /// In no cluster.
    Alone,
    /// In no cluster, and a door was asked.
    Asking(Asking),
    /// In a cluster.
    Member(Box<Member>),
    /// The store failed: nothing more is done. The agent ends, and comes back with what is on its disk.
    Broken(String),
}

impl<C: Crypto> Node<C> {
    /// A node that has just started. Its first output makes its boot's number durable.
    pub fn new(setup: Setup<C>) -> Self {
        let Setup { crypto, facts, runtimes, stored, host_rebooted, seed, tuning } = setup;
        let me = crypto.node_id(&crypto.public_key());
        let last = cell::<Boots>(&stored, Cell::Boots).map_or(0, |boots| boots.boot);
        let boot = last.saturating_add(1);
        let mut out = Outbox::default();
        let value = encode(&Boots { boot });
        out.persist(Purpose::Boots, Vec::from([Write::PutCell { cell: Cell::Boots, value }]));
        let engines = BTreeMap::new();
        let home = Home { facts, runtimes, tuning, seed, host_rebooted, engines };
        let phase = Phase::Starting { stored: Box::new(stored), waiting: Vec::new() };
        Self { crypto, me, boot, home, phase, out }
    }

    /// Takes note of what happened. Outputs are drained before the next call.
    pub fn handle(&mut self, now: Now, input: Input) {
        if let Input::Engine(
            report @ (EngineReport::Well { runtime, .. } | EngineReport::Ill { runtime, .. }),
        ) = &input
        {
            self.home.engines.insert(*runtime, report.clone());
        }
        let mut cx = Context { now, crypto: &self.crypto, out: &mut self.out, boot: self.boot, me: self.me };
        let purposes = match &input {
            Input::Durable { token, .. } => cx.out.written(*token),
            _ => Vec::new(),
        };
        if let Input::Durable { outcome: Err(message), .. } = &input {
            cx.out.event(Event::Alarm(Alarm::Storage(message.clone())));
            if let Phase::Member(member) = &mut self.phase {
                member.storage_failed(&mut cx, &purposes, message);
            }
            self.phase = Phase::Broken(message.clone());
            return;
        }
        if matches!(&self.phase, Phase::Starting { .. }) && purposes.contains(&Purpose::Boots) {
            return self.start(now);
        }
        let next = match &mut self.phase {
            Phase::Starting { waiting, .. } => {
                match input {
                    Input::Command { ticket, command } => waiting.push((ticket, command)),
                    Input::Facts(facts) => self.home.facts = *facts,
                    _ => {}
                }
                None
            }
            Phase::Broken(message) => {
                if let Input::Command { ticket, .. } = input {
                    cx.out.refuse(ticket, Refusal::Storage(message.clone()));
                }
                None
            }
            Phase::Alone => door::alone(&mut cx, &mut self.home, input),
            Phase::Asking(asking) => asking.handle(&mut cx, &mut self.home, input),
            Phase::Member(member) => member.handle(&mut cx, input, purposes).then_some(Next::Alone),
        };
        match next {
            Some(Next::Alone) => self.phase = Phase::Alone,
            Some(Next::Asking(asking)) => self.phase = Phase::Asking(asking),
            Some(Next::Member(member)) => self.phase = Phase::Member(member),
            None => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.next()
    }

    fn start(&mut self, now: Now) {
        let Phase::Starting { stored, waiting } = core::mem::replace(&mut self.phase, Phase::Alone) else {
            return;
        };
        let mut cx = Context { now, crypto: &self.crypto, out: &mut self.out, boot: self.boot, me: self.me };
        match cell::<durable::Membership>(&stored, Cell::Membership) {
            Some(cell) if cell.node == self.me => {
                let beginning = Beginning::Again { cluster: cell.cluster, stored: *stored };
                self.phase = Phase::Member(Box::new(Member::new(&mut cx, &self.home, beginning)));
            }
            // Another's state: it is not this node's to throw away.
            Some(_another) => {}
            None => door::clear(&mut cx, &stored),
        }
        for (ticket, command) in waiting {
            self.handle(now, Input::Command { ticket, command });
        }
    }

    /// Itself.
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// The node or operator that a key belongs to.
    pub fn id_of(&self, key: &PublicKey) -> NodeId {
        self.crypto.node_id(key)
    }

    /// The number of this start, from 1.
    pub const fn boot(&self) -> u32 {
        self.boot
    }

    /// Whether it knows what it is: until its boot's number is durable it looks like a node in no cluster.
    pub const fn has_started(&self) -> bool {
        !matches!(self.phase, Phase::Starting { .. })
    }

    /// Its cluster, if it is in one.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.member().map(Member::cluster)
    }

    /// What it knows as a member.
    pub(crate) fn member(&self) -> Option<&Member> {
        match &self.phase {
            Phase::Member(member) => Some(member),
            Phase::Starting { .. } | Phase::Alone | Phase::Asking(_) | Phase::Broken(_) => None,
        }
    }

    /// What people call a member.
    pub fn node_name(&self, now: Now, id: NodeId) -> Option<String> {
        match self.member() {
            Some(member) => member.node_name(now, id),
            None => (id == self.me).then(|| self.home.facts.name.clone()),
        }
    }

    /// What people call a service.
    pub fn service_name(&self, _now: Now, id: ServiceId) -> Option<String> {
        self.member()?.service_name(id)
    }
}

/// What a phase gives way to.
pub(crate) enum Next {
    Alone,
    Asking(Asking),
    Member(Box<Member>),
}

pub(crate) fn cell<T: sleep_wire::Wire>(stored: &Stored, wanted: Cell) -> Option<T> {
    let (_, value) = stored.cells.iter().find(|(cell, _)| *cell == wanted)?;
    decode(value).ok()
}

/// The earlier of two moments, if there are any.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
