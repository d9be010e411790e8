//! Holding: acquiring, renewing, changing the voters, ceasing.

use alloc::vec::Vec;

use sleep_wire::lease::{ConfigId, LeaseBody, LeaseMessage, Voter, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::super::Ending;
use super::super::config::{Votes, hold, is_well_formed, quorums_meet};
use super::super::rules::Rule;
use super::super::tenure::{Renewal, Role, Tenure};
use super::{Effect, Protocol};
use crate::time::Instant;

impl Protocol {
    /// Asks the voters to go on.
    pub(in super::super) fn renew(&mut self, now: Instant) {
        self.expire(now);
        if let (Role::Holding(tenure), Some(config)) = (&mut self.role, self.voter.config()) {
            let seq = tenure.last_seq + 1;
            tenure.last_seq = seq;
            // The clock is read before the question leaves: a voter's grant begins later.
            let until = now + hold(config.times);
            tenure.asked = Some(Renewal { seq, until, yes: Votes::default() });
            let epoch = tenure.epoch;
            self.ask(now, LeaseBody::Grant { epoch, seq });
        }
        self.flush(now);
    }

    /// Ceases to hold, and tells the voters.
    pub(in super::super) fn release(&mut self, now: Instant, why: Ending) {
        self.expire(now);
        self.end(why);
        self.flush(now);
    }

    /// Replaces the voters. Says whether it did: it may only while it holds under the present ones.
    pub(in super::super) fn change(&mut self, now: Instant, mut voters: Vec<Voter>) -> bool {
        self.expire(now);
        let changed = self.try_change(now, &mut voters);
        self.flush(now);
        changed
    }

    fn try_change(&mut self, now: Instant, voters: &mut Vec<Voter>) -> bool {
        let (Role::Holding(tenure), Some(old)) = (&mut self.role, self.voter.config()) else { return false };
        voters.sort_unstable();
        let id = ConfigId { epoch: tenure.epoch, version: old.id.version + 1 };
        let config = VoterConfig { id, voters: core::mem::take(voters), times: old.times };
        let meet = quorums_meet(&old.voters, &config.voters) || !self.rules.hold(Rule::QuorumsMeet);
        // A holder never removes itself: its own vote is part of every quorum it may rest on while it hands
        // over.
        let keeps_me = config.weight(self.me) > 0;
        if !(tenure.may_change(self.rules, old) && is_well_formed(&config) && keeps_me && meet) {
            return false;
        }
        let mut told: Vec<NodeId> = old.voters.iter().chain(&config.voters).map(|voter| voter.node).collect();
        told.sort_unstable();
        told.dedup();
        told.retain(|node| *node != self.me);
        self.write_config(now, config);
        for to in told {
            self.push(to, LeaseBody::Install);
        }
        true
    }

    pub(super) fn granted(&mut self, now: Instant, from: NodeId, epoch: Epoch, seq: u64, under: ConfigId) {
        let rules = self.rules;
        let Some(config) = self.voter.config() else { return };
        if config.id != under {
            return;
        }
        let from_answer = now + hold(config.times);
        let deadline = |from_question: Instant| {
            if rules.hold(Rule::DeadlineFromQuestion) { from_question } else { from_answer }
        };
        match &mut self.role {
            Role::Granting(attempt, until) if attempt.epoch == epoch && seq == 1 => {
                attempt.yes.add(rules, config, from);
                if attempt.yes.are_quorum_of(config) {
                    let until = deadline(*until);
                    self.acquire(now, epoch, until, under);
                }
            }
            Role::Holding(tenure) if tenure.epoch == epoch => {
                // Who grants under a config has it on its disk.
                tenure.installed.add(rules, config, from);
                let Some(asked) = tenure.asked.as_mut().filter(|asked| asked.seq == seq) else { return };
                asked.yes.add(rules, config, from);
                if asked.yes.are_quorum_of(config) {
                    tenure.until = deadline(asked.until);
                    tenure.seq = seq;
                    tenure.under = under;
                    tenure.asked = None;
                    tenure.rejected = Votes::default();
                }
            }
            Role::Follower
            | Role::Polling(_)
            | Role::Preparing(_)
            | Role::Granting(..)
            | Role::Holding(_) => {}
        }
    }

    pub(super) fn acquire(&mut self, now: Instant, epoch: Epoch, until: Instant, under: ConfigId) {
        self.role = Role::Holding(Tenure {
            epoch,
            until,
            seq: 1,
            under,
            asked: None,
            installed: Votes::default(),
            rejected: Votes::default(),
            last_seq: 1,
        });
        self.effects.push_back(Effect::Acquired { epoch });
        // What a former holder wrote last may still be on its way; from here on this one's config is the
        // greater.
        if let Some(config) = self.voter.rewritten(epoch) {
            self.write_config(now, config);
        }
    }

    pub(super) fn rejected(&mut self, from: NodeId, epoch: Epoch, highest: Epoch, wait_ms: u32) {
        if self.voter.is_plausible(highest) {
            self.voter.note(highest);
        }
        let Some(config) = self.voter.config() else { return };
        match &mut self.role {
            Role::Polling(attempt) | Role::Preparing(attempt) | Role::Granting(attempt, _)
                if attempt.epoch == epoch =>
            {
                attempt.wait_ms = attempt.wait_ms.max(wait_ms);
                attempt.no.add(self.rules, config, from);
                if !attempt.no.leave_quorum_of(config) {
                    self.fail_attempt();
                }
            }
            Role::Holding(tenure) if tenure.epoch == epoch => {
                tenure.rejected.add(self.rules, config, from);
                // The others can renew it no more, whoever they are: half of two voters is enough for that.
                if !tenure.rejected.leave_quorum_of(config) {
                    self.end(Ending::Rejected);
                }
            }
            Role::Follower
            | Role::Polling(_)
            | Role::Preparing(_)
            | Role::Granting(..)
            | Role::Holding(_) => {}
        }
    }

    pub(super) fn end(&mut self, why: Ending) {
        let Role::Holding(tenure) = &self.role else { return };
        let epoch = tenure.epoch;
        self.role = Role::Follower;
        self.effects.push_back(Effect::Lost { epoch, why });
        self.tell_released(epoch);
    }

    /// This node has ceased to hold or to want this epoch, and never will again. It rests on nothing that is
    /// written, so a disk that hangs does not keep the others waiting.
    pub(super) fn tell_released(&mut self, epoch: Epoch) {
        self.voter.release(epoch);
        let Some(config) = self.voter.config() else { return };
        for voter in config.voters.iter().filter(|voter| voter.node != self.me) {
            let message = LeaseMessage { config: config.clone(), body: LeaseBody::Release { epoch } };
            self.effects.push_back(Effect::Send { to: voter.node, message });
        }
    }

    pub(super) fn write_config(&mut self, now: Instant, config: VoterConfig) {
        if let Role::Holding(tenure) = &mut self.role {
            tenure.asked = None;
            tenure.installed = Votes::default();
            tenure.installed.add(self.rules, &config, self.me);
        }
        self.voter.install(now, config);
    }
}
