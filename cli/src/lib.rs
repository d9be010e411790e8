//! The command line of a sleepd cluster.
//!
//! ```text
//! args (what was typed) → command (request → answer) → output (what is printed)
//!                                  ↓
//!                               client (hosts, streams, HTTP)
//! ```
//! # Not here
//! Decisions: the agent makes them. This program asks, waits and shows.

pub mod args;
pub mod client;
pub mod command;
pub mod error;
pub mod key;
pub mod output;

/// Runs the command that was typed, and returns the exit code.
pub fn run() -> u8 {
    // A shell that asks for completions is answered, and nothing else is done.
    clap_complete::CompleteEnv::with_factory(command::complete::definition)
        .var(command::complete::VARIABLE)
        .complete();
    let cli = match args::Cli::typed() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::no_runtime(&error),
    };
    let code = runtime.block_on(command::run(cli));
    // A thread may still be reading standard input: nobody waits for it.
    runtime.shutdown_background();
    code
}
