//! Old disks and clones: whether others know more of this node than it does itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use sleep_wire::NodeId;
use sleep_wire::message::MembershipMessage;
use sleep_wire::swim::Peer;

use super::patience::Patience;
use super::{Membership, MembershipOutput, profile};
use crate::time::Instant;

/// What was said of boots, by this node and to it.
#[derive(Clone, Debug)]
pub(super) struct Boots {
    /// Drawn at the start: tells this agent from another that runs with its key and its boot counter.
    nonce: u64,
    ask_until: Instant,
    asked: BTreeSet<NodeId>,
    /// By whom this node was told of a later boot of its own, and of which.
    told: BTreeMap<NodeId, u32>,
    /// What others said of their boots.
    heard: BTreeMap<NodeId, (u32, u64)>,
    old_disk: u32,
    /// By whom this node was told that another runs with its key.
    cloned: BTreeSet<NodeId>,
    /// Whom this node told of a later boot of their own.
    reminded: Patience,
    /// To whom this node said that it knows of no later boot of its own.
    denied: Patience,
    /// Who asked again under the lesser one.
    in_vain: BTreeMap<NodeId, InVain>,
}

/// A member that is told of a later boot of its own, and goes on under this one.
#[derive(Clone, Copy, Debug)]
struct InVain {
    boot: u32,
    since: Instant,
    times: u32,
}

impl Boots {
    pub(super) fn new(now: Instant, nonce: u64) -> Self {
        let (asked, told, heard) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let ask_until = now + profile::BOOT_QUERIES_FOR;
        let (cloned, in_vain) = (BTreeSet::new(), BTreeMap::new());
        let (reminded, denied) = (Patience::default(), Patience::default());
        Self { nonce, ask_until, asked, told, heard, old_disk: 0, cloned, reminded, denied, in_vain }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.heard.remove(&node);
        self.told.remove(&node);
        self.cloned.remove(&node);
        self.reminded.forget(node);
        self.denied.forget(node);
        self.in_vain.remove(&node);
    }
}

impl Membership {
    /// Asks a peer what it knows, if this node has just started.
    pub(super) fn ask_boot(&mut self, now: Instant, peer: NodeId) {
        let early = now < self.boots.ask_until && self.boots.asked.len() < profile::BOOT_QUERIES;
        if early && self.table.get(peer).is_some() && self.boots.asked.insert(peer) {
            let (boot, nonce) = (self.me.boot, self.boots.nonce);
            self.say(peer, MembershipMessage::BootQuery { boot, nonce });
        }
    }

    /// Somebody has another idea of this node's identity than it has itself, and is told; and asked, if that
    /// might be because this node's disk is old.
    pub(super) fn correct(&mut self, now: Instant, from: NodeId, believed: &Peer) {
        if !self.corrected.grant(now, from) {
            return;
        }
        let members = Vec::from([self.own_entry()]);
        self.say(from, MembershipMessage::Roster { members, answer: false });
        if believed.boot > self.me.boot {
            let (boot, nonce) = (self.me.boot, self.boots.nonce);
            self.say(from, MembershipMessage::BootQuery { boot, nonce });
        }
    }

    pub(super) fn answer_boot(&mut self, now: Instant, from: NodeId, boot: u32, nonce: u64) {
        // Only what it showed itself: what others said of it is not this node's to tell.
        let known = self.table.get(from).map_or(0, |known| known.proven.0);
        let heard = self.boots.heard.get(&from).copied().unwrap_or((0, 0));
        let cloned = heard.0 == boot && heard.1 != nonce;
        if boot > heard.0 {
            self.boots.heard.insert(from, (boot, nonce));
        }
        if cloned {
            self.outputs.push_back(MembershipOutput::Clone { node: from });
        }
        self.say(from, MembershipMessage::BootAnswer { highest: known.max(heard.0).max(boot), cloned });
        self.give_in(now, from, boot);
    }

    /// A member speaks that has shown this node a later boot of its own. Most often what it says was on its
    /// way for long; but if its disk is old and nobody who knew could say so when it started, nobody would
    /// ever believe it again.
    pub(super) fn remind(&mut self, now: Instant, said: &Peer) {
        let highest = self.table.get(said.node).map_or(0, |known| known.proven.0);
        if highest > said.boot && self.boots.reminded.grant(now, said.node) {
            self.say(said.node, MembershipMessage::BootAnswer { highest, cloned: false });
        }
    }

    /// A member asks under a lesser boot than it has shown this node, again and again. It was told, and
    /// believes no single one; so nobody else knows of that boot, and who asks, over a connection of its own,
    /// is who is there.
    fn give_in(&mut self, now: Instant, from: NodeId, boot: u32) {
        if self.table.get(from).is_none_or(|known| known.proven.0 <= boot) {
            self.boots.in_vain.remove(&from);
            return;
        }
        let first = InVain { boot, since: now, times: 0 };
        let told = self.boots.in_vain.entry(from).or_insert(first);
        if told.boot != boot {
            *told = first;
        }
        told.times += 1;
        if told.times >= profile::IN_VAIN && now.since(told.since) >= profile::IN_VAIN_FOR {
            self.boots.in_vain.remove(&from);
            self.table.disprove(from);
        }
    }

    /// Takes another's word on this node's boots. One member alone might lie, to end this agent again and
    /// again: two have to say so, or the only other one. Else it is told that this node knows of no such
    /// boot.
    pub(super) fn take_boot(&mut self, now: Instant, from: NodeId, highest: u32, cloned: bool) {
        let plausible = highest <= self.me.boot.saturating_add(profile::BOOTS_UNSEEN);
        if plausible && highest > self.me.boot {
            let told = self.boots.told.entry(from).or_insert(highest);
            *told = highest.max(*told);
            let mut told: Vec<u32> = self.boots.told.values().copied().collect();
            told.sort_unstable_by_key(|told| Reverse(*told));
            let known = told.get(self.tellers_needed() - 1).copied().unwrap_or(0);
            if known > self.me.boot.max(self.boots.old_disk) {
                self.boots.old_disk = known;
                self.outputs.push_back(MembershipOutput::OldDisk { known });
            } else if known <= self.me.boot && self.boots.denied.grant(now, from) {
                let (boot, nonce) = (self.me.boot, self.boots.nonce);
                self.say(from, MembershipMessage::BootQuery { boot, nonce });
            }
        }
        if cloned && self.boots.cloned.insert(from) && self.boots.cloned.len() == self.tellers_needed() {
            self.outputs.push_back(MembershipOutput::Clone { node: self.me.node });
        }
    }

    /// How many have to say the same of this node.
    fn tellers_needed(&self) -> usize {
        self.table.count().clamp(1, profile::TELLERS)
    }
}
