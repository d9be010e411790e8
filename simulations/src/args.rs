//! What `sleep-sim` is told to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sleep_sim::scenario::{HostPlan, Scenario, file, stories};
use sleep_sim::sweep::nodes_of;
use sleep_sim::world::Time;
use sleep_sim::{chaos, span};

/// Deterministic simulations of whole sleepd clusters.
///
/// Exit codes: 0 well, 2 wrong usage, 3 something did not come about in time, 4 a law was broken, 5 the core
/// failed.
#[derive(Parser)]
#[command(name = "sleep-sim", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Action,
}

/// What is to be run: a seed's drawing, or a scenario.
#[derive(Args)]
pub(crate) struct Which {
    /// A story of `sleep-sim list`, or a file, instead of what the seed draws
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// How many nodes [default: the scenario's; else 3 to 9, by the seed]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) nodes: Option<u16>,
    /// Which world [default: the scenario's; else 1]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How long things go wrong at least, in what a seed draws: `10m` [default: 20 s to 2 min, by the seed]
    #[arg(long, value_parser = span::parse, conflicts_with = "scenario")]
    pub(crate) time: Option<Time>,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Runs one seed with all that it draws, or a scenario
    Run {
        #[command(flatten)]
        which: Which,
        /// Print what was drawn, and what agents told
        #[arg(short, long)]
        verbose: bool,
    },
    /// Prints a seed's drawing, or a scenario, as a file to change
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Lists the scenarios that come with the program
    List,
    /// Runs scenarios twice each, and compares the traces [default: all of `sleep-sim list` but those that
    /// last for more than six hours]
    Replay {
        /// Names and files
        #[arg(value_name = "NAME|FILE")]
        scenarios: Vec<PathBuf>,
    },
    /// Makes a run that fails as small as it can be, and prints it
    Minimize {
        #[command(flatten)]
        which: Which,
        /// The most runs that this may take
        #[arg(long, default_value_t = 1000)]
        runs: u32,
    },
    /// Runs many seeds, and prints those that fail
    Sweep {
        /// From the first to before the last, as `1..200`
        #[arg(long, value_parser = range)]
        seeds: (u64, u64),
        /// How many nodes [default: 3 to 9, by the seed]
        #[arg(long)]
        nodes: Option<usize>,
        /// How long things go wrong at least: `10m` [default: 20 s to 2 min, by the seed]
        #[arg(long, value_parser = span::parse)]
        time: Option<Time>,
        /// After this time no further seed is begun: `90s`, `5m`
        #[arg(long, value_parser = duration, default_value = "24h")]
        budget: Duration,
        /// Run each twice and compare the traces
        #[arg(long)]
        twice: bool,
    },
    /// Runs a scenario, and writes a page to look at: lanes, a story, each node's own view of every moment
    Report {
        #[command(flatten)]
        which: Which,
        /// Where to
        #[arg(short, long, value_name = "FILE", default_value = "report.html")]
        output: PathBuf,
        /// Write a log for ShiViz as well
        #[arg(long, value_name = "FILE")]
        shiviz: Option<PathBuf>,
    },
    /// Runs the short scenarios and many seeds, and writes a page that shows the worst first
    Suite {
        /// From the first to before the last, as `1..200`
        #[arg(long, value_parser = range)]
        seeds: (u64, u64),
        /// Where to
        #[arg(short, long, value_name = "FILE", default_value = "suite.html")]
        output: PathBuf,
    },
    /// Sows faults into the core, one at a time, and tells which law finds each
    #[cfg(feature = "mutants")]
    Mutants {
        /// Only those whose names contain this
        #[arg(default_value = "")]
        name: String,
        /// How many seeds each may take to be found
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// `table` or `json`
        #[arg(short, long, default_value = "table")]
        output: String,
    },
    /// Measures ours beside plain foca where there are published figures to beat; without a name, lists what
    /// can be measured
    Experiment {
        /// Which
        name: Option<String>,
        /// In how many worlds [default: the experiment's]
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: Option<u64>,
        /// With how many nodes [default: the experiment's]
        #[arg(long, value_parser = clap::value_parser!(u16).range(2..=10_000))]
        nodes: Option<u16>,
        /// `table` or `json`
        #[arg(short, long, default_value = "table")]
        output: String,
    },
    /// Lets a cluster form, and nothing else
    Form {
        /// How many nodes
        #[arg(long, default_value_t = 9)]
        nodes: usize,
        /// Which world
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measures a cluster at work: 20 services, 60 tasks, a command a second, every law checked
    Bench {
        /// How many nodes
        #[arg(long, default_value_t = 9)]
        nodes: usize,
        /// Which world
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How long it works, in the world
        #[arg(long, value_parser = duration, default_value = "10m")]
        time: Duration,
        /// Check no law, to see what that costs
        #[arg(long)]
        unchecked: bool,
    },
}

pub(crate) fn chosen(which: &Which) -> Result<Scenario, String> {
    let Some(named) = &which.scenario else {
        let seed = which.seed.unwrap_or(1);
        let nodes = which.nodes.map_or(nodes_of(seed), usize::from);
        return Ok(chaos::draw_for(seed, nodes, which.time.unwrap_or(0)));
    };
    let mut scenario = load(named)?;
    scenario.seed = which.seed.unwrap_or(scenario.seed);
    if let Some(nodes) = which.nodes.map(usize::from) {
        let has = scenario.hosts.len();
        if nodes < has {
            return Err(format!("{} needs its {has} nodes", named.display()));
        }
        scenario.hosts.extend((has..nodes).map(HostPlan::numbered));
    }
    Ok(scenario)
}

pub(crate) fn load(named: &Path) -> Result<Scenario, String> {
    let known = named.to_str().and_then(stories::text).map(str::to_owned);
    let read = || {
        let hint = "; `sleep-sim list` shows the scenarios that come with the program";
        std::fs::read_to_string(named).map_err(|why| format!("{}: {why}{hint}", named.display()))
    };
    let text = known.map_or_else(read, Ok)?;
    file::read(&text).map_err(|why| format!("{}: {}", named.display(), why.trim_end()))
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("write it as `1..200`")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    Ok((number(from)?, number(to)?))
}

fn duration(text: &str) -> Result<Duration, String> {
    span::parse(text).map(Duration::from_micros)
}
