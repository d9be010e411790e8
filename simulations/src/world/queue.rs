//! What is to happen, and when: the one queue of a world.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Due, Time};

/// What is to happen, soonest first; frames before timers at one moment; in order of asking.
///
/// What is sorted is a slip that says where the thing itself lies: a frame is large, and a heap moves what it
/// holds about.
#[derive(Default)]
pub(super) struct Queue {
    slips: BinaryHeap<Reverse<Slip>>,
    /// What each slip stands for, and at which host.
    dues: Vec<Option<(usize, Due)>>,
    free: Vec<usize>,
    asked: u64,
}

/// When, its class, how many were asked for before it, and where it lies.
type Slip = (Time, u8, u64, usize);

impl Queue {
    /// Something is to happen at a host.
    pub(super) fn push(&mut self, at: Time, host: usize, due: Due) {
        let class = u8::from(matches!(due, Due::Wake { .. }));
        let place = self.free.pop().unwrap_or_else(|| {
            self.dues.push(None);
            self.dues.len() - 1
        });
        self.dues[place] = Some((host, due));
        let number = self.number();
        self.slips.push(Reverse((at, class, number, place)));
    }

    /// A number that nothing was given before: whatever is asked for has one.
    pub(super) const fn number(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Time> {
        self.slips.peek().map(|Reverse((at, ..))| *at)
    }

    /// What happens next: when, at which host, and what.
    pub(super) fn pop(&mut self) -> Option<(Time, usize, Due)> {
        let Reverse((at, _, _, place)) = self.slips.pop()?;
        let (host, due) = self.dues[place].take()?;
        self.free.push(place);
        Some((at, host, due))
    }
}
