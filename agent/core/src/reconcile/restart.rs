//! When an attempt is followed by another, and after how long: pure.
//!
//! An end within [`LONG_ENOUGH`] of the start is *quick*. Quick ends in a row double the wait from the
//! policy's delay (or [`FLOOR`], where the policy has none) up to [`CAP`]; one attempt that lasts starts
//! over. Each wait is lengthened by up to a quarter, so that what failed together does not come back
//! together. The numbers are those of the Docker engine's own restart manager (100 ms, doubled, up to a
//! minute), with a longer proof of health.

use alloc::collections::VecDeque;
use core::time::Duration;

use sleep_wire::spec::{RestartCondition, RestartPolicy};
use sleep_wire::task::{TaskState, TaskStatus};

use crate::time::{Instant, Now};

/// The shortest wait after a quick end.
pub(crate) const FLOOR: Duration = Duration::from_millis(100);
/// The longest wait after quick ends, unless the policy's own delay is longer.
pub(crate) const CAP: Duration = Duration::from_secs(60);
/// How long an attempt must have run for its end not to count as quick.
pub(crate) const LONG_ENOUGH: Duration = Duration::from_secs(30);
/// The wait before the first repetition of a start that could not be prepared (no image, no engine).
pub(crate) const PREPARE_AGAIN: Duration = Duration::from_secs(1);

/// SplitMix64 (Steele, Lea, Flood 2014): jitter need not be unpredictable, only different on every node.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `wait`, and up to a quarter more.
    pub(crate) fn lengthen(&mut self, wait: Duration) -> Duration {
        let permille = u32::try_from(self.next() % 251).expect("a remainder of 251 fits into 32 bits");
        wait + wait / 1000 * permille
    }
}

/// `first` doubled `times` times, never above `cap`.
pub(crate) fn doubled(first: Duration, times: u32, cap: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times.min(31)).expect("a shift below 32 bits");
    first.saturating_mul(factor).min(cap)
}

/// The wait before the next try of a call that failed `tries` times in a row: nothing before the first.
pub(crate) fn again_after(first: Duration, tries: u32, cap: Duration) -> Duration {
    match tries.checked_sub(1) {
        None => Duration::ZERO,
        Some(times) => doubled(first, times, cap),
    }
}

/// What a task's past attempts mean for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Quick ends in a row.
    quick: u32,
    /// When the latest restarts were decided, oldest first: no more than the policy may count.
    restarts: VecDeque<Moment>,
    /// When the attempt was decided on that an earlier process of this agent left waiting.
    waits_since: Option<Moment>,
}

/// A moment that may lie before the host's last start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    /// When this process learned of it.
    seen: Instant,
    /// How long ago it was then.
    before: Duration,
}

impl Moment {
    const fn now(now: Instant) -> Self {
        Self { seen: now, before: Duration::ZERO }
    }

    fn age(self, now: Instant) -> Duration {
        now.since(self.seen) + self.before
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Whether it ended badly.
    pub(crate) failed: bool,
    /// How long it had been running.
    pub(crate) ran: Duration,
    /// Its number, from 1.
    pub(crate) attempt: u32,
}

/// The bound on remembered restarts: a policy that allows more within its window allows any number.
const REMEMBERED: usize = 1024;

impl Past {
    /// How long to wait before the next attempt; `None` if there is to be none.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        policy: &RestartPolicy,
        end: End,
        dice: &mut Dice,
    ) -> Option<Duration> {
        let follows = match policy.condition {
            RestartCondition::None => false,
            RestartCondition::OnFailure => end.failed,
            RestartCondition::Any => true,
        };
        if !follows || self.used_up(now, policy, end.attempt) {
            return None;
        }
        self.waits_since = None;
        self.quick = if end.ran < LONG_ENOUGH { self.quick.saturating_add(1) } else { 0 };
        let wait = self.wait(policy);
        if policy.max_attempts > 0 && policy.window_ms > 0 {
            self.restarts.push_back(Moment::now(now));
            if self.restarts.len() > REMEMBERED {
                self.restarts.pop_front();
            }
        }
        Some(dice.lengthen(wait))
    }

    /// What the attempts at one assignment come to that an earlier process of this agent published, oldest
    /// first: the last of them is the newest.
    ///
    /// The boot clock of that process is nobody's memory. How long ago an attempt ended is what the wall
    /// clock says, and no less than the later ones ran: a clock that was set can only make this forget
    /// early.
    pub(crate) fn recovered(now: Now, attempts: &[&TaskStatus]) -> Self {
        let mut past = Self::default();
        let Some((newest, ended)) = attempts.split_last() else { return past };
        let mut least = Duration::from_millis(newest.running_for_ms);
        let mut in_a_row = true;
        for status in ended.iter().rev() {
            let ran = Duration::from_millis(status.running_for_ms);
            in_a_row &= ran < LONG_ENOUGH;
            past.quick += u32::from(in_a_row);
            past.restarts.push_front(Moment { seen: now.instant, before: ago(now, status).max(least) });
            least += ran;
        }
        if newest.state == TaskState::Assigned && newest.task.attempt > 1 {
            past.waits_since = Some(Moment { seen: now.instant, before: ago(now, newest) });
        }
        past
    }

    /// How long an attempt that was left waiting has still to wait.
    pub(crate) fn owed(&self, now: Instant, policy: &RestartPolicy) -> Duration {
        let waited = self.waits_since.map(|since| since.age(now));
        waited.map_or(Duration::ZERO, |waited| self.wait(policy).saturating_sub(waited))
    }

    /// The wait before the next attempt, after so many quick ends.
    fn wait(&self, policy: &RestartPolicy) -> Duration {
        let delay = Duration::from_millis(policy.delay_ms);
        match self.quick.checked_sub(1) {
            None => delay,
            Some(times) => doubled(delay.max(FLOOR), times, delay.max(CAP)),
        }
    }

    /// As in Docker, `max_attempts` counts restarts, not the first start.
    fn used_up(&mut self, now: Instant, policy: &RestartPolicy, attempt: u32) -> bool {
        if policy.max_attempts == 0 {
            return false;
        }
        if policy.window_ms == 0 {
            return attempt.saturating_sub(1) >= policy.max_attempts;
        }
        let window = Duration::from_millis(policy.window_ms);
        while self.restarts.front().is_some_and(|at| at.age(now) >= window) {
            self.restarts.pop_front();
        }
        u32::try_from(self.restarts.len()).unwrap_or(u32::MAX) >= policy.max_attempts
    }
}

/// How long ago a status came to be what it is, by the wall clock.
fn ago(now: Now, status: &TaskStatus) -> Duration {
    let ms = now.wall.0.saturating_sub(status.since.0);
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn policy(
        condition: RestartCondition,
        delay_ms: u64,
        max_attempts: u32,
        window_ms: u64,
    ) -> RestartPolicy {
        RestartPolicy { condition, delay_ms, max_attempts, window_ms }
    }

    fn end(failed: bool, ran_s: u64, attempt: u32) -> End {
        End { failed, ran: Duration::from_secs(ran_s), attempt }
    }

    fn waits(policy: &RestartPolicy, ran_s: &[u64]) -> Vec<Option<Duration>> {
        let (mut past, mut dice, mut now) = (Past::default(), Dice::new(1), Instant(0));
        (1..)
            .zip(ran_s)
            .map(|(attempt, ran_s)| {
                now += Duration::from_secs(*ran_s);
                let wait = past.next(now, policy, end(true, *ran_s, attempt), &mut dice);
                now += wait.unwrap_or_default();
                wait
            })
            .collect()
    }

    fn within(wait: Option<Duration>, ms: u64) -> bool {
        let least = Duration::from_millis(ms);
        wait.is_some_and(|wait| wait >= least && wait <= least + least / 4)
    }

    #[test]
    fn only_the_ends_that_the_condition_names_are_followed_by_an_attempt() {
        let mut dice = Dice::new(1);
        let mut follows = |condition, failed| {
            let policy = policy(condition, 0, 0, 0);
            Past::default().next(Instant(0), &policy, end(failed, 60, 1), &mut dice).is_some()
        };
        use RestartCondition::{Any, None, OnFailure};
        let answers =
            [None, OnFailure, Any].map(|condition| [false, true].map(|bad| follows(condition, bad)));
        assert_eq!(answers, [[false, false], [false, true], [true, true]]);
    }

    #[test]
    fn quick_ends_double_the_wait_up_to_the_cap_and_a_long_run_starts_over() {
        let waits = waits(&policy(RestartCondition::Any, 5_000, 0, 0), &[0, 1, 29, 0, 0, 0, 30, 0, 0]);
        let expected = [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 5_000, 5_000, 10_000];
        assert!(waits.iter().zip(expected).all(|(wait, ms)| within(*wait, ms)), "{waits:?}");
    }

    #[test]
    fn a_policy_without_delay_is_no_hot_loop() {
        let waits = waits(&policy(RestartCondition::Any, 0, 0, 0), &[0; 12]);
        let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert!(waits.iter().zip(expected).all(|(wait, ms)| within(*wait, ms)), "{waits:?}");
    }

    #[test]
    fn a_delay_beyond_the_cap_stays_what_it_is() {
        let waits = waits(&policy(RestartCondition::Any, 600_000, 0, 0), &[0, 0, 0]);
        assert!(waits.iter().all(|wait| within(*wait, 600_000)), "{waits:?}");
    }

    #[test]
    fn attempts_are_counted_for_all_time_without_a_window_and_within_it_otherwise() {
        let given_up = |waits: Vec<Option<Duration>>| waits.iter().map(Option::is_none).collect::<Vec<_>>();
        let forever = waits(&policy(RestartCondition::Any, 0, 2, 0), &[100, 100, 100, 100]);
        assert_eq!(given_up(forever), [false, false, true, true]);
        let slow = waits(&policy(RestartCondition::Any, 0, 2, 60_000), &[100, 100, 100, 100]);
        assert_eq!(given_up(slow), [false; 4]);
        let fast = waits(&policy(RestartCondition::Any, 0, 2, 60_000), &[1, 1, 1]);
        assert_eq!(given_up(fast), [false, false, true]);
    }

    /// Attempts that each ran for ten seconds, with nothing in between, up to the present.
    fn published(numbers: core::ops::RangeInclusive<u32>, ended_ms: impl Fn(u32) -> i64) -> Vec<TaskStatus> {
        let newest = *numbers.end();
        let assignment = sleep_wire::Stamp::Lease { epoch: sleep_wire::Epoch::ZERO, counter: 1 };
        let status = |attempt| {
            let state = if attempt == newest { TaskState::Running } else { TaskState::Failed };
            let (task, ended) = (sleep_wire::task::TaskId { assignment, attempt }, ended_ms(attempt));
            let revision = sleep_wire::RevisionId([0; 16]);
            let status = TaskStatus::new(task, revision, state, sleep_wire::WallTime(ended));
            TaskStatus { running_for_ms: 10_000, ..status }
        };
        numbers.map(status).collect()
    }

    /// A clock that was set back makes nothing younger than the later attempts' running times say.
    #[test]
    fn what_was_published_tells_how_many_restarts_lie_in_a_window() {
        let now = Now { instant: Instant(1_000_000), wall: sleep_wire::WallTime(100_000) };
        let fits = |statuses: &[TaskStatus], most, window_s: u64| {
            let mut past = Past::recovered(now, &statuses.iter().collect::<Vec<_>>());
            let policy = policy(RestartCondition::Any, 0, most, window_s * 1000);
            past.next(now.instant, &policy, end(true, 10, 4), &mut Dice::new(1)).is_some()
        };
        let true_clock = published(1..=4, |attempt| 60_000 + 10_000 * i64::from(attempt));
        let set_back = published(1..=4, |_| 1_000_000);
        for statuses in [true_clock, set_back] {
            // They ended 30, 20 and 10 seconds ago.
            let answers = [(3, 31), (4, 31), (3, 30), (2, 30), (2, 20), (1, 10)];
            let answers = answers.map(|(most, window)| fits(&statuses, most, window));
            assert_eq!(answers, [false, true, true, false, true, true]);
        }
    }

    #[test]
    fn quick_ends_are_remembered_beyond_a_restart_of_the_agent() {
        let now = Now { instant: Instant(1_000_000), wall: sleep_wire::WallTime(100_000) };
        let statuses = published(1..=4, |_| 90_000);
        let mut past = Past::recovered(now, &statuses.iter().collect::<Vec<_>>());
        let policy = policy(RestartCondition::Any, 1_000, 0, 0);
        let wait = past.next(now.instant, &policy, end(true, 10, 4), &mut Dice::new(1));
        assert!(within(wait, 8_000), "{wait:?}");
    }
}
