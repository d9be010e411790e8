//! `sleepd`: the agent that every host of a cluster runs.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::process::ExitCode;

use sleepd::config::{self, Config, Invocation, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let invocation = config::read(std::env::args_os(), |name| std::env::var_os(name), &sleepd::host::name());
    match invocation {
        Ok(Invocation::Agent(config)) => start(*config),
        Ok(Invocation::Shim(args)) => sleepd::shim::main(args),
        Err(error) => {
            match &error {
                config::ConfigError::Usage(usage) => drop(usage.print()),
                other => eprintln!("error: {other}"),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(config: Config) -> ExitCode {
    let filter = EnvFilter::try_from_env("SLEEPD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    // One thread: the core is one, and what surrounds it waits far more than it works.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(sleepd::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
