//! How fast and how small: each part measures ours beside what it is to beat, in one run, and prints a table.
//!
//! Parts take turns with their peers, so that what else a machine does hits all alike; ratios then mean more
//! than seconds.
//!
//! # Not here
//! Whether a figure is good enough: no test may fail for a busy machine. The goals stand in the headings.

pub mod agent;
pub mod cluster;
pub mod create;
pub mod peer;
pub mod programs;
pub mod table;
pub mod usage;
pub mod watch;

use std::fs;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What can be measured.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// As it is named on the command line.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    measure: fn(u32) -> Result<String>,
}

/// All of them, in the order of the table.
pub const PARTS: [Part; 6] = [
    Part { name: "create", about: "One host: a service created and removed", measure: create::measure },
    Part { name: "cluster", about: "Five hosts: joining, draining, dying", measure: cluster::measure },
    Part { name: "agent", about: "An agent while nothing happens", measure: |_| agent::measure() },
    Part { name: "world", about: "Clusters in virtual time", measure: |_| programs::world() },
    Part { name: "thousand", about: "A thousand nodes form", measure: |_| programs::thousand() },
    Part {
        name: "placement",
        about: "Planning 100,000 tasks on 10,000 nodes",
        measure: |_| programs::placement(),
    },
];

/// What to measure, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which parts, in their order.
    pub parts: Vec<Part>,
    /// How often each is done of which the median counts.
    pub rounds: u32,
    /// Whether the programs beside this one are to be measured as they are, not built first.
    pub built: bool,
}

impl Plan {
    /// From the words of a command line; without names it is everything.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut named, mut rounds, mut built) = (Vec::new(), 3, false);
        while let Some(word) = words.next() {
            if word == "--rounds" {
                let count = words.next().and_then(|word| word.parse().ok()).filter(|count| *count > 0);
                rounds = count.ok_or_else(|| Error::new("--rounds wants a number above 0"))?;
            } else if word == "--built" {
                built = true;
            } else {
                named.push(word);
            }
        }
        let known = |name: &String| PARTS.iter().any(|part| part.name == name);
        if let Some(unknown) = named.iter().find(|name| !known(name)) {
            let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            let names = names.join(", ");
            return Err(Error::new(format!("no part is called `{unknown}`: there are {names}")));
        }
        let wanted = |part: &Part| named.is_empty() || named.iter().any(|name| name == part.name);
        Ok(Self { parts: PARTS.into_iter().filter(wanted).collect(), rounds, built })
    }

    /// Measures, and prints each part's table as soon as it is known; true if all could be measured.
    pub fn run(&self) -> bool {
        let mut all = true;
        for part in &self.parts {
            let (began, load) = (Instant::now(), load());
            match (part.measure)(self.rounds) {
                Ok(table) => println!("## {}\n\n{table}\n{}\n", part.about, noise(&load, began.elapsed())),
                Err(error) => {
                    eprintln!("error: {}: {error}", part.name);
                    all = false;
                }
            }
        }
        all
    }
}

fn noise(before: &str, took: Duration) -> String {
    format!("Load before and after: {before}, {}; {:.0} s in all.", load(), took.as_secs_f64())
}

fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Vec<&'static str>, u32, bool), String> {
        let plan = Plan::read(line.split_whitespace().map(str::to_owned));
        let told = |plan: Plan| (plan.parts.iter().map(|part| part.name).collect(), plan.rounds, plan.built);
        plan.map(told).map_err(|error| error.to_string())
    }

    #[test]
    fn parts_are_named_and_an_unknown_one_is_refused_with_those_that_exist() {
        assert_eq!(
            read(""),
            Ok((vec!["create", "cluster", "agent", "world", "thousand", "placement"], 3, false))
        );
        assert_eq!(read("world --rounds 5 --built create"), Ok((vec!["create", "world"], 5, true)));
        let names = "create, cluster, agent, world, thousand, placement";
        assert_eq!(read("worlds"), Err(format!("no part is called `worlds`: there are {names}")));
        assert_eq!(read("--rounds 0"), Err("--rounds wants a number above 0".to_owned()));
    }
}
