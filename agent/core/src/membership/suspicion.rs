//! Suspicions that this node has itself, and their witnesses.
//!
//! ```text
//! own probe failed ──▶ tell the suspect, ask three others ──▶ each probes it: silent ──▶ witness
//!        │ 4 × the least time, less with each witness            answers ──▶ tells it, too
//!        ▼
//!      down, unless it contradicted
//! ```

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use foca::{Member, State, Timer};
use sleep_wire::NodeId;
use sleep_wire::message::MembershipMessage;
use sleep_wire::swim::Peer;

use super::confirm::Purpose;
use super::profile::{FANOUT, TELL_EVERY, WITNESSES};
use super::timers::Due;
use super::{Liveness, Membership};
use crate::time::Instant;

/// A member that this node's own probe did not reach.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    peer: Peer,
    incarnation: u16,
    /// What foca wants to hear when its time is over.
    timer: Timer<Peer>,
    began: Instant,
    witnesses: BTreeSet<NodeId>,
    /// How many could confirm it.
    wanted: usize,
    told: u32,
    version: u32,
}

impl Suspicion {
    pub(super) fn put_off(&mut self, by: Duration) {
        self.began += by;
    }
}

impl Membership {
    /// foca's own probe of a member failed, and foca would like to be told when its time is over.
    pub(super) fn suspect(&mut self, now: Instant, timer: Timer<Peer>) {
        let Timer::ChangeSuspectToDown { member_id: peer, incarnation, .. } = timer else { return };
        self.probe_failures = self.probe_failures.wrapping_add(1);
        self.table.miss(peer.node, now);
        self.try_if_contested(now, peer.node);
        self.absorb(now, self.me.node, &Member::new(peer, incarnation, State::Suspect));
        let node = peer.node;
        let is_current = self.table.get(node).is_some_and(|known| {
            known.peer == peer && known.incarnation == incarnation && known.liveness == Liveness::Suspect
        });
        if !is_current {
            return;
        }
        if let Some(known) = self.suspicions.get_mut(&node) {
            known.timer = timer;
            return;
        }
        let wanted = (self.table.live_count().saturating_sub(1)).min(WITNESSES);
        let version = self.version();
        let witnesses = BTreeSet::new();
        let suspicion =
            Suspicion { peer, incarnation, timer, began: now, witnesses, wanted, told: 0, version };
        self.suspicions.insert(node, suspicion);
        self.await_suspect(now, node);
        self.tell_suspect(now, node, version);
    }

    /// Arms the end of a suspicion, as near as its witnesses bring it.
    fn await_suspect(&mut self, now: Instant, node: NodeId) {
        let members = self.table.live_count() + 1;
        let Some(suspicion) = self.suspicions.get(&node) else { return };
        let span = self.profile.suspicion(members, suspicion.witnesses.len(), suspicion.wanted);
        let at = (suspicion.began + span).max(now);
        self.timers.arm(at, Due::Suspicion { node, version: suspicion.version });
    }

    /// Tells the suspect first, then asks others to look.
    pub(super) fn tell_suspect(&mut self, now: Instant, node: NodeId, version: u32) {
        let Some(suspicion) = self.suspicions.get_mut(&node) else { return };
        if suspicion.version != version {
            return;
        }
        let message =
            MembershipMessage::Witness { about: suspicion.peer, incarnation: suspicion.incarnation };
        let ask = suspicion.told % 4 == 0 && suspicion.witnesses.len() < suspicion.wanted;
        suspicion.told += 1;
        let mut without = Vec::from_iter(suspicion.witnesses.iter().copied());
        without.push(node);
        self.say(node, message.clone());
        if ask {
            for other in self.sample(FANOUT, &without) {
                self.say(other, message.clone());
            }
        }
        self.timers.arm(now + TELL_EVERY, Due::Tell { node, version });
    }

    /// Somebody's probe of a member failed; or of this node, which then contradicts.
    pub(super) fn hear_witness(&mut self, now: Instant, from: NodeId, about: Peer, incarnation: u16) {
        let claim = Member::new(about, incarnation, State::Suspect);
        if about.node == self.me.node {
            if about == self.me {
                self.learn(now, from, Vec::from([claim]), true);
            }
            // Whoever doubts is told directly, and reliably; whoever doubts an older identity learns the new
            // one.
            let members = Vec::from([self.own_entry()]);
            self.say(from, MembershipMessage::Roster { members, answer: false });
            return;
        }
        self.learn(now, from, Vec::from([claim]), true);
        let Some(known) = self.table.get(about.node) else { return };
        let is_current =
            known.peer == about && known.incarnation == incarnation && known.liveness == Liveness::Suspect;
        if !is_current {
            return;
        }
        if let Some(suspicion) = self.suspicions.get_mut(&about.node) {
            if suspicion.witnesses.insert(from) {
                self.await_suspect(now, about.node);
            }
        } else {
            self.ping(now, about.node, Purpose::Witness { to: from, about, incarnation });
        }
    }

    /// A suspect's time is over, by whatever has brought it nearer.
    pub(super) fn end_suspicion(&mut self, now: Instant, node: NodeId, version: u32) {
        let members = self.table.live_count() + 1;
        let Some(suspicion) = self.suspicions.get(&node).filter(|known| known.version == version) else {
            return;
        };
        let span = self.profile.suspicion(members, suspicion.witnesses.len(), suspicion.wanted);
        if now < suspicion.began + span {
            // More members are there than when this was armed.
            return self.await_suspect(now, node);
        }
        let Suspicion { peer, incarnation, timer, .. } = suspicion.clone();
        self.suspicions.remove(&node);
        self.absorb(now, self.me.node, &Member::new(peer, incarnation, State::Down));
        self.drive(now, |engine, effects| drop(engine.handle_timer(timer, effects)));
    }

    /// foca's own probe of a member succeeded. One that answers and is suspected all the same was never told.
    pub(super) fn tell_survivor(&mut self, node: NodeId) {
        let Some(known) = self.table.get(node) else { return };
        if known.liveness == Liveness::Suspect && !self.suspicions.contains_key(&node) {
            let (about, incarnation) = (known.peer, known.incarnation);
            self.say(node, MembershipMessage::Witness { about, incarnation });
        }
    }

    /// News of a member that end this node's suspicion of it.
    pub(super) fn drop_suspicion(&mut self, update: &Member<Peer>) {
        let node = update.id().node;
        let stands = self.suspicions.get(&node).is_some_and(|suspicion| {
            suspicion.peer == *update.id()
                && suspicion.incarnation == update.incarnation()
                && update.state() == State::Suspect
        });
        if !stands {
            self.suspicions.remove(&node);
        }
    }
}
