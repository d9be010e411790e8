//! Which epochs may still have effects here.
//!
//! # Invariants
//! - `fenced`: an epoch has an effect only after it is durable here, and none that is lower than one seen
//!   before ever gets a new one. The number never falls.

use core::time::Duration;

use sleep_wire::Epoch;

use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;

/// How long after a failed write it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What may be done under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Anything.
    Open,
    /// Nothing yet: it is not durable.
    Wait,
    /// Nothing new, ever: a higher one was seen.
    Stale,
}

/// The highest epochs seen and durable.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    seen: Epoch,
    durable: Epoch,
    writing: Option<Epoch>,
    not_before: Option<Instant>,
}

impl Fence {
    pub(crate) const fn new(durable: Epoch) -> Self {
        Self { seen: durable, durable, writing: None, not_before: None }
    }

    /// The highest epoch that is durable.
    pub(crate) const fn durable(&self) -> Epoch {
        self.durable
    }

    pub(crate) fn see(&mut self, epoch: Epoch) {
        self.seen = self.seen.max(epoch);
    }

    pub(crate) fn verdict(&self, epoch: Epoch) -> Verdict {
        if epoch < self.seen && !is_sown(Mutant::ActsOnTheOutdated) {
            Verdict::Stale
        } else if epoch <= self.durable || is_sown(Mutant::ActsBeforeFence) {
            Verdict::Open
        } else {
            Verdict::Wait
        }
    }

    /// The epoch to make durable now, if somebody waits for it and no write is under way.
    pub(crate) fn next_write(&mut self, now: Instant) -> Option<Epoch> {
        let due = self.not_before.is_none_or(|at| now >= at);
        if self.seen <= self.durable || self.writing.is_some() || !due {
            return None;
        }
        self.writing = Some(self.seen);
        self.writing
    }

    /// When a write that failed is to be tried again.
    pub(crate) const fn next_wake(&self) -> Option<Instant> {
        self.not_before
    }

    pub(crate) fn written(&mut self, epoch: Epoch) {
        self.durable = self.durable.max(epoch);
        self.seen = self.seen.max(epoch);
        self.writing = None;
        self.not_before = None;
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.writing = None;
        self.not_before = Some(now + AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use sleep_wire::NodeId;

    use super::*;

    fn epoch(term: u64) -> Epoch {
        Epoch { generation: 0, term, candidate: NodeId([7; 16]) }
    }

    #[test]
    fn an_epoch_opens_when_it_is_durable_and_closes_when_a_higher_one_is_seen() {
        let mut fence = Fence::new(epoch(3));
        fence.see(epoch(5));
        assert_eq!(
            [3, 4, 5].map(|term| fence.verdict(epoch(term))),
            [Verdict::Stale, Verdict::Stale, Verdict::Wait]
        );
        assert_eq!((fence.next_write(Instant(0)), fence.next_write(Instant(0))), (Some(epoch(5)), None));
        fence.see(epoch(6));
        fence.written(epoch(5));
        assert_eq!([5, 6].map(|term| fence.verdict(epoch(term))), [Verdict::Stale, Verdict::Wait]);
        assert_eq!(fence.next_write(Instant(0)), Some(epoch(6)));
    }

    #[test]
    fn a_write_that_failed_is_tried_again_later() {
        let mut fence = Fence::new(epoch(1));
        fence.see(epoch(2));
        assert_eq!(fence.next_write(Instant(0)), Some(epoch(2)));
        fence.failed(Instant(0));
        assert_eq!((fence.next_write(Instant(0)), fence.verdict(epoch(2))), (None, Verdict::Wait));
        assert_eq!(fence.next_write(Instant(0) + AGAIN), Some(epoch(2)));
    }
}
