//! How much one peer may cost.

use core::time::Duration;

use crate::Instant;

/// Fills at a steady rate up to a bound; whoever drew it below zero waits until it is back above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: i64,
    at: Instant,
}

/// How fast a budget fills, and how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// How much comes back in a second.
    pub(crate) per_second: u32,
    /// The most that is ever there.
    pub(crate) bound: u32,
}

impl Budget {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self { left: i64::from(rate.bound), at: now }
    }

    /// Whether anything is left at `now`.
    pub(crate) fn is_open(&mut self, rate: Rate, now: Instant) -> bool {
        let second = Duration::from_secs(1).as_micros();
        let back = now.since(self.at).as_micros() * u128::from(rate.per_second) / second;
        // Only the time that came back whole is spent: frequent questions must not round the refill away.
        let spent = back * second / u128::from(rate.per_second.max(1));
        self.at += Duration::from_micros(u64::try_from(spent).unwrap_or(u64::MAX));
        let back = i64::try_from(back).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(back).min(i64::from(rate.bound));
        self.left > 0
    }

    /// Whether nothing is missing, as of the last question.
    pub(crate) fn is_full(&self, rate: Rate) -> bool {
        self.left >= i64::from(rate.bound)
    }

    /// Takes `cost`, even if less is left.
    pub(crate) fn draw(&mut self, cost: usize) {
        self.left = self.left.saturating_sub(i64::try_from(cost).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asking often must make it fill neither faster nor slower.
    #[test]
    fn a_budget_fills_at_its_rate_however_often_it_is_asked() {
        let rate = Rate { per_second: 10, bound: 5 };
        let mut budget = Budget::full(rate, Instant(0));
        budget.draw(15);
        for micros in (0..1_100_000).step_by(300) {
            assert!(!budget.is_open(rate, Instant(micros)), "at {micros}");
        }
        assert!(budget.is_open(rate, Instant(1_100_000)));
        assert_eq!(budget.left, 1);
        assert!(budget.is_open(rate, Instant(3_600_000_000)));
        assert_eq!(budget.left, 5);
    }
}
