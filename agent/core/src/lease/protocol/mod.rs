//! Candidate, voter and holder of one node, and what passes between them: everything that safety rests on.
//!
//! It decides *whether* something may be done. *When* it is tried (backoff, renewals in time, whose seat
//! comes next) is [`super::Lease`]'s to say, and no choice of it can make two hold: the model tries every
//! one.
//!
//! # Not here
//! Timers, randomness, hints, the electorate.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{ConfigId, LeaseBody, LeaseMessage, LeaseTimes, Voter, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::Ending;
use super::config::is_well_formed;
use super::outbox::Outbox;
use super::rules::Rules;
use super::tenure::{Role, Tenure};
use super::voter::VoterState;
use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;

mod candidate;
mod holder;

/// What the protocol wants done, or tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Effect {
    /// Send this.
    Send {
        /// To another node.
        to: NodeId,
        /// What.
        message: LeaseMessage,
    },
    /// Make this durable, and say so.
    Persist {
        /// Comes back.
        token: u64,
        /// What.
        cell: LeaseCell,
    },
    /// This node holds the lease.
    Acquired {
        /// Its tenure.
        epoch: Epoch,
    },
    /// It no longer does.
    Lost {
        /// Its tenure.
        epoch: Epoch,
        /// Why.
        why: Ending,
    },
    /// It stood, and failed.
    Failed {
        /// How long a grant to another is known to run.
        wait: Duration,
    },
    /// Another's tenure is over: its holder says so.
    Ended {
        /// Whose.
        epoch: Epoch,
    },
    /// A voter wants to be rid of its seat.
    Resigned {
        /// Who.
        node: NodeId,
    },
}

/// One node's part in the lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Protocol {
    me: NodeId,
    rules: Rules,
    voter: VoterState,
    role: Role,
    outbox: Outbox,
    effects: VecDeque<Effect>,
    /// The disk failed: no word of this node can be trusted any more.
    failed: bool,
}

impl Protocol {
    pub(super) fn restart(
        me: NodeId,
        rules: Rules,
        started: Instant,
        cell: LeaseCell,
        times: LeaseTimes,
    ) -> Self {
        Self {
            me,
            rules,
            voter: VoterState::restart(me, rules, started, cell, times),
            role: Role::Follower,
            outbox: Outbox::default(),
            effects: VecDeque::new(),
            failed: false,
        }
    }

    pub(super) fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) fn voter(&self) -> &VoterState {
        &self.voter
    }

    pub(super) fn config(&self) -> Option<&VoterConfig> {
        self.voter.config()
    }

    /// The tenure, while it may be acted on.
    pub(super) fn tenure(&self, now: Instant) -> Option<&Tenure> {
        match &self.role {
            Role::Holding(tenure) if now < tenure.until || is_sown(Mutant::LeaseNeverExpires) => Some(tenure),
            Role::Follower
            | Role::Polling(_)
            | Role::Preparing(_)
            | Role::Granting(..)
            | Role::Holding(_) => None,
        }
    }

    /// When the present role ends by itself, if it does.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        match &self.role {
            Role::Holding(tenure) => Some(tenure.until),
            Role::Granting(_, until) => Some(*until),
            Role::Follower | Role::Polling(_) | Role::Preparing(_) => None,
        }
    }

    /// Whether the lease should now be renewed out of turn.
    pub(super) fn wants_renewal(&self, now: Instant, next_waits: bool) -> bool {
        let holds = self.tenure(now).zip(self.config());
        holds.is_some_and(|(tenure, config)| tenure.wants_renewal(config, next_waits))
    }

    /// Whether the lease rests on the present voters: each of a majority knows that it is one.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let holds = self.tenure(now).zip(self.config());
        holds.is_some_and(|(tenure, config)| tenure.under == config.id)
    }

    /// Who of the present voters is known to know that it is one.
    pub(super) fn informed(&self) -> impl Iterator<Item = NodeId> {
        let installed = if let Role::Holding(tenure) = &self.role { Some(&tenure.installed) } else { None };
        installed.into_iter().flat_map(super::config::Votes::nodes)
    }

    /// Whether this node stands.
    pub(super) fn is_standing(&self) -> bool {
        match &self.role {
            Role::Polling(_) | Role::Preparing(_) | Role::Granting(..) => true,
            Role::Follower | Role::Holding(_) => false,
        }
    }

    /// Whether this node might stand, but for what only time will change.
    pub(super) fn is_candidate(&self) -> bool {
        let seated = self.config().is_some_and(|config| config.weight(self.me) > 0);
        seated && !self.failed && self.role == Role::Follower
    }

    /// Whether it may stand now: its own vote is free.
    pub(super) fn may_stand(&self, now: Instant) -> bool {
        self.is_candidate()
            && now >= self.voter.silent_until()
            && self.voter.engaged_until(now, self.me).is_none()
    }

    /// Writes the first config of all: this node alone.
    pub(super) fn found(&mut self, now: Instant, generation: u16, times: LeaseTimes) {
        let term = if generation == 0 { 0 } else { self.voter.next_epoch().term };
        let epoch = Epoch { generation, term, candidate: self.me };
        let voters = Vec::from([Voter { node: self.me, weight: 1 }]);
        let config = VoterConfig { id: ConfigId { epoch, version: 1 }, voters, times };
        if is_well_formed(&config) && self.config().is_none_or(|old| *old < config) {
            self.install(now, config);
        }
        self.flush(now);
    }

    /// Sends this node's config to one who seems to have an older one.
    pub(super) fn tell_config(&mut self, now: Instant, to: NodeId) {
        self.push(to, LeaseBody::Install);
        self.flush(now);
    }

    /// Asks the holder to give this node's seat to another.
    pub(super) fn resign(&mut self, now: Instant, holder: NodeId) {
        self.push(holder, LeaseBody::Resign);
        self.flush(now);
    }

    /// Everything written up to this token is durable.
    pub(super) fn durable(&mut self, now: Instant, token: u64) {
        self.expire(now);
        self.outbox.durable(token);
        self.flush(now);
    }

    /// A write failed: nobody knows what the disk holds.
    pub(super) fn fail(&mut self, now: Instant) {
        self.expire(now);
        self.end(Ending::StorageFailed);
        if self.is_standing() {
            self.fail_attempt();
        }
        self.failed = true;
        self.outbox.clear();
    }

    /// An epoch was heard of, from its candidate if it was announced. Says whether it can be true.
    pub(super) fn note(&mut self, epoch: Epoch, announced: bool) -> bool {
        let plausible =
            if announced { self.voter.is_plausible(epoch) } else { self.voter.is_credible(epoch) };
        if plausible {
            self.voter.note(epoch);
        }
        plausible
    }

    /// What is over by `now` is over, whether or not a timer has said so.
    pub(super) fn expire(&mut self, now: Instant) {
        match &self.role {
            Role::Holding(tenure) if now >= tenure.until && !is_sown(Mutant::LeaseNeverExpires) => {
                self.end(Ending::Expired);
            }
            Role::Granting(_, until) if now >= *until => self.fail_attempt(),
            Role::Follower
            | Role::Polling(_)
            | Role::Preparing(_)
            | Role::Granting(..)
            | Role::Holding(_) => {}
        }
    }

    /// A message has come. `holder_lives`: whether there is fresh evidence of a holder other than the sender.
    pub(super) fn receive(&mut self, now: Instant, from: NodeId, message: LeaseMessage, holder_lives: bool) {
        self.expire(now);
        self.take(now, from, message, holder_lives);
        self.flush(now);
    }

    fn take(&mut self, now: Instant, from: NodeId, message: LeaseMessage, holder_lives: bool) {
        let LeaseMessage { config, body } = message;
        let about = epoch_of(&body);
        if self.failed
            || !self.voter.is_acceptable(&config)
            || about.is_some_and(|epoch| !self.voter.is_plausible(epoch))
        {
            return;
        }
        let order = self.config().map_or(Ordering::Greater, |mine| config.cmp(mine));
        let theirs = config.id.epoch;
        self.voter.note(theirs);
        match order {
            Ordering::Greater => self.install(now, config),
            Ordering::Less => return self.take_outdated(from, theirs, &body),
            Ordering::Equal => {}
        }
        if let (Role::Holding(tenure), Some(config)) = (&mut self.role, self.voter.config()) {
            tenure.heard(self.rules, config, from);
        }
        self.take_body(now, from, body, holder_lives);
    }

    /// A message under an older config: what is true under every config is heard, a question is answered with
    /// the newer one, an answer is too late.
    fn take_outdated(&mut self, from: NodeId, theirs: Epoch, body: &LeaseBody) {
        match *body {
            LeaseBody::PreVote { epoch } | LeaseBody::Prepare { epoch } | LeaseBody::Grant { epoch, .. } => {
                self.push(from, LeaseBody::Reject { epoch, highest: self.voter.promise(), wait_ms: 0 });
            }
            LeaseBody::Install => {
                let highest = self.voter.promise();
                self.push(from, LeaseBody::Reject { epoch: theirs, highest, wait_ms: 0 });
            }
            LeaseBody::Release { epoch } => self.released(from, epoch),
            LeaseBody::Resign => {
                self.effects.push_back(Effect::Resigned { node: from });
                self.push(from, LeaseBody::Install);
            }
            LeaseBody::PreVoteAnswer { .. }
            | LeaseBody::Promise { .. }
            | LeaseBody::Reject { .. }
            | LeaseBody::Granted { .. }
            | LeaseBody::Installed { .. } => {}
        }
    }

    fn take_body(&mut self, now: Instant, from: NodeId, body: LeaseBody, holder_lives: bool) {
        let seated = self.config().is_some_and(|config| config.weight(self.me) > 0);
        match body {
            LeaseBody::PreVote { epoch } if seated && from == epoch.candidate => {
                let answer = self.voter.pre_vote(now, epoch, holder_lives);
                self.answer(from, answer);
            }
            LeaseBody::Prepare { epoch } if seated && from == epoch.candidate => {
                let answer = self.voter.prepare(now, epoch);
                self.answer(from, answer);
            }
            LeaseBody::Grant { epoch, seq } if seated && from == epoch.candidate => {
                let answer = self.voter.grant(now, epoch, seq);
                self.answer(from, answer);
            }
            // Who is no voter has no vote; who asks for another's epoch gets no answer.
            LeaseBody::PreVote { .. } | LeaseBody::Prepare { .. } | LeaseBody::Grant { .. } => {}
            LeaseBody::Install => {
                let installed = self.config().map(|config| LeaseBody::Installed { config: config.id });
                self.answer(from, installed);
            }
            LeaseBody::PreVoteAnswer { epoch, yes, highest } => self.polled(now, from, epoch, yes, highest),
            LeaseBody::Promise { epoch } => self.promised(now, from, epoch),
            LeaseBody::Granted { epoch, seq, config } => self.granted(now, from, epoch, seq, config),
            LeaseBody::Reject { epoch, highest, wait_ms } => self.rejected(from, epoch, highest, wait_ms),
            // It was noted with the message: who speaks under a config has it installed.
            LeaseBody::Installed { .. } => {}
            LeaseBody::Release { epoch } => self.released(from, epoch),
            LeaseBody::Resign => self.effects.push_back(Effect::Resigned { node: from }),
        }
    }

    fn released(&mut self, from: NodeId, epoch: Epoch) {
        if from == epoch.candidate && from != self.me {
            self.voter.release(epoch);
            self.effects.push_back(Effect::Ended { epoch });
        }
    }

    fn install(&mut self, now: Instant, config: VoterConfig) {
        let by = config.id.epoch;
        self.voter.install(now, config);
        match &mut self.role {
            // Votes are counted under one config.
            Role::Polling(_) | Role::Preparing(_) | Role::Granting(..) => self.fail_attempt(),
            Role::Holding(tenure) if by > tenure.epoch => self.end(Ending::Superseded),
            Role::Follower | Role::Holding(_) => {}
        }
    }

    /// Asks every voter, this node first: what its own vote makes durable goes before what the others read.
    fn ask(&mut self, now: Instant, body: LeaseBody) {
        let Some(config) = self.voter.config() else { return };
        let others: Vec<NodeId> =
            config.voters.iter().map(|voter| voter.node).filter(|node| *node != self.me).collect();
        self.take_body(now, self.me, body.clone(), false);
        for to in others {
            self.push(to, body.clone());
        }
    }

    fn answer(&mut self, to: NodeId, body: Option<LeaseBody>) {
        if let Some(body) = body {
            self.push(to, body);
        }
    }

    fn push(&mut self, to: NodeId, body: LeaseBody) {
        self.persist();
        if let Some(config) = self.voter.config() {
            self.outbox.push(to, LeaseMessage { config: config.clone(), body });
        }
    }

    fn persist(&mut self) {
        if let Some(cell) = self.voter.take_unwritten() {
            let token = self.outbox.write();
            self.effects.push_back(Effect::Persist { token, cell });
        }
    }

    /// Lets out what may leave; what is for this node itself is handled here.
    fn flush(&mut self, now: Instant) {
        self.persist();
        while let Some((to, message)) = self.outbox.pop(self.rules) {
            if to == self.me {
                self.take(now, to, message, false);
                self.persist();
            } else {
                self.effects.push_back(Effect::Send { to, message });
            }
        }
    }

    /// As it will be when its clock has gone on for so long, seen from the same `now`.
    #[cfg(test)]
    pub(super) fn age(&mut self, now: Instant, by: Duration) {
        self.voter.age(now, by);
        let later = |instant: Instant| (instant - by).max(now);
        match &mut self.role {
            Role::Follower | Role::Polling(_) | Role::Preparing(_) => {}
            Role::Granting(_, until) => *until = later(*until),
            Role::Holding(tenure) => {
                tenure.until = later(tenure.until);
                if let Some(asked) = &mut tenure.asked {
                    asked.until = later(asked.until);
                }
            }
        }
    }

    /// See [`Outbox::rebase`].
    #[cfg(test)]
    pub(super) fn rebase_tokens(&mut self) -> u64 {
        self.outbox.rebase()
    }

    #[cfg(test)]
    pub(super) fn role(&self) -> &Role {
        &self.role
    }
}

/// The epoch that a message speaks of.
const fn epoch_of(body: &LeaseBody) -> Option<Epoch> {
    match body {
        LeaseBody::PreVote { epoch }
        | LeaseBody::PreVoteAnswer { epoch, .. }
        | LeaseBody::Prepare { epoch }
        | LeaseBody::Promise { epoch }
        | LeaseBody::Reject { epoch, .. }
        | LeaseBody::Grant { epoch, .. }
        | LeaseBody::Granted { epoch, .. }
        | LeaseBody::Release { epoch } => Some(*epoch),
        LeaseBody::Installed { config } => Some(config.epoch),
        LeaseBody::Install | LeaseBody::Resign => None,
    }
}
