//! Whole rosters, and those that are missing from them: at a join, every minute, and while somebody is down.

use alloc::vec::Vec;
use core::time::Duration;

use foca::{Member, State};
use rand::RngExt;
use sleep_wire::NodeId;
use sleep_wire::message::{MembershipMessage, RosterEntry, RosterState};
use sleep_wire::swim::Peer;

use super::timers::Due;
use super::{Membership, RosterWanted, member_of, profile};
use crate::time::Instant;

/// So many news of one roster are passed on to others; with more, others compare theirs by themselves.
const PASS_ON: usize = 64;

/// How soon a node that has just started seeks others: only so late that what comes with the start is in.
const REACH_AT_ONCE: Duration = Duration::from_millis(10);

/// How members that are down are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeking {
    after: Duration,
    version: u32,
}

impl Membership {
    /// Who let this node in, before it is told of any member: the one that is sought first.
    pub const fn came_in_by(&mut self, door: NodeId) {
        self.door = Some(door);
    }

    /// foca's own feed takes minutes to a thousand members: the first one met is asked for all that it knows.
    pub(super) fn want_roster(&mut self, now: Instant) {
        if self.roster != RosterWanted::Yes {
            return;
        }
        let Some(door) = self.sample(1, &[]).pop() else { return };
        self.roster = RosterWanted::Asked;
        self.timers.arm(now + profile::ROSTER_RETRY, Due::Roster);
        let members = Vec::from([self.own_entry()]);
        self.say(door, MembershipMessage::Roster { members, answer: true });
        self.ask_boot(now, door);
    }

    pub(super) fn take_roster(&mut self, now: Instant, from: NodeId, members: &[RosterEntry], answer: bool) {
        // One entry is its sender's word on itself.
        if !answer && members.len() > 1 {
            self.roster = RosterWanted::Had;
        }
        let updates: Vec<Member<Peer>> = members.iter().map(member_of).collect();
        let pass_on = updates.len() <= PASS_ON;
        self.learn(now, from, updates, pass_on);
        if answer {
            self.send_roster(now, from, false);
        }
    }

    /// Sends all that is known, but to nobody twice in a moment, whatever it asks for.
    fn send_roster(&mut self, now: Instant, to: NodeId, answer: bool) {
        let last = self.rosters_sent.get(&to).copied();
        if last.is_some_and(|last| now.since(last) < profile::ROSTER_EVERY) {
            return;
        }
        self.rosters_sent.insert(to, now);
        let entries: Vec<RosterEntry> = self.table.entries().chain([self.own_entry()]).collect();
        for chunk in entries.chunks(profile::ROSTER_CHUNK) {
            self.say(to, MembershipMessage::Roster { members: chunk.to_vec(), answer });
        }
    }

    pub(super) fn send_digest(&mut self, now: Instant) {
        self.digest_armed = false;
        self.keep_up(now);
        let Some(to) = self.sample(1, &[]).pop() else { return };
        let (digest, members) = self.digest();
        self.say(to, MembershipMessage::RosterDigest { digest, members });
    }

    pub(super) fn compare_roster(&mut self, now: Instant, from: NodeId, digest: u64, members: u32) {
        if self.digest() != (digest, members) {
            self.send_roster(now, from, true);
        }
    }

    fn digest(&self) -> (u64, u32) {
        let members = u32::try_from(self.table.entries().count()).unwrap_or(u32::MAX);
        (self.table.digest(&self.own_entry()), members)
    }

    /// This node, as it lists itself.
    pub(super) const fn own_entry(&self) -> RosterEntry {
        RosterEntry { peer: self.me, incarnation: self.incarnation, state: RosterState::Alive }
    }

    /// Keeps what is said of a node whose admission may be under way.
    pub(super) fn overhear(&mut self, update: &Member<Peer>) {
        let peer = *update.id();
        let newer = |entry: &RosterEntry| (entry.peer.boot, entry.peer.renewal) <= (peer.boot, peer.renewal);
        let room = self.hearsay.len() < profile::HEARSAY || self.hearsay.contains_key(&peer.node);
        if peer.boot > 0 && room && self.hearsay.get(&peer.node).is_none_or(newer) {
            let state = match update.state() {
                State::Alive => RosterState::Alive,
                State::Suspect => RosterState::Suspect,
                State::Down => RosterState::Down,
            };
            let entry = RosterEntry { peer, incarnation: update.incarnation(), state };
            self.hearsay.insert(peer.node, entry);
        }
    }

    /// Somebody is down who was not a moment ago, or was never heard of: seeking begins again at its fastest.
    /// A node that has met nobody since its start does not wait at all.
    pub(super) fn seek_soon(&mut self, now: Instant) {
        let version = self.version();
        let after = profile::REACH_FIRST * self.seekers();
        self.seeking = Some(Seeking { after, version });
        let wait = if self.roster == RosterWanted::Yes { REACH_AT_ONCE } else { after };
        let wait = self.jitter(wait);
        self.timers.arm(now + wait, Due::Reach { version });
    }

    /// Seeks members that are down, each in turn: partitions heal, and nodes come back, without anybody's
    /// help. Rarer with time, and with the number of those who seek too. By chance alone the only one that is
    /// where it was might not be tried for long. Whoever misses more than it sees seeks several at a time: it
    /// is among the few, or the many have all moved. A newcomer begins with whoever let it in: the others may
    /// not have heard of its admission yet, and do not answer strangers.
    pub(super) fn reach(&mut self, now: Instant, version: u32) {
        let Some(seeking) = self.seeking.filter(|seeking| seeking.version == version) else { return };
        let mut sought: Vec<NodeId> = self.table.down().to_vec();
        if sought.is_empty() {
            self.seeking = None;
            return;
        }
        sought.sort_unstable();
        let after = (seeking.after * 2).min(profile::REACH_LAST * self.seekers());
        self.seeking = Some(Seeking { after, version });
        let wait = self.jitter(seeking.after);
        self.timers.arm(now + wait, Due::Reach { version });
        let count = if self.table.live_count() < sought.len() { profile::FANOUT } else { 1 };
        let anybody = self.rng.random_range(0..sought.len());
        let door = self.door.and_then(|door| sought.binary_search(&door).ok());
        let after = |last: NodeId| sought.partition_point(|node| *node <= last);
        let first = self.sought.map_or_else(|| door.unwrap_or(anybody), after);
        for node in sought.iter().cycle().skip(first).take(count.min(sought.len())) {
            self.sought = Some(*node);
            if self.table.get(*node).is_some_and(|known| !known.left) {
                self.announce(now, *node);
            }
        }
    }

    /// By how much each slows down, for all of them seek.
    fn seekers(&self) -> u32 {
        u32::try_from(self.table.live_count() / 32).unwrap_or(u32::MAX).max(1)
    }
}
