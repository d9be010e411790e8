//! How a survivor begins anew: a majority of the voters is gone for good, and a person says so.
//!
//! ```text
//!  Looking ── a lease's time after the start, or force ──▶ Founding ── durable ──▶ answered
//!     │ somebody leads, or a majority of the voters answers
//!     ▼
//!  refused
//! ```
//! Which voters count is what the greatest config says that anybody here knows. Whoever changed a config had
//! a majority of its voters for it, so those of them that answer are asked, and again as long as there is
//! news.
//!
//! What is lost is only what the lost ones alone knew. Nobody is removed by it, and nothing is stopped: the
//! next generation's holder calls the roll like any other.
//!
//! # Not here
//! Singletons, whose last node may still run: a later release is told which nodes are switched off.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use sleep_wire::NodeId;
use sleep_wire::lease::{ConfigId, VoterConfig};

use super::context::Context;
use super::member::Member;
use crate::crypto::Crypto;
use crate::io::{Event, Refusal, Reply, Ticket};
use crate::lease::{Evidence, LeaseInput};
use crate::time::Instant;

/// How much longer than a lease one that was just started looks for others, before it believes that it is
/// alone; and for how long voters that answer may take to tell a later config.
const LOOKING: Duration = Duration::from_secs(1);

/// Where a node stands that is to found the next generation.
pub(crate) struct Recovering {
    ticket: Ticket,
    step: Step,
}

enum Step {
    /// It was just started, and may only not have heard the others yet, or a later config than its own.
    Looking {
        /// It founds nothing before then.
        until: Instant,
        /// Which voters of which config were asked for a later one.
        consulted: BTreeSet<(ConfigId, NodeId)>,
        /// By when they have answered, while that is to come.
        answers_by: Option<Instant>,
    },
    /// The config is on its way to the disk.
    Founding { generation: u16, token: Option<u64> },
}

impl Recovering {
    pub(super) fn next_wake(&self) -> Option<Instant> {
        match self.step {
            Step::Looking { until, answers_by, .. } => Some(answers_by.unwrap_or(until)),
            Step::Founding { .. } => None,
        }
    }

    pub(super) const fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Member {
    /// A person says that a majority of the voters is gone for good, and that this node is the one survivor.
    pub(super) fn recover<C: Crypto>(&mut self, cx: &mut Context<'_, C>, ticket: Ticket, force: bool) {
        if self.recovering.is_some() {
            return cx.out.refuse(ticket, Refusal::Busy);
        }
        let now = cx.now.instant;
        if self.is_recovered(cx) {
            let generation = self.lease.generation();
            return cx.out.reply(ticket, Reply::Recovered { changed: false, generation });
        }
        let until = self.looks_until(now);
        let step = Step::Looking { until, consulted: BTreeSet::new(), answers_by: None };
        self.recovering = Some(Recovering { ticket, step });
        if force {
            return self.found_next(cx);
        }
        self.recover_tick(cx);
    }

    /// Looks again: somebody may have been heard meanwhile.
    pub(super) fn recover_tick<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        self.consult(cx);
        let Some(Recovering { ticket, step: Step::Looking { until, answers_by, .. } }) = self.recovering
        else {
            return;
        };
        let looks_on = answers_by.is_some() || cx.now.instant < until;
        match self.needs_no_recovery(cx) {
            // Another config may be the one that counts.
            Some(Refusal::VotersAnswer { .. }) if answers_by.is_some() => {}
            Some(refusal) => {
                self.recovering = None;
                cx.out.refuse(ticket, refusal);
            }
            None if looks_on => {}
            None => self.found_next(cx),
        }
    }

    /// Asks the voters that answer for a later config, each once under each config, and gives them the time
    /// to tell it.
    fn consult<C: Crypto>(&mut self, cx: &Context<'_, C>) {
        if !matches!(self.recovering, Some(Recovering { step: Step::Looking { .. }, .. })) {
            return;
        }
        let now = cx.now.instant;
        let heard = self.voters_heard(cx.me);
        let Some(config) = self.lease.config().map(|config| config.id) else { return };
        let Some(Recovering { step: Step::Looking { consulted, answers_by, .. }, .. }) = &mut self.recovering
        else {
            return;
        };
        *answers_by = answers_by.filter(|by| now < *by);
        let with: Vec<NodeId> =
            heard.into_iter().filter(|node| *node != cx.me && consulted.insert((config, *node))).collect();
        if !with.is_empty() {
            *answers_by = Some(now + LOOKING);
            self.lease.handle(now, LeaseInput::Consult { with });
        }
    }

    /// Whether another generation would be no better than this one: this node votes alone, and leads. Not so
    /// where a stamp drove the clock to the end of its range, for the next generation is the way out of that.
    fn is_recovered<C: Crypto>(&self, cx: &Context<'_, C>) -> bool {
        let now = cx.now.instant;
        let alone = |config: &VoterConfig| config.voters.iter().all(|voter| voter.node == cx.me);
        self.lease.holding(now).is_some()
            && self.lease.config().is_some_and(alone)
            && !self.clock.is_driven_off(now)
    }

    /// Why the cluster gets on without it.
    fn needs_no_recovery<C: Crypto>(&self, cx: &Context<'_, C>) -> Option<Refusal> {
        if self.leaving.is_some() {
            return Some(Refusal::Busy);
        }
        if let Evidence::Fresh(epoch) = self.lease.evidence(cx.now.instant) {
            return Some(Refusal::Led(epoch.candidate));
        }
        let heard = self.voters_heard(cx.me);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let voters = self.lease.config().map_or(1, |config| config.voters.len());
        let refusal = Refusal::VotersAnswer { heard: count(heard.len()), voters: count(voters) };
        let enough = match self.lease.config() {
            Some(config) => config.is_quorum(heard),
            None => !heard.is_empty(),
        };
        enough.then_some(refusal)
    }

    /// The voters that answer, as far as this node knows of either: without a config it knows of whoever led
    /// last.
    pub(super) fn voters_heard(&self, me: NodeId) -> Vec<NodeId> {
        let voters: Vec<NodeId> = match (self.lease.config(), self.lease.evidence(self.last_call)) {
            (Some(config), _) => config.voters.iter().map(|voter| voter.node).collect(),
            (None, Evidence::Fresh(epoch) | Evidence::Stale(epoch)) => Vec::from([epoch.candidate]),
            (None, Evidence::None) => Vec::new(),
        };
        let live: Vec<NodeId> = self.membership.live().collect();
        voters.into_iter().filter(|node| *node == me || live.contains(node)).collect()
    }

    /// So long after a start of its agent a node has heard of whoever leads. One that has no config does not
    /// know whom to count: it looks on for as long as those who vote may take to agree.
    fn looks_until(&self, now: Instant) -> Instant {
        let lease = Duration::from_millis(u64::from(self.lease.times().lease_ms));
        let started = self.started + lease + LOOKING;
        if self.lease.config().is_some() { started } else { started.max(now + lease * 3) }
    }

    fn found_next<C: Crypto>(&mut self, cx: &mut Context<'_, C>) {
        let now = cx.now.instant;
        let before = self.lease.generation();
        self.lease.handle(now, LeaseInput::Recover { known: self.clock.present(now).generation });
        let generation = self.lease.generation();
        let Some(recovering) = &mut self.recovering else { return };
        if generation == before {
            let ticket = recovering.ticket;
            self.recovering = None;
            return cx.out.refuse(ticket, Refusal::Unsupported("this is the last generation".into()));
        }
        recovering.step = Step::Founding { generation, token: None };
        // What is written from here on goes before all that the lost ones wrote, or still write.
        self.clock.recover(now, generation);
    }

    /// The lease room has something written.
    pub(super) fn founding_is_written(&mut self, token: u64, generation: u16) {
        if let Some(Recovering { step: Step::Founding { generation: ours, token: waits }, .. }) =
            &mut self.recovering
            && *ours <= generation
        {
            waits.get_or_insert(token);
        }
    }

    /// The lease room's write is durable.
    pub(super) fn founding_is_durable<C: Crypto>(&mut self, cx: &mut Context<'_, C>, durable: u64) {
        if let Some(Recovering { ticket, step: Step::Founding { generation, token: Some(token) } }) =
            self.recovering
            && token <= durable
        {
            self.recovering = None;
            self.heard_of_generation(cx, generation, cx.me);
            cx.out.reply(ticket, Reply::Recovered { changed: true, generation });
        }
    }

    /// Tells people of a generation that is news here.
    pub(super) fn heard_of_generation<C: Crypto>(
        &mut self,
        cx: &mut Context<'_, C>,
        generation: u16,
        by: NodeId,
    ) {
        if generation > self.generation {
            self.generation = generation;
            cx.out.event(Event::Recovered { generation, by });
        }
    }
}
