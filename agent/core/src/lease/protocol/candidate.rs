//! Standing: polls, promises, and what becomes of an attempt that fails.

use core::time::Duration;

use sleep_wire::lease::LeaseBody;
use sleep_wire::{Epoch, NodeId};

use super::super::config::hold;
use super::super::tenure::{Attempt, Role};
use super::{Effect, Protocol};
use crate::time::Instant;

impl Protocol {
    /// Asks the voters whether they would promise.
    pub(in super::super) fn stand(&mut self, now: Instant) {
        self.expire(now);
        if self.may_stand(now) {
            let epoch = self.voter.next_epoch();
            self.role = Role::Polling(Attempt::new(epoch));
            self.ask(now, LeaseBody::PreVote { epoch });
        }
        self.flush(now);
    }

    /// Asks the voters to promise, without a poll.
    #[cfg(test)]
    pub(in super::super) fn stand_unasked(&mut self, now: Instant) {
        self.expire(now);
        if self.may_stand(now) {
            self.prepare(now);
        }
        self.flush(now);
    }

    /// Gives up standing.
    pub(in super::super) fn abandon(&mut self, now: Instant) {
        if self.is_standing() {
            self.fail_attempt();
        }
        self.flush(now);
    }

    pub(super) fn polled(&mut self, now: Instant, from: NodeId, epoch: Epoch, yes: bool, highest: Epoch) {
        if self.voter.is_plausible(highest) {
            self.voter.note(highest);
        }
        let (Role::Polling(attempt), Some(config)) = (&mut self.role, self.voter.config()) else { return };
        if attempt.epoch != epoch {
            return;
        }
        let votes = if yes { &mut attempt.yes } else { &mut attempt.no };
        votes.add(self.rules, config, from);
        if attempt.yes.are_quorum_of(config) {
            self.prepare(now);
        } else if !attempt.no.leave_quorum_of(config) {
            self.fail_attempt();
        }
    }

    fn prepare(&mut self, now: Instant) {
        let epoch = self.voter.next_epoch();
        // Without its own promise on its own disk it could stand for the same epoch twice. Somebody else may
        // have had its vote since the poll.
        if !self.voter.would_promise(now, epoch) {
            return self.fail_attempt();
        }
        self.role = Role::Preparing(Attempt::new(epoch));
        self.ask(now, LeaseBody::Prepare { epoch });
    }

    pub(super) fn promised(&mut self, now: Instant, from: NodeId, epoch: Epoch) {
        let (Role::Preparing(attempt), Some(config)) = (&mut self.role, self.voter.config()) else { return };
        if attempt.epoch != epoch {
            return;
        }
        attempt.yes.add(self.rules, config, from);
        if attempt.yes.are_quorum_of(config) {
            let until = now + hold(config.times);
            self.role = Role::Granting(Attempt::new(epoch), until);
            self.ask(now, LeaseBody::Grant { epoch, seq: 1 });
        }
    }

    pub(super) fn fail_attempt(&mut self) {
        let (epoch, wait_ms, asked_for_grants) = match &self.role {
            Role::Polling(attempt) | Role::Preparing(attempt) => (attempt.epoch, attempt.wait_ms, false),
            Role::Granting(attempt, _) => (attempt.epoch, attempt.wait_ms, true),
            Role::Follower | Role::Holding(_) => return,
        };
        self.role = Role::Follower;
        if asked_for_grants {
            self.tell_released(epoch);
        }
        self.effects.push_back(Effect::Failed { wait: Duration::from_millis(u64::from(wait_ms)) });
    }
}
