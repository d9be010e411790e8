//! Something that has a value at every moment, kept as its changes.
//!
//! # Not here
//! What the values mean: `recorder`.

use crate::world::Time;

/// A value over time: what it was from each moment on.
#[derive(Clone, Debug)]
pub struct Series<T>(Vec<(Time, T)>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Series<T> {
    /// From now on it is this. Of two values at one moment the later stands.
    pub fn set(&mut self, now: Time, value: T) {
        if self.0.last().is_some_and(|(_, last)| *last == value) {
            return;
        }
        if self.0.last().is_some_and(|(at, _)| *at == now) {
            self.0.pop();
            if self.0.last().is_some_and(|(_, last)| *last == value) {
                return;
            }
        }
        self.0.push((now, value));
    }

    /// What it was at a moment; `None` before the first.
    pub fn at(&self, now: Time) -> Option<&T> {
        let after = self.0.partition_point(|(at, _)| *at <= now);
        after.checked_sub(1).map(|last| &self.0[last].1)
    }

    /// The newest value.
    pub fn last(&self) -> Option<&T> {
        self.0.last().map(|(_, value)| value)
    }

    /// Its changes, in order.
    pub fn changes(&self) -> &[(Time, T)] {
        &self.0
    }

    /// From when to when it had each value.
    pub fn spans(&self, end: Time) -> impl Iterator<Item = (Time, Time, &T)> {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([end]);
        self.0.iter().zip(ends).map(|((from, value), to)| (*from, to, value))
    }

    /// The same with at most one change in each grain of time: the last, which takes the time of the first.
    pub fn thinned(&self, grain: Time) -> Self
    where
        T: Clone,
    {
        let mut thin = Self::default();
        let mut slot: Option<(Time, Time)> = None;
        for (at, value) in &self.0 {
            let number = at / grain.max(1);
            let from = match slot {
                Some((known, from)) if known == number => from,
                Some(_) | None => *at,
            };
            slot = Some((number, from));
            thin.set(from, value.clone());
        }
        thin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(changes: &[(Time, u8)]) -> Series<u8> {
        let mut series = Series::default();
        changes.iter().for_each(|(at, value)| series.set(*at, *value));
        series
    }

    #[test]
    fn what_does_not_change_is_kept_once() {
        assert_eq!(of(&[(1, 5), (2, 5), (3, 6), (3, 7)]).changes(), [(1, 5), (3, 7)]);
        assert_eq!(of(&[(1, 5), (3, 6), (3, 5), (4, 6)]).changes(), [(1, 5), (4, 6)]);
    }

    #[test]
    fn it_has_a_value_from_its_first_moment_on() {
        let series = of(&[(10, 1), (20, 2)]);
        assert_eq!(
            [9, 10, 19, 20, 99].map(|at| series.at(at).copied()),
            [None, Some(1), Some(1), Some(2), Some(2)]
        );
        assert_eq!(
            series.spans(30).map(|(from, to, value)| (from, to, *value)).collect::<Vec<_>>(),
            [(10, 20, 1), (20, 30, 2)]
        );
    }

    #[test]
    fn thinning_keeps_the_last_of_each_grain() {
        let series = of(&[(0, 1), (4, 2), (11, 3), (12, 4), (25, 5)]);
        assert_eq!(series.thinned(10).changes(), [(0, 2), (11, 4), (25, 5)]);
        assert_eq!(series.thinned(1).changes(), series.changes());
    }
}
