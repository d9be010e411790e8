//! Experiments with published figures to beat: ours beside plain foca, on the same seeds and the same links.
//!
//! ```text
//! agent   what is compared: our membership room, foca alone
//! field   the nodes and the links between them
//! crash, lifeguard, faulty, link, bootstrap   knowing who is alive
//! leader, moves                               what the whole agent makes of it
//! ```
//! What came of them is in `simulations/EXPERIMENTS.md`.
//!
//! # Not here
//! Laws, and seeds that draw everything at once: `invariants`, `chaos`.

mod agent;
mod bootstrap;
mod crash;
mod faulty;
mod field;
mod leader;
mod lifeguard;
mod link;
mod moves;
mod ours;
mod plain;
mod report;

pub use agent::System;
pub use report::{Figure, Report, Row};

use field::Field;

/// How much is measured; what is left out is the experiment's own choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// In how many worlds.
    pub seeds: Option<u64>,
    /// With how many nodes.
    pub nodes: Option<usize>,
}

/// An experiment.
pub struct Experiment {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    run: fn(Options) -> Report,
}

impl Experiment {
    /// Runs it.
    pub fn run(&self, options: Options) -> Report {
        (self.run)(options)
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        EXPERIMENTS.iter().find(|known| known.name == name)
    }
}

/// All of them.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment { name: "crash", asks: "one node dies: when does each other know", run: crash::run },
    Experiment {
        name: "lifeguard",
        asks: "members stop for a while, again and again: who else is called dead",
        run: lifeguard::run,
    },
    Experiment {
        name: "loss",
        asks: "80 % loss on 1 % of the members: who is called dead",
        run: faulty::loss,
    },
    Experiment {
        name: "flip-flop",
        asks: "1 % of the members are cut off in one direction by turns: how often do they change",
        run: faulty::flip_flop,
    },
    Experiment { name: "link", asks: "one link is cut: whose death is that", run: link::run },
    Experiment { name: "bootstrap", asks: "1,000 join at once: when do all agree", run: bootstrap::run },
    Experiment { name: "leader", asks: "the leader dies: when is there another", run: leader::run },
    Experiment {
        name: "moves",
        asks: "lifeguard, flip-flop and link with work deployed: how many tasks move",
        run: moves::run,
    },
];

/// How often somebody was called dead by somebody, of those that are asked for.
fn downs(field: &Field, asked: impl Fn(usize, usize) -> bool) -> u64 {
    field.told.iter().filter(|told| !told.up && asked(told.by, told.about)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seeds, the same figures.
    #[test]
    fn an_experiment_can_be_repeated() {
        for (name, nodes) in [("crash", 5), ("loss", 8), ("link", 4), ("bootstrap", 4), ("leader", 3)] {
            let experiment = Experiment::named(name).expect("it is in the list");
            let options = Options { seeds: Some(2), nodes: Some(nodes) };
            assert_eq!(experiment.run(options), experiment.run(options), "{name}");
        }
    }

    /// A baseline that could not do its work would flatter ours.
    #[test]
    fn plain_foca_knows_of_a_crash_too() {
        let report = crash::run(Options { seeds: Some(3), nodes: Some(8) });
        for row in report.rows {
            let figure =
                |name| row.figures.iter().find(|figure| figure.name == name).and_then(|found| found.value);
            assert!(figure("known by all max s").is_some_and(|time| time < 20.0), "{row:?}");
            assert_eq!(figure("false downs"), Some(0.0), "{row:?}");
        }
    }
}
