//! `sleep-sim`: whole clusters in virtual time.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use sleep_core::node::Tuning;
use sleep_sim::chaos::Chaos;
use sleep_sim::load::Load;
use sleep_sim::report;
use sleep_sim::run::{Failure, run};
use sleep_sim::story;
use sleep_sim::sweep::{Plan, nodes_of, sweep};
use sleep_sim::world::{Network, SECOND, World};

/// Deterministic simulations of whole sleepd clusters.
///
/// Exit codes: 0 well, 3 something did not come about in time, 4 a law was broken, 5 the core failed.
#[derive(Parser)]
#[command(name = "sleep-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs one seed with all that it draws
    Run {
        /// How many nodes [default: 3 to 9, by the seed]
        #[arg(long)]
        nodes: Option<usize>,
        /// Which world
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Print what was drawn, and what agents told
        #[arg(short, long)]
        verbose: bool,
    },
    /// Runs many seeds, and prints those that fail
    Sweep {
        /// From the first to before the last, as `1..200`
        #[arg(long, value_parser = range)]
        seeds: (u64, u64),
        /// How many nodes [default: 3 to 9, by the seed]
        #[arg(long)]
        nodes: Option<usize>,
        /// After this time no further seed is begun: `90s`, `5m`
        #[arg(long, value_parser = duration, default_value = "24h")]
        budget: Duration,
        /// Run each twice and compare the traces
        #[arg(long)]
        twice: bool,
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

fn main() -> ExitCode {
    match Cli::parse().command {
        Action::Run { nodes, seed, verbose } => one(nodes.unwrap_or(nodes_of(seed)), seed, verbose),
        Action::Sweep { seeds: (from, to), nodes, budget, twice } => {
            many(&Plan { from, to, nodes, budget, twice })
        }
        #[cfg(feature = "mutants")]
        Action::Mutants { name, seeds, output } => sown(&name, seeds, output == "json"),
        Action::Form { nodes, seed } => form(nodes, seed),
        Action::Bench { nodes, seed, time, unchecked } => bench(nodes, seed, time, !unchecked),
    }
}

fn one(nodes: usize, seed: u64, verbose: bool) -> ExitCode {
    if verbose {
        println!("{:#?}", Chaos::draw(seed, nodes));
    }
    let (outcome, world) = run(nodes, seed);
    if verbose {
        for (at, host, event) in &world.events {
            println!("{:>10.6} node{} {event:?}", seconds(*at), host + 1);
        }
    }
    if verbose && outcome.verdict.is_err() {
        println!("{}", report::page(&world));
    }
    let speed = seconds(outcome.world) / outcome.real.as_secs_f64();
    println!(
        "trace {:016x}, {} events, {:.1} s of virtual time in {:.3?} ({speed:.0} times as fast)",
        outcome.trace,
        outcome.events,
        seconds(outcome.world),
        outcome.real,
    );
    match &outcome.verdict {
        Ok(times) => {
            println!(
                "after the faults: leader {:.1} s, all seen {:.1} s, equal {:.1} s, running {:.1} s",
                seconds(times.leader),
                seconds(times.seen),
                seconds(times.equal),
                seconds(times.running)
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn many(plan: &Plan) -> ExitCode {
    let began = Instant::now();
    let summary = sweep(plan, |seed, nodes, failure: &Failure| {
        println!("seed {seed}: {failure}\n  sleep-sim run --nodes {nodes} --seed {seed} -v");
    });
    let (slowest, seed) = summary.slowest;
    println!(
        "{} of {} seeds run, {} failed; {:.0} s of virtual time, {:.0} times as fast; \
         slowest to be well: {:.1} s \
         (seed {seed}); {:.0} s in all",
        summary.seeds,
        summary.of,
        summary.failures.len(),
        seconds(summary.world),
        seconds(summary.world) / summary.real.as_secs_f64(),
        seconds(slowest),
        began.elapsed().as_secs_f64(),
    );
    ExitCode::from(summary.code())
}

#[cfg(feature = "mutants")]
fn sown(name: &str, seeds: u64, json: bool) -> ExitCode {
    use sleep_sim::mutants;

    let mut all_found = true;
    let mut rows = Vec::new();
    if !json {
        println!("{}", mutants::HEAD);
    }
    for row in mutants::hunt(name, seeds) {
        all_found &= row.is_as_expected();
        if json {
            rows.push(row.json());
        } else {
            println!("{row}");
        }
    }
    if json {
        println!("{}", serde_json::Value::Array(rows));
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::from(4) }
}

fn form(nodes: usize, seed: u64) -> ExitCode {
    let began = Instant::now();
    let mut world = World::new(nodes, seed, Network::default(), &Tuning::default());
    let outcome = story::form(&mut world);
    println!(
        "{nodes} nodes: {:.1} s of virtual time in {:.1?}, {} MB at most",
        seconds(world.now),
        began.elapsed(),
        most_memory() / 1_000_000,
    );
    ended(outcome.map_err(Failure::Liveness))
}

fn bench(nodes: usize, seed: u64, time: Duration, checked: bool) -> ExitCode {
    let time = time.as_secs() * SECOND;
    let measured = Load::begin(nodes, seed, checked).and_then(|mut load| load.work(time));
    ended(measured.map(|measured| {
        println!(
            "{nodes} nodes: {:.0} s of virtual time in {:.2?}: {:.0} times as fast; {} events, \
             {} of {} commands carried out, {} MB at most, trace {:016x}",
            seconds(measured.world),
            measured.real,
            seconds(measured.world) / measured.real.as_secs_f64(),
            measured.events,
            measured.done,
            measured.given,
            most_memory() / 1_000_000,
            measured.trace,
        );
    }))
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// The most bytes of memory that this process ever had; 0 where the kernel does not tell.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn seconds(time: u64) -> f64 {
    time as f64 / SECOND as f64
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("write it as `1..200`")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    Ok((number(from)?, number(to)?))
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|sign: char| !sign.is_ascii_digit()).ok_or("write it as `90s` or `5m`")?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|error| format!("`{text}`: {error}"))?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => return Err(format!("`{other}` is not s, m or h")),
    };
    Ok(Duration::from_secs(number * unit))
}
