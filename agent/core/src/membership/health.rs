//! Whether this node itself is the slow one (Lifeguard's local health): the worse, the more time it gives
//! others.

use core::time::Duration;

/// 0 is well; each point stretches this node's own probes by once their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    score: u32,
}

/// The worst score: probes take nine times as long.
const WORST: u32 = 8;

impl Health {
    /// It lagged, missed answers, or had to contradict what others say of it.
    pub(super) fn worsen(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(WORST);
    }

    /// A probe succeeded.
    pub(super) const fn recover(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    pub(super) fn stretch(self, time: Duration) -> Duration {
        time * (1 + self.score)
    }

    pub(super) const fn score(self) -> u32 {
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ×1 to ×9, and back step by step.
    #[test]
    fn health_stretches_up_to_nine_times() {
        let mut health = Health::default();
        let period = Duration::from_millis(500);
        assert_eq!(health.stretch(period), period);
        health.worsen(3);
        assert_eq!(health.stretch(period), period * 4);
        health.worsen(100);
        assert_eq!(health.stretch(period), period * 9);
        for _ in 0..8 {
            health.recover();
        }
        assert_eq!((health.score(), health.stretch(period)), (0, period));
    }
}
