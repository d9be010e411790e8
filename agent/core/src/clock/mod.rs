//! What time it is in the cluster: a hybrid clock that orders writes and never reads a wall clock.
//!
//! ```text
//! 0 at init ──▶ max(stamps seen) + boot-clock time since ──▶ stamps of this node, strictly rising
//!                        ▲ restored from the largest durable stamp
//! ```
//! Hybrid logical clocks: Kulkarni et al. 2014, with the boot clock in place of the physical one, so a host's
//! wrong date can neither win nor lose a write.
//!
//! # Invariants
//! - `causal_wins`: a stamp made after another was observed is greater than it.
//! - Own stamps rise strictly, across restarts too if the largest durable one is restored.
//!
//! # Not here
//! Wall time: it travels in bodies, for people. What is done about a stamp far ahead: whoever is told of it.

use sleep_wire::NodeId;
use sleep_wire::stamp::ClusterTime;

use crate::io::Alarm;
use crate::mutant::{Mutant, is_sown};
use crate::time::Instant;

/// A stamp that lies further ahead than this, in milliseconds, is worth a person's attention: 24 hours.
pub const AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// Cluster time as one node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    generation: u16,
    /// Microseconds of cluster time at `anchor_at`.
    anchor_us: u64,
    anchor_at: Instant,
    /// The greatest stamp made or seen in this generation.
    last: u64,
    /// Whether another node's time was seen since the start: before that nothing is "ahead", for this node
    /// may have been off for a year.
    settled: bool,
}

/// What came of looking at a stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Own stamps are greater from here on.
    Taken,
    /// The same, but it lay so far ahead that somebody should look at its author.
    Ahead(Alarm),
    /// No clock may follow it: see [`ClusterTime::LIMIT_MS`]. The same for every node.
    Invalid,
}

impl Clock {
    /// The clock of a cluster that is founded now, or of a newcomer that has heard nothing yet.
    pub const fn new(now: Instant) -> Self {
        Self { generation: 0, anchor_us: 0, anchor_at: now, last: 0, settled: false }
    }

    /// The clock of a node that starts again, from the largest stamp on its disk.
    pub fn restore(now: Instant, largest: ClusterTime) -> Self {
        if is_sown(Mutant::ClockForgets) {
            return Self::new(now);
        }
        Self {
            generation: largest.generation,
            anchor_us: largest.ms().saturating_mul(1000),
            anchor_at: now,
            last: largest.hlc,
            settled: false,
        }
    }

    /// Cluster time now, for comparing with: no stamp, and nothing changes.
    pub fn present(&self, now: Instant) -> ClusterTime {
        let ms = self.present_us(now) / 1000;
        ClusterTime { generation: self.generation, hlc: self.last.max(ms << 16) }
    }

    /// A stamp: greater than every one that was made or seen here. Where 65,536 fall into a millisecond, the
    /// next borrows from the millisecond after.
    ///
    /// In a cluster that a forged stamp drove to [`ClusterTime::LIMIT_MS`] it is one that nobody accepts,
    /// until the cluster is recovered: see [`valid`].
    pub fn tick(&mut self, now: Instant) -> ClusterTime {
        self.last = self.present(now).hlc.max(self.last.saturating_add(1));
        self.follow(now);
        ClusterTime { generation: self.generation, hlc: self.last }
    }

    /// Looks at a stamp, or at the time that rode in a frame: own stamps are greater from here on. `author`
    /// wrote or sent it.
    pub fn observe(&mut self, now: Instant, author: NodeId, seen: ClusterTime) -> Observed {
        if !valid(seen) {
            return Observed::Invalid;
        }
        let by_ms = seen.ms().saturating_sub(self.present(now).ms());
        self.rise(now, seen);
        let settled = core::mem::replace(&mut self.settled, true);
        if settled && by_ms > AHEAD_MS {
            return Observed::Ahead(Alarm::StampAhead { author, by_ms });
        }
        Observed::Taken
    }

    /// A record of this time stands here: own stamps are greater from here on, whatever its frame said.
    pub fn rise(&mut self, now: Instant, stands: ClusterTime) {
        let known = ClusterTime { generation: self.generation, hlc: self.last };
        let is_deaf = is_sown(Mutant::ClockFollowsNobody) || is_sown(Mutant::ClockForgets);
        if !valid(stands) || stands <= known || is_deaf {
            return;
        }
        if stands.generation > self.generation {
            self.begin(now, stands);
        } else {
            self.last = stands.hlc;
            self.follow(now);
        }
    }

    /// Begins a generation, when a survivor recovers its cluster. Milliseconds run on, unless they were
    /// driven into the last half of their range: that is the way out of a poisoned register.
    pub fn recover(&mut self, now: Instant, generation: u16) {
        if generation > self.generation {
            let ms = if self.is_driven_off(now) { 0 } else { self.present(now).ms() };
            self.begin(now, ClusterTime::from_ms(generation, ms));
        }
    }

    /// Whether a stamp drove it into the last half of its range.
    pub fn is_driven_off(&self, now: Instant) -> bool {
        self.present(now).ms() >= ClusterTime::LIMIT_MS / 2
    }

    fn begin(&mut self, now: Instant, from: ClusterTime) {
        *self = Self { settled: self.settled, ..Self::restore(now, from) };
    }

    fn present_us(&self, now: Instant) -> u64 {
        self.anchor_us.saturating_add(now.0.saturating_sub(self.anchor_at.0))
    }

    /// Keeps the clock from falling behind the last stamp.
    fn follow(&mut self, now: Instant) {
        let last_us = (self.last >> 16).saturating_mul(1000);
        if last_us > self.present_us(now) {
            (self.anchor_us, self.anchor_at) = (last_us, now);
        }
    }
}

/// Whether a stamp may exist at all: a function of the stamp alone.
pub const fn valid(time: ClusterTime) -> bool {
    time.ms() < ClusterTime::LIMIT_MS
}

/// The moment after another.
pub(crate) const fn after(time: ClusterTime) -> ClusterTime {
    ClusterTime { generation: time.generation, hlc: time.hlc.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1000;
    const ME: NodeId = NodeId([1; 16]);

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    fn time(ms: u64, counter: u64) -> ClusterTime {
        ClusterTime { generation: 0, hlc: (ms << 16) | counter }
    }

    /// A founded cluster's time is its age by the boot clock, whatever the boot clock showed at first.
    #[test]
    fn time_is_the_age_of_the_cluster() {
        let mut clock = Clock::new(at(5_000_000));
        let ticks = [5_000_000, 5_000_000, 5_000_007, 5_000_006].map(|ms| clock.tick(at(ms)));
        assert_eq!(ticks, [time(0, 1), time(0, 2), time(7, 0), time(7, 1)]);
    }

    /// Time runs on from what was seen, not only from what was made.
    #[test]
    fn what_was_seen_carries_the_clock_along() {
        let mut clock = Clock::new(at(0));
        assert_eq!(clock.observe(at(10), ME, time(5_000, 9)), Observed::Taken);
        assert_eq!(clock.tick(at(10)), time(5_000, 10));
        assert_eq!(clock.tick(at(30)), time(5_020, 0));
    }

    /// A full counter borrows from the next millisecond, and the clock follows.
    #[test]
    fn a_full_counter_borrows_a_millisecond() {
        let mut clock = Clock::restore(at(0), time(3, 0xffff));
        assert_eq!(clock.tick(at(0)), time(4, 0));
        assert_eq!(clock.tick(at(2)), time(6, 0));
    }

    /// A stamp far ahead is followed and named, never refused; from the first one heard nothing is concluded.
    #[test]
    fn a_stamp_far_ahead_alarms_and_is_followed() {
        let mut clock = Clock::new(at(0));
        let year = 365 * AHEAD_MS;
        assert_eq!(clock.observe(at(0), ME, time(year, 0)), Observed::Taken);
        assert_eq!(clock.observe(at(0), ME, time(year + AHEAD_MS, 0)), Observed::Taken);
        let far = time(year + 2 * AHEAD_MS + 1, 0);
        assert_eq!(
            clock.observe(at(0), ME, far),
            Observed::Ahead(Alarm::StampAhead { author: ME, by_ms: AHEAD_MS + 1 })
        );
        assert!(clock.tick(at(0)) > far);
    }

    /// What stands is followed too, and is no word of another node's time: nothing is "ahead" for it.
    #[test]
    fn a_record_that_stands_lifts_the_clock() {
        let mut clock = Clock::new(at(0));
        clock.rise(at(0), time(AHEAD_MS, 7));
        clock.rise(at(0), time(5, 0));
        clock.rise(at(0), time(ClusterTime::LIMIT_MS, 0));
        assert_eq!(clock.tick(at(0)), time(AHEAD_MS, 8));
        assert_eq!(clock.observe(at(0), ME, time(9 * AHEAD_MS, 0)), Observed::Taken);
    }

    /// A stamp that no clock may follow leaves the clock as it was.
    #[test]
    fn a_stamp_beyond_the_limit_changes_nothing() {
        let mut clock = Clock::new(at(0));
        let before = clock.clone();
        for hlc in [u64::MAX, ClusterTime::LIMIT_MS << 16] {
            assert_eq!(clock.observe(at(0), ME, ClusterTime { generation: 9, hlc }), Observed::Invalid);
        }
        assert_eq!(clock, before);
    }

    /// A recovered cluster's stamps win over a poisoned register's, and are valid again.
    #[test]
    fn recovery_leaves_a_poisoned_time_behind() {
        let mut clock = Clock::new(at(0));
        let poison = time(ClusterTime::LIMIT_MS - 1, 0xffff);
        clock.observe(at(0), ME, poison);
        assert!(!valid(clock.tick(at(0))));
        clock.recover(at(0), 1);
        let stamp = clock.tick(at(5));
        assert!(stamp > poison && valid(stamp));
        assert_eq!(stamp, ClusterTime::from_ms(1, 5));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Tick(usize),
        Tell(usize, usize),
        Pass(u64),
        Restart(usize, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let node = 0usize..3;
        let step = prop_oneof![
            node.clone().prop_map(Step::Tick),
            (node.clone(), 0usize..3).prop_map(|(from, to)| Step::Tell(from, to)),
            (0u64..5_000_000).prop_map(Step::Pass),
            (node, 0u64..u64::MAX / 4).prop_map(|(node, boot)| Step::Restart(node, boot)),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        /// Whatever is told, restarted or slept through: a stamp is greater than all that its node had seen.
        #[test]
        fn causal_wins(steps in steps()) {
            let mut clocks = [(); 3].map(|()| Clock::new(Instant(0)));
            let mut boots = [Instant(0); 3];
            let mut seen = [ClusterTime::ZERO; 3];
            for step in steps {
                match step {
                    Step::Tick(node) => {
                        let stamp = clocks[node].tick(boots[node]);
                        prop_assert!(stamp > seen[node]);
                        seen[node] = stamp;
                    }
                    Step::Tell(from, to) => {
                        clocks[to].observe(boots[to], ME, seen[from]);
                        seen[to] = seen[to].max(seen[from]);
                    }
                    Step::Pass(us) => boots.iter_mut().for_each(|boot| boot.0 += us),
                    Step::Restart(node, boot) => {
                        boots[node] = Instant(boot);
                        clocks[node] = Clock::restore(boots[node], seen[node]);
                    }
                }
            }
        }
    }
}
