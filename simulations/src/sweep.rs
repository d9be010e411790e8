//! Many seeds, and what came of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::chaos;
use crate::invariants::same_seed_same_trace;
use crate::run::{Failure, Outcome, run, words};
use crate::scenario::Scenario;
use crate::world::Time;

/// What a sweep is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first seed.
    pub from: u64,
    /// The first that is left out.
    pub to: u64,
    /// How many nodes; by default 3 to 9, by the seed.
    pub nodes: Option<usize>,
    /// For how long things go wrong at least; 0 for one chapter.
    pub time: Time,
    /// After how long no further seed is begun.
    pub budget: Duration,
    /// Whether each is run twice.
    pub twice: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many seeds were run.
    pub seeds: u64,
    /// Of how many.
    pub of: u64,
    /// In the order in which they were found.
    pub failures: Vec<(u64, usize, Failure)>,
    /// The virtual time of all first runs.
    pub world: Time,
    /// The real time of the same.
    pub real: Duration,
    /// The longest that a cluster took to be well again, and its seed.
    pub slowest: (Time, u64),
}

impl Summary {
    /// The worst exit code of its failures; 0 if there are none.
    pub fn code(&self) -> u8 {
        self.failures.iter().map(|(_, _, failure)| failure.code()).max().unwrap_or(0)
    }
}

/// How many nodes a seed has if nobody says.
pub const fn nodes_of(seed: u64) -> usize {
    3 + (seed % 7) as usize
}

/// Runs seeds, and calls back with each failure.
pub fn sweep(plan: &Plan, mut failed: impl FnMut(u64, usize, &Failure)) -> Summary {
    let began = Instant::now();
    let seeds = (plan.from..plan.to).map(|seed| (seed, plan.nodes.unwrap_or(nodes_of(seed))));
    let mut summary = Summary { of: plan.to.saturating_sub(plan.from), ..Summary::default() };
    for (seed, nodes) in seeds {
        if began.elapsed() >= plan.budget {
            break;
        }
        summary.seeds += 1;
        match judged(&chaos::draw_for(seed, nodes, plan.time), plan.twice) {
            Ok(outcome) => {
                summary.world += outcome.world;
                summary.real += outcome.real;
                let slow = outcome.verdict.as_ref().map_or(0, |times| times.equal);
                summary.slowest = summary.slowest.max((slow, seed));
            }
            Err(failure) => {
                failed(seed, nodes, &failure);
                summary.failures.push((seed, nodes, failure));
            }
        }
    }
    summary
}

/// Runs a scenario, and once more if asked; a panic is a failure like others.
///
/// # Errors
/// Why the run failed.
pub fn judged(scenario: &Scenario, twice: bool) -> Result<Outcome, Failure> {
    let once = || {
        let caught = catch_unwind(AssertUnwindSafe(|| run(scenario).0));
        caught.map_err(|panic| Failure::Crash(words(panic.as_ref())))
    };
    let outcome = once()?;
    if let Err(failure) = &outcome.verdict {
        return Err(failure.clone());
    }
    if twice {
        let again = once()?;
        same_seed_same_trace::compare(outcome.trace, again.trace, outcome.world).map_err(Failure::Safety)?;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_well_and_gives_one_trace() {
        let outcome = judged(&chaos::draw(1, 3), true).map_err(|failure| failure.to_string());
        assert_eq!(outcome.map(|_| ()), Ok(()));
    }
}
