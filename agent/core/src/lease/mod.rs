//! Who may plan for the whole cluster, and until when.
//!
//! ```text
//!            majority granted                 T·(1−ρ) − d after the question
//! Follower ──────────────────▶ Holder ──────────────────────────────────────▶ Follower
//! ```
//! A holder asks the voters every T/3 and acts until T·(1−ρ)−d after a question that a majority answered; a
//! voter is bound for T·(1+ρ)+d from its answer. So the one stops before another may start, as long as every
//! clock's rate is within 1 ± ρ. Nothing is written while a lease is renewed.
//!
//! The voters are one for one or two control nodes and three from three on. The holder changes them, one step
//! at a time: `seats` proposes, `protocol` permits.
//!
//! # Invariants
//! - `one_holder`: at any real instant at most one node believes that it holds the lease.
//! - `epochs_rise`: two tenures never share an epoch, and a later one has the greater.
//! - `quorum_evidence`: a holder was granted by a majority of distinct voters of one config, and every quorum
//!   of a config meets every quorum of the next.
//!
//! `protocol` upholds them, whatever `Lease` asks of it and whenever; `model` tries everything that it could
//! ask.
//!
//! # Not here
//! Who is alive: see `membership`. Who is a control member: see `trust`. What a holder does with its lease:
//! `placement` and `rollout`. Sockets, disks, clocks.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{Hint, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use crate::time::Instant;
use config::lease;
use evidence::Sightings;
use invitations::Invitations;
use protocol::Protocol;
use random::Random;
use rules::Rules;

mod config;
mod driver;
mod evidence;
mod invitations;
mod io;
#[cfg(test)]
mod model;
mod outbox;
mod protocol;
mod random;
mod rules;
mod seats;
mod tenure;
#[cfg(test)]
mod tests;
mod voter;

pub use io::{Electorate, Ending, Evidence, LeaseInput, LeaseOutput, LeaseSettings};

/// One node's lease room: the protocol, and when to try what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    me: NodeId,
    settings: LeaseSettings,
    protocol: Protocol,
    evidence: Sightings,
    random: Random,
    known: Known,
    /// When to stand, once nothing is against it.
    stand_at: Option<Instant>,
    /// When to give up an attempt.
    attempt_until: Option<Instant>,
    /// How often in a row it stood and failed.
    failures: u32,
    /// When to renew.
    renew_at: Option<Instant>,
    /// This node wants to be rid of lease and seat.
    leaving: Option<Leaving>,
    /// The last lesser holder that was sent this node's config, and when.
    told: Option<(Epoch, Instant)>,
    /// The greatest epoch that its own candidate announced.
    announced: Epoch,
    /// When something is due next.
    wake: Option<Instant>,
    outputs: VecDeque<LeaseOutput>,
}

/// Who may vote, with moments in place of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// Unremoved control nodes. Nothing is decided on them before they were handed in.
    control: Option<BTreeSet<NodeId>>,
    /// Who answers, and when it will have answered for long enough.
    ready_at: BTreeMap<NodeId, Instant>,
    /// Voters that asked to be rid of their seat, and until when that counts.
    resigned: BTreeMap<NodeId, Instant>,
    /// This node is known not to be a control node.
    not_control: bool,
    /// Who has just answered, and may be given a seat.
    invitations: Invitations,
    /// Until when another leads that announces itself, as far as one that may not lead is concerned.
    led_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaving {
    /// When to ask the holder (again).
    ask_at: Instant,
    /// Whether [`LeaseOutput::HandedOver`] was said.
    done: bool,
}

impl Lease {
    /// A node's lease room at a start of its agent. `started`: when that was. `stored`: what its disk holds
    /// ([`LeaseCell`] with [`Epoch::ZERO`] and no config if nothing). `seed`: for backoffs.
    pub fn new(me: NodeId, started: Instant, stored: LeaseCell, settings: LeaseSettings, seed: u64) -> Self {
        let times = stored.config.as_ref().map_or(settings.times, |config| config.times);
        Self {
            me,
            settings,
            protocol: Protocol::restart(me, Rules::default(), started, stored, settings.times),
            evidence: Sightings::new(driver::fresh_for(times, settings)),
            random: Random::new(seed),
            known: Known::default(),
            stand_at: None,
            attempt_until: None,
            failures: 0,
            renew_at: None,
            leaving: None,
            told: None,
            announced: Epoch::ZERO,
            // At once: a lone voter leads again as soon as it is started.
            wake: Some(started),
            outputs: VecDeque::new(),
        }
    }

    /// `cluster init`: this node is the one voter of generation 0, and stands at once.
    pub fn found(&mut self, now: Instant) {
        self.protocol.found(now, 0, self.settings.times);
        self.drive(now);
    }

    /// Takes one input. Drain [`Lease::poll_output`] before the next.
    pub fn handle(&mut self, now: Instant, input: LeaseInput) {
        self.protocol.expire(now);
        self.absorb(now);
        // One rides in every frame, and hardly any is news.
        let known = matches!(input, LeaseInput::Hint { .. }).then(|| self.evidence.clone());
        match input {
            LeaseInput::Message { from, message } => self.receive(now, from, message),
            LeaseInput::Hint { from, hint, from_control } => {
                if from_control {
                    self.observe(now, from, &hint);
                } else {
                    self.correct(now, from, hint.epoch);
                }
            }
            LeaseInput::Durable { token } => self.protocol.durable(now, token),
            LeaseInput::DurableFailed { .. } => self.protocol.fail(now),
            LeaseInput::Tick => {}
            LeaseInput::Electorate(electorate) => self.set_electorate(now, electorate),
            LeaseInput::HandOver => {
                self.leaving.get_or_insert(Leaving { ask_at: now, done: false });
            }
            LeaseInput::Lagged(lag) => {
                if lag > lease(self.times()) / 4 {
                    self.protocol.release(now, Ending::Lagged);
                }
            }
            LeaseInput::StorageStalled => self.protocol.release(now, Ending::StorageStalled),
            LeaseInput::Planned { epoch } => self.planned(now, epoch),
            LeaseInput::Consult { with } => {
                with.into_iter().for_each(|node| self.protocol.tell_config(now, node));
            }
            LeaseInput::Recover { known } => self.recover(now, known),
        }
        self.absorb(now);
        let due = self.wake.is_some_and(|wake| now >= wake);
        if known.is_some_and(|known| known == self.evidence) && self.outputs.is_empty() && !due {
            return;
        }
        self.drive(now);
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<LeaseOutput> {
        self.outputs.pop_front()
    }

    /// The tenure of this node, only while it may act on it: ask again before every act.
    pub fn holding(&self, now: Instant) -> Option<Epoch> {
        self.protocol.tenure(now).map(|tenure| tenure.epoch)
    }

    /// Whether [`LeaseInput::Planned`] has anything new in it.
    pub fn is_outdone(&self, now: Instant, by: Epoch) -> bool {
        by.term > self.protocol.voter().heard_term() || self.holding(now).is_some_and(|mine| mine < by)
    }

    /// What is known of a holder, this node's own tenure included.
    pub fn evidence(&self, now: Instant) -> Evidence {
        self.holding(now).map_or_else(|| self.evidence.evidence(now), Evidence::Fresh)
    }

    /// What rides in this node's frames.
    pub fn hint(&self, now: Instant) -> Option<Hint> {
        match self.protocol.tenure(now) {
            Some(tenure) => {
                Some(Hint { epoch: tenure.epoch, renewal: tenure.seq, signatures: alloc::vec::Vec::new() })
            }
            None => self.evidence.hint(now),
        }
    }

    /// The greatest config seen.
    pub fn config(&self) -> Option<&VoterConfig> {
        self.protocol.config()
    }

    /// The generation of that config.
    pub fn generation(&self) -> u16 {
        self.protocol.config().map_or(0, |config| config.id.epoch.generation)
    }

    /// The highest epoch promised.
    pub fn promise(&self) -> Epoch {
        self.protocol.voter().promise()
    }

    /// When to hand in [`LeaseInput::Tick`], if nothing comes before.
    pub fn next_wake(&self) -> Option<Instant> {
        self.wake
    }
}
