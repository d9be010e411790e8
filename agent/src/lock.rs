//! Two that must not be: two agents on one state directory, two agents on one engine.
//!
//! The kernel's lock on an open file ends with the process, however it ends; the number in the file is for
//! people.
//!
//! # Not here
//! What is locked: the agent knows its directory, and learns the engine's id from the engine.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Holds what it locked, for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why it is not ours.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held {
        /// The file.
        path: PathBuf,
        /// Which process, if it has said so.
        pid: Option<u32>,
    },
    /// The file cannot be had.
    Io {
        /// The file.
        path: PathBuf,
        /// In the operating system's words.
        source: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, pid: Some(pid) } => {
                write!(f, "another agent is running: process {pid} holds {}", path.display())
            }
            Self::Held { path, pid: None } => {
                write!(f, "another agent is running: it holds {}", path.display())
            }
            Self::Io { path, source } => write!(f, "cannot lock {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for LockError {}

/// Makes the state directory if it is missing, for its owner's eyes only, and takes it for this agent.
///
/// # Errors
/// [`LockError`]: then another agent has it, or nobody can.
pub fn state(dir: &Path) -> Result<Lock, LockError> {
    take(dir, "lock")
}

/// Takes an engine for this agent: `run` is a directory that all agents of the host share.
///
/// # Errors
/// [`LockError`]: then another agent has it, or nobody can.
pub fn engine(run: &Path, engine: &str) -> Result<Lock, LockError> {
    // An engine's id is its own invention; it must not name another file.
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = engine.chars().map(plain).take(128).collect();
    take(run, &format!("engine-{name}.lock"))
}

fn take(dir: &Path, name: &str) -> Result<Lock, LockError> {
    let path = dir.join(name);
    match try_take(dir, &path) {
        Ok(Ok(lock)) => Ok(lock),
        Ok(Err(pid)) => Err(LockError::Held { path, pid }),
        Err(source) => Err(LockError::Io { path, source }),
    }
}

fn try_take(dir: &Path, path: &Path) -> io::Result<Result<Lock, Option<u32>>> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            (&mut file).take(16).read_to_string(&mut text)?;
            return Ok(Err(text.trim().parse().ok()));
        }
        Err(errno) => return Err(errno.into()),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(Lock { _file: file }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state_dir = dir.path().join("made").join("here");
        let first = state(&state_dir).expect("nobody has it");
        let second = state(&state_dir).expect_err("the first has it").to_string();
        let path = state_dir.join("lock");
        let told =
            format!("another agent is running: process {} holds {}", std::process::id(), path.display());
        assert_eq!(second, told);
        drop(first);
        drop(state(&state_dir).expect("the first is gone"));
        drop(state(&state_dir).expect("a lock that was taken often is still one"));
    }

    #[test]
    fn engines_are_told_apart_and_name_no_other_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _one = engine(dir.path(), "../../etc/x").expect("nobody has it");
        let _two = engine(dir.path(), "4GXT:ABCD").expect("nobody has it");
        assert!(matches!(engine(dir.path(), "4GXT:ABCD"), Err(LockError::Held { .. })));
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .expect("it is there")
            .map(|entry| entry.expect("it can be read").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["engine-4GXT_ABCD.lock", "engine-______etc_x.lock"]);
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("a free name");
        let told = state(&file).expect_err("it is no directory").to_string();
        assert!(told.starts_with(&format!("cannot lock {}", file.join("lock").display())), "{told}");
    }
}
