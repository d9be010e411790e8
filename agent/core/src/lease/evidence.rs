//! Signs of life of a holder, and how fresh they are by this node's own clock.

use alloc::collections::VecDeque;
use core::time::Duration;

use sleep_wire::Epoch;
use sleep_wire::lease::Hint;

use super::Evidence;
use crate::time::Instant;

/// The greatest sign of life seen, and since when it has not risen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sightings {
    /// T, a clock's error and a gossip round: a holder that lives is heard of within.
    fresh_for: Duration,
    last: Option<Sighting>,
    /// No epoch up to this one lives: its holder said so.
    ended: Epoch,
    /// A holder has announced a lesser epoch than this one, which others told of: up to this one only what is
    /// announced counts, and what others tell of that.
    disproved: Epoch,
    /// What holders announced themselves, the latest last: what says no more than that was on its way for
    /// long, or twice.
    announced: VecDeque<(Epoch, u64)>,
}

/// So many holders' last announcements are remembered.
const ANNOUNCED: usize = 8;

/// More renewals than a lease has in a hundred years.
const RENEWALS: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sighting {
    epoch: Epoch,
    renewal: u64,
    fresh_until: Instant,
}

impl Sightings {
    pub(super) fn new(fresh_for: Duration) -> Self {
        let (ended, disproved) = (Epoch::ZERO, Epoch::ZERO);
        Self { fresh_for, last: None, ended, disproved, announced: VecDeque::new() }
    }

    /// How long a sign of life is fresh, from now on.
    pub(super) fn set_span(&mut self, fresh_for: Duration) {
        self.fresh_for = fresh_for;
    }

    /// Takes a hint in. An epoch that was not seen before is given back. One that says no more than the last
    /// does not make it fresher: it may have come a long way round.
    ///
    /// What a holder announces itself goes before what others told of it, and before a greater epoch that
    /// gives no sign of life: whoever told of those may have lied.
    pub(super) fn observe(&mut self, now: Instant, hint: &Hint, announced: bool) -> Option<Epoch> {
        let (epoch, renewal) = (hint.epoch, hint.renewal);
        let known = self.last.is_some_and(|last| last.epoch == epoch);
        if epoch <= self.ended || (epoch <= self.disproved && !known && !announced) {
            return None;
        }
        if announced && !self.is_announced_anew(epoch, renewal) {
            return None;
        }
        if let Some(last) = &mut self.last
            && announced
        {
            if last.epoch == epoch && renewal < last.renewal {
                last.renewal = renewal;
            } else if last.epoch > epoch && now >= last.fresh_until {
                self.disproved = self.disproved.max(last.epoch);
                self.last = None;
            }
        }
        let old = self.last.map(|last| (last.epoch, last.renewal));
        if old.is_some_and(|old| (epoch, renewal) <= old) {
            return None;
        }
        self.last = Some(Sighting { epoch, renewal, fresh_until: now + self.fresh_for });
        old.is_none_or(|(old, _)| old < epoch).then_some(epoch)
    }

    /// Whether a holder itself says more than it has said: its numbers rise. One that it cannot have come to
    /// is not held against it.
    fn is_announced_anew(&mut self, epoch: Epoch, renewal: u64) -> bool {
        if renewal > RENEWALS {
            return true;
        }
        if let Some(known) = self.announced.iter().position(|(known, _)| *known == epoch) {
            if self.announced[known].1 >= renewal {
                return false;
            }
            self.announced.remove(known);
        } else if self.announced.len() == ANNOUNCED {
            self.announced.pop_front();
        }
        self.announced.push_back((epoch, renewal));
        true
    }

    /// The holder of this epoch has said that it has ceased.
    pub(super) fn end(&mut self, now: Instant, epoch: Epoch) {
        self.ended = self.ended.max(epoch);
        if let Some(last) = &mut self.last
            && last.epoch <= epoch
        {
            last.fresh_until = last.fresh_until.min(now);
        }
    }

    pub(super) fn evidence(&self, now: Instant) -> Evidence {
        match self.last {
            Some(last) if now < last.fresh_until => Evidence::Fresh(last.epoch),
            Some(last) => Evidence::Stale(last.epoch),
            None => Evidence::None,
        }
    }

    /// Whether the last holder seen has said that it ceased.
    pub(super) fn took_leave(&self) -> bool {
        self.last.is_some_and(|last| last.epoch <= self.ended)
    }

    /// What to pass on: only what is fresh here, so that old news dies out.
    pub(super) fn hint(&self, now: Instant) -> Option<Hint> {
        let last = self.last.filter(|last| now < last.fresh_until)?;
        Some(Hint { epoch: last.epoch, renewal: last.renewal, signatures: alloc::vec::Vec::new() })
    }

    /// When the evidence ceases to be fresh.
    pub(super) fn fresh_until(&self) -> Option<Instant> {
        self.last.map(|last| last.fresh_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sleep_wire::NodeId;

    const fn epoch(term: u64) -> Epoch {
        Epoch { generation: 0, term, candidate: NodeId([1; 16]) }
    }

    fn hint(term: u64, renewal: u64) -> Hint {
        Hint { epoch: epoch(term), renewal, signatures: alloc::vec::Vec::new() }
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// A renewal number that does not rise is an echo.
    #[test]
    fn an_echo_keeps_nobody_alive() {
        let mut seen = Sightings::new(SECOND * 4);
        let start = Instant(0);
        assert_eq!(seen.evidence(start), Evidence::None);
        assert_eq!(seen.observe(start, &hint(1, 5), false), Some(epoch(1)));
        assert_eq!(seen.observe(start + SECOND * 3, &hint(1, 5), false), None);
        assert_eq!(seen.evidence(start + SECOND * 3), Evidence::Fresh(epoch(1)));
        assert_eq!(seen.hint(start + SECOND * 3), Some(hint(1, 5)));
        assert_eq!(seen.evidence(start + SECOND * 4), Evidence::Stale(epoch(1)));
        assert_eq!(seen.hint(start + SECOND * 4), None);
        assert_eq!(seen.observe(start + SECOND * 5, &hint(1, 6), false), None);
        assert_eq!(seen.evidence(start + SECOND * 5), Evidence::Fresh(epoch(1)));
    }

    /// Two lies: that the holder renewed for ever, and that another holds a greater epoch.
    #[test]
    fn what_a_holder_announces_goes_before_what_is_told_of_it() {
        let mut seen = Sightings::new(SECOND * 4);
        let start = Instant(0);
        assert_eq!(seen.observe(start, &hint(3, u64::MAX), false), Some(epoch(3)));
        assert_eq!(seen.observe(start + SECOND, &hint(3, 7), true), None);
        assert_eq!(seen.observe(start + SECOND * 2, &hint(3, 8), false), None);
        assert_eq!(seen.evidence(start + SECOND * 5), Evidence::Fresh(epoch(3)));
        assert_eq!(seen.observe(start + SECOND * 5, &hint(9, 1), false), Some(epoch(9)));
        assert_eq!(seen.observe(start + SECOND * 6, &hint(3, 9), true), None);
        assert_eq!(seen.evidence(start + SECOND * 6), Evidence::Fresh(epoch(9)));
        assert_eq!(seen.observe(start + SECOND * 9, &hint(3, 10), false), None);
        assert_eq!(seen.observe(start + SECOND * 9, &hint(3, 10), true), Some(epoch(3)));
        assert_eq!(seen.observe(start + SECOND * 9, &hint(9, 2), false), None);
        assert_eq!(seen.observe(start + SECOND * 9, &hint(8, 1), false), None);
        assert_eq!(seen.evidence(start + SECOND * 9), Evidence::Fresh(epoch(3)));
        assert_eq!(seen.observe(start + SECOND * 9, &hint(9, 2), true), Some(epoch(9)));
    }

    /// What holders announced comes again a minute later, and late: they are dead, and nobody is led.
    #[test]
    fn what_was_announced_is_no_news_when_it_comes_again() {
        let mut seen = Sightings::new(SECOND * 4);
        let start = Instant(0);
        for renewal in 1..=5 {
            seen.observe(start, &hint(2, renewal), true);
        }
        for renewal in 1..=5 {
            seen.observe(start + SECOND, &hint(3, renewal), true);
        }
        assert_eq!(seen.evidence(start + SECOND), Evidence::Fresh(epoch(3)));
        let later = start + SECOND * 60;
        for term in [2, 3, 2] {
            for renewal in 1..=5 {
                assert_eq!(seen.observe(later, &hint(term, renewal), true), None);
            }
        }
        assert_eq!(seen.evidence(later), Evidence::Stale(epoch(3)));
        assert_eq!(seen.observe(later, &hint(3, 6), true), None);
        assert_eq!(seen.evidence(later), Evidence::Fresh(epoch(3)));
    }

    /// After a release nothing of that epoch is a sign of life, however late it comes.
    #[test]
    fn a_released_epoch_gives_no_sign_of_life() {
        let mut seen = Sightings::new(SECOND * 4);
        let start = Instant(0);
        seen.observe(start, &hint(3, 1), false);
        seen.end(start, epoch(3));
        assert_eq!(seen.evidence(start), Evidence::Stale(epoch(3)));
        assert_eq!(seen.observe(start, &hint(3, 2), false), None);
        assert_eq!(seen.evidence(start), Evidence::Stale(epoch(3)));
        assert_eq!(seen.observe(start, &hint(4, 1), false), Some(epoch(4)));
    }
}
