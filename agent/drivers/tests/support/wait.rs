//! Waiting for what another process brings about, where the system offers nothing better than to look again.

use std::time::{Duration, Instant};

/// How long to wait between two looks.
const AGAIN: Duration = Duration::from_millis(10);

/// Looks again until there is something; `None` once time is up.
pub(crate) fn until<T>(limit: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() > limit {
            return None;
        }
        std::thread::sleep(AGAIN);
    }
}
