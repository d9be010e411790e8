//! Measures speed and memory beside Docker Swarm: see `tests/bench/README.md`.
//!
//! `cargo run --release -p sleep-tests --bin bench -- [--rounds N] [--built] [PART…]`, as root.

use std::env;
use std::process::ExitCode;

use sleep_tests::Result;
use sleep_tests::bench::{Plan, programs};

fn main() -> Result<ExitCode> {
    let plan = Plan::read(env::args().skip(1))?;
    if !plan.built {
        programs::build()?;
    }
    Ok(if plan.run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
