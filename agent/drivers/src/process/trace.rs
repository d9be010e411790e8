//! What `/proc` shows of tasks, for when their files are damaged or gone.
//!
//! A shim's command line names its task's directory, its environment says whose the task is, and its first
//! child is what it runs: from these the files are written anew. Where the shim is gone too, the environment
//! of what it left behind names the task.
//!
//! # Not here
//! When to look. Whoever can read a task's files needs none of this.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{geteuid, getpid};
use rustix::time::{ClockId, clock_gettime};

use super::store::{Home, Running, Spec, boot, is_damage};
use crate::process_stat::{ProcessId, Stat, all};
use crate::text;

/// The word before the directory on a shim's command line.
pub(crate) const SHIM: &str = "shim";
/// Tells a shim's reader whose its task is: the cluster and the label, as in its `spec`.
pub(crate) const OWNER: &str = "SLEEPD_SHIM_OF";
/// Ticks a second of the times in `/proc`, on every Linux.
const TICKS: u64 = 100;

/// A live shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shim {
    pub(crate) id: ProcessId,
    /// The cluster and the label of its task, if its environment says so.
    owner: Option<(String, String)>,
}

impl Shim {
    /// What its `running` would say; `None` if it has not started its task yet.
    pub(crate) fn running(&self) -> Option<Running> {
        let shim = self.id.pid;
        // What it adopts is started by its first child, or by that one's children, and so later.
        let children = all(|stat| stat.parent == shim && stat.session == shim);
        let leaders = children.into_iter().filter(|id| Stat::of(id.pid).is_some_and(|s| s.group == id.pid));
        let main = leaders.min_by_key(|id| (id.started, id.pid))?;
        Some(Running { boot: boot(), shim: self.id, main, at: started_at(main) })
    }

    /// What is known of it while its task is not there yet.
    pub(crate) fn nascent(&self) -> Running {
        Running { boot: boot(), shim: self.id, main: self.id, at: started_at(self.id) }
    }

    /// Writes anew what of its task's files is damaged or gone. Whether both are whole now.
    pub(crate) fn mend(&self, home: &Home) -> io::Result<bool> {
        let mut told = Vec::new();
        if !home.path().exists() {
            super::make_new(home.path())?;
            told.push("its directory");
        }
        if home.spec().is_err_and(|error| is_damage(&error)) {
            let Some((cluster, label)) = self.owner.clone() else { return Ok(false) };
            let (argv, env, user, workdir) = Default::default();
            home.write_spec(&Spec { cluster, label, argv, env, user, workdir })?;
            told.push("spec");
        }
        if home.running().is_err_and(|error| is_damage(&error)) {
            let Some(running) = self.running() else { return Ok(false) };
            home.write_running(&running)?;
            told.push("running");
        }
        if !told.is_empty() {
            let (home, told) = (home.path().display(), told.join(" and "));
            tracing::warn!(%home, "a task that runs lacked {told}: written anew, as its shim has it");
        }
        Ok(true)
    }
}

/// The live shims of the tasks in `dir`, by the name of the task.
///
/// # Errors
/// That `/proc` could not be read: then nothing is known, and not that there are none.
pub(crate) fn shims(dir: &Path) -> io::Result<BTreeMap<String, Shim>> {
    let mut shims = BTreeMap::new();
    for pid in pids()? {
        let Some(line) = read(pid, "cmdline")? else { continue };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        let [_, word, .., home] = words.as_slice() else { continue };
        let home = Path::new(OsStr::from_bytes(home));
        let Some(name) = home.file_name().and_then(OsStr::to_str) else { continue };
        let is_ours = *word == SHIM.as_bytes() && home.parent() == Some(dir) && is_own(pid);
        let Some(id) = ProcessId::of(pid).filter(|id| is_ours && id.lives()) else { continue };
        let owner = variable(pid, OWNER)?.and_then(|owner| {
            let (cluster, label) = owner.split_once(' ')?;
            Some((cluster.to_owned(), label.to_owned()))
        });
        shims.insert(name.to_owned(), Shim { id, owner });
    }
    Ok(shims)
}

/// The processes whose environment says that they are of this task of this node.
///
/// # Errors
/// As [`shims`].
pub(crate) fn processes(task: &str, node: &str) -> io::Result<Vec<ProcessId>> {
    let own = getpid().as_raw_nonzero().get();
    let mut found = Vec::new();
    for pid in pids()?.into_iter().filter(|pid| *pid != own) {
        let is = |name, value: &str| variable(pid, name).map(|said| said.as_deref() == Some(value));
        if is("SLEEPD_TASK", task)? && is("SLEEPD_NODE", node)? {
            found.extend(ProcessId::of(pid).filter(ProcessId::lives));
        }
    }
    Ok(found)
}

fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// A file of a process; `None` if the process is gone, or somebody else's.
fn read(pid: i32, file: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(None),
            _ => Err(error),
        },
    }
}

/// A variable of a process's environment, as it was when the process began.
fn variable(pid: i32, name: &str) -> io::Result<Option<String>> {
    let Some(environment) = read(pid, "environ")? else { return Ok(None) };
    let prefix = format!("{name}=");
    let mut values = environment.split(|b| *b == 0).filter_map(|v| v.strip_prefix(prefix.as_bytes()));
    Ok(values.next().and_then(|value| String::from_utf8(value.to_vec()).ok()))
}

/// Whether a process is of whoever runs the agent.
fn is_own(pid: i32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|about| about.uid() == geteuid().as_raw())
}

/// When a process started, by the wall clock, in milliseconds.
fn started_at(process: ProcessId) -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    let up = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
    let age = up.saturating_sub(Duration::from_millis(process.started.saturating_mul(1000 / TICKS)));
    text::now().0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
