//! `sleepctl`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(sleepctl::run())
}
