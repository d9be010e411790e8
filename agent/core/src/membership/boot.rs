//! Old disks and clones: whether others know more of this node than it does itself.

use alloc::collections::{BTreeMap, BTreeSet};

use sleep_wire::NodeId;
use sleep_wire::message::MembershipMessage;

use super::{Membership, MembershipOutput, profile};
use crate::time::Instant;

/// What was said of boots, by this node and to it.
#[derive(Clone, Debug)]
pub(super) struct Boots {
    /// Drawn at the start: tells this agent from another that runs with its key and its boot counter.
    nonce: u64,
    ask_until: Instant,
    asked: BTreeSet<NodeId>,
    /// What others said of their boots.
    heard: BTreeMap<NodeId, (u32, u64)>,
    old_disk: u32,
    cloned: bool,
}

impl Boots {
    pub(super) fn new(now: Instant, nonce: u64) -> Self {
        let (asked, heard) = (BTreeSet::new(), BTreeMap::new());
        let ask_until = now + profile::BOOT_QUERIES_FOR;
        Self { nonce, ask_until, asked, heard, old_disk: 0, cloned: false }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.heard.remove(&node);
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

    pub(super) fn answer_boot(&mut self, from: NodeId, boot: u32, nonce: u64) {
        let known = self.table.get(from).map_or(0, |known| known.peer.boot);
        let heard = self.boots.heard.get(&from).copied().unwrap_or((0, 0));
        let cloned = heard.0 == boot && heard.1 != nonce;
        if boot > heard.0 {
            self.boots.heard.insert(from, (boot, nonce));
        }
        if cloned {
            self.outputs.push_back(MembershipOutput::Clone { node: from });
        }
        self.say(from, MembershipMessage::BootAnswer { highest: known.max(heard.0).max(boot), cloned });
    }

    pub(super) fn take_boot(&mut self, highest: u32, cloned: bool) {
        let plausible = highest <= self.me.boot.saturating_add(profile::BOOTS_UNSEEN);
        if plausible && highest > self.me.boot.max(self.boots.old_disk) {
            self.boots.old_disk = highest;
            self.outputs.push_back(MembershipOutput::OldDisk { known: highest });
        }
        if cloned && !self.boots.cloned {
            self.boots.cloned = true;
            self.outputs.push_back(MembershipOutput::Clone { node: self.me.node });
        }
    }
}
