//! When to try what: renewals in time, backoffs, whose seat comes next, and how to go.
//!
//! Nothing here is needed for safety; everything here is needed for a cluster that gets on.

use core::time::Duration;

use sleep_wire::lease::{Hint, LeaseMessage, LeaseTimes, Voter, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::config::{grant, lease};
use super::protocol::Effect;
use super::seats::{self, Roll};
use super::{Electorate, Ending, Evidence, Lease, LeaseOutput, LeaseSettings, Leaving};
use crate::time::Instant;

/// How long a sign of life is fresh: T by the slowest clock and a gossip round.
pub(super) fn fresh_for(times: LeaseTimes, settings: LeaseSettings) -> Duration {
    (grant(times) + settings.gossip_round).saturating_sub(settings.impatience)
}

impl Lease {
    /// The config's durations; before there is one, this node's own.
    pub fn times(&self) -> LeaseTimes {
        self.protocol.config().map_or(self.settings.times, |config| config.times)
    }

    // ---------------------------------------------------------------------- inputs

    pub(super) fn receive(&mut self, now: Instant, from: NodeId, message: LeaseMessage) {
        // Its own frames do not come back to it; whoever says so is not to be believed.
        if from == self.me {
            return;
        }
        self.known.invitations.heard(now, from, message.config.id);
        let lives = match self.evidence(now) {
            // A holder that was restarted asks anew, while the news of its last tenure is still fresh.
            Evidence::Fresh(epoch) => {
                epoch.candidate != from && epoch.generation >= message.config.id.epoch.generation
            }
            Evidence::Stale(_) | Evidence::None => false,
        };
        self.protocol.receive(now, from, message, lives);
    }

    pub(super) fn observe(&mut self, now: Instant, from: NodeId, hint: &Hint) {
        let epoch = hint.epoch;
        let announced = from == epoch.candidate;
        let gives_way = self.known.not_control && epoch.generation >= self.generation();
        if announced && gives_way {
            self.known.led_until = Some(now + fresh_for(self.times(), self.settings));
        }
        if !self.protocol.note(epoch, announced) || epoch.candidate == self.me {
            return;
        }
        if let Some(mine) = self.holding(now) {
            if !announced {
                return;
            }
            // Of two lines the greater wins; but a worker's is heard only where its generation is greater.
            if epoch < mine && !gives_way {
                return self.tell(now, epoch);
            }
            self.protocol.release(now, Ending::Announced);
            self.absorb(now);
        }
        if announced && epoch > self.announced {
            self.announced = epoch;
            self.outputs.push_back(LeaseOutput::Announced { epoch });
        }
        if let Some(epoch) = self.evidence.observe(now, hint, announced) {
            if let Some(leaving) = &mut self.leaving {
                leaving.ask_at = now;
            }
            self.failures = 0;
            self.outputs.push_back(LeaseOutput::HolderSeen { epoch });
        }
    }

    /// One that has no say takes itself for the holder still: it was cut off when it was demoted.
    pub(super) fn correct(&mut self, now: Instant, from: NodeId, epoch: Epoch) {
        let lesser = self.holding(now).is_some_and(|mine| epoch < mine);
        if lesser && from == epoch.candidate {
            self.tell(now, epoch);
        }
    }

    /// Somebody planned in this epoch. What stands in a greater one than this holder's is of another line,
    /// and whoever leads that may be heard by nobody any more, as a worker: this node stands again, above it.
    pub(super) fn planned(&mut self, now: Instant, epoch: Epoch) {
        let outdone = |mine: Epoch| mine < epoch && mine.generation == epoch.generation;
        if self.protocol.note(epoch, false) && self.holding(now).is_some_and(outdone) {
            self.protocol.release(now, Ending::Outdone);
        }
    }

    /// Somebody announces a lesser epoch as held: both halves of a cluster were recovered, or it has slept.
    /// It learns the greater config.
    fn tell(&mut self, now: Instant, lesser: Epoch) {
        let every = lease(self.times()) / 3;
        if self.told.is_none_or(|(epoch, at)| epoch != lesser || now >= at + every) {
            self.told = Some((lesser, now));
            self.protocol.tell_config(now, lesser.candidate);
        }
    }

    pub(super) fn set_electorate(&mut self, now: Instant, electorate: Electorate) {
        // Not before its silence after a start is over, by whatever clock: till then its seat is a loss.
        let wait = self.settings.growth_wait.max(grant(self.times()) * 11 / 10);
        self.known.invitations.retain(&electorate.control);
        self.known.control = Some(electorate.control);
        self.known.ready_at =
            electorate.up.into_iter().map(|(node, up)| (node, now + wait.saturating_sub(up))).collect();
        self.known.not_control = !electorate.me_control;
        if electorate.me_control {
            self.known.led_until = None;
        }
    }

    pub(super) fn recover(&mut self, now: Instant, known: u16) {
        self.protocol.release(now, Ending::Recovered);
        self.protocol.abandon(now);
        // How it fared with the old voters is no reason to wait.
        self.absorb(now);
        let times = self.times();
        // Who is no voter may have heard of a generation, and have no config of it.
        let generation = known.max(self.generation()).max(self.protocol.voter().heard_generation());
        self.protocol.found(now, generation.saturating_add(1), times);
        self.stand_at = None;
        self.failures = 0;
    }

    // ---------------------------------------------------------------------- effects

    /// Passes on what the protocol wants, and takes note of what it tells.
    pub(super) fn absorb(&mut self, now: Instant) {
        while let Some(effect) = self.protocol.effect() {
            match effect {
                Effect::Send { to, message } => self.outputs.push_back(LeaseOutput::Send { to, message }),
                Effect::Persist { token, cell } => {
                    self.outputs.push_back(LeaseOutput::Persist { token, cell });
                    self.evidence.set_span(fresh_for(self.times(), self.settings));
                }
                Effect::Acquired { epoch } => {
                    self.failures = 0;
                    self.attempt_until = None;
                    self.renew_at = Some(now + lease(self.times()) / 3);
                    self.known.resigned.clear();
                    self.outputs.push_back(LeaseOutput::Acquired { epoch });
                }
                Effect::Lost { epoch, why } => {
                    self.renew_at = None;
                    self.stand_at = None;
                    self.outputs.push_back(LeaseOutput::Lost { epoch, why });
                }
                Effect::Failed { wait } => {
                    self.attempt_until = None;
                    self.failures = self.failures.saturating_add(1);
                    // A voter is bound for a grant's time at most, whatever it says.
                    let wait = wait.min(grant(self.times()));
                    self.stand_at = Some(now + wait + self.deference() + self.backoff());
                }
                Effect::Ended { epoch } => {
                    self.evidence.end(now, epoch);
                    self.known.led_until = None;
                }
                Effect::Resigned { node } => {
                    // Long enough for its removal to be written down; not for ever, for it may think better
                    // of it.
                    let until = now + lease(self.times()) * 10;
                    if self.known.control.as_ref().is_some_and(|control| control.contains(&node)) {
                        self.known.resigned.insert(node, until);
                    }
                }
            }
        }
    }

    /// Random, so that two who wait for the same moment seldom stand together: up to T/4, doubled with each
    /// failure up to T; a quarter of that if the last holder took its leave, for then nobody is in doubt. One
    /// who votes alone need not wait for anybody.
    fn backoff(&mut self) -> Duration {
        let alone = self.protocol.config().is_some_and(|config| config.voters.len() == 1);
        if alone && self.failures == 0 {
            return Duration::ZERO;
        }
        let spread = lease(self.times()) / 16 * (1 << self.failures.min(2));
        self.random.below(if self.evidence.took_leave() { spread } else { spread * 4 })
    }

    // ---------------------------------------------------------------------- timers

    /// Does what is due, and says when something will be.
    pub(super) fn drive(&mut self, now: Instant) {
        self.known.resigned.retain(|_, until| now < *until);
        if self.attempt_until.is_some_and(|until| now >= until) {
            self.protocol.abandon(now);
            self.absorb(now);
        }
        self.drive_candidate(now);
        self.absorb(now);
        self.drive_holder(now);
        self.absorb(now);
        self.drive_leaving(now);
        self.absorb(now);
        self.wake = self.next_due(now);
    }

    fn is_departing(&self) -> bool {
        self.leaving.is_some() || self.known.not_control
    }

    /// For how long it leaves it to others to stand. Who is about to go, does so: but where they are not
    /// enough, or do not know that they may, it leads until it has an heir.
    fn deference(&self) -> Duration {
        let sole = |config: &VoterConfig| config.voters.iter().all(|voter| voter.node == self.me);
        let defers = self.is_departing() && !self.protocol.config().is_some_and(sole);
        if defers { lease(self.times()) * 2 } else { Duration::ZERO }
    }

    /// Whether another lives who should not be disturbed.
    fn is_led(&self, now: Instant) -> bool {
        // A worker that has a greater config of the same generation is heard by nobody.
        if self.known.led_until.is_some_and(|until| now < until) {
            return true;
        }
        let generation = self.generation();
        match self.evidence(now) {
            // A holder of a former generation does not lead this one: a person said that it is gone.
            Evidence::Fresh(epoch) => epoch.generation >= generation,
            Evidence::Stale(_) | Evidence::None => false,
        }
    }

    fn drive_candidate(&mut self, now: Instant) {
        if self.is_led(now) || !self.protocol.may_stand(now) {
            self.stand_at = None;
            return;
        }
        let at = match self.stand_at {
            Some(at) => at,
            None => now + self.deference() + self.backoff(),
        };
        self.stand_at = Some(at);
        if now >= at {
            self.stand_at = None;
            self.attempt_until = Some(now + lease(self.times()) / 2);
            self.protocol.stand(now);
        }
    }

    fn drive_holder(&mut self, now: Instant) {
        if self.holding(now).is_none() {
            return;
        }
        let (departing, roll) = (self.is_departing(), self.roll(now));
        let goes = self.leaving.is_some() && self.is_alone();
        if goes || departing && self.has_heir(roll.as_ref()) && self.protocol.is_settled(now) {
            return self.protocol.release(now, Ending::HandedOver);
        }
        let proposed =
            self.protocol.config().zip(roll).and_then(|(old, roll)| seats::next(&old.voters, &roll));
        let wants_change = proposed.is_some_and(|voters| {
            let waits = !departing && self.waits_for_answers(now, &voters);
            waits || !self.protocol.change(now, voters)
        });
        let early = self.protocol.wants_renewal(now, wants_change || departing);
        if early || self.renew_at.is_some_and(|at| now >= at) {
            self.renew_at = Some(now + lease(self.times()) / 3);
            self.protocol.renew(now);
        }
    }

    /// Whether somebody who is to be given a seat has not just answered under the present config: then it is
    /// asked to.
    fn waits_for_answers(&mut self, now: Instant, voters: &[Voter]) -> bool {
        let Some(config) = self.protocol.config() else { return false };
        let newcomers = voters.iter().map(|voter| voter.node).filter(|node| config.weight(*node) == 0);
        let (silent, asked) = self.known.invitations.invite(now, config, newcomers);
        for node in asked {
            self.protocol.tell_config(now, node);
        }
        silent > 0
    }

    fn roll(&self, now: Instant) -> Option<Roll> {
        let known = &self.known;
        let control = known.control.as_ref()?;
        let departing = self.is_departing();
        let config = self.protocol.config()?;
        let is_passed_over = |node: NodeId| known.invitations.is_passed_over(now, node, config);
        let is_ready = |(node, at): &(&NodeId, &Instant)| now >= **at && !is_passed_over(**node);
        let stays = |node: &NodeId| !(known.resigned.contains_key(node) || departing && *node == self.me);
        Some(Roll {
            me: self.me,
            departing,
            eligible: control.iter().copied().filter(stays).collect(),
            up: known.ready_at.keys().copied().collect(),
            ready: known.ready_at.iter().filter(is_ready).map(|(node, _)| *node).collect(),
        })
    }

    /// Whether another answers that is to stay and knows that it is a voter.
    fn has_heir(&self, roll: Option<&Roll>) -> bool {
        roll.is_some_and(|roll| self.protocol.informed().any(|node| roll.is_heir(node)))
    }

    /// Whether there is no other control node.
    fn is_alone(&self) -> bool {
        self.known.control.as_ref().is_some_and(|control| control.iter().all(|node| *node == self.me))
    }

    fn drive_leaving(&mut self, now: Instant) {
        let Some(leaving) = self.leaving.filter(|leaving| !leaving.done) else { return };
        if self.holding(now).is_some() {
            return;
        }
        let seated = self.protocol.config().is_some_and(|config| config.weight(self.me) > 0);
        if !seated || self.is_alone() {
            self.leaving = Some(Leaving { done: true, ..leaving });
            self.outputs.push_back(LeaseOutput::HandedOver);
        } else if now >= leaving.ask_at {
            self.leaving = Some(Leaving { ask_at: now + lease(self.times()) / 3, ..leaving });
            if let Evidence::Fresh(epoch) = self.evidence(now) {
                self.protocol.resign(now, epoch.candidate);
            }
        }
    }

    /// The first moment after `now` at which something is due.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let holds = self.holding(now).is_some();
        let blocked = self.protocol.is_candidate() && self.stand_at.is_none();
        let voter = self.protocol.voter();
        let free_at = [
            Some(voter.silent_until()),
            voter.engaged_until(now, self.me),
            self.evidence.fresh_until().filter(|_| self.is_led(now)),
            self.known.led_until,
        ];
        let free_at = free_at.into_iter().flatten().max().filter(|_| blocked);
        // Growth waits for those who have not answered for long enough; a resignation ends.
        let ready_at = self.known.ready_at.values().chain(self.known.resigned.values()).copied();
        let ready_at = ready_at.filter(|at| holds && *at > now).min();
        let invitations = self.protocol.config().filter(|_| holds).into_iter();
        let invitations = invitations.flat_map(|config| self.known.invitations.moments(config));
        let invite_at = invitations.filter(|at| *at > now).min();
        let ask_at = self.leaving.filter(|leaving| !leaving.done && !holds).map(|leaving| leaving.ask_at);
        let stand_at = self.stand_at.map(|at| at.max(now + Duration::from_micros(1)));
        let own = [self.protocol.ends_at(), self.attempt_until, self.renew_at];
        let others = [stand_at, free_at, ready_at, invite_at, ask_at];
        own.into_iter().chain(others).flatten().filter(|at| *at > now).min()
    }
}
