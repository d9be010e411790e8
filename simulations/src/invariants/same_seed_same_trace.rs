//! A trace is a function of seed and commit.
//!
//! The only law about two worlds: a seed run twice gives one trace.

use super::{Verdict, Violation};
use crate::world::Time;

/// Compares the traces of two runs of one seed.
///
/// # Errors
/// If they differ.
pub fn compare(one: u64, other: u64, at: Time) -> Result<(), Violation> {
    let verdict: Verdict = if one == other {
        Ok(())
    } else {
        Err(format!("one run has trace {one:016x}, the next {other:016x}"))
    };
    verdict.map_err(|how| Violation { law: "same_seed_same_trace", at, host: 0, how })
}
