//! Who is alive, suspect, down: foca's SWIM, wrapped.
//!
//! ```text
//!                  own probe failed, direct and indirect; or somebody says so
//!        ┌───────┐ ───────────────────────────────────────────▶ ┌─────────┐
//!   ┌───▶│ alive │                                               │ suspect │ told first
//!   │    └───────┘ ◀─────────────────────────────────────────── └─────────┘
//!   │        │                 it contradicts                        │ its time is over
//!   │        │ it leaves                                             ▼
//!   │        └────────────────────────────────────────────────▶ ┌──────┐
//!   └────────────────────────────────────────────────────────── │ down │ sought until removed
//!     a higher boot, or the same one renewed (held down longer  └──────┘
//!     each time that it flaps)
//! ```
//! Added to foca: the sender of a packet is the peer whose key the connection proved; packets come before
//! timers, and a stall puts timers off; local health; witnesses, which shorten a suspicion; probing a member
//! now, before work moves, and when others call it dead; rosters, at a join and every minute between a random
//! pair; seeking members that are down; restarts and leaving, announced.
//!
//! # Invariants
//! - `known_only`: a node that is no unremoved member is neither heard nor spoken of.
//! - `stall_is_harmless`: a stalled node declares nobody down for its own lateness.
//! - Down is a rumour: it is undone by the member itself, and nothing here moves work.
//! - A boot whose renewals are used up is ended, not silent: `UsedUp`.
//! - `own_eyes`: nobody is called down on hearsay alone; this node's own probe of it failed, too.
//! - Nothing is written to disk, and nothing is sent in a cluster of one.
//!
//! # Not here
//! Addresses and connections: `net`. Who is a member: `trust`. What becomes of a down node's tasks:
//! `placement`.

mod boot;
mod confirm;
mod drive;
mod flap;
mod health;
mod io;
#[cfg(test)]
mod liars;
mod patience;
pub mod profile;
mod roster;
mod rumour;
mod suspicion;
mod swim;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod trial;
#[cfg(test)]
mod unfit;
#[cfg(test)]
mod world;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use foca::{Member, Message as SwimMessage, State, Timer};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sleep_wire::NodeId;
use sleep_wire::message::{MembershipMessage, Message, RosterEntry, RosterState};
use sleep_wire::swim::Peer;

use crate::time::Instant;
use boot::Boots;
use confirm::{Confirm, Pinging};
use flap::Flap;
use health::Health;
use patience::Patience;
use roster::Seeking;
use rumour::Rumour;
use suspicion::Suspicion;
use swim::{Engine, Packet};
use table::Table;
use timers::{Due, Timers};
use trial::Trial;

pub use io::{MembershipInput, MembershipOutput, NodeState};
pub use profile::Profile;
pub use table::Liveness;

/// One node's view of all others.
pub struct Membership {
    me: Peer,
    incarnation: u16,
    renewed_at: Option<Instant>,
    profile: Profile,
    engine: Engine,
    table: Table,
    timers: Timers,
    /// foca's gossip timer, while there is nothing to pass on.
    idle_gossip: Option<Timer<Peer>>,
    health: Health,
    probe: Probe,
    suspicions: BTreeMap<NodeId, Suspicion>,
    pings: BTreeMap<u64, Pinging>,
    trials: BTreeMap<NodeId, Trial>,
    confirms: BTreeMap<NodeId, Confirm>,
    rumours: BTreeMap<NodeId, Rumour>,
    flaps: BTreeMap<NodeId, Flap>,
    holds: BTreeMap<NodeId, Instant>,
    /// Whom this node itself called dead, when nobody has seen them since.
    called_dead: BTreeSet<NodeId>,
    /// Those of them whom it called so when it saw more dead than alive: then it was this node that was cut
    /// off.
    cut_off_from: BTreeSet<NodeId>,
    hearsay: BTreeMap<NodeId, RosterEntry>,
    /// Whether somebody's whole roster was asked for, and whether it came.
    roster: RosterWanted,
    seeking: Option<Seeking>,
    /// Who was sought last.
    sought: Option<NodeId>,
    /// Who let this node in: to others its key may be a stranger's yet.
    door: Option<NodeId>,
    /// When somebody was sent a whole roster.
    rosters_sent: BTreeMap<NodeId, Instant>,
    digest_armed: bool,
    boots: Boots,
    /// Whom this node told who it is, as they took it for another of its own identities.
    corrected: Patience,
    /// At whose word this node renewed itself.
    renewed_for: Patience,
    rng: SmallRng,
    outputs: VecDeque<MembershipOutput>,
    stopped: bool,
    /// How many own probes failed.
    probe_failures: u32,
    /// Tells what was armed for one purpose from what was armed for it later.
    versions: u32,
}

/// The probe that foca is at.
#[derive(Clone, Copy, Debug, Default)]
struct Probe {
    target: Option<NodeId>,
    /// Whether anybody else was heard meanwhile: then it is not this node that is cut off.
    heard_others: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RosterWanted {
    Yes,
    Asked,
    Had,
}

impl Membership {
    /// A node that knows nobody yet. `me.boot` is its persisted count of starts, from 1; `seed` feeds every
    /// choice that it makes.
    pub fn new(me: Peer, profile: Profile, seed: u64, now: Instant) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let engine = swim::engine(me, &profile, rng.random());
        let boots = Boots::new(now, rng.random());
        Self {
            me,
            incarnation: 0,
            renewed_at: None,
            profile,
            engine,
            table: Table::default(),
            timers: Timers::default(),
            idle_gossip: None,
            health: Health::default(),
            probe: Probe::default(),
            suspicions: BTreeMap::new(),
            pings: BTreeMap::new(),
            trials: BTreeMap::new(),
            confirms: BTreeMap::new(),
            rumours: BTreeMap::new(),
            flaps: BTreeMap::new(),
            holds: BTreeMap::new(),
            called_dead: BTreeSet::new(),
            cut_off_from: BTreeSet::new(),
            hearsay: BTreeMap::new(),
            roster: RosterWanted::Yes,
            seeking: None,
            sought: None,
            door: None,
            rosters_sent: BTreeMap::new(),
            digest_armed: false,
            boots,
            corrected: Patience::default(),
            renewed_for: Patience::default(),
            rng,
            outputs: VecDeque::new(),
            stopped: false,
            probe_failures: 0,
            versions: 0,
        }
    }

    /// Takes one input. Outputs are to be drained before the next.
    pub fn handle(&mut self, now: Instant, input: MembershipInput) {
        if self.stopped {
            return;
        }
        match input {
            MembershipInput::Swim { from, bytes } => self.handle_swim(now, from, &bytes),
            MembershipInput::Message { from, message } => self.handle_message(now, from, message),
            MembershipInput::Tick => self.handle_tick(now),
            MembershipInput::Members { added, removed } => {
                added.into_iter().for_each(|node| self.add_member(now, node));
                removed.into_iter().for_each(|node| self.remove_member(now, node));
            }
            MembershipInput::Connected { peer } => {
                if self.table.get(peer).is_some_and(|known| !known.is_live() && !known.left) {
                    self.announce(now, peer);
                }
                self.ask_boot(now, peer);
            }
            MembershipInput::ConfirmDown { node } => self.confirm_down(now, node),
            MembershipInput::Stopping => {
                let hold_ms = u32::try_from(profile::RESTART_HOLD.as_millis()).unwrap_or(u32::MAX);
                self.tell_all(&MembershipMessage::Restarting { hold_ms });
            }
            MembershipInput::Leaving => {
                // Each is told directly, so that nobody hears of a death first. foca need not know.
                self.tell_all(&MembershipMessage::Leaving);
                self.stopped = true;
                return;
            }
        }
        self.keep_up(now);
    }

    /// The next thing to do; `None` when there is none until the next input.
    pub fn poll_output(&mut self) -> Option<MembershipOutput> {
        self.outputs.pop_front()
    }

    /// When to hand in [`MembershipInput::Tick`].
    pub fn next_wake(&self) -> Option<Instant> {
        if self.stopped { None } else { self.timers.next() }
    }

    /// This node as SWIM knows it.
    pub const fn me(&self) -> Peer {
        self.me
    }

    /// What is believed of a member; `None` of a node that is none, and of this node.
    pub fn state(&self, node: NodeId) -> Option<NodeState> {
        let known = self.table.get(node)?;
        let liveness = if self.is_held_down(node) { Liveness::Down } else { known.liveness };
        let held_until = self.holds.get(&node).copied().filter(|_| liveness == Liveness::Down);
        let since = if liveness == Liveness::Down { self.down_since(known) } else { known.since };
        Some(NodeState { liveness, since, held_until })
    }

    /// Whether anything was heard of a member since this agent was started, be it that it is dead.
    pub fn has_heard_of(&self, node: NodeId) -> bool {
        self.table.get(node).is_some_and(table::Known::is_heard_of)
    }

    /// Members that answer, or may still do, without this node, sorted.
    pub fn live(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.table.live().map(|known| known.peer.node).filter(|node| !self.is_held_down(*node))
    }

    /// This node and all that its own view calls live, sorted.
    pub fn component(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.live().chain([self.me.node]).collect();
        nodes.sort_unstable();
        nodes
    }

    /// How much this node stretches its own probes: 1 when it is well, up to 9.
    pub const fn stretch(&self) -> u32 {
        self.health.score() + 1
    }

    fn handle_swim(&mut self, now: Instant, from: NodeId, bytes: &[u8]) {
        if self.table.get(from).is_none() {
            return;
        }
        let Some(packet) = Packet::read(bytes).filter(|packet| packet.header.src.node == from) else {
            self.outputs.push_back(MembershipOutput::BadFrame { from });
            return;
        };
        self.heard(from);
        if !packet.is_for(&self.me) {
            return self.correct(now, from, &packet.header.dst);
        }
        if packet.header.src.boot == 0
            || (packet.header.message == SwimMessage::TurnUndead && !self.renews_for(now, from))
        {
            return;
        }
        let sender = packet.sender();
        self.own_word(now, &sender);
        self.remind(now, sender.id());
        // foca believes nothing of what a member says that is down, or older than what is known of it.
        let trusted = self.table.get(from).is_some_and(|known| known.peer == *sender.id() && known.is_live());
        let updates = if trusted { self.news(now, from, packet.updates) } else { Vec::new() };
        let bytes = Packet { header: packet.header, updates }.write();
        self.drive_for(now, Some(from), |engine, effects| drop(engine.handle_data(&bytes, effects)));
        self.want_roster(now);
    }

    fn handle_message(&mut self, now: Instant, from: NodeId, message: MembershipMessage) {
        if self.table.get(from).is_none() {
            return;
        }
        self.heard(from);
        match message {
            MembershipMessage::Roster { members, answer } => self.take_roster(now, from, &members, answer),
            MembershipMessage::RosterDigest { digest, members } => {
                self.compare_roster(now, from, digest, members);
            }
            MembershipMessage::Witness { about, incarnation } => {
                self.hear_witness(now, from, about, incarnation);
            }
            MembershipMessage::ProbeNow { target, nonce } => self.probe_for(now, from, target, nonce),
            MembershipMessage::ProbeResult { target, nonce, reached } => {
                self.take_result(now, from, target, nonce, reached);
            }
            MembershipMessage::Ping { nonce } => self.say(from, MembershipMessage::Pong { nonce }),
            MembershipMessage::Pong { nonce } => {
                self.take_pong(now, from, nonce);
                self.answer_in_trial(from, nonce);
            }
            MembershipMessage::Restarting { hold_ms } => {
                let hold = Duration::from_millis(u64::from(hold_ms)).min(profile::RESTART_HOLD_MAX);
                self.holds.insert(from, now + hold);
                self.timers.arm(now + hold, Due::Held { node: from, until: now + hold });
                let hold_ms = u32::try_from(hold.as_millis()).unwrap_or(u32::MAX);
                self.outputs.push_back(MembershipOutput::Restarting { node: from, hold_ms });
            }
            MembershipMessage::Leaving => self.take_leave(now, from),
            MembershipMessage::BootQuery { boot, nonce } => self.answer_boot(now, from, boot, nonce),
            MembershipMessage::BootAnswer { highest, cloned } => self.take_boot(now, from, highest, cloned),
        }
    }

    fn handle_tick(&mut self, now: Instant) {
        if let Some(by) = self.timers.put_off(now, self.profile.probe_rtt) {
            let periods = by.as_micros() / self.profile.probe_period.as_micros().max(1);
            self.health.worsen(u32::try_from(periods).unwrap_or(u32::MAX).max(1));
            self.suspicions.values_mut().for_each(|suspicion| suspicion.put_off(by));
        }
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Swim(timer) => self.fire(now, timer),
                Due::Suspicion { node, version } => self.end_suspicion(now, node, version),
                Due::Tell { node, version } => self.tell_suspect(now, node, version),
                Due::Ping { nonce } => self.ping_again(now, nonce),
                Due::Confirm { node, nonce } => self.end_confirm(now, node, nonce),
                Due::Reach { version } => self.reach(now, version),
                Due::Digest => self.send_digest(now),
                Due::Roster => {
                    if self.roster == RosterWanted::Asked {
                        self.roster = RosterWanted::Yes;
                        self.want_roster(now);
                    }
                }
                Due::Held { node, until } => self.end_hold(node, until),
                Due::Believe { node, count } => self.end_disbelief(node, count),
                Due::Trial { node } => self.go_on_trying(now, node),
            }
        }
    }

    /// What must hold after every input: timers for what is wanted, foca's knowledge of the cluster's size.
    fn keep_up(&mut self, now: Instant) {
        if self.engine.updates_backlog() > 0
            && let Some(timer) = self.idle_gossip.take()
        {
            // After a silence the first news go out at once, what follows at the usual pace.
            self.timers.arm(now + profile::NEWS_AFTER, Due::Swim(timer));
        }
        if self.seeking.is_none() && !self.table.down().is_empty() {
            self.seek_soon(now);
        }
        if !self.digest_armed && self.table.live_count() > 0 {
            self.digest_armed = true;
            let every = self.jitter(profile::DIGEST_EVERY);
            self.timers.arm(now + every, Due::Digest);
        }
    }

    fn heard(&mut self, from: NodeId) {
        self.probe.heard_others |= self.probe.target != Some(from);
        self.table.hear(from);
    }

    fn add_member(&mut self, now: Instant, node: NodeId) {
        if node == self.me.node || !self.table.add(node, now) {
            return;
        }
        self.seeking = None;
        if let Some(entry) = self.hearsay.remove(&node) {
            self.learn(now, self.me.node, Vec::from([member_of(&entry)]), true);
        }
    }

    fn remove_member(&mut self, now: Instant, node: NodeId) {
        let Some(known) = self.table.remove(node) else { return };
        if known.is_heard_of() {
            self.forget(now, known.peer);
        }
        self.suspicions.remove(&node);
        self.confirms.remove(&node);
        self.trials.remove(&node);
        self.rumours.remove(&node);
        self.flaps.remove(&node);
        self.holds.remove(&node);
        self.called_dead.remove(&node);
        self.cut_off_from.remove(&node);
        self.rosters_sent.remove(&node);
        self.boots.forget(node);
        self.corrected.forget(node);
        self.renewed_for.forget(node);
        self.resize();
    }

    /// A member said that it would be back by now. If it is not, it is down like any other.
    fn end_hold(&mut self, node: NodeId, until: Instant) {
        if self.holds.get(&node) != Some(&until) {
            return;
        }
        self.holds.remove(&node);
        if self.state(node).is_some_and(|state| state.liveness == Liveness::Down) {
            self.outputs.push_back(MembershipOutput::Down { node });
        }
    }

    /// Others thought this node dead: then its own probes may have failed for its own sake. Whom they made it
    /// call dead it tells so, for only they can contradict.
    fn recant(&mut self) {
        for node in core::mem::take(&mut self.called_dead) {
            let Some(known) = self.table.get(node).filter(|known| !known.is_live() && !known.left) else {
                continue;
            };
            let members = Vec::from([known.entry()]);
            self.say(node, MembershipMessage::Roster { members, answer: false });
        }
    }

    /// Makes foca forget an identity.
    fn forget(&mut self, now: Instant, peer: Peer) {
        self.drive(now, |engine, effects| {
            drop(engine.apply_many(core::iter::once(Member::down(peer)), false, &mut *effects));
            drop(engine.handle_timer(Timer::RemoveDown(peer), effects));
        });
    }

    fn take_leave(&mut self, now: Instant, node: NodeId) {
        let Some(known) = self.table.get(node).copied().filter(|known| !known.left) else { return };
        self.table.leave(node);
        if known.is_live() {
            let down = Member::new(known.peer, known.incarnation, State::Down);
            self.learn(now, node, Vec::from([down]), true);
        } else {
            self.outputs.push_back(MembershipOutput::Left { node });
        }
    }

    fn announce(&mut self, now: Instant, to: NodeId) {
        if let Some(known) = self.table.get(to) {
            let peer = known.peer;
            self.drive(now, |engine, effects| drop(engine.announce(peer, effects)));
        }
    }

    fn say(&mut self, to: NodeId, message: MembershipMessage) {
        self.outputs.push_back(MembershipOutput::Send { to, message: Message::Membership(message) });
    }

    fn tell_all(&mut self, message: &MembershipMessage) {
        let live: Vec<NodeId> = self.table.live().map(|known| known.peer.node).collect();
        live.into_iter().for_each(|node| self.say(node, message.clone()));
    }

    /// Some random live members that are not suspected, without these.
    fn sample(&mut self, count: usize, without: &[NodeId]) -> Vec<NodeId> {
        let well = self.table.live().filter(|known| known.liveness == Liveness::Alive);
        let mut chosen = Vec::new();
        let candidates = well.map(|known| known.peer.node).filter(|node| !without.contains(node));
        for (seen, node) in candidates.enumerate() {
            if chosen.len() < count {
                chosen.push(node);
            } else if let Some(place) = chosen.get_mut(self.rng.random_range(0..=seen)) {
                *place = node;
            }
        }
        chosen
    }

    const fn version(&mut self) -> u32 {
        self.versions = self.versions.wrapping_add(1);
        self.versions
    }

    /// Half to one and a half times as long, so that nodes do not march in step.
    fn jitter(&mut self, time: Duration) -> Duration {
        time / 2 + time * self.rng.random_range(0..1000) / 1000
    }
}

/// An update as foca wants it.
fn member_of(entry: &RosterEntry) -> Member<Peer> {
    let state = match entry.state {
        RosterState::Alive => State::Alive,
        RosterState::Suspect => State::Suspect,
        RosterState::Down => State::Down,
    };
    Member::new(entry.peer, entry.incarnation, state)
}
