//! Letting foca act: every call of it goes through here, and what it wants done is done.

use alloc::vec::Vec;
use core::time::Duration;

use foca::{Identity as _, Member, State, Timer};
use sleep_wire::NodeId;
use sleep_wire::message::Message;
use sleep_wire::swim::Peer;

use super::swim::{self, Effects, Engine};
use super::table::{Change, Known};
use super::timers::Due;
use super::{Membership, MembershipOutput, Probe, profile};
use crate::time::Instant;

impl Membership {
    /// Lets foca do something, and does what it wants done.
    pub(super) fn drive(&mut self, now: Instant, act: impl FnOnce(&mut Engine, &mut Effects)) {
        self.drive_for(now, None, act);
    }

    pub(super) fn drive_for(
        &mut self,
        now: Instant,
        from: Option<NodeId>,
        act: impl FnOnce(&mut Engine, &mut Effects),
    ) {
        let mut effects = Effects::default();
        act(&mut self.engine, &mut effects);
        if let Some(peer) = effects.renewed {
            (self.me, self.incarnation, self.renewed_at) = (peer, 0, Some(now));
            self.health.worsen(1);
            // foca drops its timers with its identity, those that would end a suspicion too.
            self.suspicions.clear();
            // Under its new identity foca waits for somebody to speak to it. It knows enough to go on by
            // itself.
            drop(self.engine.apply_many(core::iter::empty(), false, &mut effects));
        }
        let renewed = effects.renewed.is_some();
        for (to, bytes) in effects.sends {
            if self.table.get(to.node).is_some() {
                self.outputs.push_back(MembershipOutput::Send { to: to.node, message: Message::Swim(bytes) });
            }
        }
        for (timer, after) in effects.timers {
            self.arm_swim(now, timer, after);
        }
        if renewed {
            self.recant();
            if let Some(from) = from {
                self.announce(now, from);
            }
        }
    }

    pub(super) fn arm_swim(&mut self, now: Instant, timer: Timer<Peer>, after: Duration) {
        let after = match &timer {
            Timer::ProbeRandomMember(_) => self.health.stretch(after),
            Timer::SendIndirectProbe { probed_id, .. } => {
                self.probe = Probe { target: Some(probed_id.node), heard_others: false };
                self.health.stretch(after)
            }
            // foca asks for this when its own probe has failed, and at no other time.
            Timer::ChangeSuspectToDown { .. } => return self.suspect(now, timer),
            Timer::PeriodicGossip(_) if self.engine.updates_backlog() == 0 => {
                self.idle_gossip = Some(timer);
                return;
            }
            Timer::PeriodicGossip(_)
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::RemoveDown(_) => after,
        };
        self.timers.arm(now + after, Due::Swim(timer));
    }

    pub(super) fn fire(&mut self, now: Instant, timer: Timer<Peer>) {
        if matches!(timer, Timer::ProbeRandomMember(_)) {
            let probe = core::mem::take(&mut self.probe);
            let failed = self.probe_failures;
            self.drive(now, |engine, effects| drop(engine.handle_timer(timer, effects)));
            match probe.target {
                Some(node) if self.probe_failures == failed => {
                    self.health.recover();
                    self.tell_survivor(node);
                }
                Some(_) if !probe.heard_others => self.health.worsen(1),
                Some(_) | None => {}
            }
        } else {
            self.drive(now, |engine, effects| drop(engine.handle_timer(timer, effects)));
        }
    }
}

/// What is said of members, on its way to foca.
impl Membership {
    /// Drops from what others say what is no news, what speaks of strangers, and what speaks for this node.
    pub(super) fn news(
        &mut self,
        now: Instant,
        from: NodeId,
        updates: Vec<Member<Peer>>,
    ) -> Vec<Member<Peer>> {
        let mut news = Vec::new();
        for update in updates {
            let peer = *update.id();
            if peer.node == self.me.node {
                if self.hear_of_self(now, from, &update) {
                    news.push(update);
                }
            } else if self.table.get(peer.node).is_none() {
                self.overhear(&update);
            } else if update.state() != State::Alive && self.is_stale(now, from, peer.node) {
                // It was cut off when it came to believe this.
            } else if peer.boot == 0 {
                // Nobody has this identity.
            } else if from == peer.node {
                news.extend(self.own_word(now, &update).then_some(update));
            } else if let Some(believed) = self.weigh(now, from, &update)
                && self.absorb(now, from, &believed)
            {
                news.push(believed);
            }
        }
        news
    }

    /// What others say of this node. Returns whether foca shall hear it.
    pub(super) fn hear_of_self(&mut self, now: Instant, from: NodeId, update: &Member<Peer>) -> bool {
        let peer = *update.id();
        if peer != self.me {
            if !self.me.win_addr_conflict(&peer) {
                self.correct(now, from, &peer);
            }
            return false;
        }
        match update.state() {
            State::Alive => false,
            State::Suspect if update.incarnation() < u16::MAX => {
                let news = update.incarnation() >= self.incarnation;
                if news {
                    self.incarnation = update.incarnation().saturating_add(1);
                    self.health.worsen(1);
                }
                news
            }
            // Against the last incarnation, as against death, only a new identity helps.
            State::Suspect | State::Down => self.renews_for(now, from),
        }
    }

    /// Whether this node takes a new identity because somebody calls it dead: now and then, and rarer if it
    /// is the same one again and again, for its own probes and suspicions begin anew each time.
    pub(super) fn renews_for(&mut self, now: Instant, from: NodeId) -> bool {
        let lately = self.renewed_at.is_some_and(|at| now.since(at) < profile::RENEW_EVERY);
        if lately || !self.renewed_for.grant(now, from) {
            return false;
        }
        self.renewed_at = Some(now);
        let left = self.me.renewal < u16::MAX;
        if !left {
            // foca would fall silent for good.
            self.outputs.push_back(MembershipOutput::UsedUp);
        }
        left
    }

    /// Hands foca what came by other ways than its own packets.
    pub(super) fn learn(&mut self, now: Instant, from: NodeId, updates: Vec<Member<Peer>>, pass_on: bool) {
        let news = self.news(now, from, updates);
        if !news.is_empty() {
            self.drive_for(now, Some(from), |engine, effects| {
                drop(engine.apply_many(news.into_iter(), pass_on, effects));
            });
        }
    }

    /// Believes something of a member, for reasons of this node's own, and tells others.
    pub(super) fn believe(&mut self, now: Instant, update: &Member<Peer>) {
        if self.absorb(now, self.me.node, update) {
            let update = update.clone();
            self.drive(now, |engine, effects| {
                drop(engine.apply_many(core::iter::once(update), true, effects));
            });
        }
    }

    /// Takes what a member says of itself, which goes before what others said of it. Returns whether it is
    /// news.
    pub(super) fn own_word(&mut self, now: Instant, update: &Member<Peer>) -> bool {
        let node = update.id().node;
        let wrong = self.table.hearsay_beyond(update.id());
        if let Some(peer) = wrong {
            self.forget(now, peer);
        }
        let change =
            if wrong.is_some() { self.table.replace(now, update) } else { self.table.absorb(now, update) };
        self.table.prove(update.id());
        self.end_names(now, node);
        if let Some((change, restarted)) = change {
            self.changed(now, node, update, change, restarted);
        }
        change.is_some()
    }

    /// Takes one update into the table, and says what it changed. Returns whether it is news.
    pub(super) fn absorb(&mut self, now: Instant, by: NodeId, update: &Member<Peer>) -> bool {
        let Some((change, restarted)) = self.table.absorb(now, update) else { return false };
        self.changed(now, by, update, change, restarted);
        true
    }

    fn changed(&mut self, now: Instant, by: NodeId, update: &Member<Peer>, change: Change, restarted: bool) {
        let node = update.id().node;
        self.drop_suspicion(update);
        let was_awaited = restarted && self.holds.remove(&node).is_some();
        let is_live = self.table.get(node).is_some_and(Known::is_live);
        if restarted && is_live && self.is_held_down(node) {
            // A fresh start, though nobody noticed that it was away.
            self.flaps.remove(&node);
            self.outputs.push_back(MembershipOutput::Up { node });
        }
        match change {
            Change::Up => {
                self.called_dead.remove(&node);
                self.resize();
                if !self.hold_down(now, node, restarted) {
                    self.outputs.push_back(MembershipOutput::Up { node });
                }
            }
            Change::Suspected if !self.is_held_down(node) => {
                self.outputs.push_back(MembershipOutput::Suspect { node, by });
            }
            Change::Refuted if !self.is_held_down(node) => {
                self.outputs.push_back(MembershipOutput::Refuted { node });
            }
            Change::Down => {
                if by != node {
                    self.call_dead(node);
                }
                self.resize();
                self.seeking = None;
                let left = self.table.get(node).is_some_and(|known| known.left);
                if !self.let_go(now, node) {
                    self.outputs.push_back(if left {
                        MembershipOutput::Left { node }
                    } else {
                        MembershipOutput::Down { node }
                    });
                }
            }
            Change::Inward if was_awaited && !is_live => {
                // It has restarted, as it said that it would, and is down since.
                self.outputs.push_back(MembershipOutput::Down { node });
            }
            Change::Suspected | Change::Refuted | Change::Inward => {}
        }
    }

    pub(super) fn resize(&mut self) {
        let members = self.table.live_count() + 1;
        let config = swim::config(&self.profile, members);
        let resized = self.engine.set_config(config);
        debug_assert!(resized.is_ok(), "only what foca lets change depends on the number of members");
    }
}
