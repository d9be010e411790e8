//! What is written of a process: one directory a task.
//!
//! ```text
//! <process_dir>/<service.slot.task>/spec      what runs, and whose it is: by the driver, before the shim
//!                                  running   which processes it is, and since when: by the shim
//!                                  ended     its exit code, and when: by the shim, or whoever finds it gone
//!                                  log       its output, and log.1, what was written before
//! ```
//! Each but the log is written aside and renamed: it is there whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sleep_wire::WallTime;

use crate::process_stat::ProcessId;

/// What a shim is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// In hexadecimal.
    pub(crate) cluster: String,
    /// The bytes of the task's label, in hexadecimal.
    pub(crate) label: String,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) user: String,
    pub(crate) workdir: String,
}

/// What a shim says once the task runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The kernel's name for this run of the host.
    pub(crate) boot: String,
    /// The shim: its pid is also its session.
    pub(crate) shim: ProcessId,
    /// The task's first process: its pid is also its process group.
    pub(crate) main: ProcessId,
    /// In milliseconds since 1970.
    pub(crate) at: i64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// 128 + signal if a signal ended it; −1 if nobody knows.
    pub(crate) code: i32,
    /// In milliseconds since 1970.
    pub(crate) at: i64,
}

impl Ended {
    pub(crate) const fn at(&self) -> WallTime {
        WallTime(self.at)
    }
}

/// A task's directory.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Of a task by its name; `None` if a name like that may not stand in a path.
    pub(crate) fn of(dir: &Path, name: &str) -> Option<Self> {
        let fits = (1..=200).contains(&name.len())
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        fits.then(|| Self(dir.join(name)))
    }

    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn older_log(&self) -> PathBuf {
        self.0.join("log.1")
    }

    pub(crate) fn spec(&self) -> io::Result<Spec> {
        self.read("spec")
    }

    pub(crate) fn running(&self) -> io::Result<Running> {
        self.read("running")
    }

    pub(crate) fn ended(&self) -> io::Result<Ended> {
        self.read("ended")
    }

    pub(crate) fn write_spec(&self, spec: &Spec) -> io::Result<()> {
        self.write("spec", spec)
    }

    pub(crate) fn write_running(&self, running: &Running) -> io::Result<()> {
        self.write("running", running)
    }

    pub(crate) fn write_ended(&self, ended: &Ended) -> io::Result<()> {
        self.write("ended", ended)
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> io::Result<T> {
        let bytes = fs::read(self.0.join(file))?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    fn write<T: Serialize>(&self, file: &str, value: &T) -> io::Result<()> {
        let aside = self.0.join(format!("{file}.new"));
        fs::write(&aside, serde_json::to_vec(value).map_err(io::Error::other)?)?;
        fs::rename(aside, self.0.join(file))
    }
}

/// The kernel's name for this run of the host: what was written under another has ended with it.
pub(crate) fn boot() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let dir = Path::new("/state");
        for name in ["", ".", "..", ".a", "a/b", "a\0", "a b", &"a".repeat(201)] {
            assert!(Home::of(dir, name).is_none(), "{name}");
        }
        let home = Home::of(dir, "web.1.abc").expect("it is plain");
        assert_eq!(home.path(), Path::new("/state/web.1.abc"));
    }

    #[test]
    fn what_is_written_reads_back_and_half_of_it_does_not() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let home = Home::at(dir.path());
        assert!(home.ended().is_err());
        home.write_ended(&Ended { code: -1, at: 5 }).expect("it can be written");
        assert_eq!(home.ended().expect("it was written"), Ended { code: -1, at: 5 });
        fs::write(dir.path().join("ended"), "{\"code\":").expect("it can be written");
        assert!(home.ended().is_err());
    }
}
