//! The control group of one host: by it the whole host is frozen, and by it its containers are found.
//!
//! ```text
//! /sleep-lab-RUN/node1/host    every process of the host outside of containers
//! /sleep-lab-RUN/node1/ID      a container: its engine is told to make them here
//! ```
//! With cgroup 1 the first exists in the freezer alone, and the second in every hierarchy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::wait::try_until;

/// A process in uninterruptible sleep freezes when it wakes.
const FREEZE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Cgroup {
    /// As an engine wants it: relative to the root of every hierarchy.
    pub(super) parent: String,
    folder: PathBuf,
    unified: bool,
}

impl Cgroup {
    /// Makes the group of `host` in that of the lab.
    pub(super) fn create(lab: &str, host: &str) -> Result<Self> {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let hierarchy = Path::new(if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/freezer" });
        let folder = hierarchy.join(lab).join(host);
        fs::create_dir_all(folder.join("host")).map_err(Error::on(&folder))?;
        Ok(Self { parent: format!("/{lab}/{host}"), folder, unified })
    }

    /// Where a process writes `0` to become one of the host's.
    pub(super) fn entrance(&self) -> PathBuf {
        self.folder.join("host/cgroup.procs")
    }

    /// Stops or continues every process of the host, and waits until it is so.
    pub(super) fn freeze(&self, frozen: bool) -> Result<()> {
        let (switch, word, gauge, reading) = match (self.unified, frozen) {
            (true, true) => ("cgroup.freeze", "1", "cgroup.events", "frozen 1"),
            (true, false) => ("cgroup.freeze", "0", "cgroup.events", "frozen 0"),
            (false, true) => ("freezer.state", "FROZEN", "freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED", "freezer.state", "THAWED"),
        };
        let (switch, gauge) = (self.folder.join(switch), self.folder.join(gauge));
        fs::write(&switch, word).map_err(Error::on(&switch))?;
        try_until(&format!("{} reads {reading}", gauge.display()), FREEZE, || {
            let text = fs::read_to_string(&gauge).map_err(Error::on(&gauge))?;
            Ok(text.lines().any(|line| line == reading).then_some(()))
        })
    }
}
