//! Probing a member now: for a witness, on a rumour, and before work moves.
//!
//! ```text
//! planner's node ── ProbeNow ──▶ three random live members ── Ping ×3 ──▶ the member
//!        │  Ping ×3, by itself                                                │
//!        ◀──────────────────── ProbeResult ─────────────────────────── Pong ──┘
//! ```
//! Anybody reached it: not down. Nobody did, and two or all there are failed: confirmed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use rand::RngExt;
use sleep_wire::NodeId;
use sleep_wire::message::MembershipMessage;
use sleep_wire::swim::Peer;

use super::profile::{CONFIRM_ASKED, PING_TRIES, PINGS};
use super::timers::Due;
use super::{Membership, MembershipOutput};
use crate::time::Instant;

/// Why a member is probed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody suspects it.
    Witness { to: NodeId, about: Peer, incarnation: u16 },
    /// Somebody's planner asks.
    Asked { by: NodeId, nonce: u64 },
    /// This node's own planner asks.
    Own,
    /// Somebody calls it dead.
    Rumour,
    /// Somebody gives it another identity than it has shown.
    Name,
}

impl Purpose {
    /// Whether another member had it done: so many at a time, and no more.
    const fn is_asked_for(self) -> bool {
        matches!(self, Self::Witness { .. } | Self::Asked { .. })
    }
}

/// A member that is being probed now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinging {
    target: NodeId,
    purpose: Purpose,
    /// How often it was asked.
    asked: u8,
}

/// A question of this node's planner.
#[derive(Clone, Debug)]
pub(super) struct Confirm {
    nonce: u64,
    /// Who was asked, and what they said: whether they reached it.
    answers: BTreeMap<NodeId, Option<bool>>,
    /// Whether those who did not answer have been replaced.
    asked_again: bool,
}

impl Membership {
    /// Probes a member now, a few times.
    pub(super) fn ping(&mut self, now: Instant, target: NodeId, purpose: Purpose) {
        let same = |ping: &Pinging| ping.target == target && ping.purpose == purpose;
        let asked = self.pings.values().filter(|ping| ping.purpose.is_asked_for()).count();
        if (purpose.is_asked_for() && asked >= PINGS) || self.pings.values().any(same) {
            return;
        }
        let nonce = self.rng.random();
        self.pings.insert(nonce, Pinging { target, purpose, asked: 0 });
        let wait = if purpose == Purpose::Name { self.name_wait(now, target) } else { Duration::ZERO };
        if wait.is_zero() {
            self.ping_again(now, nonce);
        } else {
            self.timers.arm(now + wait, Due::Ping { nonce });
        }
    }

    /// It is time to ask for the first time, or an answer did not come.
    pub(super) fn ping_again(&mut self, now: Instant, nonce: u64) {
        let Some(ping) = self.pings.get_mut(&nonce) else { return };
        let Pinging { target, purpose, asked } = *ping;
        ping.asked += 1;
        let contested = self.table.is_contested(target, now);
        let failed = asked > u8::from(contested);
        let enough = failed && purpose == Purpose::Rumour && self.is_rumoured_dead(target);
        if asked == PING_TRIES || enough {
            return self.end_ping(now, nonce, false);
        }
        self.say(
            target,
            match purpose {
                Purpose::Name => who_are_you(target),
                Purpose::Witness { .. } | Purpose::Asked { .. } | Purpose::Own | Purpose::Rumour => {
                    MembershipMessage::Ping { nonce }
                }
            },
        );
        let wait = self.health.stretch(self.profile.probe_rtt);
        self.timers.arm(now + wait, Due::Ping { nonce });
    }

    pub(super) fn take_pong(&mut self, now: Instant, from: NodeId, nonce: u64) {
        if self.pings.get(&nonce).is_some_and(|ping| ping.target == from) {
            self.end_ping(now, nonce, true);
        }
    }

    fn end_ping(&mut self, now: Instant, nonce: u64, reached: bool) {
        let Some(Pinging { target, purpose, .. }) = self.pings.remove(&nonce) else { return };
        if !reached {
            self.table.miss(target, now);
        }
        match purpose {
            Purpose::Witness { to, about, incarnation } => {
                // A suspect that answers is told, too; one that does not has a witness.
                let to = if reached { target } else { to };
                self.say(to, MembershipMessage::Witness { about, incarnation });
            }
            Purpose::Asked { by, nonce } => {
                self.say(by, MembershipMessage::ProbeResult { target, nonce, reached });
            }
            Purpose::Own => {
                let me = self.me.node;
                self.take_answer(now, me, target, reached);
            }
            Purpose::Rumour => self.end_rumour(now, target, reached),
            Purpose::Name => self.name_unanswered(now, target),
        }
    }

    /// A member that a rumour made this node probe is called dead by enough others. Returns whether it had
    /// failed to answer by then, so that the probe is over: once, or twice if it has to contradict all the
    /// time.
    pub(super) fn has_failed_rumour(&mut self, node: NodeId, contested: bool) -> bool {
        let before = self.pings.len();
        let failed = |ping: &Pinging| ping.asked >= 2 + u8::from(contested);
        self.pings.retain(|_, ping| ping.target != node || ping.purpose != Purpose::Rumour || !failed(ping));
        self.pings.len() < before
    }

    /// A member's identity is asked for no longer.
    pub(super) fn stop_asking_name(&mut self, node: NodeId) {
        self.pings.retain(|_, ping| ping.target != node || ping.purpose != Purpose::Name);
    }

    /// Somebody's planner asks this node to probe a member now.
    pub(super) fn probe_for(&mut self, now: Instant, by: NodeId, target: NodeId, nonce: u64) {
        if self.table.get(target).is_some() {
            self.ping(now, target, Purpose::Asked { by, nonce });
        }
    }

    pub(super) fn confirm_down(&mut self, now: Instant, node: NodeId) {
        if self.table.get(node).is_none() || self.confirms.contains_key(&node) {
            return;
        }
        let nonce = self.rng.random();
        let answers = BTreeMap::from([(self.me.node, None)]);
        self.confirms.insert(node, Confirm { nonce, answers, asked_again: false });
        self.ping(now, node, Purpose::Own);
        self.ask_probes(now, node, CONFIRM_ASKED);
    }

    fn ask_probes(&mut self, now: Instant, node: NodeId, count: usize) {
        let Some(confirm) = self.confirms.get(&node) else { return };
        let nonce = confirm.nonce;
        let without: Vec<NodeId> = confirm.answers.keys().copied().chain([node]).collect();
        for other in self.sample(count, &without) {
            if let Some(confirm) = self.confirms.get_mut(&node) {
                confirm.answers.insert(other, None);
            }
            self.say(other, MembershipMessage::ProbeNow { target: node, nonce });
        }
        self.timers.arm(now + self.profile.confirm_wait(), Due::Confirm { node, nonce });
    }

    pub(super) fn take_result(
        &mut self,
        now: Instant,
        from: NodeId,
        target: NodeId,
        nonce: u64,
        reached: bool,
    ) {
        if self.confirms.get(&target).is_some_and(|confirm| confirm.nonce == nonce) {
            self.take_answer(now, from, target, reached);
        }
    }

    fn take_answer(&mut self, now: Instant, from: NodeId, node: NodeId, reached: bool) {
        let Some(confirm) = self.confirms.get_mut(&node) else { return };
        let Some(answer) = confirm.answers.get_mut(&from) else { return };
        *answer = Some(reached);
        if reached || confirm.answers.values().all(Option::is_some) {
            self.judge_down(now, node);
        }
    }

    /// The answers are waited for no longer. Those who gave none are replaced once.
    pub(super) fn end_confirm(&mut self, now: Instant, node: NodeId, nonce: u64) {
        let Some(confirm) = self.confirms.get_mut(&node).filter(|confirm| confirm.nonce == nonce) else {
            return;
        };
        let silent = confirm.answers.values().filter(|answer| answer.is_none()).count();
        let failed = confirm.answers.len() - silent;
        if failed >= 2 || core::mem::replace(&mut confirm.asked_again, true) {
            self.judge_down(now, node);
        } else {
            self.ask_probes(now, node, silent);
        }
    }

    fn judge_down(&mut self, now: Instant, node: NodeId) {
        let Some(confirm) = self.confirms.remove(&node) else { return };
        let count = |wanted| confirm.answers.values().filter(|answer| **answer == Some(wanted)).count();
        let (failed, asked) = (count(false), confirm.answers.len());
        let reached = count(true) > 0;
        let confirmed = !reached && failed >= asked.min(2);
        let failures = u8::try_from(failed).unwrap_or(u8::MAX);
        let asked = u8::try_from(asked).unwrap_or(u8::MAX);
        self.outputs.push_back(MembershipOutput::ProbeVerdict { node, failures, asked, reached, confirmed });
        if reached && self.table.get(node).is_some_and(|known| !known.is_live()) {
            self.announce(now, node);
        }
    }
}

/// Doubt about an identity that nobody has: whoever it is, it answers with the one that it has.
const fn who_are_you(node: NodeId) -> MembershipMessage {
    MembershipMessage::Witness { about: Peer { node, boot: 0, renewal: 0 }, incarnation: 0 }
}
