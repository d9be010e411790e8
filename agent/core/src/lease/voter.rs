//! What a voter promised and granted, and what it may say now.

use core::time::Duration;

use sleep_wire::durable::LeaseCell;
use sleep_wire::lease::{ConfigId, LeaseBody, LeaseTimes, VoterConfig};
use sleep_wire::{Epoch, NodeId};

use super::config::{grant, hold, is_well_formed};
use super::rules::{Rule, Rules};
use crate::time::Instant;

/// The most that a term may rise at once: more is a lie or a broken memory.
const MAX_TERM_STEP: u64 = 1 << 20;

/// One voter's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct VoterState {
    me: NodeId,
    rules: Rules,
    /// On disk, or on its way there.
    cell: LeaseCell,
    /// Whether `cell` changed since it was last asked to be written.
    unwritten: bool,
    /// The last grant, live or over.
    grant: Option<Grant>,
    /// After a restart: says nothing before.
    silent_until: Instant,
    /// After it was added to a config.
    added: Option<Added>,
    /// No epoch up to this one is granted again: its holder has ceased.
    released: Epoch,
    /// The greatest generation that was heard of.
    heard_generation: u16,
    /// The greatest term that was heard of, in whatever generation: a later one may have lesser terms.
    heard_term: u64,
    /// The longest T that a grant of this voter can have had, as T·(1+ρ)+d.
    silence: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Grant {
    epoch: Epoch,
    seq: u64,
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Added {
    by: Epoch,
    until: Instant,
}

/// What a voter would say to an epoch.
enum Stance {
    /// Nothing: it may have forgotten something.
    Silent,
    /// No, and for so long: another's grant is live.
    Engaged(Duration),
    /// No: it promised a greater one, or this one has ended.
    Passed,
    /// Yes.
    Free,
}

impl VoterState {
    /// A voter as its disk remembers it, at a start of its agent.
    pub(super) fn restart(
        me: NodeId,
        rules: Rules,
        started: Instant,
        cell: LeaseCell,
        times: LeaseTimes,
    ) -> Self {
        let stored = cell.config.as_ref().map_or(Duration::ZERO, |config| grant(config.times));
        let silence = stored.max(grant(times));
        // A grant to another raises the promise to the other's epoch, and its own epoch is promised only when
        // no such grant is live: if the highest promise is its own, there is nothing to be silent about. Nor
        // is there if it never promised anything.
        let innocent = cell.promise.candidate == me || (cell.promise == Epoch::ZERO && cell.config.is_none());
        let silent_for = if innocent || !rules.hold(Rule::RestartSilence) {
            Duration::ZERO
        } else if !rules.hold(Rule::SilenceOutlastsLease) {
            cell.config.as_ref().map_or(silence, |config| hold(config.times)) / 2
        } else {
            silence
        };
        let written = cell.config.as_ref().map_or(Epoch::ZERO, |config| config.id.epoch);
        let (heard_generation, heard_term) = greater((cell.promise.generation, cell.promise.term), written);
        Self {
            me,
            rules,
            cell,
            unwritten: false,
            grant: None,
            silent_until: started + silent_for,
            added: None,
            released: Epoch::ZERO,
            heard_generation,
            heard_term,
            silence,
        }
    }

    pub(super) fn config(&self) -> Option<&VoterConfig> {
        self.cell.config.as_ref()
    }

    pub(super) fn promise(&self) -> Epoch {
        self.cell.promise
    }

    /// What to write, if anything changed since the last call.
    pub(super) fn take_unwritten(&mut self) -> Option<LeaseCell> {
        if !core::mem::take(&mut self.unwritten) {
            return None;
        }
        let mut cell = self.cell.clone();
        if !self.rules.hold(Rule::PromiseDurable) {
            cell.promise = Epoch::ZERO;
        }
        Some(cell)
    }

    /// The greatest term that was heard of, in whatever generation.
    pub(super) const fn heard_term(&self) -> u64 {
        self.heard_term
    }

    /// The greatest generation that was heard of.
    pub(super) const fn heard_generation(&self) -> u16 {
        self.heard_generation
    }

    /// Remembers an epoch that was heard of.
    pub(super) fn note(&mut self, epoch: Epoch) {
        (self.heard_generation, self.heard_term) = greater((self.heard_generation, self.heard_term), epoch);
    }

    /// Whether an epoch can be true. A node without a config has nothing to compare it with.
    pub(super) fn is_plausible(&self, epoch: Epoch) -> bool {
        self.cell.config.is_none() || self.is_credible(epoch)
    }

    /// Whether an epoch that others tell of can be true: hearsay counts from the start.
    pub(super) const fn is_credible(&self, epoch: Epoch) -> bool {
        epoch.term <= self.heard_term.saturating_add(MAX_TERM_STEP)
    }

    /// An epoch of this node above all that it has seen.
    pub(super) fn next_epoch(&self) -> Epoch {
        let generation = self.generation();
        let mine = self.cell.promise.candidate == self.me && self.cell.promise.term > 0;
        if mine && !self.rules.hold(Rule::EndedStaysEnded) {
            return self.cell.promise;
        }
        Epoch { generation, term: self.heard_term.saturating_add(1), candidate: self.me }
    }

    fn generation(&self) -> u16 {
        self.cell.config.as_ref().map_or(0, |config| config.id.epoch.generation)
    }

    fn stance(&self, now: Instant, epoch: Epoch) -> Stance {
        if now < self.silent_until {
            return Stance::Silent;
        }
        if let Some(live) = self.engaged_until(now, epoch.candidate)
            && self.rules.hold(Rule::LiveGrantStands)
        {
            return Stance::Engaged(live.since(now));
        }
        let ended = epoch <= self.released && self.rules.hold(Rule::EndedStaysEnded);
        if ended || epoch < self.cell.promise || epoch.generation != self.generation() {
            return Stance::Passed;
        }
        Stance::Free
    }

    /// Until when a grant to another than this candidate is live.
    pub(super) fn engaged_until(&self, now: Instant, candidate: NodeId) -> Option<Instant> {
        let grant = self.grant.as_ref()?;
        (grant.epoch.candidate != candidate && now < grant.until).then_some(grant.until)
    }

    /// Until when promises are not made: after a restart, and after it was added.
    pub(super) fn silent_until(&self) -> Instant {
        self.added.map_or(self.silent_until, |added| self.silent_until.max(added.until))
    }

    fn reject(&self, epoch: Epoch, wait: Duration) -> LeaseBody {
        // Rounded up: one who comes back a moment early has come for nothing.
        let wait_ms = u32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
        LeaseBody::Reject { epoch, highest: self.cell.promise, wait_ms }
    }

    /// Whether a Prepare of this epoch would now be promised.
    pub(super) fn would_promise(&self, now: Instant, epoch: Epoch) -> bool {
        now >= self.silent_until() && matches!(self.stance(now, epoch), Stance::Free)
    }

    /// Answers a poll. Nothing changes.
    pub(super) fn pre_vote(&self, now: Instant, epoch: Epoch, holder_lives: bool) -> Option<LeaseBody> {
        if now < self.silent_until() {
            return None;
        }
        let yes = !holder_lives && self.would_promise(now, epoch);
        Some(LeaseBody::PreVoteAnswer { epoch, yes, highest: self.cell.promise })
    }

    /// Promises, or says why not. No answer while it is silent.
    pub(super) fn prepare(&mut self, now: Instant, epoch: Epoch) -> Option<LeaseBody> {
        if now < self.silent_until() {
            return None;
        }
        match self.stance(now, epoch) {
            Stance::Silent => None,
            Stance::Engaged(wait) => Some(self.reject(epoch, wait)),
            Stance::Passed => Some(self.reject(epoch, Duration::ZERO)),
            Stance::Free => {
                self.raise(epoch);
                Some(LeaseBody::Promise { epoch })
            }
        }
    }

    /// Grants from now, or says why not. No answer while it is silent, nor to what was answered before.
    pub(super) fn grant(&mut self, now: Instant, epoch: Epoch, seq: u64) -> Option<LeaseBody> {
        // One that was just added may grant to the epoch that added it: that epoch's lease rests on the old
        // voters.
        if self.added.is_some_and(|added| now < added.until && added.by != epoch) {
            return None;
        }
        match self.stance(now, epoch) {
            Stance::Silent => return None,
            Stance::Engaged(wait) => return Some(self.reject(epoch, wait)),
            Stance::Passed => return Some(self.reject(epoch, Duration::ZERO)),
            Stance::Free => {}
        }
        if self.grant.is_some_and(|live| live.epoch == epoch && seq <= live.seq) {
            return None;
        }
        let (config, times) = self.cell.config.as_ref().map(|config| (config.id, config.times))?;
        self.raise(epoch);
        self.grant = Some(Grant { epoch, seq, until: now + grant(times) });
        Some(LeaseBody::Granted { epoch, seq, config })
    }

    /// The holder of this epoch has ceased.
    pub(super) fn release(&mut self, epoch: Epoch) {
        if self.grant.is_some_and(|grant| grant.epoch == epoch) {
            self.grant = None;
        }
        if self.rules.hold(Rule::EndedStaysEnded) {
            self.released = self.released.max(epoch);
        }
        // It was to be silent beside the lease that gave it its seat, and no other: there is none any more.
        self.added = self.added.filter(|added| added.by != epoch);
    }

    /// Whether a config may be installed, or has been. Another T is refused: a live grant would outlast it.
    pub(super) fn is_acceptable(&self, config: &VoterConfig) -> bool {
        let fits = self.cell.config.as_ref().is_none_or(|mine| {
            let written_once = mine.id != config.id || mine == config;
            let later = config.id.epoch.generation > mine.id.epoch.generation;
            written_once && (later || mine.times == config.times)
        });
        fits && is_well_formed(config) && self.is_plausible(config.id.epoch)
    }

    /// Takes a greater config.
    pub(super) fn install(&mut self, now: Instant, config: VoterConfig) {
        let was_voter = self.cell.config.as_ref().is_some_and(|old| old.weight(self.me) > 0);
        let by = config.id.epoch;
        if config.weight(self.me) == 0 {
            self.added = None;
        } else if !was_voter && by.candidate != self.me && self.rules.hold(Rule::AddedSilence) {
            self.added = Some(Added { by, until: now + self.silence });
        }
        self.silence = self.silence.max(grant(config.times));
        self.cell.config = Some(config);
        self.unwritten = true;
        self.raise(by);
    }

    fn raise(&mut self, epoch: Epoch) {
        self.note(epoch);
        if epoch > self.cell.promise {
            self.cell.promise = epoch;
            self.unwritten = true;
        }
    }

    /// The config that a new tenure writes first: the same voters under its own epoch.
    pub(super) fn rewritten(&self, epoch: Epoch) -> Option<VoterConfig> {
        let config = self.cell.config.as_ref()?;
        Some(VoterConfig { id: ConfigId { epoch, version: 1 }, ..config.clone() })
    }

    /// The last grant's epoch.
    #[cfg(test)]
    pub(super) fn granted(&self) -> Option<Epoch> {
        self.grant.map(|grant| grant.epoch)
    }

    /// The epoch that gave it its seat, while it is silent beside it.
    #[cfg(test)]
    pub(super) fn added_by(&self) -> Option<Epoch> {
        self.added.map(|added| added.by)
    }

    /// As it will be when its clock has gone on for so long: what is over is over, however long ago.
    #[cfg(test)]
    pub(super) fn age(&mut self, now: Instant, by: Duration) {
        let later = |instant: Instant| (instant - by).max(now);
        self.silent_until = later(self.silent_until);
        if let Some(grant) = &mut self.grant {
            grant.until = later(grant.until);
        }
        self.added = self.added.map(|added| Added { until: later(added.until), ..added });
        self.added = self.added.filter(|added| added.until > now);
    }
}

/// The greatest generation and the greatest term, each for itself.
fn greater((generation, term): (u16, u64), epoch: Epoch) -> (u16, u64) {
    (generation.max(epoch.generation), term.max(epoch.term))
}
