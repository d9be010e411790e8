//! Waiting for what the system offers no better way to wait for: asked again and again, but not for ever.
//!
//! Also intervals over which a rate is measured: see [`interval`].
//!
//! # Not here
//! Sleeping in the hope that something happened. Nothing else in the tests may sleep.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// The pause between two questions: short beside what is waited for, long beside the question.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is `Some`, for at most `limit`; the error names `what` did not come true.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    try_until(what, limit, || Ok(ask()))
}

/// As [`until`], and ends at the first error.
pub fn try_until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        // Asked once more after the time is over: a machine that stalled must not fail for it.
        let over = start.elapsed() >= limit;
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if over {
            return Err(Error::new(format!("not after {:.1} s: {what}", start.elapsed().as_secs_f64())));
        }
        thread::sleep(PAUSE);
    }
}

/// Lets so much time go by, for a rate that is measured over it; gives how long it really was.
pub fn interval(time: Duration) -> Duration {
    let start = Instant::now();
    thread::sleep(time);
    start.elapsed()
}
