//! `sleep-sim`: whole clusters in virtual time.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use sleep_core::node::Tuning;
use sleep_sim::story;
use sleep_sim::world::{Network, SECOND, World};

/// Deterministic simulations of whole sleepd clusters.
#[derive(Parser)]
#[command(name = "sleep-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs the story of one seed, and prints its trace
    Run {
        /// How many nodes
        #[arg(long, default_value_t = 9)]
        nodes: usize,
        /// Which world
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let Action::Run { nodes, seed } = Cli::parse().command;
    let began = Instant::now();
    let mut world = World::new(nodes, seed, Network::default(), &Tuning::default());
    let outcome = tell(&mut world);
    for (at, host, event) in &world.events {
        println!("{:>10.6} node{} {event:?}", *at as f64 / SECOND as f64, host + 1);
    }
    println!(
        "trace {:016x}, {} events, {:.1} s of virtual time in {:?}",
        world.trace.digest(),
        world.trace.events(),
        world.now as f64 / SECOND as f64,
        began.elapsed()
    );
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn tell(world: &mut World) -> Result<(), String> {
    story::form(world)?;
    println!("formed at {}", world.now);
    let service = story::create(world, world.hosts.len() - 1, "sleep-app", 1)?;
    story::running(world, 30 * SECOND, service, 1)?;
    println!("created at {}", world.now);
    story::scale(world, 0, service, 7)?;
    story::running(world, 30 * SECOND, service, 7)?;
    println!("scaled at {}", world.now);
    world.until(world.now + 40 * SECOND, |_| false);
    let holder = story::holder(world, 30 * SECOND)?;
    world.kill(holder);
    println!("killed {holder} at {}", world.now);
    story::holder(world, 30 * SECOND)?;
    println!("new holder at {}", world.now);
    story::running(world, 30 * SECOND, service, 7)?;
    println!("7 again at {}", world.now);
    world.start(holder);
    story::running(world, 60 * SECOND, service, 7)?;
    story::equal(world, 10 * SECOND)?;
    println!("healed at {}", world.now);
    Ok(())
}
