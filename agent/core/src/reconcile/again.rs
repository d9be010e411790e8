//! What an attempt says of itself that waits for its time: which it is, and when that comes.
//!
//! A status has no field for it, and its bytes are frozen: so the wait travels in its message, and is counted
//! from the moment at which the status came to be. Whoever writes such a message reads it, here, so that
//! nobody else has to: a text that says "in 4 s" is wrong a second later, a moment is not.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use sleep_wire::WallTime;
use sleep_wire::task::{TaskState, TaskStatus};

/// The next attempt at an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAttempt {
    /// Its number, from 1.
    pub number: u32,
    /// Which restart that is, and of how many that the policy allows, if it allows only some in all.
    pub restart: Option<(u32, u32)>,
    /// How long after its status was written it starts.
    wait: Duration,
}

impl NextAttempt {
    pub(crate) const fn new(number: u32, wait: Duration, restart: Option<(u32, u32)>) -> Self {
        Self { number, restart, wait }
    }

    /// The attempt that a status says is waited for, and when it starts, for display.
    pub fn of(status: &TaskStatus) -> Option<(Self, WallTime)> {
        if status.state != TaskState::Assigned {
            return None;
        }
        let next = Self::read(&status.message)?;
        let wait = i64::try_from(next.wait.as_millis()).ok()?;
        Some((next, WallTime(status.since.0.checked_add(wait)?)))
    }

    fn read(text: &str) -> Option<Self> {
        let (number, rest) = text.strip_prefix("attempt ")?.split_once(" in ")?;
        let (wait, restart) = match rest.split_once(" (restart ") {
            Some((wait, rest)) => {
                let (restart, of) = rest.strip_suffix(')')?.split_once(" of ")?;
                (wait, Some((restart.parse().ok()?, of.parse().ok()?)))
            }
            None => (rest, None),
        };
        let wait = match wait.split_once(' ')? {
            (ms, "ms") => Duration::from_millis(ms.parse().ok()?),
            (seconds, "s") => Duration::from_secs(seconds.parse().ok()?),
            _other => return None,
        };
        Some(Self { number: number.parse().ok()?, restart, wait })
    }
}

impl fmt::Display for NextAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} in {}", self.number, in_words(self.wait))?;
        match self.restart {
            Some((restart, of)) => write!(f, " (restart {restart} of {of})"),
            None => Ok(()),
        }
    }
}

/// A wait, rounded, as people say it.
fn in_words(wait: Duration) -> String {
    if wait < Duration::from_secs(1) {
        alloc::format!("{} ms", wait.as_millis())
    } else {
        alloc::format!("{} s", (wait + Duration::from_millis(500)).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (wait_ms, restart) in [(0, None), (109, None), (4_000, Some((1, 3))), (61_000, Some((9, 10)))] {
            let next = NextAttempt::new(2, Duration::from_millis(wait_ms), restart);
            assert_eq!(NextAttempt::read(&next.to_string()), Some(next));
        }
        for other in ["", "attempt 2", "attempt 2 in 4 h", "attempt x in 4 s", "waits: attempt 2 in 4 s"] {
            assert_eq!(NextAttempt::read(other), None, "{other}");
        }
    }
}
