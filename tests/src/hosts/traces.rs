//! What a lab is known by while it lives, and must not be found once it is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The kinds of namespace that a host does not share with the machine.
const NAMESPACES: [&str; 5] = ["pid", "mnt", "net", "uts", "ipc"];

/// The traces of one lab.
#[derive(Debug, Clone)]
pub struct Traces {
    dir: PathBuf,
    cgroup: String,
    namespaces: BTreeSet<String>,
}

impl Traces {
    pub(super) fn new(dir: &Path, cgroup: &str, holders: impl Iterator<Item = u32>) -> Self {
        let machine = namespaces("self");
        let namespaces =
            holders.flat_map(|pid| namespaces(&pid.to_string())).filter(|ns| !machine.contains(ns));
        Self { dir: dir.to_path_buf(), cgroup: cgroup.to_owned(), namespaces: namespaces.collect() }
    }

    /// What of the lab is still there, each in words: processes, mounts, control groups, files.
    pub fn found(&self) -> Vec<String> {
        let mut found = Vec::new();
        for pid in entries("/proc").filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            if !self.namespaces.is_disjoint(&namespaces(&pid)) {
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                found.push(format!("process {pid}: {}", line.replace('\0', " ")));
            }
        }
        let dir = self.dir.to_string_lossy();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(&*dir)).map(|line| format!("mount {line}")));
        let hierarchies = entries("/sys/fs/cgroup").chain(std::iter::once(".".to_owned()));
        let groups = hierarchies.map(|name| Path::new("/sys/fs/cgroup").join(name).join(&self.cgroup));
        let folders = groups.chain(std::iter::once(self.dir.clone()));
        found.extend(
            folders.filter(|folder| folder.exists()).map(|folder| format!("folder {}", folder.display())),
        );
        found
    }
}

fn entries(folder: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// As `/proc` writes them, such as `net:[4026531840]`; none if there is no such process.
fn namespaces(pid: &str) -> BTreeSet<String> {
    let links = NAMESPACES.iter().filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}
