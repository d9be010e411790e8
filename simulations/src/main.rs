//! `sleep-sim`: whole clusters in virtual time.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use sleep_core::node::Tuning;
use sleep_sim::experiment::{EXPERIMENTS, Experiment, Options};
use sleep_sim::liveness::Missing;
use sleep_sim::load::Load;
use sleep_sim::run::{Failure, Outcome, run, run_recorded};
use sleep_sim::scenario::{HostPlan, Scenario, file, stories};
use sleep_sim::shrink::shrink;
use sleep_sim::sweep::{Plan, judged, nodes_of, sweep};
use sleep_sim::world::{Network, SECOND, World};
use sleep_sim::{chaos, report, span, story};

/// Deterministic simulations of whole sleepd clusters.
///
/// Exit codes: 0 well, 2 wrong usage, 3 something did not come about in time, 4 a law was broken, 5 the core
/// failed.
#[derive(Parser)]
#[command(name = "sleep-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

/// What is to be run: a seed's drawing, or a scenario.
#[derive(Args)]
struct Which {
    /// A story of `sleep-sim list`, or a file, instead of what the seed draws
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Option<PathBuf>,
    /// How many nodes [default: the scenario's; else 3 to 9, by the seed]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    nodes: Option<u16>,
    /// Which world [default: the scenario's; else 1]
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Subcommand)]
enum Action {
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

fn main() -> ExitCode {
    match Cli::parse().command {
        Action::Run { which, verbose } => given(&which, |scenario| one(scenario, verbose)),
        Action::Show { which } => given(&which, |scenario| {
            print!("{}", file::write(scenario));
            ExitCode::SUCCESS
        }),
        Action::List => list(),
        Action::Replay { scenarios } => replay(&scenarios),
        Action::Minimize { which, runs } => given(&which, |scenario| minimize(scenario, runs)),
        Action::Sweep { seeds: (from, to), nodes, budget, twice } => {
            many(&Plan { from, to, nodes, budget, twice })
        }
        Action::Report { which, output, shiviz } => {
            given(&which, |scenario| reported(scenario, &again(&which, scenario), &output, shiviz.as_deref()))
        }
        Action::Suite { seeds, output } => suite(seeds, &output),
        #[cfg(feature = "mutants")]
        Action::Mutants { name, seeds, output } => sown(&name, seeds, output == "json"),
        Action::Experiment { name, seeds, nodes, output } => {
            let options = Options { seeds, nodes: nodes.map(usize::from) };
            experiment(name.as_deref(), options, output == "json")
        }
        Action::Form { nodes, seed } => form(nodes, seed),
        Action::Bench { nodes, seed, time, unchecked } => bench(nodes, seed, time, !unchecked),
    }
}

fn given(which: &Which, then: impl FnOnce(&Scenario) -> ExitCode) -> ExitCode {
    match chosen(which) {
        Ok(scenario) => then(&scenario),
        Err(why) => misused(&why),
    }
}

fn misused(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(2)
}

fn chosen(which: &Which) -> Result<Scenario, String> {
    let Some(named) = &which.scenario else {
        let seed = which.seed.unwrap_or(1);
        return Ok(chaos::draw(seed, which.nodes.map_or(nodes_of(seed), usize::from)));
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

fn load(named: &Path) -> Result<Scenario, String> {
    let known = named.to_str().and_then(stories::text).map(str::to_owned);
    let read = || {
        let hint = "; `sleep-sim list` shows the scenarios that come with the program";
        std::fs::read_to_string(named).map_err(|why| format!("{}: {why}{hint}", named.display()))
    };
    let text = known.map_or_else(read, Ok)?;
    file::read(&text).map_err(|why| format!("{}: {}", named.display(), why.trim_end()))
}

fn list() -> ExitCode {
    match stories::all() {
        Ok(stories) => {
            for (name, scenario) in stories {
                println!("{name:<26} {}", scenario.name);
            }
            ExitCode::SUCCESS
        }
        Err(why) => misused(&why),
    }
}

fn replay(named: &[PathBuf]) -> ExitCode {
    let all = || {
        let short = stories::all()?.into_iter().filter(|(_, scenario)| scenario.lasts <= 6 * 3600 * SECOND);
        Ok(short.map(|(name, scenario)| (name.to_owned(), scenario)).collect())
    };
    let given = |path: &PathBuf| Ok((path.display().to_string(), load(path)?));
    let scenarios: Result<Vec<(String, Scenario)>, String> =
        if named.is_empty() { all() } else { named.iter().map(given).collect() };
    let scenarios = match scenarios {
        Ok(scenarios) => scenarios,
        Err(why) => return misused(&why),
    };
    let mut worst = 0;
    for (name, scenario) in scenarios {
        match judged(&scenario, true) {
            Ok(outcome) => println!("{name:<26} well, {}", speed(&outcome)),
            Err(failure) => {
                println!("{name:<26} {failure}");
                worst = worst.max(failure.code());
            }
        }
    }
    ExitCode::from(worst)
}

fn minimize(scenario: &Scenario, runs: u32) -> ExitCode {
    let Some(shrunk) = shrink(scenario, runs) else {
        eprintln!("{} is well: there is nothing to make smaller", scenario.name);
        return ExitCode::SUCCESS;
    };
    eprintln!(
        "{}\n{} of {} faults and {} of {} nodes are left after {} runs",
        shrunk.failure,
        shrunk.scenario.faults.len(),
        scenario.faults.len(),
        shrunk.scenario.hosts.len(),
        scenario.hosts.len(),
        shrunk.runs,
    );
    print!("{}", file::write(&shrunk.scenario));
    ExitCode::from(shrunk.failure.code())
}

fn speed(outcome: &Outcome) -> String {
    let times = seconds(outcome.world) / outcome.real.as_secs_f64();
    format!(
        "trace {:016x}, {} events, {:.1} s of virtual time in {:.3?} ({times:.0} times as fast)",
        outcome.trace,
        outcome.events,
        seconds(outcome.world),
        outcome.real,
    )
}

fn one(scenario: &Scenario, verbose: bool) -> ExitCode {
    if verbose {
        println!("{}", file::write(scenario));
    }
    let (outcome, world) = run(scenario);
    if verbose {
        for (at, host, event) in &world.events {
            println!("{:>10.6} {} {event:?}", seconds(*at), world.hosts[*host].name());
        }
    }
    if verbose && outcome.verdict.is_err() {
        println!("{}", report::text::page(&world));
    }
    println!("{}", speed(&outcome));
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

/// The command that runs the same once more.
fn again(which: &Which, scenario: &Scenario) -> String {
    let seed = scenario.seed;
    match &which.scenario {
        None => format!("sleep-sim run --nodes {} --seed {seed} -v", scenario.hosts.len()),
        Some(named) => {
            let nodes = which.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
            format!("sleep-sim run --scenario {}{nodes} --seed {seed} -v", named.display())
        }
    }
}

fn reported(scenario: &Scenario, command: &str, output: &Path, shiviz: Option<&Path>) -> ExitCode {
    let (outcome, world, recorder) = run_recorded(scenario);
    let page = report::page::page(scenario, command, &outcome, &world, &recorder);
    let mut files = vec![(output, page)];
    if let Some(path) = shiviz {
        let timeline = report::timeline::Timeline::new(&world, &recorder);
        files.push((path, report::shiviz::log(&timeline)));
    }
    for (path, text) in files {
        if let Err(why) = written(path, &text) {
            return misused(&why);
        }
    }
    println!("{}", speed(&outcome));
    ended(outcome.verdict.map(drop))
}

fn suite(seeds: (u64, u64), output: &Path) -> ExitCode {
    let rows = report::suite::suite(seeds, |row| {
        if let Err(failure) = &row.result {
            println!("{}: {failure}\n  {}", row.what, row.command);
        }
    });
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => return misused(&why),
    };
    if let Err(why) = written(output, &report::suite::page(&rows, seeds)) {
        return misused(&why);
    }
    let failures = || rows.iter().filter_map(|row| row.result.as_ref().err());
    println!("{} runs, {} failed", rows.len(), failures().count());
    ExitCode::from(failures().map(Failure::code).max().unwrap_or(0))
}

fn written(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    println!("{} ({} kB)", path.display(), text.len().div_ceil(1_000));
    Ok(())
}

fn many(plan: &Plan) -> ExitCode {
    let began = Instant::now();
    let summary = sweep(plan, |seed, nodes, failure: &Failure| {
        println!("seed {seed}: {failure}\n  sleep-sim minimize --nodes {nodes} --seed {seed}");
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

fn experiment(name: Option<&str>, options: Options, json: bool) -> ExitCode {
    let Some(name) = name else {
        for Experiment { name, asks, .. } in EXPERIMENTS {
            println!("{name:<12} {asks}");
        }
        return ExitCode::SUCCESS;
    };
    let Some(experiment) = Experiment::named(name) else {
        return misused(&format!("there is no experiment `{name}`; `sleep-sim experiment` lists them"));
    };
    let report = experiment.run(options);
    if json {
        println!("{}", serde_json::json!(report));
    } else {
        println!("{report}");
    }
    ExitCode::SUCCESS
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
    ended(outcome.map_err(|how| Failure::Liveness(Missing::formed(how))))
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
    span::parse(text).map(Duration::from_micros)
}
