//! A failing scenario made smaller: the fewest faults, hosts and services that still fail alike.
//!
//! Delta debugging (Zeller and Hildebrandt 2002, `ddmin`) over the faults; then whatever else a scenario has
//! is left out or halved, one thing at a time, as long as that helps.
//!
//! # Not here
//! What counts as failing alike: [`kind`].

use crate::engine::Faults;
use crate::run::Failure;
use crate::scenario::{Fault, Scenario};
use crate::sweep::judged;
use crate::world::{Network, SECOND};

/// What is kept while everything else goes: the law that was broken, or what did not come about, or that the
/// core failed.
pub const fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Safety(violation) => violation.law,
        Failure::Liveness(missing) => missing.what,
        Failure::Crash(_) => "crash",
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest that was found.
    pub scenario: Scenario,
    /// How it fails.
    pub failure: Failure,
    /// How many runs that took.
    pub runs: u32,
}

struct Search {
    kind: &'static str,
    best: Scenario,
    failure: Failure,
    runs: u32,
    most: u32,
}

/// Makes a failing scenario smaller, in at most so many runs. `None` if it does not fail.
pub fn shrink(scenario: &Scenario, most: u32) -> Option<Shrunk> {
    let failure = judged(scenario, false).err()?;
    let mut search = Search { kind: kind(&failure), best: scenario.clone(), failure, runs: 1, most };
    loop {
        let before = search.best.clone();
        search.faults();
        search.conditions();
        search.hosts();
        search.length();
        if search.best == before || search.runs >= search.most {
            break;
        }
    }
    Some(Shrunk { scenario: search.best, failure: search.failure, runs: search.runs })
}

impl Search {
    /// Takes a scenario if it fails alike.
    fn takes(&mut self, scenario: Scenario) -> bool {
        if scenario == self.best || self.runs >= self.most {
            return false;
        }
        self.runs += 1;
        match judged(&scenario, false) {
            Err(failure) if kind(&failure) == self.kind => {
                self.best = scenario;
                self.failure = failure;
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    fn faults(&mut self) {
        let mut parts = 2;
        while self.best.faults.len() > 1 {
            let count = self.best.faults.len();
            let size = count.div_ceil(parts);
            let taken = (0..count).step_by(size).any(|from| {
                let mut less = self.best.clone();
                less.faults.drain(from..(from + size).min(count));
                self.takes(less)
            });
            if taken {
                parts = (parts - 1).max(2);
            } else if size == 1 {
                break;
            } else {
                parts = (parts * 2).min(count);
            }
        }
        let none = Scenario { faults: Vec::new(), ..self.best.clone() };
        self.takes(none);
    }

    fn with(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut changed = self.best.clone();
        change(&mut changed);
        self.takes(changed)
    }

    fn conditions(&mut self) {
        self.with(|scenario| scenario.network = Network::default());
        self.with(|scenario| scenario.users_every = None);
        self.with(|scenario| scenario.engines = Faults::default());
        self.with(|scenario| scenario.hosts.iter_mut().for_each(|host| host.clock_ppm = 0));
        for number in (0..self.best.services.len()).rev() {
            if !self.with(|scenario| drop(scenario.services.remove(number))) {
                self.with(|scenario| scenario.services[number].replicas /= 2);
            }
        }
    }

    /// Leaves out a host that nothing names, the last first.
    fn hosts(&mut self) {
        let mut number = self.best.hosts.len();
        while number > 1 && self.best.hosts.len() > 1 {
            number -= 1;
            if let Some(fewer) = without(&self.best, number) {
                self.takes(fewer);
            }
        }
    }

    fn length(&mut self) {
        let last = self.best.faults.last().map_or(SECOND, |(at, _)| *at + SECOND);
        if !self.with(|scenario| scenario.lasts = scenario.lasts.min(last)) {
            self.with(|scenario| scenario.lasts = (scenario.lasts / 2).max(SECOND));
        }
    }
}

/// The same without a host; `None` if a fault cannot do without it.
fn without(scenario: &Scenario, gone: usize) -> Option<Scenario> {
    let mut fewer = scenario.clone();
    fewer.hosts.remove(gone);
    let mut call = |host: usize| match host.cmp(&gone) {
        std::cmp::Ordering::Less => Ok(host),
        std::cmp::Ordering::Equal => Err(()),
        std::cmp::Ordering::Greater => Ok(host - 1),
    };
    let renamed = |(at, fault): &(u64, Fault)| Some((*at, fault.clone().map(&mut call).ok()?));
    fewer.faults = scenario.faults.iter().map(renamed).collect::<Option<_>>()?;
    Some(fewer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_a_fault_names_cannot_be_left_out() {
        let mut scenario = Scenario::calm(4, 1);
        scenario.faults = vec![(0, Fault::Reset { node: 2 })];
        assert_eq!(without(&scenario, 2), None);
        let fewer = without(&scenario, 1).expect("nothing names it");
        assert_eq!(fewer.faults, [(0, Fault::Reset { node: 1 })]);
        let names: Vec<_> = fewer.hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["node1", "node3", "node4"]);
    }

    #[test]
    fn what_does_not_fail_cannot_be_made_smaller() {
        assert!(shrink(&Scenario { lasts: SECOND, ..Scenario::calm(3, 1) }, 10).is_none());
    }
}
