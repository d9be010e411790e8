//! `sleep-sim`: whole clusters in virtual time.
#![forbid(unsafe_code)]

mod args;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use args::{Action, Cli, Which, chosen, load};
use clap::Parser as _;
use sleep_core::node::Tuning;
use sleep_sim::experiment::{EXPERIMENTS, Experiment, Options};
use sleep_sim::liveness::Missing;
use sleep_sim::load::Load;
use sleep_sim::run::{Failure, Outcome, run, run_recorded};
use sleep_sim::scenario::{Scenario, file, stories};
use sleep_sim::shrink::shrink;
use sleep_sim::sweep::{Plan, judged, sweep};
use sleep_sim::world::{Network, SECOND, Time, World};
use sleep_sim::{report, span, story};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Action::Sweep { seeds: (from, to), nodes, time, budget, twice } => {
            many(&Plan { from, to, nodes, time: time.unwrap_or(0), budget, twice })
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
    let all =
        || Ok(stories::short()?.into_iter().map(|(name, scenario)| (name.to_owned(), scenario)).collect());
    let given = |path: &PathBuf| Ok((path.display().to_string(), load(path)?));
    let scenarios: Result<Vec<(String, Scenario)>, String> =
        if named.is_empty() { all() } else { named.iter().map(given).collect() };
    let scenarios = match scenarios {
        Ok(scenarios) => scenarios,
        Err(why) => return misused(&why),
    };
    if let (true, Ok(long)) = (named.is_empty(), stories::long()) {
        println!("left out, as they last for days: {}; name them to run them", long.join(", "));
    }
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
                "after the faults: leader {:.1} s, all seen {:.1} s, running {:.1} s, equal {:.1} s",
                seconds(times.leader),
                seconds(times.seen),
                seconds(times.running),
                seconds(times.equal)
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
        None => {
            let time = at_least(which.time.unwrap_or(0));
            format!("sleep-sim run --nodes {} --seed {seed}{time} -v", scenario.hosts.len())
        }
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

/// The option that asks for so long a run, if one does.
fn at_least(time: Time) -> String {
    if time == 0 { String::new() } else { format!(" --time {:?}", span::show(time)) }
}

fn many(plan: &Plan) -> ExitCode {
    let began = Instant::now();
    let time = at_least(plan.time);
    let summary = sweep(plan, |seed, nodes, failure: &Failure| {
        println!("seed {seed}: {failure}\n  sleep-sim minimize --nodes {nodes} --seed {seed}{time}");
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

    let found = match mutants::hunt(name, seeds) {
        Ok(found) => found,
        Err(why) => return misused(&why),
    };
    let mut all_found = true;
    let mut rows = Vec::new();
    if !json {
        println!("{}", mutants::HEAD);
    }
    for row in found {
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
