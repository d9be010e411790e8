//! What others wrote, as this room reads it: engines' answers, the kernel's files, this driver's own files
//! after anything may have happened to them.
//!
//! One door for whoever hands in anybody's bytes. What is read here is read by the same functions when tasks
//! run.
//!
//! # Not here
//! What is done with it.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sleep_wire::ClusterId;
use sleep_wire::engine::Launch;
use sleep_wire::task::TaskLabel;

pub use crate::docker::foreign::{engine_line, event, inspection, refusal, summary};
use crate::docker::reading;
use crate::label::Owner;
use crate::logs::LogLine;
use crate::process::files;
use crate::process_stat::Stat;
use crate::{label, signal, text};

/// A file of a task of the process driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskFile {
    /// What runs, and whose it is.
    Spec,
    /// Which processes it is.
    Running,
    /// How it ended.
    Ended,
}

/// Such a file, as it would be written anew; `None` if it is damaged.
pub fn task_file(file: TaskFile, bytes: &[u8]) -> Option<Vec<u8>> {
    fn again<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<Vec<u8>> {
        files::write(&files::read::<T>(bytes).ok()?).ok()
    }
    match file {
        TaskFile::Spec => again::<files::Spec>(bytes),
        TaskFile::Running => again::<files::Running>(bytes),
        TaskFile::Ended => again::<files::Ended>(bytes),
    }
}

/// The short name of the task that a directory is named after; `None` if it is no task's.
pub fn task_of(name: &str) -> Option<String> {
    let home = files::Home::of(std::path::Path::new("/"), name)?;
    home.task().map(str::to_owned)
}

/// A line of a process's log.
pub fn log_line(line: &[u8]) -> Option<LogLine> {
    files::log_line(line)
}

/// The last lines of a task's output, for people.
pub fn last_lines(output: &[u8]) -> Vec<String> {
    text::last_lines(output)
}

/// When a process started, if this is a line of `/proc/PID/stat`.
pub fn started(stat: &str) -> Option<u64> {
    Stat::parse(stat).map(|stat| stat.started)
}

/// Whether a process with this `/proc/PID/status` catches or blocks a signal, and whether it waits in this
/// `/proc/PID/syscall` for one; `None` for what cannot be read.
pub fn hears(status: &str, syscall: &str, signal: u32) -> (Option<bool>, Option<bool>) {
    reading::hears(status, syscall, signal)
}

/// The number of a signal as people and images call it.
pub fn signal(text: &str) -> Option<u32> {
    signal::number(text)
}

/// Whom a process runs as, by `/etc/passwd` and `/etc/group`.
///
/// # Errors
/// What is missing there.
pub fn user(text: &str, passwd: &str, groups: &str) -> Result<Option<(u32, u32)>, String> {
    files::user(text, passwd, groups).map(|who| who.ids)
}

/// The labels that a task's container is given.
pub fn labels(launch: &Launch) -> HashMap<String, String> {
    label::write(launch, "", "")
}

/// What labels say: `None` if they are not this cluster's, else the task if it can be read.
pub fn owner(labels: &HashMap<String, String>, cluster: ClusterId) -> Option<Option<TaskLabel>> {
    match label::owner(labels, Some(cluster)) {
        Owner::Foreign => None,
        Owner::Ours(label) => Some(label),
    }
}
