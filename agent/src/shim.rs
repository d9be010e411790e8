//! `sleepd shim DIRECTORY`: the small process that outlives the agent, one for each task of the process
//! driver.
//!
//! # Not here
//! What it does: see `sleep_drivers::process`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Becomes the shim of the task whose directory is the last of `args`, and returns when that task has ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    sleep_drivers::process::shim_main(args)
}
