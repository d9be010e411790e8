//! A program that is a shim and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    sleep_drivers::process::shim_main(std::env::args_os())
}
