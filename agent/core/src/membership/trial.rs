//! Members that answer too rarely: alive enough to contradict every suspicion, and of no use to anybody.
//!
//! ```text
//! it contradicted five suspicions in 20 s, and this node's own probe has failed
//!    └─▶ 32 pings in 6 s to it, and as many to another member
//!          ├─ it answers less than a third, the other most ──▶ down, and held down when it is back
//!          └─ else ──▶ nothing: the network is bad, or this node's part of it
//! ```
//! A suspicion ends with one word of the suspect, and of many that it is told one gets through. So SWIM keeps
//! a member for ever that loses four packets of five, and Lifeguard does so the better. What everybody sees
//! of it is how often it has to contradict; whether it is at fault, the other member tells.
//!
//! # Invariants
//! - Nobody is called dead for having been suspected often: it failed this node's own trial, or two say so
//!   who have that of their own.
//!
//! # Not here
//! Members that contradict nothing: `suspicion`. How long one is not believed that comes back: `flap`.

use alloc::collections::BTreeMap;

use rand::RngExt;
use sleep_wire::NodeId;
use sleep_wire::message::MembershipMessage;

use super::Membership;
use super::profile::{TRIAL_EVERY, TRIAL_PINGS, TRIALS, UNFIT, WELL};
use super::table::Known;
use super::timers::Due;
use crate::time::Instant;

/// A member that is tried, beside another.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    other: NodeId,
    asked: u32,
    /// What was asked of whom and not answered.
    open: BTreeMap<u64, NodeId>,
    /// How often it answered.
    answers: u32,
    /// How often the other did.
    others: u32,
}

impl Membership {
    /// This node's own probe of a member has failed: if it contradicts that all the time, it is tried.
    pub(super) fn try_if_contested(&mut self, now: Instant, node: NodeId) {
        let contested = self.table.is_contested(node, now);
        if !contested || self.trials.len() == TRIALS || self.trials.contains_key(&node) {
            return;
        }
        let Some(other) = self.sample(1, &[node]).pop() else { return };
        let trial = Trial { other, asked: 0, open: BTreeMap::new(), answers: 0, others: 0 };
        self.trials.insert(node, trial);
        self.go_on_trying(now, node);
    }

    /// Asks both once more, or sums up.
    pub(super) fn go_on_trying(&mut self, now: Instant, node: NodeId) {
        let Some(trial) = self.trials.get_mut(&node) else { return };
        if trial.asked == TRIAL_PINGS {
            return self.end_trial(now, node);
        }
        trial.asked += 1;
        let other = trial.other;
        for target in [node, other] {
            let nonce = self.rng.random();
            if let Some(trial) = self.trials.get_mut(&node) {
                trial.open.insert(nonce, target);
            }
            self.say(target, MembershipMessage::Ping { nonce });
        }
        self.timers.arm(now + TRIAL_EVERY, Due::Trial { node });
    }

    /// A member answers, perhaps late: it counts as long as the trial lasts.
    pub(super) fn answer_in_trial(&mut self, from: NodeId, nonce: u64) {
        for (node, trial) in &mut self.trials {
            if trial.open.get(&nonce) == Some(&from) {
                trial.open.remove(&nonce);
                if from == *node {
                    trial.answers += 1;
                } else {
                    trial.others += 1;
                }
            }
        }
    }

    fn end_trial(&mut self, now: Instant, node: NodeId) {
        let Some(trial) = self.trials.remove(&node) else { return };
        if trial.answers > UNFIT || trial.others < WELL {
            return;
        }
        if let Some(known) = self.table.get(node).copied().filter(Known::is_live) {
            self.believe(now, &known.dead());
        }
    }
}
